//! The configuration as its reader meets it: what is written goes in, values or findings come out.

mod stream;

use std::{io::Write as _, time::Duration};

use super::*;

const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/audit";
const DEAD: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/audit-dead";
const ARN: &str = "arn:aws:cloudtrail:eu-central-1:111122223333:channel/one";
const SECRET: &str = "external-id-to-be-hidden";

fn minimal() -> Vec<(String, String)> {
    environment(&[
        ("TRIBUTARY_SOURCE_QUEUE_URL", QUEUE),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", DEAD),
        ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ARN),
    ])
}

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The least that is needed comes from the environment, the case from the file and further variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Vec<Finding>), ConfigError> {
    let all = minimal().into_iter().chain(environment(variables));
    Config::load(Some(file(text).path()), all)
}

/// The findings of a configuration that must not load.
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<Finding> {
    load(text, variables).map(|_| ()).expect_err(text).problems
}

#[test]
fn environment_alone_is_enough_and_defaults_are_as_documented() {
    let (config, warnings) = Config::load(None, minimal()).unwrap();
    assert_eq!(warnings, []);
    let SourceKind::Queue(queue) = &config.source.kind else { panic!("a queue") };
    assert_eq!((queue.queue_url.as_str(), config.source.name()), (QUEUE, "audit"));
    assert_eq!((queue.wait, queue.visibility), (Duration::from_secs(20), Duration::from_mins(2)));
    assert_eq!(config.source.receivers_max, 16);
    assert!(config.source.format.is_none());
    assert_eq!(config.dead_letter.queue_url, DEAD);
    let [lake] = &config.destinations[..] else { panic!("one destination") };
    assert_eq!((lake.name.as_str(), lake.channel_arn.arn.as_str()), ("lake", ARN));
    assert_eq!((lake.requests_per_second, lake.concurrency_max), (100, 8));
    assert_eq!((lake.request_timeout, lake.oversize), (Duration::from_secs(30), Oversize::Move));
    assert_eq!(lake.external_id, None);
    assert_eq!(config.dedupe.window, Duration::from_hours(1));
    assert_eq!((config.dedupe.entries_max, config.dedupe.lease), (200_000, Duration::from_mins(2)));
    assert_eq!(config.batch.linger, Duration::from_millis(250));
    assert_eq!((config.batch.events_max, config.batch.bytes_max), (100, 999_999));
    assert_eq!(config.flow.max_in_flight_bytes, 8 << 20);
    assert!((config.breaker.dead_letter_share - 0.5).abs() < f64::EPSILON);
    assert_eq!((config.breaker.deliveries, config.breaker.cool_down), (200, Duration::from_mins(1)));
    assert_eq!(config.service.listen.to_string(), "0.0.0.0:9464");
    assert_eq!(config.service.drain_timeout, Duration::from_secs(25));
    assert_eq!((config.log.filter.as_str(), config.log.format), ("info", LogFormat::Auto));
}

#[test]
fn a_variable_wins_over_the_file_and_an_empty_one_does_not() {
    let text = "[batch]\nlinger = \"1s\"\nevents_max = 50\n";
    let variables = [("TRIBUTARY_BATCH_LINGER", "2s"), ("TRIBUTARY_BATCH_EVENTS_MAX", "")];
    let (config, _) = load(text, &variables).unwrap();
    assert_eq!(config.batch.linger, Duration::from_secs(2));
    assert_eq!(config.batch.events_max, 50);
}

#[test]
fn destinations_come_from_file_and_environment_together() {
    let other = "arn:aws:cloudtrail:us-east-1:111122223333:channel/two";
    let variables = [
        ("TRIBUTARY_DESTINATIONS_US_EAST_CHANNEL_ARN", other),
        ("TRIBUTARY_DESTINATIONS_LAKE_OVERSIZE", "reject"),
        ("TRIBUTARY_DEDUPE_WINDOW", "1d"),
    ];
    let (config, warnings) = load("", &variables).unwrap();
    let names: Vec<_> = config.destinations.iter().map(|d| (d.name.as_str(), d.oversize)).collect();
    assert_eq!(names, [("lake", Oversize::Reject), ("us-east", Oversize::Move)]);
    assert_eq!(warnings, [], "two Regions have two quotas");
}

const QUEUE_FIFO: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/audit.fifo";
const DEAD_FIFO: &str = "https://sqs.eu-central-1.amazonaws.com/111122223333/audit-dead.fifo";

/// A file, variables, the key that must be named, and a part of what must be said.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

/// One fault a row.
const FAULTS: &[Row] = &[
    ("[source]\nqueue_ulr = 'x'", &[], "source.queue_ulr", "did you mean source.queue_url?"),
    ("[sources]\nwait = '1s'", &[], "sources", "did you mean source?"),
    ("[destination.lake]\n", &[], "destination", "did you mean destinations?"),
    ("[batch]\nlinger_ms = 5", &[], "batch.linger_ms", "did you mean batch.linger?"),
    ("[batch]\ncompression = 'gzip'", &[], "batch.compression", "the keys of batch are linger, events_max"),
    ("[kinesis]\nstream = 'x'", &[], "kinesis", "the tables are source, stream, formats"),
    (
        "[destinations.lake]\nchanel_arn = 'x'",
        &[],
        "destinations.lake.chanel_arn",
        "destinations.lake.channel_arn?",
    ),
    ("[destinations.Lake]\n", &[], "destinations.Lake", "no name for a destination"),
    ("[destinations.my_lake]\n", &[], "destinations.my_lake", "no name for a destination"),
    ("[destinations.two]\n", &[], "destinations.two.channel_arn", "TRIBUTARY_DESTINATIONS_TWO_CHANNEL_ARN"),
    ("batch = 5", &[], "batch", "write [batch] on a line of its own"),
    ("destinations.two = 5", &[], "destinations.two", "is a table"),
    ("[batch]\nlinger = true", &[], "batch.linger", "neither a text nor a decimal number"),
    ("[batch]\nlinger = ['1s']", &[], "batch.linger", "neither a text nor a decimal number"),
    ("[batch]\nevents_max = 0x10", &[], "batch.events_max", "neither a text nor a decimal number"),
    ("[batch]\nlinger = 250", &[], "batch.linger", "write a whole number with its unit"),
    ("[batch]\nlinger = '5 parsecs'", &[], "batch.linger", "is no length of time"),
    ("[batch]\nlinger = '-1s'", &[], "batch.linger", "is no length of time"),
    ("[batch]\nlinger = '99999999999999999d'", &[], "batch.linger", "is no length of time"),
    ("[batch]\nlinger = '61s'", &[], "batch.linger", "allowed is 0ms to 1m"),
    ("[batch]\nlinger = '30s'", &[], "batch.linger", "a quarter of source.visibility, 2m"),
    ("[batch]\nevents_max = 101", &[], "batch.events_max", "allowed is 1 to 100"),
    ("[batch]\nevents_max = 0", &[], "batch.events_max", "too small"),
    ("[batch]\nevents_max = 1.5", &[], "batch.events_max", "no whole number"),
    ("[batch]\nbytes_max = '1MB'", &[], "batch.bytes_max", "too large"),
    ("[batch]\nbytes_max = '256kB'", &[], "batch.bytes_max", "too small"),
    ("[batch]\nbytes_max = '1 furlong'", &[], "batch.bytes_max", "no number of bytes"),
    ("[source]\nwait = '21s'", &[], "source.wait", "allowed is 0ms to 20s"),
    ("[source]\nwait = '1500ms'", &[], "source.wait", "whole seconds"),
    ("[source]\nvisibility = '13h'", &[], "source.visibility", "allowed is 10s to 12h"),
    (
        "[source]\nvisibility = '60s'",
        &[],
        "destinations.lake.request_timeout",
        "raise source.visibility to 60500ms",
    ),
    ("[source]\nvisibility = '5m'", &[], "dedupe.lease", "shorter than source.visibility, 5m"),
    ("[source]\nformat = 'ocsf'", &[], "source.format", "auto or one of lake, cloudtrail"),
    ("[source]\nreceivers_max = 0", &[], "source.receivers_max", "allowed is 1 to 128"),
    ("[dedupe]\nwindow = '2m'", &[], "dedupe.window", "is not longer than dedupe.lease, 2m"),
    ("[dedupe]\nlease = '2h'", &[], "dedupe.window", "is not longer than dedupe.lease, 2h"),
    ("[dedupe]\nentries_max = 1", &[], "dedupe.entries_max", "too small"),
    ("[flow]\nmax_in_flight_bytes = '1000kB'", &[], "flow.max_in_flight_bytes", "too small"),
    ("[breaker]\ndead_letter_share = 0.0", &[], "breaker.dead_letter_share", "above 0 and up to 1"),
    ("[breaker]\ndead_letter_share = nan", &[], "breaker.dead_letter_share", "no share"),
    ("[breaker]\ndead_letter_share = '50%'", &[], "breaker.dead_letter_share", "no share"),
    ("[service]\nlisten = 'localhost'", &[], "service.listen", "0.0.0.0:9464"),
    ("[service]\ndrain_timeout = '0s'", &[], "service.drain_timeout", "too small"),
    ("[log]\nfilter = 'tributary=loud'", &[], "log.filter", "write a level"),
    ("[objects]\nbuckets = 's3://audit-logs'", &[], "objects.buckets", "names of buckets with commas"),
    ("[objects]\nconcurrency_max = 0", &[], "objects.concurrency_max", "too small"),
    ("[log]\nformat = 'xml'", &[], "log.format", "\"json\""),
    ("[destinations.lake]\noversize = 'drop'", &[], "destinations.lake.oversize", "\"move\" or \"reject\""),
    ("[destinations.lake]\nexternal_id = 'x'", &[], "destinations.lake.external_id", "too short or too long"),
    ("[destinations.lake]\nexternal_id = 'a b'", &[], "destinations.lake.external_id", "does not allow"),
    (
        "[destinations.lake]\nrequests_per_second = 10001",
        &[],
        "destinations.lake.requests_per_second",
        "1 to 100",
    ),
    ("[destinations.lake]\nconcurrency_max = 0", &[], "destinations.lake.concurrency_max", "too small"),
    (
        "[destinations.lake]\nrequest_timeout = '60s'",
        &[],
        "destinations.lake.request_timeout",
        "not twice that",
    ),
    ("", &[("TRIBUTARY_SOURCE_QUEUE_URL", DEAD)], "dead_letter.queue_url", "is the source queue"),
    ("", &[("TRIBUTARY_SOURCE_QUEUE_URL", QUEUE_FIFO)], "dead_letter.queue_url", "name ends in .fifo"),
    ("", &[("TRIBUTARY_DEAD_LETTER_QUEUE_URL", DEAD_FIFO)], "dead_letter.queue_url", "standard queue"),
    (
        "",
        &[("TRIBUTARY_SOURCE_QUEUE_URL", "arn:aws:sqs:eu-west-1:111122223333:q")],
        "source.queue_url",
        "sqs.eu-west-1",
    ),
    ("", &[("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", "one")], "destinations.lake.channel_arn", "is no ARN"),
    ("", &[("TRIBUTARY_DESTINATIONS_TWO_CHANNEL_ARN", ARN)], "destinations.two.channel_arn", "stored twice"),
    ("", &[("TRIBUTARY_BATCH_LINGR", "1s")], "", "did you mean TRIBUTARY_BATCH_LINGER?"),
    ("[batch\nlinger = 1", &[], "", "no valid TOML"),
];

#[test]
fn each_problem_names_its_key_its_place_and_its_cure() {
    for (tail, variables, key, part) in FAULTS {
        let found = problems(tail, variables);
        let finding = found.iter().find(|finding| finding.key == *key && finding.to_string().contains(part));
        let Some(finding) = finding else { panic!("{tail} {variables:?}: {found:#?}") };
        assert!(!finding.cure.is_empty() && !finding.what.is_empty(), "{finding}");
        assert_eq!(found.len(), 1, "{tail}: one fault, one finding: {found:#?}");
    }
}

#[test]
fn a_finding_says_where_the_value_was_written() {
    let file = file("\n[batch]\n# a comment\nevents_max = 101\n");
    let variables = environment(&[("TRIBUTARY_BATCH_LINGER", "1")]);
    let all = minimal().into_iter().chain(variables);
    let found = Config::load(Some(file.path()), all).unwrap_err().problems;
    let origins: Vec<_> = found.iter().map(|finding| finding.origin.clone().unwrap()).collect();
    assert!(origins.contains(&Origin::File { path: file.path().to_owned(), line: 4 }), "{origins:?}");
    assert!(origins.contains(&Origin::Environment("TRIBUTARY_BATCH_LINGER".into())), "{origins:?}");
    assert!(found.iter().any(|finding| finding.to_string().contains(".toml:4): ")));
}

#[test]
fn an_external_id_may_have_as_many_characters_as_aws_allows() {
    let longest = "x".repeat(1224);
    assert!(load("", &[("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", &longest)]).is_ok());
    let found = problems("", &[("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", &format!("{longest}x"))]);
    assert!(found[0].what.contains("too long"), "{found:?}");
}

#[test]
fn all_problems_come_at_once() {
    let text = "[source]\nwait = '21s'\nvisibilty = '1m'\n[batch]\nevents_max = 500\n[destinations.lake]\n";
    let variables = environment(&[("TRIBUTARY_LOG_FORMAT", "xml"), ("TRIBUTARY_LOGS", "x")]);
    let error = Config::load(Some(file(text).path()), variables).unwrap_err();
    let mut keys: Vec<_> = error.problems.iter().map(|finding| finding.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "",
            "batch.events_max",
            "dead_letter.queue_url",
            "destinations.lake.channel_arn",
            "log.format",
            "source.queue_url",
            "source.visibilty",
            "source.wait",
        ]
    );
    assert!(error.to_string().starts_with("8 problems in the configuration\n  1. "));
}

#[test]
fn nothing_at_all_says_what_the_least_is() {
    let error = Config::load(None, []).unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(keys, ["dead_letter.queue_url", "destinations", "source.queue_url"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_with_a_cure() {
    let missing = Config::load(Some(Path::new("/does/not/exist.toml")), minimal()).unwrap_err();
    assert!(missing.to_string().contains("could not read /does/not/exist.toml"), "{missing}");
    let huge = file(&format!("#{}", "x".repeat(1 << 20)));
    let huge = Config::load(Some(huge.path()), minimal()).unwrap_err();
    assert!(huge.to_string().contains("larger than 1 MiB"), "{huge}");
}

#[test]
fn warnings_tell_what_works_and_was_hardly_meant() {
    let two = "arn:aws:cloudtrail:eu-central-1:111122223333:channel/two";
    let variables =
        [("TRIBUTARY_DESTINATIONS_TWO_CHANNEL_ARN", two), ("TRIBUTARY_SERVICE_DRAIN_TIMEOUT", "121s")];
    let (_, warnings) = load("", &variables).unwrap();
    let keys: Vec<_> = warnings.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(keys, ["service.drain_timeout", "destinations.two.requests_per_second", "dedupe.window"]);
    assert!(warnings[1].what.contains("lake, two") && warnings[1].what.contains("200"), "{}", warnings[1]);
}

#[test]
fn routes_and_redactions_are_compiled_and_what_is_wrong_has_its_place() {
    let text = "[destinations.lake]\nformats = 'cloudtrail, snyk'\nwhen = '.a == 1 # one'\n\
                redact_mask = \"\"\"\n.a, # the first\n(.. | .b?)\"\"\"\n";
    let (config, _) = load(text, &[]).unwrap();
    let (route, redaction) = (&config.destinations[0].route, &config.destinations[0].redaction);
    assert_eq!(route.formats.as_deref(), Some(&["cloudtrail".to_owned(), "snyk".to_owned()][..]));
    assert_eq!(redaction.mask.as_ref().map(|mask| &*mask.text), Some(".a, # the first\n(.. | .b?)"));
    assert!(redaction.masks_known);
    for (text, key, said) in [
        ("when = '.a =='", "when", "line 1, column"),
        ("drop = \"\"\"\n.a and\n  nosuch\"\"\"", "drop", "line 2, column 3: nosuch"),
        ("redact_drop = '.a, now'", "redact_drop", "line 1, column 5: now"),
        ("formats = 'cloudtrail, cloudtrial'", "formats", "\"cloudtrial\" is no format that is known"),
        ("formats = ''", "formats", "a name of no letter"),
        ("redact_drop = '\"x\"'", "redact_drop", "a value, not the path of one"),
        ("redact_drop = '.a, (.b | tostring)'", "redact_drop", "a value, not the path of one"),
        ("redact_mask = 'paths'", "redact_mask", "a value, not the path of one"),
        ("redact_mask = '.'", "redact_mask", "the path of the whole event"),
        ("redact_mask = '..'", "redact_mask", "the path of the whole event"),
        ("redact_mask = '.a[1:]'", "redact_mask", "a path with a slice"),
        ("redact_mask = '.a, .b[-1]'", "redact_mask", "write paths of single places"),
        ("redact_hash = '.a'", "redact_hash", "needs redact_key"),
        ("redact_key = 'external-id-to-be-hidden-32-bytes'", "redact_key", "is not used"),
        ("redact_key = 'external-id-to-be-hidden'", "redact_key", "too short"),
        ("redact_known = 'hash'", "redact_known", "\"mask\" or \"off\""),
    ] {
        let found = problems(&format!("[destinations.lake]\n{text}"), &[]);
        let key = format!("destinations.lake.{key}");
        let finding =
            found.iter().find(|finding| finding.key == key).unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert!(finding.to_string().contains(said), "{text}: {finding}");
        assert!(!format!("{found:?}").contains(SECRET), "{text}: {found:?}");
    }
}

#[test]
fn paths_that_depend_on_the_event_are_no_problem() {
    for text in [
        ".a[]",
        ".a[].b",
        ".. | scalars",
        ".. | nulls",
        ".. | select(length == 0)",
        ".. | .password? | select(. != null)",
        ".list[.at]",
        ".tenants[$message.attributes.tenant].name",
        ".a[2], .b.c",
        "select(.a.b.c == 1) | .d",
        "if .a then .b else .c end",
        ".a // .b",
        ".a | select(.name[0:3] == \"x\")",
        ".a as $a | .b",
        "first(.a, .b)",
        "empty",
    ] {
        let loaded = load(&format!("[destinations.lake]\nredact_mask = '''{text}'''\n"), &[]);
        assert!(loaded.is_ok(), "{text}: {loaded:?}");
    }
}

#[test]
fn the_key_of_hashes_is_never_printed() {
    let text =
        format!("[destinations.lake]\nredact_hash = '.a'\nredact_key = '{SECRET}-and-longer-than-that'\n");
    let (config, _) = load(&text, &[]).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    let raw = RawConfig::read(Some(file(&text).path()), minimal());
    let shown = settings_toml(&settings(&raw));
    assert!(!shown.contains(SECRET) && shown.contains("redact_key = \"(hidden)\""), "{shown}");
}

#[test]
fn objects_are_read_from_listed_buckets_alone_and_only_so_many_as_there_is_room_for() {
    assert!(load("", &[]).unwrap().0.objects.is_none());
    let (config, warnings) = load("[objects]\nbuckets = 'a-bucket, trail-*'\n", &[]).unwrap();
    assert_eq!((config.objects.unwrap().concurrency_max, warnings.len()), (4, 0));
    let (_, warnings) = load("[objects]\nbuckets = 'a-bucket'\nconcurrency_max = 9\n", &[]).unwrap();
    let [warning] = &*warnings else { panic!("{warnings:?}") };
    assert_eq!(warning.key, "objects.concurrency_max");
    assert!(warning.cure.contains("9MiB"), "{warning}");
}

#[test]
fn a_letter_that_leads_to_a_bucket_that_is_not_read_is_warned_of() {
    let overflow = |text: &str, buckets: &str| {
        let text = format!("[dead_letter]\noverflow = '{text}'\n{buckets}");
        let (config, warnings) = load(&text, &[]).unwrap();
        (config.dead_letter.overflow.unwrap(), warnings)
    };
    let in_s3 = Storage::S3 { bucket: "over-flow".into(), prefix: String::new() };
    for (buckets, count) in
        [("", 1), ("[objects]\nbuckets = 'logs'", 1), ("[objects]\nbuckets = 'over-*'", 0)]
    {
        let (storage, warnings) = overflow("s3://over-flow", buckets);
        assert_eq!((storage, warnings.len()), (in_s3.clone(), count), "{buckets}");
        assert!(
            warnings.iter().all(|warning| warning.to_string().contains("objects.buckets")),
            "{warnings:?}"
        );
    }
    assert_eq!(overflow("/var/letters", ""), (Storage::Folder("/var/letters".into()), Vec::new()));
    assert!(load("[dead_letter]\noverflow = 'gs://over-flow'", &[]).is_err());
}

#[test]
fn the_external_id_is_never_printed() {
    let variables = [("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", SECRET)];
    let (config, _) = load("", &variables).unwrap();
    assert_eq!(config.destinations[0].external_id.as_deref(), Some(SECRET));
    assert!(!format!("{config:?}").contains(SECRET));
    let raw = RawConfig::read(None, minimal().into_iter().chain(environment(&variables)));
    let shown = settings_toml(&settings(&raw));
    assert!(!shown.contains(SECRET) && shown.contains("external_id = \"(hidden)\""), "{shown}");
    assert!(!format!("{:?}", settings(&raw)).contains(SECRET));

    // Wrong ones are not quoted either, and neither is a line of TOML that cannot be read.
    for (text, variables) in [
        ("", vec![("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", "external-id-to-be-hidden with spaces")]),
        ("[destinations.lake]\nexternal_id = 'external-id-to-be-hidden\n", vec![]),
        ("[destinations.lake]\nexternal_id = external-id-to-be-hidden\n", vec![]),
    ] {
        let error = load(text, &variables).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
}

#[test]
fn what_is_shown_loads_again() {
    let raw = RawConfig::read(None, minimal());
    let shown = settings_toml(&settings(&raw));
    let (config, _) = Config::load(Some(file(&shown).path()), []).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::load(None, minimal()).unwrap().0));
}

#[test]
fn the_checked_in_reference_is_the_generated_one() {
    let checked_in = include_str!("../../config.reference.toml");
    assert!(checked_in == reference(), "run: tributary check --print-reference > config.reference.toml");
}

/// Keys that must not stand beside `ledger.kind = "memory"`, and a folder that has to be there.
const OF_OTHER_PLACES: [&str; 5] = ["table = ", "url = ", "password = ", "ca_file = ", "folder = "];

/// The reference without the table of streams, of which a queue has no use, and that table.
fn reference_apart() -> (String, String) {
    let reference = reference();
    let (before, stream) = reference.split_once("[stream]").unwrap();
    let (stream, after) = stream.split_once("[formats]").unwrap();
    (format!("{before}[formats]{after}"), format!("[stream]{stream}"))
}

fn uncommented(reference: &str) -> String {
    let is_value = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let lines = reference.lines().map(|line| if is_value(line) { &line[1..] } else { line });
    lines
        .filter(|line| !OF_OTHER_PLACES.iter().any(|key| line.starts_with(key)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_reference_loads_with_its_defaults_and_with_every_line_uncommented() {
    let defaults = format!("{:?}", Config::load(None, minimal()).unwrap().0);
    let variables = minimal();
    let loaded = Config::load(Some(file(&reference()).path()), variables.clone()).unwrap().0;
    assert_eq!(format!("{loaded:?}"), defaults);
    let uncommented = uncommented(&reference_apart().0);
    let mut loaded = Config::load(Some(file(&uncommented).path()), variables).unwrap().0;
    // What has no default is an example there.
    assert_eq!(loaded.destinations[0].external_id.take().as_deref(), Some("example-external-id"));
    assert_eq!(loaded.service.worker.take().as_deref(), Some("worker-1"));
    assert_eq!(loaded.source.format_attribute.take().as_deref(), Some("format"));
    let route = std::mem::take(&mut loaded.destinations[0].route);
    assert!(route.formats.is_some() && route.when.is_some() && route.drop.is_some(), "{route:?}");
    let redaction = std::mem::take(&mut loaded.destinations[0].redaction);
    assert!(
        redaction.drop.is_some() && redaction.mask.is_some() && redaction.hash.is_some(),
        "{redaction:?}"
    );
    let overflow = loaded.dead_letter.overflow.take();
    assert_eq!(overflow, Some(Storage::S3 { bucket: "audit-overflow".into(), prefix: "letters".into() }));
    let objects = loaded.objects.take().unwrap();
    assert_eq!(Some(objects.buckets), Buckets::parse("audit-logs,trail-*"));
    let to = loaded.publish_log.take().unwrap().to;
    assert_eq!(to, Storage::S3 { bucket: "audit-proof".into(), prefix: "tributary".into() });
    assert_eq!(format!("{loaded:?}"), defaults);
}

#[test]
fn lines_of_the_reference_are_short_enough_to_read() {
    for line in reference().lines().filter(|line| !line.contains("://") && !line.contains("arn:")) {
        assert!(line.chars().count() <= 110, "{line}");
    }
}

fn problems_with(more: &[(&str, &str)]) -> String {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, minimal().into_iter().chain(more))
        .map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_shared_ledger_is_named_with_all_that_it_needs_and_nothing_else() {
    let (kind, table, url) = ("TRIBUTARY_LEDGER_KIND", "TRIBUTARY_LEDGER_TABLE", "TRIBUTARY_LEDGER_URL");
    let server = "redis://127.0.0.1:6379";
    let good: [&[_]; 4] = [
        &[(kind, "memory")],
        &[(kind, "dynamodb"), (table, "ledger")],
        &[(kind, "valkey"), (url, server), ("TRIBUTARY_LEDGER_PASSWORD", "p")],
        &[(kind, "valkey-cluster"), (url, "rediss://a:1,rediss://b:2")],
    ];
    for variables in good {
        assert_eq!(problems_with(variables), "", "{variables:?}");
    }
    let bad: [(&[_], &str); 7] = [
        (&[(kind, "dynamodb")], "ledger.table"),
        (&[(kind, "valkey")], "ledger.url"),
        (&[(table, "ledger")], "is not used: ledger.kind is \"memory\""),
        (&[(kind, "valkey"), (url, server), (table, "ledger")], "is not used"),
        (&[(kind, "valkey"), (url, "redis://a:1,redis://b:2")], "valkey-cluster"),
        (&[(kind, "valkey"), (url, "http://a:1")], "redis:// or rediss://"),
        (&[(kind, "valkey"), (url, "redis://:secret@a:1")], "ledger.password"),
    ];
    for (variables, said) in bad {
        let problems = problems_with(variables);
        assert!(problems.contains(said) && !problems.contains("secret"), "{variables:?}: {problems}");
    }
}

#[test]
fn a_text_that_is_no_value_of_its_key_is_not_shown() {
    let variables = [("TRIBUTARY_LEDGER_URL", "redis://:secret@a:1")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let shown = settings_toml(&settings(&RawConfig::read(None, variables)));
    assert!(shown.contains("(not valid)") && !shown.contains("secret"), "{shown}");
}

#[test]
fn formats_are_known_before_anything_is_received() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = "def matches: false;\ndef id: .n;\ndef event: {};\ndef secrets: empty;\n";
    std::fs::write(folder.path().join("mine.jq"), mapping).unwrap();
    let load = |format: &str| {
        let toml = format!("[source]\nformat = {format:?}\n[formats]\nfolder = {:?}\n", folder.path());
        Config::load(Some(file(&toml).path()), minimal())
    };
    assert_eq!(load("mine").unwrap().0.source.format.unwrap().name(), "mine");
    assert_eq!(load("snyk").unwrap().0.source.format.unwrap().name(), "snyk");
    let said = load("nosuch").unwrap_err().to_string();
    assert!(
        said.contains("source.format") && said.contains("auto or one of lake, cloudtrail, mine"),
        "{said}"
    );
    std::fs::write(folder.path().join("mine.jq"), format!("{mapping}def event: {{\n  a: nosuch\n}};\n"))
        .unwrap();
    let said = load("mine").unwrap_err().to_string();
    assert!(said.contains("mine.jq:6:6: nosuch with 0 arguments is not defined"), "{said}");
}
