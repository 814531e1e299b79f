//! What comes out of a folder, and that no place is said to be done before its events were handed over.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::limits;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tree<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn read(root: &Path, after: Option<&str>, events_per_message: u32) -> (Vec<Parcel>, Seen) {
    let (parcels, mut waiting) = mpsc::channel(10_000);
    let checkpoint = CheckpointFile::new(&root.join("checkpoint.json"));
    let folder = Folder { root: root.to_owned(), days: Days::default(), events_per_message, checkpoint };
    let seen = folder.read(after, &parcels).unwrap();
    drop(parcels);
    (std::iter::from_fn(|| waiting.try_recv().ok()).collect(), seen)
}

fn events(parcels: &[Parcel]) -> Vec<&str> {
    parcels
        .iter()
        .flat_map(|parcel| &parcel.batch)
        .flat_map(|message| std::str::from_utf8(&message.body).unwrap().lines())
        .collect()
}

#[test]
fn files_of_every_shape_are_read_in_order_whether_compressed_or_not() {
    let folder = tree([
        ("2026/01/05/trail.json.gz", gzip(br#"{"Records":[{"n":1},{"n":2}]}"#)),
        ("2026/01/06/two.gz", [gzip(b"{\"n\":3}\n"), gzip(b"{\"n\":4}\n")].concat()),
        ("array.json", b"[{\"n\":5}, {\"n\":6}]".to_vec()),
        ("lines.gz", b"{\"n\":7}\n{\"n\":8}\n".to_vec()),
        ("checkpoint.json", b"{\"n\":0}".to_vec()),
        ("empty.json", Vec::new()),
        ("AWSLogs/1/CloudTrail-Digest/d.json", b"{\"n\":0}".to_vec()),
    ]);
    let (parcels, seen) = read(folder.path(), None, 100);
    let expected: Vec<_> = (1..=8).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(events(&parcels), expected);
    assert_eq!((seen.skipped.digests, seen.skipped.empty, seen.unsendable, seen.is_all), (1, 1, 0, true));
    assert_eq!(parcels.last().unwrap().after.as_deref(), Some("lines.gz"));
    assert_eq!(parcels.iter().map(|parcel| parcel.objects).sum::<u64>(), 4);

    let (rest, _) = read(folder.path(), Some("2026/01/06/two.gz"), 100);
    assert_eq!(events(&rest), expected[4..]);
}

#[test]
fn what_is_broken_is_counted_and_costs_no_other_event() {
    let mut cut_off = gzip(b"{\"n\":1}\n{\"n\":2}\n");
    cut_off.truncate(cut_off.len() - 6);
    let mut damaged = gzip(b"{\"n\":3}\n");
    *damaged.last_mut().unwrap() ^= 1;
    let long = format!("{{\"large\":\"{}\"}}\n{{\"n\":4}}", "x".repeat(limits::SQS_BYTES_MAX));
    let folder = tree([
        ("a.gz", cut_off),
        ("b.gz", damaged),
        ("c.json", long.into_bytes()),
        ("d.json", b"[{\"n\":5},".to_vec()),
        ("e.json", b"{\"n\":6}".to_vec()),
    ]);
    let (parcels, seen) = read(folder.path(), None, 1);
    let expected: Vec<_> = (1..=6).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(events(&parcels), expected);
    assert_eq!((seen.unsendable, seen.is_all), (4, true));
}

#[test]
fn nobody_taking_parcels_ends_it_without_a_claim_to_have_read_all() {
    let folder = tree([("a.json", b"{\"n\":1}\n".repeat(100))]);
    let (parcels, waiting) = mpsc::channel(1);
    drop(waiting);
    let checkpoint = CheckpointFile::new(Path::new("c"));
    let root = folder.path().to_owned();
    let folder = Folder { root, days: Days::default(), events_per_message: 1, checkpoint };
    assert!(!folder.read(None, &parcels).unwrap().is_all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the files and wherever it stops: once a parcel and those before it are confirmed, no event of a file up
    /// to its place is missing. And going on there gives all the rest.
    #[test]
    fn no_place_is_done_before_its_events(
        counts in prop::collection::vec(0_usize..25, 1..12),
        events_per_message in 1_u32..8,
        stop in any::<prop::sample::Index>(),
    ) {
        let name = |file: usize| format!("{file:02}.json");
        let file = |(at, count): (usize, &usize)| {
            let lines: Vec<_> = (0..*count).map(|n| format!("{{\"e\":\"{at}-{n}\"}}\n")).collect();
            (at, lines.concat())
        };
        let texts: BTreeMap<_, _> = counts.iter().enumerate().map(file).collect();
        let named: Vec<_> = texts.iter().map(|(at, text)| (name(*at), text.clone().into_bytes())).collect();
        let folder = tree(named.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
        let all: Vec<_> = texts.values().flat_map(|text| text.lines()).collect();

        let (parcels, seen) = read(folder.path(), None, events_per_message);
        prop_assert!(seen.is_all);
        prop_assert_eq!(events(&parcels), all.clone());
        let confirmed = &parcels[..=stop.index(parcels.len())];
        let after = confirmed.last().and_then(|parcel| parcel.after.as_deref());
        let (rest, _) = read(folder.path(), after, events_per_message);
        let sent = events(confirmed);
        let (known, again) = (sent.len(), events(&rest));
        let repeated = (known + again.len()).checked_sub(all.len());
        prop_assert!(repeated.is_some(), "{known} and {} of {}", again.len(), all.len());
        prop_assert_eq!(&all[all.len() - again.len()..], &again[..]);
    }
}
