//! A time in any writing: no panic, no hang; what is read as a time is in seconds UTC, and reads as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tributary::map::time::{any_number, any_text, seconds_utc};

fuzz_target!(|written: &str| {
    let strict = seconds_utc(written).map(|time| time.into_owned());
    let text = any_text(written);
    if strict.is_some() {
        assert_eq!(strict, text, "what is strict is read the same");
    }
    for time in [strict, text, any_number(written)].into_iter().flatten() {
        assert_eq!(time.len(), "2026-01-02T03:04:05Z".len(), "{time}");
        assert_eq!(seconds_utc(&time).as_deref(), Some(&*time));
        assert_eq!(any_text(&time).as_deref(), Some(&*time));
    }
});
