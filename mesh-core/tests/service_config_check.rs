//! What a health check may ask, how often, and of whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::service::{
    CheckKind, CheckMethod, CheckRunner, ConfigError, HealthCheck, HealthCheckBuilder, Instance, ServiceConfig,
};

#[test]
fn the_least_interval_depends_on_who_runs_the_check() {
    let day = Duration::from_secs(24 * 60 * 60);
    let nano = Duration::from_nanos(1);
    for (runner, least) in [(CheckRunner::Registry, 1000), (CheckRunner::Mesh, 10)] {
        let least = Duration::from_millis(least);
        let built = |interval| HealthCheck::tcp().run_by(runner).interval(interval).build(&own());
        assert_eq!(built(least).unwrap().interval(), least);
        assert_eq!(built(day).unwrap().interval(), day);
        for refused in [Duration::ZERO, least - nano, day + nano, Duration::MAX] {
            assert_eq!(field(&built(refused)), "interval", "{runner:?} {refused:?}");
        }
    }
    let error = HealthCheck::tcp().interval(Duration::from_millis(999)).build(&own()).unwrap_err();
    let rule = "must be 1s to 24h when the registry runs the check";
    assert_eq!(error.to_string(), format!("interval: 999ms is not allowed: {rule}"));
}

#[test]
fn a_timeout_is_above_zero_and_at_most_the_interval() {
    let interval = Duration::from_secs(5);
    let built = |timeout| HealthCheck::tcp().interval(interval).timeout(timeout).build(&own());
    for accepted in [Duration::from_nanos(1), interval] {
        assert_eq!(built(accepted).unwrap().timeout(), accepted);
    }
    for refused in [Duration::ZERO, interval + Duration::from_nanos(1), Duration::MAX] {
        assert_eq!(field(&built(refused)), "timeout", "{refused:?}");
    }
    let rule = "must be above 0 and at most the interval of 5s";
    assert_eq!(built(Duration::from_secs(6)).unwrap_err().to_string(), format!("timeout: 6s is not allowed: {rule}"));
}

#[test]
fn the_default_timeout_never_exceeds_the_interval() {
    for (interval, timeout) in [(2, 2), (10, 10), (60, 10)] {
        let check = HealthCheck::tcp().interval(Duration::from_secs(interval)).build(&own()).unwrap();
        assert_eq!(check.timeout(), Duration::from_secs(timeout));
    }
}

#[test]
fn deregistration_takes_at_least_a_minute_or_never_happens() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let minute = Duration::from_secs(60);
    for runner in [CheckRunner::Registry, CheckRunner::Mesh] {
        let built = |after| HealthCheck::tcp().run_by(runner).deregister_after(after).build(&own());
        for accepted in [None, Some(minute), Some(year)] {
            assert_eq!(built(accepted).unwrap().deregister_after(), accepted);
        }
        for refused in [Duration::ZERO, minute - Duration::from_nanos(1), year + Duration::from_nanos(1), Duration::MAX]
        {
            assert_eq!(field(&built(Some(refused))), "deregister_after", "{refused:?}");
        }
    }
}

#[test]
fn thresholds_default_to_those_of_the_runner() {
    let mesh = HealthCheck::tcp().run_by(CheckRunner::Mesh);
    let check = mesh.clone().build(&own()).unwrap();
    assert_eq!((check.rise().get(), check.fall().get()), (2, 3));
    let seven = NonZeroU32::new(7).unwrap();
    let check = mesh.rise(seven).fall(seven).build(&own()).unwrap();
    assert_eq!((check.rise(), check.fall()), (seven, seven));
}

#[test]
fn a_path_is_what_a_request_line_can_carry() {
    let longest = format!("/{}", "p".repeat(1023));
    for path in ["/", "/health", "/a/b.c~d_e-f", "/h?full=1&x=a:b@c", "/%2f%C3%A9", "/a;b=(1)!*'$,+", &longest] {
        let check = HealthCheck::http(path).build(&own()).unwrap();
        let CheckKind::Http(http) = check.kind() else { panic!("{check:?}") };
        assert_eq!(http.path().as_str(), path);
    }
    let too_long = format!("{longest}p");
    let refused =
        ["", "health", "http://a/", "/a b", "/é", "/\t", "/\0", "/a\\b", "/<a>", "/%", "/%2", "/%2g", &too_long];
    for path in refused {
        assert_eq!(field(&HealthCheck::http(path).build(&own())), "path", "{path:?}");
    }
}

#[test]
fn a_path_that_would_inject_a_header_is_refused_as_such() {
    for path in ["/a\r\nX-Admin: 1", "/a\nb", "/a\rb", "\n/"] {
        let error = HealthCheck::http(path).build(&own()).unwrap_err();
        assert_eq!(error.problems()[0].rule(), "must not hold CR or LF, which would inject a header");
        assert!(!error.to_string().contains(char::is_control));
    }
    let error = HealthCheck::http("/a#b").build(&own()).unwrap_err();
    assert_eq!(error.to_string(), "path: /a#b is not allowed: must not hold '#': a fragment is never sent");
}

#[test]
fn an_http_check_keeps_its_method_and_host_header() {
    let check = HealthCheck::http("/").method(CheckMethod::Head).host_header("api.example").build(&own()).unwrap();
    let CheckKind::Http(http) = check.kind() else { panic!("{check:?}") };
    assert_eq!((http.method().as_str(), http.host_header().unwrap().as_str()), ("HEAD", "api.example"));
    assert_eq!(field(&HealthCheck::http("/").host_header("a\r\nb").build(&own())), "host");
}

#[test]
fn a_tcp_check_has_nothing_of_an_http_check() {
    let error = HealthCheck::tcp().method(CheckMethod::Get).host_header("a").build(&own()).unwrap_err();
    let rule = "only an HTTP check has one";
    assert_eq!(error.to_string(), format!("method: GET is not allowed: {rule}; host_header: a is not allowed: {rule}"));
}

#[test]
fn a_target_that_is_the_instance_itself_is_no_target() {
    for host in ["api.example", "API.example"] {
        let check = HealthCheck::tcp().target(host, 80).build(&own()).unwrap();
        assert_eq!((check.host(), check.port()), (None, None));
        assert_eq!(check, HealthCheck::tcp().build(&own()).unwrap());
    }
}

#[test]
fn another_port_of_the_same_host_needs_no_permission() {
    for builder in [HealthCheck::tcp().target("api.example", 9090), HealthCheck::tcp().port(9090)] {
        let check = builder.build(&own()).unwrap();
        assert_eq!((check.host(), check.port()), (None, Some(9090)));
        assert_eq!(check.address(&own()), (own().host(), 9090));
    }
    assert_eq!(HealthCheck::tcp().port(80).build(&own()).unwrap().port(), None);
    assert_eq!(field(&HealthCheck::tcp().port(65_536).build(&own())), "port");
}

#[test]
fn another_host_must_be_allowed() {
    let builder = HealthCheck::tcp().target("10.0.0.9", 80);
    let rule = "must be the instance's own host unless a foreign target is allowed";
    let error = builder.clone().build(&own()).unwrap_err();
    assert_eq!(error.to_string(), format!("target: 10.0.0.9 is not allowed: {rule}"));
    let check = builder.allow_foreign_target().build(&own()).unwrap();
    assert_eq!(check.host().unwrap().as_str(), "10.0.0.9");
    assert_eq!(check.address(&own()).1, 80);
}

#[test]
fn link_local_and_metadata_targets_are_never_allowed() {
    for host in ["169.254.169.254", "fe80::1", "::ffff:169.254.0.1", "metadata.google.internal"] {
        let foreign = HealthCheck::http("/latest").target(host, 80).allow_foreign_target();
        assert_eq!(field(&foreign.clone().build(&own())), "target", "{host}");
        assert_eq!(field(&foreign.build_for_any()), "target", "{host}");
        let instance = Instance::builder("api", host, 80).build().unwrap();
        assert_eq!(field(&HealthCheck::tcp().build(&instance)), "target", "{host}");
        assert!(ServiceConfig::builder("api", host, 80).build().is_err());
        assert!(ServiceConfig::builder("api", host, 80).without_check().build().is_ok());
    }
}

#[test]
fn a_check_for_any_instance_is_aimed_at_each_ones_own_host() {
    let check = HealthCheck::http("/").port(9090).build_for_any().unwrap();
    assert_eq!(check.address(&own()), (own().host(), 9090));
    assert_eq!(field(&HealthCheck::tcp().target("api.example", 80).build_for_any()), "target");
    assert!(HealthCheck::tcp().target("api.example", 80).allow_foreign_target().build_for_any().is_ok());
}

#[test]
fn a_check_can_be_taken_as_the_beginning_of_another() {
    let check = HealthCheck::http("/ready").method(CheckMethod::Head).host_header("h").target("10.0.0.9", 80);
    let check = check.allow_foreign_target().run_by(CheckRunner::Mesh).deregister_after(None).build(&own()).unwrap();
    assert_eq!(HealthCheckBuilder::from(check.clone()).build(&own()).unwrap(), check);
    let other = HealthCheckBuilder::from(check.clone()).interval(Duration::from_secs(60)).build(&own()).unwrap();
    assert_eq!((other.interval(), other.timeout()), (Duration::from_secs(60), check.timeout()));
}

fn own() -> Instance {
    Instance::builder("api", "api.example", 80).build().unwrap()
}

fn field(result: &Result<HealthCheck, ConfigError>) -> &'static str {
    match result {
        Ok(check) => panic!("{check:?}"),
        Err(error) => error.problems()[0].field(),
    }
}

#[test]
fn grpc_ttl_and_alias_checks_keep_what_they_are_given() {
    let check = HealthCheck::grpc().grpc_service("api.v1").tls(true).build(&own()).unwrap();
    let CheckKind::Grpc(grpc) = check.kind() else { panic!("{check:?}") };
    assert_eq!((grpc.service().unwrap().as_str(), grpc.tls()), ("api.v1", true));
    let check = HealthCheck::ttl(Duration::from_secs(15)).build(&own()).unwrap();
    assert_eq!(
        (check.kind(), check.interval(), check.timeout()),
        (&CheckKind::Ttl, Duration::from_secs(15), Duration::from_secs(15))
    );
    let check = HealthCheck::alias("db-1").build(&own()).unwrap();
    assert!(matches!(check.kind(), CheckKind::Alias(other) if other.as_str() == "db-1"));
    for (needs_agent, check) in [
        (false, HealthCheck::grpc()),
        (false, HealthCheck::grpc().tls(true)),
        (false, HealthCheck::http("/").tls(true)),
        (true, HealthCheck::ttl(Duration::from_secs(15))),
        (true, HealthCheck::alias("db-1")),
        (false, HealthCheck::own()),
    ] {
        let check = check.build(&own()).unwrap();
        assert_eq!(check.kind().needs_agent(), needs_agent, "{check:?}");
        assert_eq!(HealthCheckBuilder::from(check.clone()).build(&own()).unwrap(), check);
    }
}

#[test]
fn what_only_an_agent_can_run_is_not_the_meshs() {
    for check in [HealthCheck::ttl(Duration::from_secs(15)), HealthCheck::alias("a")] {
        assert!(check.clone().build(&own()).is_ok());
        assert_eq!(field(&check.run_by(CheckRunner::Mesh).build(&own())), "run_by");
    }
}

#[test]
fn what_is_asked_over_tls_may_be_run_by_either() {
    for check in [HealthCheck::grpc(), HealthCheck::http("/")] {
        assert!(!check.clone().build(&own()).unwrap().kind().tls());
        for runner in [CheckRunner::Registry, CheckRunner::Mesh] {
            let check = check.clone().tls(true).run_by(runner).build(&own()).unwrap();
            assert!(check.kind().tls() && check.run_by() == runner, "{check:?}");
        }
    }
    for check in [HealthCheck::tcp(), HealthCheck::own(), HealthCheck::ttl(Duration::from_secs(15))] {
        assert!(!check.build(&own()).unwrap().kind().tls());
    }
}

#[test]
fn a_check_that_asks_nobody_has_no_timeout_thresholds_or_target() {
    let one = NonZeroU32::MIN;
    for (name, check) in [
        ("unhealthy_interval", HealthCheck::ttl(Duration::from_secs(15)).unhealthy_interval(Duration::from_secs(1))),
        ("edge_interval", HealthCheck::alias("a").edge_interval(Duration::from_secs(1))),
        ("no_traffic_interval", HealthCheck::alias("a").no_traffic_interval(Duration::from_secs(1))),
        ("timeout", HealthCheck::ttl(Duration::from_secs(15)).timeout(Duration::from_secs(1))),
        ("rise", HealthCheck::alias("a").rise(one)),
        ("fall", HealthCheck::ttl(Duration::from_secs(15)).fall(one)),
        ("target_port", HealthCheck::alias("a").port(81)),
        ("grpc_service", HealthCheck::tcp().grpc_service("a")),
        ("tls", HealthCheck::tcp().tls(true)),
        ("interval", HealthCheck::ttl(Duration::ZERO)),
        ("id", HealthCheck::alias("a b")),
    ] {
        assert_eq!(field(&check.build(&own())), name);
    }
}
