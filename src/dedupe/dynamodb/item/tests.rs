use proptest::prelude::*;

use super::*;
use crate::dedupe::Key;

const NOW: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn half(owner: u128, until_ms: u64, content: u8) -> Half {
    Half { token: Token(owner), until_ms, content_hash: ContentHash([content; 32]), worker: "w".to_owned() }
}

fn published() -> Outcome {
    Outcome { at_ms: 5, ended: Ended::Published { stored_as: "event-1".to_owned() } }
}

fn dead_lettered() -> Outcome {
    Outcome { at_ms: 5, ended: Ended::DeadLettered { reason: "no_id".to_owned() } }
}

fn wish(owner: u128, content: u8, is_redriven: bool) -> Claiming {
    let key = Key { destination: "lake".into(), id: "a".into(), conflict: None };
    Claiming { key, token: Token(owner), content_hash: ContentHash([content; 32]), is_redriven }
}

#[test]
fn what_is_open_or_settled_stands_in_the_way_until_its_time_has_come() {
    let hash = ContentHash([1; 32]);
    let published_before = Some(Claim::AlreadyPublished { content_hash: hash });
    let held = |ms| Some(Claim::HeldElsewhere { lease_left: Duration::from_millis(ms) });
    let claim = |until_ms| Some(half(1, until_ms, 1));
    let settled = |until_ms, outcome| Some((half(1, until_ms, 1), outcome));
    for (name, claim, settled, wish, expected) in [
        ("nothing", None, None, wish(2, 1, false), None),
        ("another's claim", claim(NOW + 1), None, wish(2, 1, false), held(1)),
        ("another's claim, redriven", claim(NOW + 1), None, wish(2, 1, true), held(1)),
        ("another's claim that ends now", claim(NOW), None, wish(2, 1, false), None),
        ("my claim", claim(NOW + 1), None, wish(1, 1, false), None),
        ("published", None, settled(NOW + 1, published()), wish(2, 1, false), published_before),
        (
            "published, other content",
            None,
            settled(NOW + 1, published()),
            wish(2, 9, false),
            published_before,
        ),
        ("published, redriven", None, settled(NOW + 1, published()), wish(2, 1, true), published_before),
        ("published by this claim", None, settled(NOW + 1, published()), wish(1, 1, false), published_before),
        ("published, forgotten now", None, settled(NOW, published()), wish(2, 1, false), None),
        (
            "a letter",
            None,
            settled(NOW + 1, dead_lettered()),
            wish(2, 1, false),
            Some(Claim::AlreadyDeadLettered),
        ),
        ("a letter, corrected", None, settled(NOW + 1, dead_lettered()), wish(2, 9, false), None),
        ("a letter, redriven", None, settled(NOW + 1, dead_lettered()), wish(2, 1, true), None),
        ("a letter, forgotten now", None, settled(NOW, dead_lettered()), wish(2, 1, false), None),
        (
            "a letter, redriven twice",
            claim(NOW + 7),
            settled(NOW + 1, dead_lettered()),
            wish(2, 1, true),
            held(7),
        ),
        (
            "an old memory under a claim",
            claim(NOW + 7),
            settled(NOW, published()),
            wish(2, 1, false),
            held(7),
        ),
    ] {
        assert_eq!(Item { claim, settled }.refusal(&wish, NOW), expected, "{name}");
    }
}

#[test]
fn an_operator_is_told_what_counts_now() {
    let item = |claim: Option<u64>, settled: Option<u64>| Item {
        claim: claim.map(|until_ms| half(1, until_ms, 1)),
        settled: settled.map(|until_ms| (half(2, until_ms, 2), dead_lettered())),
    };
    let told = |claim, settled| {
        let entry = item(claim, settled).entry(NOW)?;
        Some(matches!(entry.state, State::InProgress { .. }))
    };
    assert_eq!(told(None, None), None);
    assert_eq!(told(Some(NOW + 1), None), Some(true));
    assert_eq!(told(Some(NOW + 1), Some(NOW + 1)), Some(true));
    assert_eq!(told(Some(NOW), Some(NOW + 1)), Some(false), "an abandoned claim hides no letter");
    assert_eq!(told(Some(NOW), Some(NOW)), Some(true), "an abandoned claim is the last that is known");
    assert_eq!(told(None, Some(NOW)), None);
}

#[test]
fn time_to_live_removes_nothing_that_counts() {
    let seconds = |item: &Item, window| item.expires(window).as_n().cloned().unwrap_or_default();
    let claim = Some(half(1, 10_001, 1));
    let letter = |until_ms| Some((half(1, until_ms, 1), dead_lettered()));
    assert_eq!(seconds(&Item { claim: claim.clone(), settled: None }, SECOND), "12", "rounded up");
    assert_eq!(seconds(&Item { claim: claim.clone(), settled: letter(50_000) }, SECOND), "50");
    assert_eq!(seconds(&Item { claim, settled: letter(5_000) }, SECOND), "12");
    assert_eq!(seconds(&Item { claim: None, settled: letter(5_001) }, SECOND), "6");
}

#[test]
fn what_no_ledger_wrote_is_not_read() {
    let good = || Attributes::from([("claim".to_owned(), half(1, NOW, 1).attribute())]);
    assert!(Item::read(&good()).is_some());
    for broken in ["token", "until", "content", "worker"] {
        let mut attributes = half(1, NOW, 1).attributes();
        attributes.remove(broken);
        let item = Attributes::from([("claim".to_owned(), AttributeValue::M(attributes.clone()))]);
        assert_eq!(Item::read(&item), None, "no {broken}");
        attributes.insert(broken.to_owned(), AttributeValue::Bool(true));
        let item = Attributes::from([("claim".to_owned(), AttributeValue::M(attributes))]);
        assert_eq!(Item::read(&item), None, "{broken} of another type");
    }
    let claim = Attributes::from([("claim".to_owned(), AttributeValue::S("x".to_owned()))]);
    assert_eq!(Item::read(&claim), None);
    let Ok(mut settled) = Item::settled_attribute(&(half(1, 1, 1), published())).as_m().cloned() else {
        panic!("not a map");
    };
    settled.insert("state".to_owned(), AttributeValue::S("of tomorrow".to_owned()));
    let item = Attributes::from([("settled".to_owned(), AttributeValue::M(settled))]);
    assert_eq!(Item::read(&item), None, "an unknown state");
}

/// Bytes as they are billed: names, values, three bytes for each map and one for each of its members.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn billed(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::M(members) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + billed(value)).sum::<usize>()
        }
        other => panic!("not in an item: {other:?}"),
    }
}

#[test]
fn the_largest_item_takes_one_write_unit() {
    // The configuration's longest worker and namespace; what a process adds to its name.
    let worker = format!("{}/{:08x}", "w".repeat(128), 0);
    let whole = |half: Half| Half { worker: worker.clone(), ..half };
    let outcome = Outcome { at_ms: u64::MAX, ended: Ended::Published { stored_as: "e".repeat(36) } };
    let item = Item {
        claim: Some(whole(half(1, u64::MAX, 1))),
        settled: Some((whole(half(1, u64::MAX, 1)), outcome)),
    };
    let claim = item.claim.as_ref().map(Half::attribute).unwrap();
    let settled = item.settled.as_ref().map(Item::settled_attribute).unwrap();
    let key = "key".len() + 64 + 1 + 43;
    let size = key
        + "claim".len()
        + billed(&claim)
        + "settled".len()
        + billed(&settled)
        + "expires".len()
        + billed(&item.expires(SECOND));
    assert!(size < 1_024, "{size} bytes");
}

fn halves() -> impl Strategy<Value = Half> {
    (any::<u128>(), any::<u64>(), any::<[u8; 32]>(), ".*").prop_map(|(token, until_ms, content, worker)| {
        Half { token: Token(token), until_ms, content_hash: ContentHash(content), worker }
    })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    (any::<u64>(), any::<bool>(), ".*").prop_map(|(at_ms, is_published, text)| {
        let published = Ended::Published { stored_as: text.clone() };
        let ended = if is_published { published } else { Ended::DeadLettered { reason: text } };
        Outcome { at_ms, ended }
    })
}

proptest! {
    /// What is written is what is read.
    #[test]
    fn items_survive_the_table(
        claim in proptest::option::of(halves()),
        settled in proptest::option::of((halves(), outcomes())),
    ) {
        let item = Item { claim, settled };
        let mut attributes = Attributes::new();
        attributes.extend(item.claim.as_ref().map(|claim| ("claim".to_owned(), claim.attribute())));
        let settled = item.settled.as_ref().map(Item::settled_attribute);
        attributes.extend(settled.map(|settled| ("settled".to_owned(), settled)));
        prop_assert_eq!(Item::read(&attributes), Some(item));
    }
}
