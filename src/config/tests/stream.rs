//! A stream in place of a queue: one of the two, with all that it needs and nothing of the other's.

use std::time::SystemTime;

use super::*;

const STREAM: &str = "arn:aws:kinesis:eu-central-1:111122223333:stream/audit";

/// The least that is needed to receive from a stream and to be warned of nothing.
fn least() -> Vec<(String, String)> {
    environment(&[
        ("TRIBUTARY_STREAM_ARN", STREAM),
        ("TRIBUTARY_STREAM_LEASE_TABLE", "leases"),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", DEAD),
        ("TRIBUTARY_DEAD_LETTER_OVERFLOW", "/var/lib/tributary/letters"),
        ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ARN),
        ("TRIBUTARY_LEDGER_KIND", "dynamodb"),
        ("TRIBUTARY_LEDGER_TABLE", "ledger"),
    ])
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Vec<Finding>), ConfigError> {
    let all = least().into_iter().chain(environment(variables));
    Config::load(Some(file(text).path()), all)
}

#[test]
fn a_stream_and_its_table_are_enough_and_defaults_are_as_documented() {
    let (config, warnings) = load("", &[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.source.name(), config.source.address()), ("audit", STREAM));
    let SourceKind::Stream(stream) = config.source.kind else { panic!("a stream") };
    assert_eq!(stream.arn, StreamArn::parse(STREAM).unwrap());
    assert_eq!((stream.lease_table.as_str(), stream.consumer_arn), ("leases", None));
    assert_eq!((stream.start, stream.failover_time), (Start::TrimHorizon, Duration::from_secs(10)));
    assert_eq!(stream.calls_per_second, 4);
}

#[test]
fn what_is_said_of_a_stream_arrives() {
    let consumer = format!("{STREAM}/consumer/tributary:1700000000");
    let text = format!(
        "[stream]\nstart = \"2026-01-02T03:04:05Z\"\nfailover_time = \"2s\"\ncalls_per_second = 1\n\
         consumer_arn = {consumer:?}\n"
    );
    let SourceKind::Stream(stream) = load(&text, &[]).unwrap().0.source.kind else { panic!("a stream") };
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    assert_eq!((stream.start, stream.failover_time), (Start::At(time), Duration::from_secs(2)));
    assert_eq!((stream.calls_per_second, stream.consumer_arn), (1, Some(consumer)));
}

/// One fault a row, for a stream.
const FAULTS: &[Row] = &[
    ("", &[("TRIBUTARY_STREAM_ARN", "audit")], "stream.arn", "aws kinesis describe-stream-summary"),
    (
        "",
        &[("TRIBUTARY_STREAM_ARN", "arn:aws:sqs:eu-central-1:111122223333:audit")],
        "stream.arn",
        "another service than kinesis",
    ),
    (
        "",
        &[("TRIBUTARY_SOURCE_QUEUE_URL", QUEUE)],
        "stream.arn",
        "so is source.queue_url (environment TRIBUTARY_SOURCE_QUEUE_URL): a worker receives from one of the two",
    ),
    ("", &[("TRIBUTARY_STREAM_LEASE_TABLE", "a:b")], "stream.lease_table", "no name"),
    ("", &[("TRIBUTARY_STREAM_LEASE_TABLE", "ledger")], "stream.lease_table", "is ledger.table too"),
    ("[stream]\nstart = 'LATEST'", &[], "stream.start", "\"trim_horizon\" or \"latest\" or a time"),
    ("[stream]\nfailover_time = '1s'", &[], "stream.failover_time", "allowed is 2s to 10m"),
    ("[stream]\nfailover_time = '11m'", &[], "stream.failover_time", "allowed is 2s to 10m"),
    ("[stream]\ncalls_per_second = 6", &[], "stream.calls_per_second", "allowed is 1 to 5"),
    ("[stream]\nconsumer_arn = 'tributary'", &[], "stream.consumer_arn", "is no ARN of a consumer"),
    (
        "[stream]\nconsumer_arn = 'arn:aws:kinesis:eu-central-1:111122223333:stream/other/consumer/tributary:1'",
        &[],
        "stream.consumer_arn",
        "is a consumer of another stream",
    ),
    ("[source]\nwait = '1s'", &[], "source.wait", "is not used: events come from the stream"),
    ("[source]\nvisibility = '10s'", &[], "source.visibility", "is not used"),
    ("[source]\nformat_attribute = 'format'", &[], "source.format_attribute", "is not used"),
    ("", &[("TRIBUTARY_DEAD_LETTER_QUEUE_URL", DEAD_FIFO)], "dead_letter.queue_url", "standard queue"),
    ("[dedupe]\nlease = '1h'", &[], "dedupe.window", "is not longer than dedupe.lease, 1h"),
];

#[test]
fn each_problem_of_a_stream_names_its_key_and_its_cure() {
    for (text, variables, key, part) in FAULTS {
        let found = load(text, variables).map(|_| ()).expect_err(text).problems;
        let [finding] = &found[..] else { panic!("{text} {variables:?}: {found:#?}") };
        assert!(finding.key == *key && finding.to_string().contains(part), "{text} {variables:?}: {finding}");
    }
}

#[test]
fn without_a_table_of_leases_no_stream_is_read() {
    let least = least().into_iter().filter(|(name, _)| name != "TRIBUTARY_STREAM_LEASE_TABLE");
    let found = Config::load(None, least).unwrap_err().problems;
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.key, "stream.lease_table");
    assert!(finding.cure.contains("TRIBUTARY_STREAM_LEASE_TABLE"), "{finding}");
}

#[test]
fn keys_of_a_stream_have_no_use_beside_a_queue() {
    let text =
        "[stream]\nlease_table = 'leases'\nstart = 'latest'\nfailover_time = '5s'\ncalls_per_second = 2\n";
    let found = problems(text, &[]);
    assert_eq!(found.len(), 4, "{found:#?}");
    for finding in found {
        assert!(finding.key.starts_with("stream.") && finding.what.contains("is not used"), "{finding}");
    }
}

#[test]
fn bounds_that_a_queue_sets_do_not_bind_a_stream() {
    let text =
        "[batch]\nlinger = '30s'\n[dedupe]\nlease = '10s'\n[destinations.lake]\nrequest_timeout = '5m'\n";
    assert_eq!(load(text, &[]).unwrap().1, []);
    assert_eq!(problems(text, &[]).len(), 3);
}

#[test]
fn a_stream_without_a_shared_ledger_is_a_warning() {
    let least = least().into_iter().filter(|(name, _)| !name.starts_with("TRIBUTARY_LEDGER_"));
    let (_, warnings) = Config::load(None, least).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:#?}") };
    assert!(warning.key == "ledger.kind" && warning.what.contains("published twice"), "{warning}");
}

#[test]
fn a_stream_without_a_place_for_large_letters_is_a_warning() {
    let least = least().into_iter().filter(|(name, _)| name != "TRIBUTARY_DEAD_LETTER_OVERFLOW");
    let (_, warnings) = Config::load(None, least).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:#?}") };
    assert!(warning.key == "dead_letter.overflow" && warning.what.contains("hold up its shard"), "{warning}");
}

#[test]
fn foreign_records_are_delivered_unless_they_are_to_be_dropped() {
    for (text, expected) in
        [("", ForeignRecords::Deliver), ("[stream]\nforeign_records = 'drop'\n", ForeignRecords::Drop)]
    {
        let SourceKind::Stream(stream) = load(text, &[]).unwrap().0.source.kind else { panic!("a stream") };
        assert_eq!(stream.foreign_records, expected);
    }
}

#[test]
fn what_is_shown_of_a_stream_loads_again_and_names_no_key_of_queues() {
    let raw = RawConfig::read(None, least());
    let shown = settings_toml(&settings(&raw));
    assert!(!shown.contains("visibility") && shown.contains("failover_time = \"10s\""), "{shown}");
    let (config, _) = Config::load(Some(file(&shown).path()), []).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", load("", &[]).unwrap().0));
}

#[test]
fn the_reference_of_a_stream_loads_with_every_line_uncommented() {
    let least = || least().into_iter().filter(|(name, _)| !name.starts_with("TRIBUTARY_STREAM_"));
    let stream = uncommented(&reference_apart().1);
    let (config, warnings) = Config::load(Some(file(&stream).path()), least()).unwrap();
    assert_eq!((config.source.name(), warnings), ("audit-events", Vec::new()));
    let SourceKind::Stream(stream) = config.source.kind else { panic!("a stream") };
    assert!(stream.consumer_arn.is_some_and(|consumer| consumer.starts_with(&stream.arn.arn)));
}
