//! Event times. In: what the producer wrote. Out: seconds UTC with `Z`, as in every AWS example
//! (`yyyy-MM-DDTHH:mm:ss`; whether the lake takes fractions or offsets is not documented).

use std::borrow::Cow;

use time::{Date, Month, OffsetDateTime, Time, UtcOffset, format_description::well_known::Rfc3339};

/// The time in seconds UTC, borrowed where it was written so; `None` where it is no RFC 3339 time.
/// Fractions are cut, not rounded: an event never moves into the future.
pub(super) fn seconds_utc(written: &str) -> Option<Cow<'_, str>> {
    if is_seconds_utc(written) {
        return Some(Cow::Borrowed(written));
    }
    let time = OffsetDateTime::parse(written, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    if !(0..=9999).contains(&time.year()) {
        return None;
    }
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    Some(Cow::Owned(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))))
}

/// A text in any of the forms that are known, in seconds UTC.
pub(crate) fn any_text(written: &str) -> Option<String> {
    seconds_utc(written).map(Cow::into_owned)
}

/// A number in any of the units that are known, in seconds UTC.
pub(crate) fn any_number(written: &str) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(written.parse().ok()?).ok()?;
    seconds_utc(&time.format(&Rfc3339).ok()?).map(Cow::into_owned)
}

fn is_seconds_utc(written: &str) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let has_shape = written.len() == shape.len()
        && written.bytes().zip(shape).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            form => byte == *form,
        });
    has_shape && is_time(written).unwrap_or_default()
}

/// Whether the numbers, which stand where they should, are a day and a time of day.
fn is_time(written: &str) -> Option<bool> {
    let number = |from: usize, to: usize| written.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    let month = Month::try_from(small(5)?).ok()?;
    let date = Date::from_calendar_date(number(0, 4)?.into(), month, small(8)?);
    let time = Time::from_hms(small(11)?, small(14)?, small(17)?);
    Some(date.is_ok() && time.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_seconds_utc_stays_as_it_is() {
        for written in ["2023-07-10T11:47:39Z", "0000-01-01T00:00:00Z", "2024-02-29T23:59:59Z"] {
            assert!(matches!(seconds_utc(written), Some(Cow::Borrowed(same)) if same == written));
        }
    }

    #[test]
    fn any_other_rfc_3339_time_is_converted_and_cut_to_seconds() {
        let table = [
            ("2023-07-10T11:47:39.999Z", "2023-07-10T11:47:39Z"),
            ("2023-07-10T00:30:00+01:00", "2023-07-09T23:30:00Z"),
            ("2023-12-31T23:30:00.5-00:30", "2024-01-01T00:00:00Z"),
            ("2023-07-10T11:47:39+00:00", "2023-07-10T11:47:39Z"),
            ("2023-07-10t11:47:39z", "2023-07-10T11:47:39Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ];
        for (written, expected) in table {
            assert_eq!(seconds_utc(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let table = [
            "",
            "now",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-07-10T24:00:00Z",
            "2023-07-10T11:47:39",
            "2023-07-10",
            "2023-07-10 11:47:39",
            "1689000000",
            "20230710T114739Z",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "+2023-07-10T11:47:39Z",
            "２023-07-10T11:47:39Z",
        ];
        for written in table {
            assert_eq!(seconds_utc(written), None, "{written}");
        }
    }
}
