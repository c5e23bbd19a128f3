//! What an HTTP check may say and expect, how often a check comes in which state, and what only the mesh can run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::health::{ProbeFailure, ProbeVerdict};
use mesh_core::service::{
    CheckKind, CheckMethod, CheckRunner, CheckStanding, ConfigError, HeaderValue, HealthCheck, HealthCheckBuilder,
    HttpCheck, StatusRange,
};

#[test]
fn a_header_has_a_name_that_is_a_token_and_not_the_checks_own() {
    let longest = "n".repeat(64);
    for name in ["Authorization", "x-api-key", "a!#$%&'*+-.^_`|~9", &longest] {
        let check = http(HealthCheck::http("/").header(name, "v"));
        let (kept, _) = check.headers().next().unwrap();
        assert_eq!(kept.as_str(), name.to_ascii_lowercase());
    }
    let too_long = format!("{longest}n");
    for name in ["", "a b", "a:", "é", "a\r\nb", "a\0", "a\t", "(a)", "a,b", &too_long] {
        assert_eq!(field(HealthCheck::http("/").header(name, "v")), "header", "{name:?}");
    }
    for name in ["Host", "host", "CONNECTION", "Transfer-Encoding", "content-length"] {
        let error = HealthCheck::http("/").header(name, "v").build_for_any().unwrap_err();
        let rule = "must not be host, connection, transfer-encoding or content-length, which are the check's own";
        assert_eq!(error.to_string(), format!("header: {name} is not allowed: {rule}"));
    }
}

#[test]
fn a_headers_value_can_add_no_line_and_is_printable() {
    let longest = "v".repeat(1024);
    for value in ["", "Bearer a.b-c", "a\"b;c=d ~", &longest] {
        let check = http(HealthCheck::http("/").header("a", value));
        assert_eq!(check.headers().next().unwrap().1.reveal(), value);
    }
    let too_long = format!("{longest}v");
    for value in ["a\r\nX-Admin: 1", "a\nb", "\r", "a\0", "a\tb", "a\u{7f}", "é", " a", "a ", &too_long] {
        assert_eq!(field(HealthCheck::http("/").header("a", value)), "headers", "{value:?}");
    }
    let error = HeaderValue::try_from("a\r\nb").unwrap_err();
    assert_eq!(error.problems()[0].rule(), "must not hold CR or LF, which would inject a header");
}

#[test]
fn the_value_of_a_header_is_in_no_debug_output_and_no_error() {
    let secret = "hunter2";
    let good = HealthCheck::http("/").header("authorization", secret);
    assert!(!format!("{good:?}").contains(secret));
    let check = good.clone().build_for_any().unwrap();
    assert!(!format!("{check:?}").contains(secret) && check.has_secrets());
    assert!(!HealthCheck::http("/").build_for_any().unwrap().has_secrets());
    for wrong in [
        HealthCheck::http("/").header("authorization", "hunter2\n"),
        HealthCheck::http("/").header("a b", secret),
        HealthCheckBuilder::from(check).interval(Duration::ZERO),
        HealthCheck::tcp().header("authorization", secret),
    ] {
        assert!(!format!("{wrong:?}").contains(secret));
        let error = wrong.build_for_any().unwrap_err();
        assert!(!error.to_string().contains(secret) && !format!("{error:?}").contains(secret), "{error}");
    }
}

#[test]
fn there_are_at_most_16_headers_and_a_name_given_twice_counts_once() {
    let of = |count: usize| (0..count).fold(HealthCheck::http("/"), |check, at| check.header(format!("x-{at}"), "v"));
    assert_eq!(http(of(16)).headers().count(), 16);
    assert_eq!(
        http(of(16).header("X-3", "last")).headers().find(|(name, _)| name.as_str() == "x-3").unwrap().1.reveal(),
        "last"
    );
    let error = of(17).build_for_any().unwrap_err();
    assert_eq!(error.to_string(), "headers: 17 is not allowed: must be at most 16");
}

#[test]
fn expected_statuses_are_ranges_within_200_to_599() {
    let check = http(HealthCheck::http("/"));
    assert_eq!([199, 200, 299, 300, 429].map(|status| check.expects(status)), [false, true, true, false, false]);
    let check = http(HealthCheck::http("/").expect_status(204).expect_status(300..=399).expect_status("401-403"));
    let expected = [200, 204, 205, 299, 300, 399, 400, 401, 403, 404].map(|status| check.expects(status));
    assert_eq!(expected, [false, true, false, false, true, true, false, true, true, false]);
    for text in [
        "",
        "-",
        "20",
        "2000",
        "200-",
        "-299",
        "+200",
        "2e2",
        "299-200",
        "199",
        "100-299",
        "600",
        "200-600",
        "200-299-300",
        "200 - 299",
    ] {
        assert_eq!(field(HealthCheck::http("/").expect_status(text)), "expected_statuses", "{text:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
    for range in [300..=200, 199..=299, 500..=600, 0..=u16::MAX] {
        let error = HealthCheck::http("/").expect_status(range.clone()).build_for_any().unwrap_err();
        let rule = "must be a status or two, the lesser first, within 200-599";
        let shown = format!("{}-{}", range.start(), range.end());
        assert_eq!(error.to_string(), format!("expected_statuses: {shown} is not allowed: {rule}"));
    }
    let of = |count: u16| (0..count).fold(HealthCheck::http("/"), |check, at| check.expect_status(200 + at));
    assert!(of(16).build_for_any().is_ok());
    assert_eq!(field(of(17)), "expected_statuses");
    assert_eq!(StatusRange::SUCCESS.to_string(), "200-299");
    assert_eq!(StatusRange::try_from(204).unwrap().to_string(), "204");
}

#[test]
fn a_status_passes_where_it_is_expected_and_429_warns_where_it_is_not() {
    let failed = |status| ProbeVerdict::Failed(ProbeFailure::Status(status));
    let of = |check: &HttpCheck, status, degraded| ProbeVerdict::of_http(check, status, degraded);
    let usual = http(HealthCheck::http("/"));
    for (status, verdict) in [
        (200, ProbeVerdict::Passed),
        (299, ProbeVerdict::Passed),
        (429, ProbeVerdict::Warned),
        (302, failed(302)),
        (503, failed(503)),
    ] {
        assert_eq!(of(&usual, status, false), verdict);
    }
    let busy = http(HealthCheck::http("/").expect_status(429).expect_status(503));
    for (status, verdict) in [(200, failed(200)), (429, ProbeVerdict::Passed), (503, ProbeVerdict::Passed)] {
        assert_eq!(of(&busy, status, false), verdict);
    }
    for (status, verdict) in [(200, ProbeVerdict::Warned), (429, ProbeVerdict::Warned), (503, failed(503))] {
        assert_eq!(of(&usual, status, true), verdict, "degraded");
    }
}

#[test]
fn a_part_of_a_body_has_1_to_1024_bytes_and_is_not_asked_of_head() {
    let longest = "b".repeat(1024);
    for part in ["x", "\"status\": \"UP\"", "\r\n", &longest] {
        assert_eq!(http(HealthCheck::http("/").expect_body(part)).expected_body().unwrap().as_str(), part);
    }
    let too_long = format!("{longest}b");
    for part in ["", &too_long] {
        assert_eq!(field(HealthCheck::http("/").expect_body(part)), "expected_body");
    }
    let error = HealthCheck::http("/").method(CheckMethod::Head).expect_body("ok").build_for_any().unwrap_err();
    let rule = "must not be asked of HEAD, whose answers have no body";
    assert_eq!(error.to_string(), format!("expected_body: ok is not allowed: {rule}"));
}

#[test]
fn only_an_http_check_expects_anything_of_http() {
    for (name, wrong) in [
        ("headers", HealthCheck::tcp().header("a", "b")),
        ("expected_statuses", HealthCheck::grpc().expect_status(200)),
        ("expected_body", HealthCheck::own().expect_body("ok")),
        ("degraded_header", HealthCheck::ttl(SECOND).degraded_header("x-degraded")),
        ("header", HealthCheck::http("/").degraded_header("x degraded")),
        ("immediate_on_status", HealthCheck::tcp().immediate_on_status(true)),
        ("immediate_on_status", HealthCheck::ttl(SECOND).immediate_on_status(true)),
        ("run_by", HealthCheck::own().run_by(CheckRunner::Registry)),
    ] {
        assert_eq!(field(wrong), name);
    }
}

#[test]
fn every_interval_keeps_the_rule_of_the_interval() {
    let day = SECOND * 86_400;
    for (name, set) in INTERVALS {
        for (runner, least) in [(CheckRunner::Registry, 1000), (CheckRunner::Mesh, 10)] {
            let least = Duration::from_millis(least);
            let of = |interval| set(HealthCheck::tcp().run_by(runner), interval);
            assert!(of(least).build_for_any().is_ok() && of(day).build_for_any().is_ok());
            for wrong in [Duration::ZERO, least - NANO, day + NANO, Duration::MAX] {
                assert_eq!(field(of(wrong)), name, "{wrong:?}");
            }
        }
    }
}

/// Each row: unhealthy, edge and no traffic interval, where given; then the interval after a check, first of an
/// instance that is up, then of one that is down: settled, counting, settled without traffic, counting without it.
#[test]
fn intervals_take_precedence_as_envoys_do_and_are_no_traffics_only_for_what_may_be_picked() {
    for (given, up, down) in [
        ([None, None, None], [1, 1, 1, 1], [1, 1, 1, 1]),
        ([Some(2), None, None], [1, 1, 1, 1], [2, 2, 2, 2]),
        ([None, Some(3), None], [1, 3, 1, 3], [1, 3, 1, 3]),
        ([Some(2), Some(3), None], [1, 3, 1, 3], [2, 3, 2, 3]),
        ([None, None, Some(4)], [1, 1, 4, 4], [1, 1, 1, 1]),
        ([Some(2), Some(3), Some(4)], [1, 3, 4, 4], [2, 3, 2, 3]),
    ] {
        let start = HealthCheck::tcp().interval(SECOND);
        let check = INTERVALS.iter().zip(given).fold(start, |check, ((_, set), seconds)| match seconds {
            Some(seconds) => set(check, SECOND * seconds),
            None => check,
        });
        let check = check.build_for_any().unwrap();
        for (is_up, expected) in [(true, up), (false, down)] {
            let standings = [(false, true), (true, true), (false, false), (true, false)];
            let after = standings.map(|(is_counting, has_traffic)| {
                check.interval_after(CheckStanding { is_up, is_counting, has_traffic })
            });
            assert_eq!(after, expected.map(|seconds| SECOND * seconds), "{given:?}, up: {is_up}");
        }
    }
}

#[test]
fn what_only_the_mesh_can_run_is_named() {
    let http = || HealthCheck::http("/");
    for (wanted, check) in [
        (None, http().header("authorization", "a").host_header("h").rise(NonZeroU32::MIN)),
        (None, HealthCheck::grpc()),
        (Some("expected_statuses"), http().expect_status(200..=299)),
        (Some("expected_body"), http().expect_body("ok")),
        (Some("degraded_header"), http().degraded_header("x-degraded")),
        (Some("unhealthy_interval"), HealthCheck::tcp().unhealthy_interval(SECOND)),
        (Some("edge_interval"), HealthCheck::grpc().edge_interval(SECOND)),
        (Some("no_traffic_interval"), HealthCheck::tcp().no_traffic_interval(SECOND)),
        (Some("immediate_on_status"), http().immediate_on_status(true)),
        (Some("kind"), HealthCheck::own()),
    ] {
        let check = check.build_for_any().unwrap();
        assert_eq!(check.needs_mesh(), wanted);
        assert_eq!(HealthCheckBuilder::from(check.clone()).build_for_any().unwrap(), check);
    }
}

#[test]
fn ones_own_check_is_the_meshs_with_its_thresholds() {
    let check = HealthCheck::own().build_for_any().unwrap();
    assert_eq!((check.kind().as_str(), check.run_by()), ("own", CheckRunner::Mesh));
    assert_eq!((check.rise().get(), check.fall().get()), (2, 3));
}

fn http(check: HealthCheckBuilder) -> HttpCheck {
    let check = check.build_for_any().unwrap();
    let CheckKind::Http(http) = check.kind() else { panic!("{check:?}") };
    http.clone()
}

fn field(check: HealthCheckBuilder) -> &'static str {
    let refused: ConfigError = check.build_for_any().unwrap_err();
    refused.problems()[0].field()
}

type Setter = fn(HealthCheckBuilder, Duration) -> HealthCheckBuilder;

const INTERVALS: [(&str, Setter); 3] = [
    ("unhealthy_interval", HealthCheckBuilder::unhealthy_interval),
    ("edge_interval", HealthCheckBuilder::edge_interval),
    ("no_traffic_interval", HealthCheckBuilder::no_traffic_interval),
];
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
