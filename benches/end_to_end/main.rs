//! Events per second from the queue to the lake, `cargo bench --bench end_to_end [-- EVENTS]`; the memory of the
//! service while events keep coming, `… -- memory [EVENTS]`; what a shared ledger costs, near and 30 ms away,
//! `… -- ledgers [EVENTS]`; and what a stream costs beside a queue, `… -- streams [EVENTS]`.
//!
//! The service runs as a process of its own, on one core where `taskset` exists; the local queue and lake run in
//! another process on the other cores. The queue is filled before the clock starts. Beside the wall clock, which
//! depends on who else uses the machine, stands the CPU time of the service for each event, which hardly does.
//! The targets are 25,000 events a second on one core with one event in each message, and 60,000 with 100.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

mod far;
mod ledgers;
mod process;
mod streams;

use std::{env, thread, time::Duration};

use tokio::time::Instant;

use process::{Process, fill, pins};

/// What one case showed.
struct Row {
    seconds: f64,
    cpu_seconds: Option<f64>,
    peak_megabytes: Option<f64>,
}

fn main() {
    let events = env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200_000_u64);
    let is_asked = |what: &str| env::args().any(|argument| argument == what);
    if is_asked("memory") {
        return watch_memory(events);
    }
    if is_asked("ledgers") {
        return ledgers::compare(events);
    }
    if is_asked("streams") {
        return streams::compare(events);
    }
    println!(
        "{events} events of about 1 kB; the service on {}\n",
        if pins() { "one core" } else { "any core" }
    );
    println!("| events per message | events/s | CPU µs per event | events/s of one core | peak memory |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for events_per_message in [1, 10, 100] {
        let Row { seconds, cpu_seconds, peak_megabytes } = measure(events, events_per_message, &[]);
        let count = events as f64;
        let cpu = cpu_seconds.map(|cpu| cpu * 1e6 / count);
        println!(
            "| {events_per_message} | {:.0} | {} | {} | {} |",
            count / seconds,
            cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}")),
            cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.0}", 1e6 / cpu)),
            peak_megabytes.map_or_else(|| "-".to_owned(), |peak| format!("{peak:.0} MB")),
        );
    }
}

/// Fills the queue, then starts the service with `more` in its environment and the clock with it.
fn measure(events: u64, events_per_message: u64, more: &[(&str, String)]) -> Row {
    let local = Process::local();
    fill(&local, 0..events, events_per_message);
    measure_on(&local, events, more)
}

/// Starts the service and the clock; the events wait where `more` says, or on the queue.
fn measure_on(local: &Process, events: u64, more: &[(&str, String)]) -> Row {
    let service = Process::service(local, more);
    let started = Instant::now();
    let deadline = Duration::from_mins(5);
    while service.published() < events {
        assert!(
            started.elapsed() < deadline,
            "only {} of {events} events in five minutes",
            service.published()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let seconds = started.elapsed().as_secs_f64();
    Row { seconds, cpu_seconds: service.cpu_seconds(), peak_megabytes: service.megabytes("VmHWM:") }
}

/// Ten looks at the resident memory of the service, one after each tenth of the events, 100 to a message.
fn watch_memory(events: u64) {
    let local = Process::local();
    let service = Process::service(&local, &[]);
    println!("| events published | resident memory |\n| ---: | ---: |");
    let step = events / 10;
    for tenth in 0..10 {
        let end = step * (tenth + 1);
        fill(&local, step * tenth..end, 100);
        while service.published() < end {
            thread::sleep(Duration::from_millis(20));
        }
        println!("| {end} | {:.0} MB |", service.megabytes("VmRSS:").unwrap_or_default());
    }
    println!("| peak | {:.0} MB |", service.megabytes("VmHWM:").unwrap_or_default());
}
