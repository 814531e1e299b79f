//! The time that several machines agree on, as far as they do. Injected, so that tests can let it pass.
//!
//! Leases in a shared ledger are told by it: the clocks of all workers must agree to well within half a lease, which
//! any machine in a cloud does (a claim is renewed while more than half of its lease is left).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// Tells the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// Any other.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Milliseconds since 1970, UTC.
    pub fn now_ms(&self) -> u64 {
        epoch_ms(self.now())
    }
}

/// Whole milliseconds, as many as a `u64` holds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How many milliseconds after 1970, UTC, a time is; 0 for those before.
pub fn epoch_ms(at: SystemTime) -> u64 {
    millis(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The time that is so many milliseconds after 1970, UTC.
pub fn at_ms(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// As people and JSON read it: RFC 3339, UTC, to the millisecond.
pub fn rfc3339(at: SystemTime) -> String {
    let to_the_millisecond = at_ms(epoch_ms(at));
    OffsetDateTime::from(to_the_millisecond).format(&Rfc3339).unwrap_or_default()
}

/// As [`rfc3339`], always with three digits of the second's fraction: such times sort as text.
pub fn rfc3339_ms(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_to_the_millisecond() {
        assert_eq!(rfc3339(at_ms(1_767_322_845_678)), "2026-01-02T03:00:45.678Z");
        assert_eq!(rfc3339(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339_ms(at_ms(1_767_322_845_670)), "2026-01-02T03:00:45.670Z");
        assert_eq!(rfc3339_ms(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
