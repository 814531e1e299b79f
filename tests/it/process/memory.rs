//! Memory is bounded by configuration, not by what flows through.

use tributary::local::LocalOptions;

use super::{
    endpoints::{Endpoints, send},
    records::{events, messages},
};
use crate::support::local::options;

const EVENTS: usize = 60_000;
/// Sent ahead of the service, so that neither waits for the other and the queue stays small.
const AHEAD: u64 = 6_000;
const ROUND: usize = 2_000;
const RSS_MIB_MAX: u64 = 100;
const GROWTH_MIB_MAX: u64 = 8;

/// Resident memory of a process, in KiB.
pub(super) fn rss_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a number");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_flows_through() {
    let endpoints = Endpoints::with(LocalOptions { retain_rows: 0, ..options() }).await;
    let more = [
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "1000"),
        // Less than half of what flows, or what the ledger learns would be taken for a leak.
        ("TRIBUTARY_DEDUPE_ENTRIES_MAX", "10000"),
    ];
    let worker = endpoints.worker(&more).await;
    let url = endpoints.local.queue_url("events");
    let (mut most, mut at_half) = (0, 0);
    let mut sent = 0;
    while sent < EVENTS {
        let round = messages(&events(sent as u64, ROUND), 10..=10, 9);
        send(&endpoints.sqs, &url, &round).await;
        sent += ROUND;
        endpoints.until_stored(&worker, (sent as u64).saturating_sub(AHEAD)).await;
        let now = rss_kib(worker.id());
        most = most.max(now);
        if sent <= EVENTS / 2 {
            at_half = most;
        }
    }
    endpoints.until_drained(&worker).await;
    most = most.max(rss_kib(worker.id()));
    assert_eq!(endpoints.stored(), EVENTS as u64);
    let (most, at_half) = (most / 1024, at_half / 1024);
    println!("{EVENTS} events: at most {at_half} MiB in the first half, {most} MiB in all");
    assert!(most < RSS_MIB_MAX, "{most} MiB");
    assert!(most <= at_half + GROWTH_MIB_MAX, "{at_half} MiB in the first half, {most} MiB in all");
}
