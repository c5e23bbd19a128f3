//! Deadlines: what is left of them, and how they are told and read.

use core::time::Duration;

use mesh_retry::Instant;
use mesh_retry::deadline::header::{ATTEMPT, GRPC_PREVIOUS_ATTEMPTS, GRPC_TIMEOUT, REMAINING_MS, remaining_ms};
use mesh_retry::deadline::{Deadline, GrpcTimeout, Told};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn a_deadline_leaves_less_and_less_and_then_nothing() {
    let deadline = Deadline::after(at(1000), ms(500));
    assert_eq!((deadline, deadline.instant()), (Deadline::at(at(1500)), Some(at(1500))));
    let left = [1000, 1499, 1500, 2000].map(|now| deadline.remaining(at(now)));
    assert_eq!(left, [Some(ms(500)), Some(ms(1)), Some(ms(0)), Some(ms(0))]);
    assert_eq!([1499, 1500, 1501].map(|now| deadline.has_passed(at(now))), [false, true, true]);
}

#[test]
fn never_stays_never() {
    let never = Deadline::default();
    assert_eq!((never, never.instant(), never.remaining(Instant::MAX)), (Deadline::NEVER, None, None));
    assert!(!never.has_passed(Instant::MAX));
    assert_eq!(never.child(ms(1000)), never);
    assert_eq!(Deadline::after(at(1), Duration::MAX), never);
    assert_eq!(Deadline::at(Instant::MAX), never);
}

#[test]
fn of_two_deadlines_the_earlier_counts() {
    let (soon, late) = (Deadline::at(at(10)), Deadline::at(at(20)));
    assert_eq!((soon.min(late), late.min(soon), late.min(Deadline::NEVER)), (soon, soon, late));
}

#[test]
fn a_child_ends_earlier_by_its_margin() {
    let deadline = Deadline::at(at(1000));
    assert_eq!(deadline.child(ms(50)), Deadline::at(at(950)));
    assert_eq!(deadline.child(ms(5000)), Deadline::at(Instant::ZERO), "there is no time for it");
}

#[test]
fn an_attempt_takes_no_longer_than_its_timeout_and_what_is_left() {
    let deadline = Deadline::at(at(1000));
    assert_eq!(deadline.limit(at(400), Some(ms(100))), Some(ms(100)));
    assert_eq!(deadline.limit(at(950), Some(ms(100))), Some(ms(50)));
    assert_eq!(deadline.limit(at(400), None), Some(ms(600)));
    assert_eq!(Deadline::NEVER.limit(at(400), Some(ms(100))), Some(ms(100)));
    assert_eq!(Deadline::NEVER.limit(at(400), None), None);
}

#[test]
fn grpcs_timeout_is_told_in_the_finest_unit_that_holds_it() {
    let cases = [
        (0, "0n"),
        (1, "1n"),
        (99_999_999, "99999999n"),
        (100_000_000, "100000u"),
        (100_000_999, "100000u"),
        (99_999_999_999, "99999999u"),
        (100_000_000_000, "100000m"),
        (99_999_999_999_999, "99999999m"),
        (100_000_000_000_000, "100000S"),
        (99_999_999_999_999_999, "99999999S"),
        (100_000_000_000_000_000, "1666666M"),
    ];
    for (nanos, text) in cases {
        assert_eq!(GrpcTimeout::from_remaining(Duration::from_nanos(nanos)).to_string(), text, "{nanos} ns");
    }
    let minutes = |count: u64| Duration::from_secs(60 * count);
    assert_eq!(GrpcTimeout::from_remaining(minutes(99_999_999)).to_string(), "99999999M");
    assert_eq!(GrpcTimeout::from_remaining(minutes(100_000_000)).to_string(), "1666666H");
    assert_eq!(GrpcTimeout::from_remaining(Duration::MAX).to_string(), "99999999H");
}

#[test]
fn grpcs_timeout_is_read_as_one_to_eight_digits_and_a_unit() {
    let read = |text| GrpcTimeout::parse(text).map(GrpcTimeout::duration);
    let cases = [
        ("1n", Duration::from_nanos(1)),
        ("20u", Duration::from_micros(20)),
        ("300m", ms(300)),
        ("4S", Duration::from_secs(4)),
        ("5M", Duration::from_secs(300)),
        ("6H", Duration::from_secs(21_600)),
        ("0S", Duration::ZERO),
        ("00000007m", ms(7)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ("99999999u", Duration::from_micros(99_999_999)),
    ];
    for (text, duration) in cases {
        assert_eq!(read(text), Some(duration), "{text}");
    }
    for text in [
        "",
        "n",
        "S",
        "1",
        "1s",
        "1h",
        "1N",
        "1 S",
        " 1S",
        "1S ",
        "-1S",
        "+1S",
        "1.5S",
        "100000000n",
        "1ms",
        "٣S",
        "1µ",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn milliseconds_are_told_rounded_down() {
    assert_eq!([0, 999_999, 1_000_000, 1_999_999].map(|nanos| remaining_ms(Duration::from_nanos(nanos))), [0, 0, 1, 1]);
    assert_eq!(remaining_ms(Duration::MAX), u64::MAX);
}

#[test]
fn a_request_is_read_by_whichever_headers_it_has() {
    let read = |headers: &[(&str, &'static str)]| {
        let told = Told::read(|name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value));
        (told.remaining.map(|remaining| remaining.as_millis()), told.attempt.map(|attempt| attempt.get()))
    };
    assert_eq!(read(&[]), (None, None));
    assert_eq!(read(&[("grpc-timeout", "250m")]), (Some(250), None));
    assert_eq!(read(&[("mesh-remaining-ms", "900"), ("mesh-attempt", "2")]), (Some(900), Some(2)));
    assert_eq!(read(&[(REMAINING_MS, "900"), (GRPC_TIMEOUT, "250m")]), (Some(250), None));
    assert_eq!(read(&[(REMAINING_MS, "100"), (GRPC_TIMEOUT, "250m")]), (Some(100), None));
    assert_eq!(read(&[(REMAINING_MS, "soon"), (GRPC_TIMEOUT, "250m")]), (Some(250), None));
    assert_eq!(read(&[(REMAINING_MS, "100"), (GRPC_TIMEOUT, "250ms")]), (Some(100), None));
    assert_eq!(read(&[("grpc-previous-rpc-attempts", "2")]), (None, Some(3)));
    assert_eq!(read(&[(GRPC_PREVIOUS_ATTEMPTS, "7"), (ATTEMPT, "2")]), (None, Some(2)));
    for none in ["0", "", "-1", "first", "4294967296", "18446744073709551616"] {
        assert_eq!(read(&[(ATTEMPT, none)]), (None, None), "{none}");
    }
    assert_eq!(read(&[(ATTEMPT, "4294967295")]), (None, Some(u32::MAX)));
    assert_eq!(read(&[(GRPC_PREVIOUS_ATTEMPTS, "18446744073709551615")]), (None, None));
}

#[test]
fn the_deadline_of_a_request_counts_from_its_arrival() {
    let told = Told::read(|name| (name == GRPC_TIMEOUT).then_some("250m"));
    assert_eq!(told.deadline(at(1000)), Deadline::at(at(1250)));
    assert_eq!(Told::default().deadline(at(1000)), Deadline::NEVER);
    let own = Deadline::after(at(1000), ms(100));
    assert_eq!(told.deadline(at(1000)).min(own), own);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(10),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_told_is_read_back_and_never_more_than_what_is_left(remaining in any_duration()) {
        let timeout = GrpcTimeout::from_remaining(remaining);
        let text = timeout.to_string();
        prop_assert!(text.len() <= 9);
        prop_assert_eq!(GrpcTimeout::parse(&text), Some(timeout));
        let read = timeout.duration();
        prop_assert!(read <= remaining);
        // What is lost is less than a unit, which is at most a hundred-thousandth of the whole.
        let longest = Duration::from_secs(99_999_999 * 3600);
        prop_assert!(remaining > longest || remaining - read <= remaining / 100_000, "{remaining:?} was told as {text}");
        prop_assert!(Duration::from_millis(remaining_ms(remaining)) <= remaining);
    }

    #[test]
    fn a_callee_never_has_more_time_than_its_caller(at: u64, remaining in any_duration(), took: u32, margin: u32) {
        let now = Instant::from_nanos(at);
        let deadline = Deadline::after(now, remaining);
        let child = deadline.child(Duration::from_nanos(u64::from(margin)));
        let Some(left) = child.remaining(now) else { return Ok(()) };
        let (grpc, mesh) = (GrpcTimeout::from_remaining(left).to_string(), remaining_ms(left).to_string());
        let arrived = now + Duration::from_nanos(u64::from(took));
        // The callee's clock runs from the arrival: what the way took is the one thing that it cannot know.
        for (name, value) in [(GRPC_TIMEOUT, &grpc), (REMAINING_MS, &mesh)] {
            let told = Told::read(|key| (key == name).then_some(value.as_str()));
            let theirs = told.deadline(arrived).remaining(arrived).unwrap_or(Duration::MAX);
            prop_assert!(theirs <= left && left <= remaining);
        }
    }

    #[test]
    fn every_header_means_something(timeout in any_text(), millis in any_text(), attempt in any_text(), before in any_text()) {
        let told = Told::read(|name| Some(match name {
            GRPC_TIMEOUT => timeout.as_str(),
            REMAINING_MS => millis.as_str(),
            ATTEMPT => attempt.as_str(),
            _ => before.as_str(),
        }));
        let _ = told.deadline(Instant::MAX);
        if let Some(read) = GrpcTimeout::parse(&timeout) {
            prop_assert!(read.duration() <= Duration::from_secs(99_999_999 * 3600));
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[0-9]{0,10}[HMSmun]?", "[ 0-9+-]{0,24}"]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    let nanos = (0..64_u32, any::<u64>()).prop_map(|(shift, nanos)| Duration::from_nanos(nanos >> shift));
    prop_oneof![20 => nanos, 1 => any::<u64>().prop_map(Duration::from_secs), 1 => Just(Duration::MAX)]
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
