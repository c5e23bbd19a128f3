//! Announced waits, pushbacks and HTTP dates: what each text means, and that every text means something.

use core::time::Duration;

use mesh_retry::classify::{
    Class, Failure, FinalBy, GrpcCode, Pushback, parse_amz_retry_after, parse_http_date, parse_retry_after,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Of `date -u -d '1994-11-06 08:49:37' +%s`, the example of RFC 9110.
const EXAMPLE: u64 = 784_111_777;

#[test]
fn the_three_forms_of_the_example_are_the_same_time() {
    let forms = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
    for form in forms {
        assert_eq!(parse_http_date(form, None), Some(EXAMPLE), "{form}");
        assert_eq!(parse_http_date(&format!(" {form}\t"), Some(EXAMPLE)), Some(EXAMPLE), "{form}");
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    let cases = [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 1),
        ("Wed, 31 Dec 1969 23:59:59 GMT", 0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
        ("Thu, 29 Feb 2024 12:34:56 GMT", 1_709_210_096),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 946_684_799),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Fri Dec 31 23:59:59 1999", 946_684_799),
    ];
    for (date, seconds) in cases {
        assert_eq!(parse_http_date(date, None), Some(seconds), "{date}");
    }
}

#[test]
fn what_is_no_date_is_refused() {
    for text in [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sün, 06 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(parse_http_date(text, Some(EXAMPLE)), None, "{text}");
    }
}

#[test]
fn two_digits_are_the_latest_year_that_is_no_more_than_fifty_years_on() {
    let year = |two_digits: &str, now: Option<u64>| {
        let seconds = parse_http_date(&format!("Monday, 01-Jul-{two_digits} 00:00:00 GMT"), now).unwrap();
        1970 + seconds / 31_556_952
    };
    for (two_digits, expected) in [("70", 1970), ("99", 1999), ("00", 2000), ("69", 2069)] {
        assert_eq!(year(two_digits, None), expected);
    }
    let first_of_july_2026 = Some(1_782_864_000);
    for (two_digits, expected) in [("26", 2026), ("75", 2075), ("77", 1977), ("94", 1994), ("00", 2000)] {
        assert_eq!(year(two_digits, first_of_july_2026), expected);
    }
    // 50 years and a day before and after: the same digits mean another century.
    assert_eq!(year("76", Some(1_782_864_000 + 86_400)), 2076);
    assert_eq!(parse_http_date("Monday, 01-Jul-76 00:00:00 GMT", Some(1_782_864_000 - 2 * 86_400)), Some(205_027_200));
    let far = parse_http_date("Monday, 01-Jul-76 00:00:00 GMT", Some(u64::MAX));
    assert!(far.is_some(), "a clock that is far off does not matter");
}

#[test]
fn retry_after_is_read_as_whole_seconds() {
    let cases = [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 3\t", Some(3)),
        ("007", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", Some(u64::MAX)),
        ("", None),
        (" ", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 2", None),
        ("1s", None),
        ("٣", None),
        ("1\n", None),
    ];
    for (value, seconds) in cases {
        for now in [None, Some(EXAMPLE)] {
            assert_eq!(parse_retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}

#[test]
fn retry_after_is_read_as_a_date_where_the_time_is_known() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let wait = |now| parse_retry_after(date, now);
    assert_eq!(wait(None), None);
    assert_eq!(wait(Some(EXAMPLE - 90)), Some(Duration::from_secs(90)));
    assert_eq!(wait(Some(EXAMPLE)), Some(Duration::ZERO));
    assert_eq!(wait(Some(EXAMPLE + 1)), Some(Duration::ZERO));
    assert_eq!(wait(Some(u64::MAX)), Some(Duration::ZERO));
    // The answer's own date, of a server whose clock is years off.
    let sent = parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT", Some(1_782_864_000));
    assert_eq!(wait(sent), Some(Duration::from_secs(37)));
}

#[test]
fn amazons_header_is_in_milliseconds() {
    assert_eq!(parse_amz_retry_after("1500"), Some(Duration::from_millis(1500)));
    assert_eq!(parse_amz_retry_after("0"), Some(Duration::ZERO));
    for text in ["", "-1", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        assert_eq!(parse_amz_retry_after(text), None, "{text}");
    }
}

#[test]
fn a_pushback_is_a_number_of_milliseconds_or_never() {
    let after = |millis| Pushback::After(Duration::from_millis(millis));
    let cases = [
        ("0", after(0)),
        ("250", after(250)),
        ("2147483647", after(2_147_483_647)),
        ("2147483648", Pushback::Never),
        ("-1", Pushback::Never),
        ("-0", Pushback::Never),
        ("", Pushback::Never),
        ("soon", Pushback::Never),
        ("1.5", Pushback::Never),
        ("100,200", Pushback::Never),
    ];
    for (value, expected) in cases {
        assert_eq!(Pushback::parse(value), expected, "{value:?}");
    }
}

#[test]
fn a_pushback_changes_failures_that_are_retried_and_nothing_else() {
    let wait = Duration::from_millis(250);
    let throttled = Class::Throttled { retry_after: Some(wait) };
    for class in [Class::Transient, Class::Unreachable, Class::Throttled { retry_after: None }] {
        assert_eq!(class.with_pushback(Pushback::After(wait)), throttled);
        let failure = class.failure().unwrap();
        assert_eq!(class.with_pushback(Pushback::Never), Class::Final { failure, by: FinalBy::Callee });
    }
    let not_retried = Class::Final { failure: Failure::Transient, by: FinalBy::Code };
    for class in [Class::Success, Class::Permanent, not_retried] {
        for pushback in [Pushback::After(wait), Pushback::Never] {
            assert_eq!(class.with_pushback(pushback), class);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(9),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_text_means_something(text in any_text(), now: Option<u64>) {
        let _ = (parse_retry_after(&text, now), parse_http_date(&text, now), parse_amz_retry_after(&text));
        let _ = (Pushback::parse(&text), GrpcCode::parse(&text));
    }

    #[test]
    fn a_date_with_characters_changed_means_something(
        form in 0..3_usize,
        changes in prop::collection::vec((0..33_usize, any::<char>()), 1..4),
        now: Option<u64>,
    ) {
        let mut text: Vec<char> = forms(EXAMPLE)[form].chars().collect();
        for (at, with) in changes {
            if let Some(place) = text.get_mut(at) {
                *place = with;
            }
        }
        let _ = parse_http_date(&text.into_iter().collect::<String>(), now);
    }

    #[test]
    fn a_date_that_is_written_is_read_back_in_all_three_forms(seconds in 0..253_402_300_800_u64) {
        for (form, text) in forms(seconds).iter().enumerate() {
            let read = parse_http_date(text, Some(seconds));
            prop_assert_eq!(read, Some(seconds), "form {}: {}", form, text);
        }
        prop_assert_eq!(parse_retry_after(&forms(seconds)[0], Some(0)), Some(Duration::from_secs(seconds)));
    }

    #[test]
    fn a_number_of_seconds_is_read_back(seconds: u64) {
        prop_assert_eq!(parse_retry_after(&seconds.to_string(), None), Some(Duration::from_secs(seconds)));
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9,+. -]{0,40}",
        "(Sun|Mon|Sunday|Monday)[, ]{1,2}[0-9]{1,2}[- ](Jan|Feb|Dec)[- ][0-9]{2,4} [0-9]{1,2}:[0-9]{2}:[0-9]{2} (GMT)?",
        "(Sun|Mon) (Jan|Feb) [ 0-9]{1,2} [0-9]{1,2}:[0-9]{2}:[0-9]{2} [0-9]{1,5}",
    ]
}

/// The three forms of a time, by counting the days one by one.
fn forms(seconds: u64) -> [String; 3] {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let weekday = (days + 3) % 7;
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let long = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][weekday as usize];
    let (short, day) = (&long[..3], days + 1);
    let time = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    [
        format!("{short}, {day:02} {month} {year:04} {time} GMT"),
        format!("{long}, {day:02}-{month}-{:02} {time} GMT", year % 100),
        format!("{short} {month} {day:2} {time} {year:04}"),
    ]
}
