//! What every ledger promises. A new ledger joins with a module below that makes a [`Bench`] and calls [`ledgers!`].

mod cached;
mod dynamodb;
mod valkey;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use tributary::{
    dedupe::{
        Claim, Claimed, Claiming, Commit, Committed, Entry, Final, Key, Ledger, State, Token,
        memory::MemoryLedger,
    },
    event::ContentHash,
    failure::{CallError, Reason},
    receive::Deadline,
};

const LEASE: Duration = Duration::from_mins(1);
const WINDOW: Duration = Duration::from_hours(1);
const ENTRIES_MAX: usize = 1_000;

/// For tests that expect every wish to be answered.
trait ClaimAll {
    /// All answers, or the first error.
    fn claim_all(
        &self,
        wishes: &[Claiming],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Claim>, CallError>> + Send;
}

impl<L: Ledger + ?Sized> ClaimAll for L {
    async fn claim_all(&self, wishes: &[Claiming], lease: Duration) -> Result<Vec<Claim>, CallError> {
        let answers = self.claim(wishes, lease).await;
        assert_eq!(answers.len(), wishes.len(), "one answer for each");
        answers.into_iter().collect()
    }
}

/// A ledger, and how time passes for it.
struct Bench {
    ledger: Arc<dyn Ledger>,
    time: Time,
    name: &'static str,
    /// What must live as long as the ledger is used.
    _server: Box<dyn Send>,
}

enum Time {
    /// The runtime's own, paused.
    Paused,
    /// The ledger's clock is so many milliseconds ahead.
    Ahead(Arc<AtomicU64>),
}

async fn memory() -> Bench {
    let ledger = Arc::new(MemoryLedger::new(WINDOW, ENTRIES_MAX));
    Bench { ledger, time: Time::Paused, name: "memory", _server: Box::new(()) }
}

fn key(id: &str) -> Key {
    Key { destination: "lake".into(), id: id.to_owned().into(), conflict: None }
}

fn hash(byte: u8) -> ContentHash {
    ContentHash([byte; 32])
}

fn wish(id: &str, owner: u128, content: u8) -> Claiming {
    Claiming { key: key(id), token: Token(owner), content_hash: hash(content), is_redriven: false }
}

fn redriven(id: &str, owner: u128, content: u8) -> Claiming {
    Claiming { is_redriven: true, ..wish(id, owner, content) }
}

fn claimed(wish: &Claiming) -> Claimed {
    let Claiming { key, token, content_hash, is_redriven } = wish.clone();
    Claimed { key, token, content_hash, is_redriven, lease: Deadline::new(Instant::now() + LEASE) }
}

fn published() -> Final {
    Final::Published { stored_as: "event-1".to_owned() }
}

fn dead_lettered() -> Final {
    Final::DeadLettered { reason: Reason::NoId }
}

impl Bench {
    async fn claim(&self, wish: &Claiming) -> Claim {
        let answers = self.ledger.claim_all(std::slice::from_ref(wish), LEASE).await;
        let answers = answers.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(answers.len(), 1, "{}", self.name);
        answers[0]
    }

    async fn win(&self, wish: &Claiming) {
        let answer = self.claim(wish).await;
        assert_eq!(answer, Claim::Won, "{}: {wish:?}", self.name);
    }

    async fn is_held(&self, wish: &Claiming) -> bool {
        matches!(self.claim(wish).await, Claim::HeldElsewhere { .. })
    }

    async fn commit(&self, wish: &Claiming, state: Final) -> bool {
        let results = self.ledger.commit(&[Committed { claim: claimed(wish), state }]).await;
        assert_eq!(results.len(), 1, "{}", self.name);
        results[0].clone().unwrap_or_else(|error| panic!("{}: {error}", self.name)) == Commit::Recorded
    }

    /// Claims and settles.
    async fn settle(&self, wish: &Claiming, state: Final) {
        self.win(wish).await;
        assert!(self.commit(wish, state).await, "{}: {wish:?}", self.name);
    }

    async fn release(&self, wishes: &[Claiming]) {
        let claims: Vec<_> = wishes.iter().map(claimed).collect();
        let results = self.ledger.release(&claims).await;
        assert_eq!(results.len(), wishes.len(), "{}", self.name);
        assert!(results.iter().all(Result::is_ok), "{}: {results:?}", self.name);
    }

    async fn find(&self, id: &str) -> Option<Entry> {
        self.ledger.find(&key(id)).await.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    async fn pass(&self, time: Duration) {
        match &self.time {
            Time::Paused => tokio::time::advance(time).await,
            Time::Ahead(millis) => {
                millis.fetch_add(tributary::clock::millis(time), Ordering::Relaxed);
            }
        }
    }
}

async fn a_claim_has_one_owner_who_wins_again(bench: Bench) {
    let (mine, theirs) = (wish("a", 1, 1), wish("a", 2, 1));
    bench.win(&mine).await;
    let Claim::HeldElsewhere { lease_left } = bench.claim(&theirs).await else {
        panic!("{}: claimed twice", bench.name);
    };
    assert!(lease_left <= LEASE && lease_left > LEASE / 2, "{}: {lease_left:?}", bench.name);
    bench.win(&mine).await;
    bench.win(&wish("b", 2, 1)).await;
    let other_lake = Key { destination: "other".into(), ..key("a") };
    bench.win(&Claiming { key: other_lake, ..theirs }).await;
}

async fn a_renewal_makes_the_lease_longer(bench: Bench) {
    let (mine, theirs) = (wish("a", 1, 1), wish("a", 2, 1));
    bench.win(&mine).await;
    for _ in 0..3 {
        bench.pass(LEASE * 2 / 3).await;
        bench.win(&mine).await;
        assert!(bench.is_held(&theirs).await, "{}: taken over in spite of a renewal", bench.name);
    }
}

async fn a_lease_that_ended_can_be_taken_over_and_the_late_owner_is_refused(bench: Bench) {
    let (late, present) = (wish("a", 1, 1), wish("a", 2, 1));
    bench.win(&late).await;
    bench.pass(LEASE + Duration::from_secs(1)).await;
    bench.win(&present).await;
    assert!(bench.is_held(&late).await, "{}: the late owner took it back", bench.name);
    assert!(!bench.commit(&late, published()).await, "{}: the late owner committed", bench.name);
    bench.release(std::slice::from_ref(&late)).await;
    assert!(bench.is_held(&wish("a", 3, 1)).await, "{}: the late owner released it", bench.name);
    assert!(bench.commit(&present, published()).await, "{}: the present owner may commit", bench.name);
    // Said again after a lost answer it may count as recorded or as lost; what is known stays as it is.
    bench.commit(&present, dead_lettered()).await;
    let known = bench.find("a").await.map(|entry| entry.state);
    assert!(matches!(known, Some(State::Published { .. })), "{}: a claim ends once, {known:?}", bench.name);
}

async fn a_released_claim_can_be_won_at_once_and_only_mine_is_released(bench: Bench) {
    let (mine, theirs) = (wish("a", 1, 1), wish("b", 2, 1));
    bench.win(&mine).await;
    bench.win(&theirs).await;
    bench.release(&[mine.clone(), Claiming { token: mine.token, ..theirs.clone() }]).await;
    bench.win(&wish("a", 3, 1)).await;
    assert!(bench.is_held(&wish("b", 3, 1)).await, "{}: somebody else's claim was released", bench.name);
    assert!(!bench.commit(&mine, published()).await, "{}: committed after the release", bench.name);
    bench.release(&[wish("never claimed", 1, 1)]).await;
}

async fn a_published_event_is_known_with_its_hash_until_the_window_ends(bench: Bench) {
    bench.settle(&wish("a", 1, 1), published()).await;
    bench.pass(WINDOW * 9 / 10).await;
    for copy in [wish("a", 2, 1), redriven("a", 3, 1)] {
        let answer = bench.claim(&copy).await;
        assert_eq!(answer, Claim::AlreadyPublished { content_hash: hash(1) }, "{}", bench.name);
    }
    let Claim::AlreadyPublished { content_hash } = bench.claim(&wish("a", 2, 9)).await else {
        panic!("{}: other content under a published id was won", bench.name);
    };
    // A ledger may keep half of the hash: 128 bits tell contents apart.
    assert_eq!(content_hash.0[..16], hash(1).0[..16], "{}", bench.name);
    bench.pass(WINDOW / 5).await;
    bench.win(&wish("a", 2, 9)).await;
}

async fn a_dead_letter_lets_a_corrected_or_redriven_event_pass(bench: Bench) {
    for id in ["a", "b"] {
        bench.settle(&wish(id, 1, 1), dead_lettered()).await;
        assert_eq!(bench.claim(&wish(id, 2, 1)).await, Claim::AlreadyDeadLettered, "{}", bench.name);
    }
    bench.win(&wish("a", 3, 2)).await;
    bench.win(&redriven("b", 3, 1)).await;
    assert!(bench.is_held(&redriven("b", 4, 1)).await, "{}: redriven twice at once", bench.name);
    bench.release(&[wish("a", 3, 2)]).await;
    assert_eq!(bench.claim(&wish("a", 4, 1)).await, Claim::AlreadyDeadLettered, "{}", bench.name);
}

async fn what_was_settled_again_is_known_for_a_window_of_its_own(bench: Bench) {
    bench.settle(&wish("a", 1, 1), dead_lettered()).await;
    bench.pass(WINDOW / 2).await;
    bench.settle(&redriven("a", 2, 1), published()).await;
    bench.pass(WINDOW / 2 + Duration::from_secs(1)).await;
    let answer = bench.claim(&wish("a", 3, 1)).await;
    assert_eq!(
        answer,
        Claim::AlreadyPublished { content_hash: hash(1) },
        "{}: forgotten too early",
        bench.name
    );
    bench.pass(WINDOW / 2).await;
    bench.win(&wish("a", 3, 1)).await;
}

async fn two_claims_of_one_key_in_one_call_are_one_after_the_other(bench: Bench) {
    let wishes = [wish("a", 1, 1), wish("b", 2, 1), wish("a", 3, 1), wish("a", 1, 1)];
    let answers = bench.ledger.claim_all(&wishes, LEASE).await.expect("claimed");
    assert_eq!(answers.len(), 4, "{}: one answer for each", bench.name);
    let won: Vec<_> = answers.iter().map(|answer| *answer == Claim::Won).collect();
    assert_eq!(won, [true, true, false, true], "{}: {answers:?}", bench.name);
}

async fn a_call_about_many_answers_for_each_in_order(bench: Bench) {
    bench.settle(&wish("old", 1, 1), published()).await;
    bench.win(&wish("held", 1, 1)).await;
    let wishes: Vec<_> = (0..150)
        .map(|at| match at % 3 {
            0 => wish("old", 9, 1),
            1 => wish("held", 9, 1),
            _ => wish(&format!("new-{at}"), 9, 1),
        })
        .collect();
    let answers = bench.ledger.claim_all(&wishes, LEASE).await.expect("claimed");
    assert_eq!(answers.len(), 150, "{}", bench.name);
    for (at, answer) in answers.iter().enumerate() {
        let is_right = match at % 3 {
            0 => matches!(answer, Claim::AlreadyPublished { .. }),
            1 => matches!(answer, Claim::HeldElsewhere { .. }),
            _ => *answer == Claim::Won,
        };
        assert!(is_right, "{}: answer {at} is {answer:?}", bench.name);
    }
    let committed = wishes.iter().map(|wish| Committed { claim: claimed(wish), state: published() });
    let results = bench.ledger.commit(&committed.collect::<Vec<_>>()).await;
    let done: Vec<_> = results.iter().map(|result| *result == Ok(Commit::Recorded)).collect();
    assert_eq!(done, (0..150).map(|at| at % 3 == 2).collect::<Vec<_>>(), "{}", bench.name);
    assert_eq!(bench.ledger.claim_all(&[], LEASE).await, Ok(Vec::new()), "{}", bench.name);
}

async fn a_key_can_be_looked_up(bench: Bench) {
    assert_eq!(bench.find("a").await, None, "{}", bench.name);
    bench.win(&wish("a", 1, 1)).await;
    let found = bench.find("a").await.expect("known");
    assert!(matches!(found.state, State::InProgress { .. }), "{}: {found:?}", bench.name);
    assert!(bench.commit(&wish("a", 1, 1), published()).await, "{}", bench.name);
    let found = bench.find("a").await.expect("known");
    assert!(matches!(found.state, State::Published { .. }), "{}: {found:?}", bench.name);
    assert_eq!(found.content_hash.0[..16], hash(1).0[..16], "{}", bench.name);
    bench.settle(&wish("b", 1, 1), dead_lettered()).await;
    let found = bench.find("b").await.expect("known");
    assert!(matches!(found.state, State::DeadLettered { ref reason, .. } if reason == "no_id"), "{found:?}");
    bench.pass(WINDOW + Duration::from_secs(1)).await;
    assert_eq!(bench.find("b").await, None, "{}: remembered beyond the window", bench.name);
}

/// A corrected event was claimed and its worker died: the letter is what an operator has to know of.
async fn a_claim_that_has_ended_does_not_hide_the_letter_below_it(bench: Bench) {
    bench.settle(&wish("a", 1, 1), dead_lettered()).await;
    bench.win(&wish("a", 2, 2)).await;
    let state = bench.find("a").await.map(|entry| entry.state);
    assert!(matches!(state, Some(State::InProgress { .. })), "{}: {state:?}", bench.name);
    bench.pass(LEASE + Duration::from_secs(1)).await;
    let state = bench.find("a").await.map(|entry| entry.state);
    assert!(matches!(state, Some(State::DeadLettered { .. })), "{}: {state:?}", bench.name);
    // Where there is no letter, the claim that has ended is all that is known.
    bench.win(&wish("b", 1, 1)).await;
    bench.pass(LEASE + Duration::from_secs(1)).await;
    let state = bench.find("b").await.map(|entry| entry.state);
    assert!(matches!(state, Some(State::InProgress { .. })), "{}: {state:?}", bench.name);
}

async fn what_is_forgotten_can_be_won_and_its_owner_has_lost_it(bench: Bench) {
    assert_eq!(bench.ledger.forget(&key("a")).await, Ok(false), "{}", bench.name);
    bench.settle(&wish("a", 1, 1), published()).await;
    assert_eq!(bench.ledger.forget(&key("a")).await, Ok(true), "{}", bench.name);
    bench.win(&wish("a", 2, 9)).await;
    assert_eq!(bench.ledger.forget(&key("a")).await, Ok(true), "{}", bench.name);
    bench.win(&wish("a", 3, 1)).await;
    assert!(!bench.commit(&wish("a", 2, 9), published()).await, "{}: committed a lost claim", bench.name);
}

/// On real threads, so that claims overlap.
async fn of_sixteen_claimers_one_wins(bench: Bench) {
    const KEYS: usize = 200;
    let mut claimers = JoinSet::new();
    for owner in 1..=16 {
        let ledger = bench.ledger.clone();
        claimers.spawn(async move {
            let mut won = Vec::new();
            for keys in (0..KEYS).collect::<Vec<_>>().chunks(7) {
                let wishes: Vec<_> = keys.iter().map(|at| wish(&at.to_string(), owner, 1)).collect();
                let answers = ledger.claim_all(&wishes, LEASE).await.expect("claimed");
                won.extend(keys.iter().zip(answers).filter(|(_, it)| *it == Claim::Won).map(|(at, _)| *at));
                tokio::task::yield_now().await;
            }
            won
        });
    }
    let won: Vec<_> = claimers.join_all().await.concat();
    assert_eq!(won.len(), KEYS, "{}: each key is won once", bench.name);
    assert_eq!(won.into_iter().collect::<HashSet<_>>().len(), KEYS, "{}", bench.name);
}

/// The newest are those that stay.
#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let bench = memory().await;
    for at in 0..ENTRIES_MAX + 100 {
        bench.settle(&wish(&at.to_string(), 1, 1), published()).await;
        // One that is settled again and again takes no more than its own place.
        bench.settle(&redriven("again", at as u128 + 2, 1), dead_lettered()).await;
    }
    let entries = bench.ledger.size().entries;
    assert!(entries <= ENTRIES_MAX as u64, "{}: {entries}", bench.name);
    let newest = wish(&(ENTRIES_MAX + 99).to_string(), 2, 1);
    assert!(matches!(bench.claim(&newest).await, Claim::AlreadyPublished { .. }), "{}", bench.name);
    bench.win(&wish("0", 2, 1)).await;
}

/// `ledgers! { NAME(test options) }` runs every case against the bench that `async fn NAME()` makes.
macro_rules! ledgers {
    ($ledger:ident $(($option:ident = $value:literal))?) => {
        mod $ledger {
            $crate::seams::ledger::ledgers!(@cases $ledger ($($option = $value)?):
                a_claim_has_one_owner_who_wins_again,
                a_renewal_makes_the_lease_longer,
                a_lease_that_ended_can_be_taken_over_and_the_late_owner_is_refused,
                a_released_claim_can_be_won_at_once_and_only_mine_is_released,
                a_published_event_is_known_with_its_hash_until_the_window_ends,
                a_dead_letter_lets_a_corrected_or_redriven_event_pass,
                what_was_settled_again_is_known_for_a_window_of_its_own,
                two_claims_of_one_key_in_one_call_are_one_after_the_other,
                a_call_about_many_answers_for_each_in_order,
                a_key_can_be_looked_up,
                a_claim_that_has_ended_does_not_hide_the_letter_below_it,
                what_is_forgotten_can_be_won_and_its_owner_has_lost_it,
            );

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn of_sixteen_claimers_one_wins() {
                $crate::seams::ledger::of_sixteen_claimers_one_wins(super::$ledger().await).await;
            }
        }
    };
    (@cases $ledger:ident $options:tt: $($case:ident),+ $(,)?) => {
        $($crate::seams::ledger::ledgers!(@case $ledger $options $case);)+
    };
    (@case $ledger:ident ($($options:tt)*) $case:ident) => {
        #[tokio::test($($options)*)]
        async fn $case() {
            $crate::seams::ledger::$case(super::$ledger().await).await;
        }
    };
}
use ledgers;

ledgers! { memory(start_paused = true) }
