//! Scenarios of all shapes, for tests that hold of any.

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::balance::Strategy as Balance;
use mesh_retry::backoff::Jitter;
use mesh_sim::model::scenario::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Possible scenarios.
pub(crate) fn scenarios() -> impl Strategy<Value = Scenario> {
    (
        heads(),
        vec(groups(), 1..4),
        clients(),
        (distributions(), rates(), distributions()),
        vec(faults(), 0..4),
        expects(),
    )
        .prop_map(|(mut scenario, groups, clients, (latency, loss, delay), faults, expect)| {
            let answered = clients.timeout.is_none() && clients.attempt_timeout.is_none();
            scenario.clients = clients;
            scenario.servers = groups;
            for (at, group) in scenario.servers.iter_mut().enumerate() {
                group.group = format!("group-{at}");
            }
            scenario.network.latency = latency;
            scenario.network.loss = if answered { 0.0 } else { loss };
            scenario.discovery.delay = delay;
            scenario.faults = faults;
            let loses = ["hang", "loss", "partition", "pause"];
            scenario.faults.retain(|fault| !answered || !loses.contains(&fault.fault.name()));
            scenario.expect = expect;
            scenario
        })
}

fn heads() -> impl Strategy<Value = Scenario> {
    let strategies = vec(prop::sample::select(Balance::built_in()), 1..4);
    ("[a-z0-9-]{1,20}", any::<String>(), any::<u64>(), 1_001_u64..=3_600_000, 0_u64..=1_000, strategies).prop_map(
        |(name, description, seed, millis, warmup, strategies)| {
            let mut scenario = Scenario::new(name, Duration::from_millis(millis), Arrivals::poisson(1.0));
            (scenario.description, scenario.seed) = (description, seed);
            (scenario.warmup, scenario.strategies) = (Duration::from_millis(warmup), strategies);
            scenario
        },
    )
}

fn distributions() -> impl Strategy<Value = Distribution> {
    let leaf = prop_oneof![
        times().prop_map(Distribution::constant),
        times().prop_map(Distribution::exponential),
        (times(), times()).prop_map(|(a, b)| Distribution::Uniform { min: a.min(b), max: a.max(b) }),
        (times(), times()).prop_map(|(mean, std_dev)| Distribution::Normal { mean, std_dev }),
        (times(), 0.0..3.0).prop_map(|(median, sigma)| Distribution::Lognormal { median, sigma }),
        (times(), 0.01..9.0).prop_map(|(min, alpha)| Distribution::Pareto { min, alpha }),
        (times(), 1.0..50.0).prop_map(|(mean, cv2)| Distribution::Hyperexponential { mean, cv2 }),
        (times(), 1_u32..50).prop_map(|(mean, stages)| Distribution::Erlang { mean, stages }),
        vec(times(), 1..5).prop_map(|values| Distribution::Empirical { values }),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let share = (0.001..100.0, inner).prop_map(|(weight, of)| Share { weight, of });
        vec(share, 1..4).prop_map(|parts| Distribution::Mixture { parts })
    })
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    let rate = || 0.001..1e5;
    prop_oneof![
        rate().prop_map(Arrivals::poisson),
        rate().prop_map(|rate| Arrivals::Uniform { rate }),
        (rate(), times(), times()).prop_map(|(rate, on, off)| Arrivals::Bursts { rate, on, off }),
        btree_map(0_u64..1_000_000, rate(), 1..5).prop_map(|steps| Arrivals::Steps {
            steps: steps.into_iter().map(|(at, rate)| RateStep { at: Duration::from_millis(at), rate }).collect(),
        }),
        (0.0..1e5, rate()).prop_map(|(from, to)| Arrivals::Ramp { from, to }),
        (1_u32..1_000, 1_u64..1_000_000, times()).prop_map(|(concurrency, requests, think)| Arrivals::Closed {
            concurrency,
            requests,
            think
        }),
    ]
}

fn groups() -> impl Strategy<Value = ServerGroup> {
    let disciplines = [Discipline::Fifo, Discipline::ProcessorSharing, Discipline::Delay];
    let registered = (
        option::of("[a-z]{1,4}"),
        any::<u16>(),
        option::of("[1-9]{1,3}\\.[1-9]{1,3}"),
        vec("[a-z]{1,8}", 0..3),
        btree_map("[a-z]{1,8}", "\\PC{0,8}", 0..3),
    );
    let served = (0.1..10.0, prop::sample::select(disciplines.to_vec()), 1_u32..9, option::of(0_u32..99), times());
    (1_u32..50, distributions(), registered, served).prop_map(|(count, law, registered, served)| {
        let mut group = ServerGroup::new("", count, law);
        (group.zone, group.weight, group.version, group.tags, group.meta) = registered;
        let (speed, discipline, workers, queue_limit, per_concurrent) = served;
        (group.speed, group.discipline, group.queue_limit) = (speed, discipline, queue_limit);
        group.workers = NonZeroU32::new(workers).unwrap();
        group.service_time_per_concurrent = per_concurrent;
        group
    })
}

fn clients() -> impl Strategy<Value = Clients> {
    let zones = prop_oneof![Just(ClientZone::Spread), "[a-d]".prop_map(ClientZone::In)];
    let cancels = prop::sample::select(&[CancelMode::None, CancelMode::Queued, CancelMode::Running][..]);
    let timeouts = (option::of(times()), option::of(times()));
    (1_u32..100, option::of(zones), arrivals(), timeouts, cancels, option::of(keys()), option::of(retries()), checks())
        .prop_map(|(count, zone, arrivals, (timeout, attempt_timeout), cancel, keys, retry, checks)| {
            let mut clients = Clients::new(arrivals).count(NonZeroU32::new(count).unwrap());
            (clients.zone, clients.timeout, clients.attempt_timeout) = (zone, timeout, attempt_timeout);
            (clients.cancel, clients.keys, clients.retry, clients.health_check) = (cancel, keys, retry, checks);
            clients
        })
}

fn keys() -> impl Strategy<Value = Keys> {
    let count = || (1_u32..10_000).prop_map(|count| NonZeroU32::new(count).unwrap());
    prop_oneof![
        count().prop_map(|count| Keys::Uniform { count }),
        (count(), 0.0..3.0).prop_map(|(count, exponent)| Keys::Zipf { count, exponent }),
    ]
}

fn retries() -> impl Strategy<Value = Retry> {
    let drawn = [Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated];
    let jitters = prop_oneof![Just(Jitter::None), prop::sample::select(drawn.to_vec())];
    (1_u32..9, times(), times(), 1_000_u32..9_000, jitters).prop_map(|(most, a, b, multiplier_milli, jitter)| {
        let mut retry = Retry::default();
        retry.attempts_max = NonZeroU32::new(most).unwrap();
        retry.backoff = BackoffShape::Exponential { base: a.min(b), cap: a.max(b), multiplier_milli, jitter };
        retry
    })
}

fn checks() -> impl Strategy<Value = Option<HealthChecks>> {
    option::of((10_u64..100_000, 1_u64..10, 0_u32..=100).prop_map(|(interval, timeout, jitter_percent)| {
        let mut checks = HealthChecks::default();
        (checks.interval, checks.timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
        checks.jitter_percent = jitter_percent;
        checks
    }))
}

fn faults() -> impl Strategy<Value = Fault> {
    let servers = prop_oneof![
        Just(Target::Group("group-0".into())),
        Just(Target::Server { group: "group-0".into(), index: 0 }),
        Just(Target::Fraction { group: "group-0".into(), fraction: 1.0 }),
    ];
    let direction = prop::sample::select(&[Direction::Both, Direction::In, Direction::Out][..]);
    let anybody = prop_oneof![
        direction.prop_map(|direction| FaultKind::Partition { direction }),
        times().prop_map(|add| FaultKind::Latency { add }),
        rates().prop_map(|rate| FaultKind::Loss { rate }),
        Just(FaultKind::Pause),
    ];
    let plain = [
        FaultKind::Crash,
        FaultKind::Hang,
        FaultKind::ChecksFail,
        FaultKind::ChecksPass,
        FaultKind::Join,
        FaultKind::Drain,
        FaultKind::Deregister,
    ];
    let of_servers = prop_oneof![
        prop::sample::select(plain.to_vec()),
        distributions().prop_map(FaultKind::ServiceTime),
        (0.001..100.0).prop_map(|factor| FaultKind::Slowdown { factor }),
        (rates(), times()).prop_map(|(rate, latency)| FaultKind::Errors { rate, latency }),
        (10_u64..100, 10_u64..100).prop_map(|(up, down)| FaultKind::Flap {
            up: Duration::from_millis(up),
            down: Duration::from_millis(down)
        }),
    ];
    let at = || (0_u64..1_000).prop_map(Duration::from_millis);
    let fault = prop_oneof![
        (at(), servers, of_servers).prop_map(|(at, target, kind)| Fault::new(at, target, kind)),
        (at(), anybody).prop_map(|(at, kind)| Fault::new(at, Target::Clients, kind)),
        (at(), times()).prop_map(|(at, by)| Fault::new(at, Target::Clients, FaultKind::ClockSkew { by })),
        at().prop_map(Fault::registry_outage),
    ];
    (fault, option::of(times())).prop_map(|(mut fault, lasts)| {
        fault.lasts = lasts.map(|lasts| lasts.min(Duration::from_secs(60)));
        fault
    })
}

fn expects() -> impl Strategy<Value = Vec<Expectation>> {
    let metrics = ["success_ratio", "latency_ms.p99", "requests.failed", "servers.0.share", "imbalance"];
    let bounds = prop_oneof![
        (-1e9..1e9).prop_map(Bound::AtLeast),
        (-1e9..1e9).prop_map(Bound::AtMost),
        (-1e9..0.0, 0.0..1e9).prop_map(|(low, high)| Bound::Between(low, high)),
    ];
    vec(
        (prop::sample::select(metrics.to_vec()), bounds).prop_map(|(metric, bound)| Expectation::new(metric, bound)),
        0..3,
    )
}

/// Durations above zero, of whole nanoseconds, up to an hour.
fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![1_u64..3_600_000_000_000, (1_u64..3_600_000).prop_map(|millis| millis * 1_000_000)]
        .prop_map(Duration::from_nanos)
}

fn rates() -> impl Strategy<Value = f64> {
    0.0..=1.0
}
