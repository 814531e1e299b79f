//! Which objects and files are history. In: a name and a size. Out: whether it is passed over, and why. Pure.

use serde::Serialize;
use time::{Date, Month};

/// Objects whose names say that they hold no events.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-find-log-files.html>
const DIGESTS: &str = "CloudTrail-Digest";
const INSIGHTS: &str = "CloudTrail-Insight";

/// Why something is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Digest,
    Insight,
    Empty,
    OtherDay,
}

/// What was passed over, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    pub(super) digests: u64,
    pub(super) insights: u64,
    pub(super) empty: u64,
    pub(super) other_days: u64,
}

impl Skipped {
    pub(super) fn count(&mut self, skip: Skip) {
        *match skip {
            Skip::Digest => &mut self.digests,
            Skip::Insight => &mut self.insights,
            Skip::Empty => &mut self.empty,
            Skip::OtherDay => &mut self.other_days,
        } += 1;
    }

    pub(super) fn all(&self) -> u64 {
        let Self { digests, insights, empty, other_days } = self;
        digests + insights + empty + other_days
    }
}

/// The days that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Days {
    pub(super) since: Option<Date>,
    pub(super) until: Option<Date>,
}

impl Days {
    /// Why an object or file of this name is passed over; `None` if it is history.
    pub(super) fn skip(self, name: &str, bytes: u64) -> Option<Skip> {
        let is_outside = |day: Date| {
            self.since.is_some_and(|since| day < since) || self.until.is_some_and(|until| day > until)
        };
        if name.split('/').any(|part| part == DIGESTS) {
            Some(Skip::Digest)
        } else if name.split('/').any(|part| part == INSIGHTS) {
            Some(Skip::Insight)
        } else if bytes == 0 {
            Some(Skip::Empty)
        } else if day(name).is_some_and(is_outside) {
            Some(Skip::OtherDay)
        } else {
            None
        }
    }
}

/// The day that a path carries as `/YYYY/MM/DD/`. The last one counts: a prefix may look like a day.
fn day(name: &str) -> Option<Date> {
    let folders: Vec<_> = name.rsplit_once('/')?.0.split('/').collect();
    folders.windows(3).rev().find_map(|parts| {
        let [year, month, day] = parts else { return None };
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
    })
}

fn number(text: &str, digits: usize) -> Option<u16> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const LOG: &str = "p/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/05/a.json.gz";

    #[test]
    fn digests_insights_and_empty_objects_are_passed_over_and_names_that_resemble_them_are_not() {
        let days = Days::default();
        for (name, bytes, expected) in [
            (LOG, 1, None),
            (LOG, 0, Some(Skip::Empty)),
            ("AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/01/05/d.json.gz", 1, Some(Skip::Digest)),
            ("CloudTrail-Digest/d.json.gz", 0, Some(Skip::Digest)),
            ("AWSLogs/1/CloudTrail-Insight/eu-west-1/2026/01/05/i.json.gz", 1, Some(Skip::Insight)),
            ("AWSLogs/1/CloudTrail/my-CloudTrail-Digest/x.json", 1, None),
            ("CloudTrail-Digests/x.json", 1, None),
        ] {
            assert_eq!(days.skip(name, bytes), expected, "{name}");
        }
    }

    #[test]
    fn both_days_are_included_and_what_has_no_day_is_always_sent() {
        let days = Days { since: Some(date!(2026 - 01 - 05)), until: Some(date!(2026 - 01 - 06)) };
        for (day, is_sent) in [("04", false), ("05", true), ("06", true), ("07", false)] {
            let name = LOG.replace("/05/", &format!("/{day}/"));
            assert_eq!(days.skip(&name, 1).is_none(), is_sent, "{name}");
        }
        for name in ["events.json", "2026/01/99/a.json", "2020/13/01/a.json", "a/2020-01-01/b", "2020/01/01"]
        {
            assert_eq!(days.skip(name, 1), None, "{name}");
        }
    }

    #[test]
    fn the_day_next_to_the_file_counts() {
        assert_eq!(day("2020/01/01/copy/2026/01/05/a"), Some(date!(2026 - 01 - 05)));
        assert_eq!(day("2020/01/01/hour/07/a"), Some(date!(2020 - 01 - 01)));
    }
}
