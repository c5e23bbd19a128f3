//! What a request tells of its caller's time and attempts, written and read back.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_retry::Instant;
use mesh_retry::deadline::header::{ATTEMPT, GRPC_PREVIOUS_ATTEMPTS, GRPC_TIMEOUT, REMAINING_MS, Value};
use mesh_retry::deadline::{Deadline, GrpcTimeout, Told};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_meshs_headers_tell_whole_milliseconds_and_the_number() {
    let told = Told::new(Some(Duration::from_micros(250_999)), NonZeroU32::new(1));
    assert_eq!(texts(told.headers()), [(REMAINING_MS, "250".to_owned()), (ATTEMPT, "1".to_owned())]);
    let told = Told::new(None, NonZeroU32::new(3));
    assert_eq!(texts(told.headers()), [(ATTEMPT, "3".to_owned())]);
    let told = Told::new(Some(Duration::ZERO), None);
    assert_eq!(texts(told.headers()), [(REMAINING_MS, "0".to_owned())], "no time is not the same as no word");
    assert_eq!(texts(Told::default().headers()), []);
}

#[test]
fn grpcs_headers_tell_the_attempts_before_and_nothing_of_them_for_the_first() {
    let told = |attempt| Told::new(Some(Duration::from_millis(250)), NonZeroU32::new(attempt));
    let timeout = (GRPC_TIMEOUT, "250000u".to_owned());
    assert_eq!(texts(told(1).grpc_headers()), std::slice::from_ref(&timeout));
    assert_eq!(texts(told(2).grpc_headers()), [timeout.clone(), (GRPC_PREVIOUS_ATTEMPTS, "1".to_owned())]);
    assert_eq!(texts(told(u32::MAX).grpc_headers())[1].1, "4294967294");
    assert_eq!(texts(told(0).grpc_headers()), [timeout]);
    assert_eq!(texts(Told::new(None, NonZeroU32::new(2)).grpc_headers()), [(GRPC_PREVIOUS_ATTEMPTS, "1".to_owned())]);
    assert_eq!(texts(Told::default().grpc_headers()), []);
}

#[test]
fn the_text_of_a_value_is_padded_like_a_number() {
    assert_eq!(format!("{:>5}", Value::from(7)), "    7");
    assert_eq!(Value::from(GrpcTimeout::from_remaining(Duration::from_secs(1))).to_string(), "1000000u");
}

#[test]
fn pairs_are_read_whatever_their_case_their_order_and_what_else_is_there() {
    let read = |pairs: &[(&str, &str)]| Told::read_pairs(pairs.iter().copied());
    let told = Told::new(Some(Duration::from_millis(90)), NonZeroU32::new(2));
    assert_eq!(read(&[("Host", "api"), ("Mesh-Attempt", "2"), ("MESH-REMAINING-MS", "90")]), told);
    assert_eq!(read(&[("Grpc-Timeout", "90m"), ("grpc-previous-rpc-attempts", "1"), ("x", "y")]), told);
    assert_eq!(read(&[("mesh-remaining", "90"), ("xmesh-attempt", "2"), ("", "1")]), Told::default());
}

#[test]
fn of_headers_that_come_twice_the_shortest_time_and_the_first_number_count() {
    let read = |pairs: &[(&str, &str)]| {
        let told = Told::read_pairs(pairs.iter().copied());
        (told.remaining.map(|remaining| remaining.as_millis()), told.attempt.map(NonZeroU32::get))
    };
    assert_eq!(read(&[(REMAINING_MS, "90"), (REMAINING_MS, "30"), (REMAINING_MS, "60")]), (Some(30), None));
    assert_eq!(read(&[(ATTEMPT, "4"), (ATTEMPT, "2")]), (None, Some(4)));
    assert_eq!(read(&[(ATTEMPT, "none"), (ATTEMPT, "2")]), (None, Some(2)), "what is malformed was not said");
    assert_eq!(read(&[(GRPC_PREVIOUS_ATTEMPTS, "8"), (ATTEMPT, "2")]), (None, Some(2)), "the mesh's own counts");
}

#[test]
fn bytes_that_are_no_text_are_not_said() {
    let pairs = [(REMAINING_MS.as_bytes(), b"\xff90".as_slice()), (b"\xff", b"1"), (ATTEMPT.as_bytes(), b"2")];
    assert_eq!(Told::read_pairs(pairs), Told::new(None, NonZeroU32::new(2)));
}

#[test]
fn a_time_beyond_every_clock_is_no_deadline() {
    let now = Instant::from_millis(5);
    for (name, value) in [(REMAINING_MS, "99999999999999999999999"), (GRPC_TIMEOUT, "99999999H")] {
        let told = Told::read_pairs([(name, value)]);
        assert!(told.remaining.is_some() && told.deadline(now) == Deadline::NEVER, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(10),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_one_side_tells_the_other_reads_and_never_more_time(
        remaining in proptest::option::of((0..64_u32, any::<u64>())),
        attempt: u32,
    ) {
        let remaining = remaining.map(|(shift, nanos)| Duration::from_nanos(nanos >> shift));
        let told = Told::new(remaining, NonZeroU32::new(attempt));
        let (mesh, grpc) = (texts(told.headers()), texts(told.grpc_headers()));
        let both = mesh.iter().chain(&grpc).cloned();
        for headers in [mesh.clone(), grpc.clone(), both.collect()] {
            let read = Told::read_pairs(headers.iter().map(|(name, value)| (*name, value)));
            let looked_up = Told::read(|name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()));
            prop_assert_eq!(read, looked_up);
            prop_assert_eq!(read.remaining.is_some(), remaining.is_some());
            prop_assert!(read.remaining <= remaining);
        }
        prop_assert_eq!(Told::read_pairs(mesh).attempt, NonZeroU32::new(attempt));
        let first = if attempt > 1 { NonZeroU32::new(attempt) } else { None };
        prop_assert_eq!(Told::read_pairs(grpc).attempt, first);
    }

    #[test]
    fn along_a_chain_nobody_has_more_time_than_the_first(
        first in 0..60_000_000_000_u64,
        hops in proptest::collection::vec((0..2_000_000_000_u64, 0..60_000_000_000_u64, any::<bool>()), 1..8),
    ) {
        // One clock for all, so that times can be compared; each learns of the time by headers alone.
        let mut now = Instant::from_millis(1000);
        let end = Deadline::after(now, Duration::from_nanos(first));
        let mut deadline = end;
        for (took, own, by_grpc) in hops {
            let told = Told::new(deadline.remaining(now), NonZeroU32::new(1));
            let headers = if by_grpc { texts(told.grpc_headers()) } else { texts(told.headers()) };
            let arrived = Told::read_pairs(headers).deadline(now);
            prop_assert!(arrived <= deadline || deadline.has_passed(now));
            prop_assert!(arrived <= end.max(Deadline::at(now)));
            deadline = arrived.min(Deadline::after(now, Duration::from_nanos(own)));
            now += Duration::from_nanos(took);
        }
    }
}

fn texts(headers: impl Iterator<Item = (&'static str, Value)>) -> Vec<(&'static str, String)> {
    headers.map(|(name, value)| (name, value.to_string())).collect()
}
