//! Times in every form that producers write, and in forms that are none.

use proptest::prelude::*;

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
        assert_eq!(any_text(written).as_deref(), Some(expected), "{written}");
    }
}

const NO_TIME_AT_ALL: [&str; 14] = [
    "",
    " ",
    ".",
    "now",
    "2023-02-29T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-07-10T24:00:00Z",
    "2023-07-10",
    "2023-07-10 ",
    "20230710T114739Z",
    "9999-12-31T23:59:59-01:00",
    "0000-01-01T00:00:00+01:00",
    "+2023-07-10T11:47:39Z",
    "２023-07-10T11:47:39Z",
];

#[test]
fn what_is_no_time_is_refused() {
    for written in NO_TIME_AT_ALL {
        assert_eq!(seconds_utc(written), None, "{written}");
        assert_eq!(any_text(written), None, "{written}");
    }
    for written in ["2023-07-10T11:47:39", "2023-07-10 11:47:39", "1689000000"] {
        assert_eq!(seconds_utc(written), None, "{written} is a time only where the format allows it");
    }
}

#[test]
fn a_space_or_no_zone_is_read_where_the_format_allows_it() {
    let table = [
        ("2023-04-11 23:32:13.248", Some("2023-04-11T23:32:13Z")),
        ("2024-09-02 23:49:37.552000000", Some("2024-09-02T23:49:37Z")),
        ("2023-03-30 15:38:18.58", Some("2023-03-30T15:38:18Z")),
        ("2023-04-11 23:32:13", Some("2023-04-11T23:32:13Z")),
        ("2023-04-11T23:32:13", Some("2023-04-11T23:32:13Z")),
        ("2023-04-11 23:32:13Z", Some("2023-04-11T23:32:13Z")),
        ("2023-04-11 23:32:13.9+02:00", Some("2023-04-11T21:32:13Z")),
        ("2023-04-11  23:32:13", None),
        ("2023-04-11 23:32", None),
        ("2023-04-11 23:32:13.", None),
        ("2023-04-11 23:32:13 UTC", None),
        ("2024-12-17 00:00:00000000", None),
        ("2023-04-1é 23:32:13", None),
    ];
    for (written, expected) in table {
        assert_eq!(any_text(written).as_deref(), expected, "{written}");
    }
}

#[test]
fn a_number_is_read_in_the_only_unit_that_fits() {
    let table = [
        ("1581546248", Some("2020-02-12T22:24:08Z")),
        ("1581546248999", Some("2020-02-12T22:24:08Z")),
        ("1581546248999999", Some("2020-02-12T22:24:08Z")),
        ("1581546248999999999", Some("2020-02-12T22:24:08Z")),
        // (1581546248 + 11644473600) * 10^7: a Windows FILETIME.
        ("132260198489999999", Some("2020-02-12T22:24:08Z")),
        ("1581546248.999", Some("2020-02-12T22:24:08Z")),
        ("1581546248999.0", Some("2020-02-12T22:24:08Z")),
        ("1.581546248999e9", Some("2020-02-12T22:24:08Z")),
        ("1581546248999E-3", Some("2020-02-12T22:24:08Z")),
        ("15815462E+2", Some("2020-02-12T22:23:20Z")),
        ("0001581546248", Some("2020-02-12T22:24:08Z")),
        ("0", None),
        ("0.5", None),
        ("-1581546248", None),
        ("20200212", None),
        ("20200212222408", None),
        ("99999999999999999999999999", None),
        ("1e400", None),
        ("1e99999999999999999999", None),
        ("1e9223372036854775807", None),
        ("1581546248e-9223372036854775808", None),
        ("0e999999999", None),
        (".5", None),
        ("1.2.3", None),
        ("NaN", None),
    ];
    for (written, expected) in table {
        assert_eq!(any_number(written).as_deref(), expected, "{written}");
        if !written.contains(['e', 'E', '-']) {
            assert_eq!(any_text(written).as_deref(), expected, "in quotes: {written}");
        }
    }
}

#[test]
fn the_window_ends_where_its_years_do() {
    for unit in &UNITS {
        let number = |seconds: i64| {
            u64::try_from(seconds + unit.zero_before_1970).expect("positive") * unit.in_a_second
        };
        let read = |number: u64| any_number(&number.to_string());
        assert_eq!(read(number(WINDOW.start)), Some(format!("{FIRST_YEAR}-01-01T00:00:00Z")));
        assert_eq!(read(number(WINDOW.end) - 1), Some(format!("{}-12-31T23:59:59Z", END_YEAR - 1)));
        assert_eq!(read(number(WINDOW.start) - 1), None);
        assert_eq!(read(number(WINDOW.end)), None);
    }
}

/// The window of each unit is an interval of numbers; sorted, each ends before the next begins.
#[test]
fn no_number_fits_two_units() {
    let mut windows: Vec<(u128, u128)> = UNITS
        .iter()
        .map(|unit| {
            let number = |seconds: i64| {
                let since_zero = u128::try_from(seconds + unit.zero_before_1970).expect("positive");
                since_zero * u128::from(unit.in_a_second)
            };
            (number(WINDOW.start), number(WINDOW.end))
        })
        .collect();
    windows.sort_unstable();
    for pair in windows.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{pair:?}");
    }
    assert!(windows.iter().all(|(_, end)| end.to_string().len() <= DIGITS_MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_moment_reads_the_same_in_every_form(seconds in WINDOW, finer in 0_u64..1_000_000_000) {
        let expected = shown(OffsetDateTime::from_unix_timestamp(seconds).expect("in range"));
        for unit in &UNITS {
            let number = u64::try_from(seconds + unit.zero_before_1970).expect("positive") * unit.in_a_second
                + finer / (1_000_000_000 / unit.in_a_second);
            prop_assert_eq!(any_number(&number.to_string()), expected.clone());
        }
        let text = expected.clone().expect("a time");
        let spaced = text.replace('T', " ").replace('Z', &format!(".{finer:09}"));
        prop_assert_eq!(any_text(&spaced), expected);
    }

    #[test]
    fn whatever_is_written_the_answer_is_a_time_or_none(
        written in prop_oneof![".{0,40}", "[0-9]{4}-[0-9]{2}-[0-9]{2}[T t][0-9:.]{0,20}[Zz+-]?[0-9:]{0,6}", "[0-9.eE+-]{0,30}"],
    ) {
        for time in [any_text(&written), any_number(&written)].into_iter().flatten() {
            prop_assert!(is_seconds_utc(&time), "{} became {}", written, time);
        }
    }
}
