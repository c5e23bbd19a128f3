//! The issues that the project was asked to solve, one test for each, named after it.
//!
//! Two of the list belong to later work and join with it: *distributed-state complexity* with the retry coordinator
//! (issue 9), *cache coherency* with the cache (issue 5).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh::mesh_core::port::Clock as _;
use mesh::mesh_core::route::Selector;
use mesh::{
    CallPolicy, DeregisterError, Environment, HealthCheck, Outcome, PickContext, PickError, RegisterError, Route,
    ServiceConfig, ServiceMesh, Source, TokioClock,
};

use support::dial::Line;
use support::registry::{Answer, Hearing, refused, unreachable};
use support::{
    Lab, api, eventually, healthy, id, in_flight, instance_of, ms, number_of, pass, port, refusal, retries, secs,
    settle,
};

/// No instance, one instance, all of them tried, all of them out: each has an answer, and a wrong instance is none.
#[tokio::test(start_paused = true)]
async fn edge_cases_in_selection() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let policy = CallPolicy::new(retries(4)).unwrap();
    let attempts = async || {
        let mut seen = Vec::new();
        let call = mesh.call("api", &policy, |instance| {
            seen.push(number_of(&instance));
            async { Err::<(), _>("no") }
        });
        let error = call.await.unwrap_err();
        (seen, error.to_string())
    };
    assert_eq!(attempts().await, (vec![], "api: the registry does not know the service".to_owned()));
    lab.registry.put(&api(1)).await;
    settle().await;
    assert_eq!(attempts().await.0, [1, 1, 1, 1], "one instance is better than none");
    lab.registry.put(&api(2)).await;
    settle().await;
    let (seen, _) = attempts().await;
    assert!(seen[0] != seen[1] && seen[2] != seen[3], "{seen:?}");
    mesh.drain("api", api(1).key()).await.unwrap();
    mesh.drain("api", api(2).key()).await.unwrap();
    let error = mesh.get_service_instance("api").await.unwrap_err();
    assert_eq!(error.pick(), Some(PickError::NoneHealthy { registered: 2, unhealthy: 0, drained: 2 }));
    for number in [1, 2] {
        lab.registry.lose(&api(number)).await;
    }
    settle().await;
    assert_eq!(attempts().await, (vec![], "api: no instance is registered".to_owned()));
}

/// Shares follow weights, from 1 to the largest there is; 0 drains; what is no weight is refused.
#[tokio::test(start_paused = true)]
async fn weight_calculation() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    for (number, weight) in [(1, 10_000), (2, 30_000), (3, 60_000), (4, 0)] {
        lab.registry.put(&instance_of("api", number).weight(weight).build().unwrap()).await;
    }
    // Requests that stay in flight are spread so that each instance has its share of them.
    let mut leases = Vec::new();
    let mut counts = BTreeMap::new();
    for _ in 0..2_000 {
        let lease = mesh.get_service_instance("api").await.unwrap();
        *counts.entry(number_of(lease.instance())).or_insert(0_u32) += 1;
        leases.push(lease);
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 3], "4 is drained");
    for (number, share) in [(1, 200), (2, 600), (3, 1_200)] {
        let got = counts[&number];
        assert!(got.abs_diff(share) <= share / 10, "{number} has {got} instead of about {share}");
    }
    let refused = refusal(instance_of("api", 1).weight(65_536).build());
    assert_eq!(refused, "weight: 65536 is not allowed: must be 0 to 65535");
    assert!(refusal(instance_of("api", 1).weight(-1).build()).starts_with("weight: -1 is not allowed"));
}

/// Counts are exact over all threads, end with the request whatever happens to it, and cost the same however many
/// instances there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connection_tracking_overhead() {
    let few = lasting(10).await;
    let many = lasting(1_000).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let mesh = few.clone();
            tokio::spawn(async move {
                for number in 0..1_000 {
                    let lease = mesh.get_service_instance("api").await.unwrap();
                    match (task + number) % 3 {
                        0 => lease.finish(Outcome::Success),
                        1 => lease.finish(Outcome::Failure),
                        _ => drop(lease),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let ends_at_zero = few.get_service_instance("api").await.unwrap();
    assert_eq!(ends_at_zero.endpoint().in_flight(), 1, "its own");
    let (small, large) = (cost(&few).await, cost(&many).await);
    assert!(large < small * 20, "{small:?} with 10 instances, {large:?} with 1,000: it grew with their number");
}

/// What a check finds out reaches every way of asking, at once, and is undone as fast.
#[tokio::test(start_paused = true)]
async fn propagation_of_health_status() {
    let lab = Lab::new();
    let check = HealthCheck::http("/health").interval(secs(1)).timeout(ms(500));
    for number in 1..=2 {
        lab.registry.put(&instance_of("api", number).check(check.clone()).build().unwrap()).await;
    }
    let (mesh, other) = (lab.mesh().await, lab.mesh().await);
    for (line, wanted) in
        [(Line::Status(200), vec![1, 2]), (Line::Status(503), vec![1]), (Line::Status(200), vec![1, 2])]
    {
        lab.dial.set(port(2), line);
        healthy(&mesh, "api").await;
        pass(secs(3)).await;
        for mesh in [&mesh, &other] {
            assert_eq!(healthy(mesh, "api").await, wanted);
            for _ in 0..20 {
                assert!(wanted.contains(&number_of(&mesh.get_service("api").await.unwrap())));
                assert!(wanted.contains(&number_of(mesh.get_service_instance("api").await.unwrap().instance())));
            }
        }
    }
    lab.registry.watches_are(Hearing::Lost(unreachable()));
    lab.dial.set(port(1), Line::Refused);
    pass(secs(3)).await;
    let cached = mesh.get_service_with_cache("api").await.unwrap();
    assert_eq!((cached.instances.len(), cached.source), (1, Source::LastKnownGood), "with the registry gone, too");
}

/// A registration stands as a whole or is taken back; what cannot be taken back is named and stays in hand.
#[tokio::test(start_paused = true)]
async fn partial_registration_failures() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let config = instance_of("api", 1).check(HealthCheck::http("/health")).build().unwrap();
    lab.registry.register_is(Answer::WithoutCheck(refused()));
    let text = mesh.register_service(config.clone()).await.unwrap_err().to_string();
    assert!(text.ends_with("rolled back: service; still stands: nothing"), "{text}");
    assert!(lab.registry.held("api").await.is_empty());

    lab.registry.deregister_is(Answer::No(refused()));
    let text = mesh.register_service(config.clone()).await.unwrap_err().to_string();
    assert!(text.ends_with("rolled back: nothing; still stands: service"), "{text}");
    lab.registry.deregister_is(Answer::Truly);
    mesh.deregister_service(config.id()).await.unwrap();
    assert!(lab.registry.held("api").await.is_empty());
}

/// Whatever is broken off (a registration, a call, a deregistration, the whole mesh) leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn clean_up_edge_cases() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    lab.registry.register_is(Answer::Never);
    assert!(tokio::time::timeout(ms(10), mesh.register_service(api(1))).await.is_err());
    lab.registry.register_is(Answer::Truly);
    pass(secs(20)).await;
    assert!(lab.registry.held("api").await.is_empty(), "a registration that nobody waits for");

    let me = mesh.register_service(api(1)).await.unwrap();
    assert_eq!(healthy(&mesh, "api").await, [1]);
    let hang = |_| std::future::pending::<Result<(), &str>>();
    assert!(tokio::time::timeout(ms(10), mesh.call("api", &CallPolicy::default(), hang)).await.is_err());
    assert_eq!(in_flight(&mesh, "api").await, 0, "a call that nobody waits for");

    lab.registry.deregister_is(Answer::Never);
    assert!(tokio::time::timeout(ms(10), me.deregister()).await.is_err());
    lab.registry.deregister_is(Answer::Truly);
    pass(secs(20)).await;
    assert!(lab.registry.held("api").await.is_empty(), "a deregistration that nobody waits for");
    assert!(healthy(&mesh, "api").await.is_empty(), "and the balancer's entry with it");
    let twice = mesh.deregister_service(&id("api", 1)).await;
    assert!(matches!(twice, Err(DeregisterError::NotRegistered { .. })));

    drop((mesh, me));
    eventually("its tasks end", async || lab.registry.watches() == 0 && lab.registry.under_way() == 0).await;
}

/// Bad metadata is refused where it enters, with field, value and rule, and never shown raw.
#[test]
fn metadata_validation() {
    let with = |key: &str, value: &str| instance_of("api", 1).meta(key, value).build();
    assert!(with("version", "1.0.0").is_ok());
    let too_long = "é".repeat(257);
    for (key, value, said) in [
        ("", "x", "meta key: \"\" is not allowed"),
        ("a.b", "x", "meta key: a.b is not allowed: must be 1 to 128 letters, digits, '-' and '_'"),
        ("consul-x", "x", "must not begin with 'consul-', which Consul keeps for itself"),
        ("a", too_long.as_str(), "the value must be at most 512 bytes"),
        ("a", "line\nbreak", "the value must have no control characters"),
        ("a\u{1b}[31m", "x", "meta key: a\\u{1b}[31m is not allowed"),
    ] {
        let text = refusal(with(key, value));
        assert!(text.contains(said), "{text}");
        assert!(!text.contains(char::is_control) && text.len() < 300, "{text}");
    }
    let full = (0..64).fold(instance_of("api", 1), |config, at| config.meta(format!("key-{at}"), "x"));
    assert!(full.clone().build().is_ok());
    assert!(refusal(full.meta("one-more", "x").build()).contains("must be at most 64 pairs"));
    let several = ServiceConfig::builder("a b", "h", 0).meta("a.b", "x").weight(70_000).build();
    assert_eq!(several.unwrap_err().problems().len(), 4, "all that is wrong is said at once");
}

/// Tags are a set, bounded and checked; routes by tag follow every change of them.
#[tokio::test(start_paused = true)]
async fn tag_management() {
    let twice = instance_of("api", 1).tag("blue").tag("blue").build().unwrap();
    assert_eq!(twice.instance().tags().len(), 1);
    assert!(refusal(instance_of("api", 1).tag(" blue").build()).contains("must not begin or end with white space"));
    let many = (0..65).fold(instance_of("api", 1), |config, at| config.tag(format!("tag-{at}"))).build();
    assert!(refusal(many).contains("must be at most 64"));

    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let me = mesh.register_service(twice).await.unwrap();
    mesh.register_service(instance_of("api", 2).tag("green").build().unwrap()).await.unwrap();
    let blue = Route::Registered(mesh.route("api", Selector::any().tag("blue").unwrap()).await.unwrap());
    let served_by = async || {
        let context = PickContext { route: blue, ..PickContext::default() };
        mesh.pick("api", &context).await.map(|lease| number_of(lease.instance())).map_err(|error| error.pick())
    };
    assert_eq!(served_by().await, Ok(1));
    me.update(instance_of("api", 1).tag("green").build().unwrap()).await.unwrap();
    settle().await;
    assert_eq!(served_by().await, Err(Some(PickError::NoneMatching { usable: 2 })), "never by another colour");
}

/// A call costs two measurements and a lease none; what they say of is a service, so that their number stays small.
#[tokio::test(start_paused = true)]
async fn metric_overhead() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(3).await;
    healthy(&mesh, "api").await;
    let before = lab.notes.all().len();
    for _ in 0..100 {
        mesh.get_service_instance("api").await.unwrap().finish(Outcome::Success);
    }
    assert_eq!(lab.notes.all().len(), before);
    for _ in 0..100 {
        mesh.call("api", &CallPolicy::default(), |_| async { Ok::<_, &str>(()) }).await.unwrap();
    }
    let noted = lab.notes.all().split_off(before);
    assert_eq!(noted.len(), 200);
    assert!(noted.iter().all(|(_, service, _)| service == "api"));
    let distinct: std::collections::BTreeSet<_> = noted.into_iter().collect();
    assert_eq!(distinct.len(), 2, "no label grows with calls or instances: {distinct:?}");
}

/// An error says what was asked of whom, what went wrong there, and what went wrong last; its causes can be followed.
#[tokio::test(start_paused = true)]
async fn error_propagation() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(2).await;
    let policy = CallPolicy::new(retries(2)).unwrap();
    let call = mesh.call("api", &policy, |_| async { Err::<(), _>(std::io::Error::other("disk full")) });
    let error = call.await.unwrap_err();
    let text =
        "given up after 2 attempts: all attempts that the policy allows have failed: 2; the last failed: disk full";
    assert_eq!((error.to_string().as_str(), error.is_transient()), (text, true));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "disk full");

    lab.registry.everything_is(&Answer::No(refused()));
    let error = mesh.register_service(api(3)).await.unwrap_err();
    assert!(error.to_string().starts_with("api api-3: registration failed: the registry refused: bad check"));
    let mut causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    assert!(causes.any(|cause| cause.to_string() == refused().to_string()));
    assert!(matches!(error, RegisterError::Failed { .. }));
    let error = mesh.get_service("web").await.unwrap_err();
    assert_eq!(error.to_string(), "web: the registry refused: bad check", "not `none`");
}

/// A mesh on real time with so many instances, found already.
async fn lasting(instances: u16) -> ServiceMesh {
    let lab = Lab::new();
    for number in 1..=instances {
        lab.registry.put(&api(number)).await;
    }
    let mesh = lab.builder().environment(Environment::system()).build().await.unwrap();
    mesh.get_service("api").await.unwrap();
    mesh
}

/// The cost of a hundred leases: the best of several measurements, because the machine may be busy.
async fn cost(mesh: &ServiceMesh) -> Duration {
    let clock = Arc::new(TokioClock::new());
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let began = clock.now();
        for _ in 0..100 {
            mesh.get_service_instance("api").await.unwrap().finish(Outcome::Success);
        }
        best = best.min(clock.now().since(began));
    }
    best
}
