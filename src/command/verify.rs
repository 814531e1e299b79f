//! `tributary verify`: whether a publish log is as it was written.

use hashbrown::HashSet;
use serde_json::json;

use crate::{
    aws::Aws,
    cli::VerifyArgs,
    command::{CommandError, Exit},
    config::Storage,
    output,
    publish_log::{
        Archive, ArchiveError, LineHash,
        verify::{Report, verify as verify_chain},
    },
};

const BLIND: &str = "the hashes show an edit only if what follows it was not computed anew. Whoever can write there \
                     could have done that, or added lines, segments or chains, or cut off an end, or taken a chain \
                     away: compare the last head of each chain, as its worker logged it, by --head, or keep the log \
                     under object lock";

/// Checks every chain and prints what it found. [`Exit::Incomplete`] when anything is wrong, or nothing is there.
///
/// # Errors
/// The place cannot be read.
pub async fn verify(args: VerifyArgs) -> Result<Exit, CommandError> {
    let archive = archive(&args.place).await;
    let mut chains = archive.chains().await?;
    if let Some(wanted) = &args.chain {
        chains.retain(|chain| chain == wanted);
    }
    let mut anchors: HashSet<LineHash> = args.head.iter().copied().collect();
    let (mut found, mut intact) = (Totals::default(), !chains.is_empty());
    let (mut reports, mut unanchored) = (Vec::new(), Vec::new());
    for chain in chains {
        let report = verify_chain(&archive, &chain, &mut anchors, |_| {}).await?;
        found.add(&report);
        intact &= report.flaw.is_none();
        let is_given = |head: &String| args.head.iter().any(|given| given.to_string() == *head);
        if !args.head.is_empty() && report.head.as_ref().is_some_and(|head| !is_given(head)) {
            unanchored.push(report.chain.clone());
        }
        if args.json {
            reports.push(report);
        } else {
            output::print(in_words(&report))?;
        }
    }
    intact &= anchors.is_empty();
    let lost: Vec<_> = anchors.iter().map(ToString::to_string).collect();
    if args.json {
        output::print_json(&json!({
            "intact": intact, "chains": reports, "segments": found.segments, "records": found.records,
            "lost": found.lost, "heads_not_found": lost, "ends_without_head": unanchored,
        }))?;
    } else {
        print_end(&found, intact, &lost)?;
        print_notes(&found, &unanchored, args.head.is_empty());
    }
    Ok(if intact { Exit::Done } else { Exit::Incomplete })
}

/// The log at a place, with credentials if it is in S3.
pub(super) async fn archive(place: &Storage) -> Archive {
    match place {
        Storage::Folder(path) => Archive::Folder(path.clone()),
        Storage::S3 { bucket, prefix } => Archive::in_bucket(&Aws::from_environment().await, bucket, prefix),
    }
}

#[derive(Default)]
struct Totals {
    chains: u64,
    segments: u64,
    records: u64,
    lost: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.chains += 1;
        self.segments += report.segments;
        self.records += report.records;
        self.lost = self.lost.saturating_add(report.lost);
    }
}

fn in_words(report: &Report) -> String {
    let Report { chain, segments, records, head, lost, is_open, torn_bytes, flaw } = report;
    let (segments, records) = (counted(*segments, "segment"), counted(*records, "record"));
    let mut lines = vec![flaw.as_ref().map_or_else(
        || format!("{chain}: intact\n  {segments}, {records}"),
        |flaw| format!("{chain}: NOT INTACT\n  {flaw}\n  intact before that: {records}"),
    )];
    if let (Some(head), None) = (head, flaw) {
        lines.push(format!("  head {head}"));
    }
    if *is_open {
        lines.push("  the last segment is open: its worker still writes it, or was killed".to_owned());
    }
    if *torn_bytes > 0 && flaw.is_none() {
        lines.push(format!("  {torn_bytes} bytes of a line that was being written when it ended"));
    }
    if *lost > 0 {
        lines.push(format!("  left out, as its footers say: {}", counted(*lost, "event")));
    }
    lines.join("\n")
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn print_end(found: &Totals, intact: bool, lost: &[String]) -> Result<(), CommandError> {
    let Totals { chains, segments, records, .. } = found;
    let (segments, records) = (counted(*segments, "segment"), counted(*records, "record"));
    output::print(format_args!("{}, {segments}, {records}", counted(*chains, "chain")))?;
    if *chains == 0 {
        output::note("there is no chain here; each is a folder of segments in the place that is given");
    }
    for head in lost {
        output::print(format_args!(
            "no segment that is intact ends with {head}: it, or what came before it, was rewritten or removed"
        ))?;
    }
    Ok(output::print(if intact { "intact" } else { "NOT INTACT" })?)
}

fn print_notes(found: &Totals, unanchored: &[String], is_without_heads: bool) {
    if found.lost > 0 {
        output::note(format_args!(
            "{} published events were never logged, as the footers say: the log could not be written to for too long",
            found.lost
        ));
    }
    if let Some(first) = unanchored.first() {
        output::note(format_args!(
            "{} with none of the given heads ({first} is the first): what was written after a given head could be \
             anybody's",
            match unanchored.len() {
                1 => "1 chain ends".to_owned(),
                chains => format!("{chains} chains end"),
            }
        ));
    }
    if is_without_heads {
        output::note(BLIND);
    }
}

impl From<ArchiveError> for CommandError {
    fn from(error: ArchiveError) -> Self {
        Self::failed(error)
    }
}
