//! Event times. In: what the producer wrote, text or number. Out: seconds UTC with `Z`, as in every AWS example
//! (`yyyy-MM-DDTHH:mm:ss`; whether the lake takes fractions or offsets is not documented).
//!
//! Pure: no clock is asked, so the same event has the same time on every worker and on every day. Whatever is finer
//! than a second is cut, not rounded: an event never moves into the future.

use std::borrow::Cow;

use time::{Date, Month, OffsetDateTime, Time, UtcOffset, format_description::well_known::Rfc3339};

/// The time in seconds UTC, borrowed where it was written so; `None` where it is no RFC 3339 time.
pub fn seconds_utc(written: &str) -> Option<Cow<'_, str>> {
    if is_seconds_utc(written) {
        return Some(Cow::Borrowed(written));
    }
    let time = OffsetDateTime::parse(written, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    shown(time).map(Cow::Owned)
}

/// Reads what producers write besides RFC 3339: a space for the `T`, no zone (then it is UTC), a number in quotes.
/// Only for formats whose producers are known to mean UTC.
pub fn any_text(written: &str) -> Option<String> {
    if let Some(time) = seconds_utc(written) {
        return Some(time.into_owned());
    }
    if written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return any_number(written);
    }
    let (date, rest) = written.split_at_checked("yyyy-mm-dd".len())?;
    let of_day = rest.strip_prefix([' ', 'T', 't'])?;
    let is_local = of_day.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let zone = if is_local { "Z" } else { "" };
    seconds_utc(&format!("{date}T{of_day}{zone}")).map(Cow::into_owned)
}

/// Reads a JSON number by its digits: seconds, ms, µs or ns since 1970, or a Windows FILETIME (100 ns since 1601).
///
/// Which unit it is follows from its size: between [`FIRST_YEAR`] and [`END_YEAR`] no number fits two of them.
pub fn any_number(written: &str) -> Option<String> {
    let whole = whole_part(written)?;
    let seconds = UNITS.iter().find_map(|unit| unit.seconds(whole))?;
    shown(OffsetDateTime::from_unix_timestamp(seconds).ok()?)
}

/// Numbers before this year are no time.
pub const FIRST_YEAR: i32 = 1990;
/// Numbers from this year on are no time.
pub const END_YEAR: i32 = 2100;

const WINDOW: std::ops::Range<i64> = 631_152_000..4_102_444_800;
const FROM_1601_TO_1970: i64 = 11_644_473_600;

/// How a number counts.
struct Unit {
    in_a_second: u64,
    /// Seconds between the unit's zero and 1970.
    zero_before_1970: i64,
}

const UNITS: [Unit; 5] = [
    Unit { in_a_second: 1, zero_before_1970: 0 },
    Unit { in_a_second: 1_000, zero_before_1970: 0 },
    Unit { in_a_second: 1_000_000, zero_before_1970: 0 },
    Unit { in_a_second: 10_000_000, zero_before_1970: FROM_1601_TO_1970 },
    Unit { in_a_second: 1_000_000_000, zero_before_1970: 0 },
];

impl Unit {
    /// Seconds since 1970, if that is inside the window.
    fn seconds(&self, number: u64) -> Option<i64> {
        let since_zero = i64::try_from(number / self.in_a_second).ok()?;
        let seconds = since_zero - self.zero_before_1970;
        WINDOW.contains(&seconds).then_some(seconds)
    }
}

/// Digits of the largest number that can be a time; what is longer is none and is not computed.
const DIGITS_MAX: usize = 19;

/// What stands before the decimal point once the exponent is applied: exact, where floating point would round up.
fn whole_part(written: &str) -> Option<u64> {
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes());
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent.parse().ok()?)?;
    let count = usize::try_from(point).ok()?.checked_sub(zeros).filter(|count| *count <= DIGITS_MAX)?;
    let digits = digits().skip(zeros).chain(std::iter::repeat(b'0')).take(count);
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// As the lake wants it; `None` for years that do not have four digits.
fn shown(time: OffsetDateTime) -> Option<String> {
    if !(0..=9999).contains(&time.year()) {
        return None;
    }
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
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
mod tests;
