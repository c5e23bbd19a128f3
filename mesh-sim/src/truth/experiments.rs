//! Published experiments: Linkerd's slow backend, the black hole, Brooker's collapse, and AWS's jitter.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::balance::Strategy;
use mesh_core::rng::Rng;
use mesh_retry::backoff::{Backoff, Jitter};

use super::contention::contend;
use super::row::{Claim, Estimate};
use super::{SEEDS_PER_ROW, Task, replicate};
use crate::model::Run;
use crate::model::engine;
use crate::model::scenario::{
    Arrivals, BackoffShape, Clients, Discipline, Distribution, Fault, FaultKind, Network, RateStep, Retry, Scenario,
    ServerGroup, Target,
};

pub(super) fn tasks() -> Vec<Task> {
    let mut tasks = vec![
        linkerd(Strategy::RoundRobin, Claim::Is(1.0 - 0.5 / 11.0), 0.002),
        linkerd(Strategy::default(), Claim::AtLeast(0.988), 0.0),
        linkerd(Strategy::from_name("least-loaded").unwrap_or_default(), Claim::AtLeast(0.99), 0.0),
        linkerd(Strategy::from_name("peak-ewma").unwrap_or_default(), Claim::AtLeast(0.998), 0.0),
    ];
    tasks.extend(Strategy::built_in().into_iter().map(black_hole));
    tasks.push(collapse(
        "at once",
        retry(Duration::from_nanos(1), Duration::from_nanos(1)),
        400,
        Claim::Is(0.738),
        0.05,
    ));
    let patient = retry(Duration::from_secs(20), Duration::from_secs(80));
    tasks.push(collapse("backoff and jitter", patient, 100, Claim::AtMost(0.01), 0.0));
    for (name, law, cells) in JITTER {
        tasks.extend(cells.into_iter().map(|cell| jitter(name, law, cell)));
    }
    tasks
}

/// "Beyond round robin" (Linkerd, 2016): one of eleven backends answers in 2 s for half of the time.
fn linkerd(strategy: Strategy, claim: Claim, listed: f64) -> Task {
    let claims = vec![(format!("Linkerd {}", strategy.name()), claim, listed)];
    let measure = move |seed| {
        replicate(seed, 16, |seed| {
            let service = Distribution::Normal { mean: millis(167), std_dev: millis(5) };
            let group = ServerGroup::new("backend", 11, service).discipline(Discipline::Delay);
            let slow = FaultKind::ServiceTime(Distribution::constant(Duration::from_secs(2)));
            let target = Target::Server { group: "backend".into(), index: 0 };
            let arrivals = Arrivals::poisson(1000.0);
            let scenario = Scenario::new("linkerd", Duration::from_secs(60), arrivals.clone())
                .servers(group)
                .clients(Clients::new(arrivals).timeout(Duration::from_secs(1)))
                .fault(Fault::new(Duration::from_secs(15), target, slow).lasting(Duration::from_secs(30)));
            [run(&scenario.seed(seed), &strategy).success_ratio.unwrap_or(f64::NAN)]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// A server that fails within a millisecond gets no more than its share.
fn black_hole(strategy: Strategy) -> Task {
    let claims = vec![(format!("black hole {}", strategy.name()), Claim::AtMost(0.1), 0.0)];
    let measure = move |seed| {
        replicate(seed, 16, |seed| {
            let group = ServerGroup::new("api", 10, Distribution::exponential(millis(40))).workers(workers(8));
            let target = Target::Server { group: "api".into(), index: 0 };
            let errors = FaultKind::Errors { rate: 1.0, latency: millis(1) };
            let scenario = Scenario::new("black-hole", Duration::from_secs(60), Arrivals::poisson(600.0))
                .servers(group)
                .warmup(Duration::from_secs(10))
                .fault(Fault::new(Duration::from_secs(5), target, errors));
            [run(&scenario.seed(seed), &strategy).servers[0].share.unwrap_or(f64::NAN)]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// "Metastability and distributed systems" (Brooker, 2021, with its simulator): a spike of load after which a server
/// that slows down with its load may never recover. The share of runs that have collapsed a minute later.
pub(super) fn collapse(name: &str, retry: Retry, runs: u64, claim: Claim, listed: f64) -> Task {
    let claims = vec![(format!("collapse, {name}"), claim, listed)];
    let measure = move |seed| {
        let collapsed = |seed| {
            let steps = [(0, 40.0), (20, 80.0), (25, 40.0)];
            let steps = steps.into_iter().map(|(at, rate)| RateStep { at: Duration::from_secs(at), rate }).collect();
            let scenario = collapsing(Arrivals::Steps { steps }, &retry, Duration::from_secs(80));
            let scenario = scenario.warmup(Duration::from_secs(60));
            let run = run(&scenario.seed(seed), &Strategy::Random);
            run.success_ratio.is_some_and(|ratio| ratio < 0.5)
        };
        let share = (0..runs).filter(|number| collapsed(seed * SEEDS_PER_ROW + number)).count() as f64 / runs as f64;
        let standard_error = (share * (1.0 - share) / runs as f64).sqrt();
        vec![Estimate { value: share, standard_error }]
    };
    Task { claims, measure: Box::new(measure) }
}

/// A server whose answers take 1 s and 10 ms more for every other request it has, and callers who wait for 3 s.
pub(super) fn collapsing(arrivals: Arrivals, retry: &Retry, duration: Duration) -> Scenario {
    let mut group = ServerGroup::new("one", 1, Distribution::constant(Duration::from_secs(1)));
    (group.discipline, group.service_time_per_concurrent) = (Discipline::Delay, millis(10));
    let clients = Clients::new(arrivals.clone()).attempt_timeout(Duration::from_secs(3)).retry(retry.clone());
    Scenario::new("collapse", duration, arrivals)
        .servers(group)
        .clients(clients)
        .network(Network::with_latency(Distribution::exponential(millis(100))))
}

/// A cell of the table of AWS's simulator.
fn jitter(name: &str, law: Jitter, (clients, time, time_deviation, writes, writes_deviation): Cell) -> Task {
    let claims = vec![
        (format!("AWS {name} jitter N={clients} ms"), Claim::Is(time), 0.57 * time_deviation),
        (format!("AWS {name} jitter N={clients} writes"), Claim::Is(writes), 0.57 * writes_deviation),
    ];
    let measure = move |seed| {
        let mut backoff = Backoff::exponential(millis(5), Duration::from_secs(2));
        backoff.jitter = law;
        if law != Jitter::Decorrelated {
            // The exponent of the published simulator starts at 1: the first ceiling is twice its base.
            backoff.base = millis(10);
        }
        replicate(seed, 100, |seed| {
            let ended = contend(clients, &backoff, &mut Rng::from_seed(seed));
            [ended.millis, f64::from(ended.writes)]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

fn run(scenario: &Scenario, strategy: &Strategy) -> Run {
    engine::run(scenario, strategy, &mut ())
}

pub(super) fn retry(base: Duration, cap: Duration) -> Retry {
    let backoff = BackoffShape::Exponential { base, cap, multiplier_milli: 2000, jitter: Jitter::Full };
    Retry { attempts_max: workers(3), backoff, budget: None }
}

fn workers(count: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(count.saturating_sub(1))
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Clients, the time in milliseconds and its deviation, the writes and theirs.
type Cell = (u32, f64, f64, f64, f64);

const JITTER: [(&str, Jitter, [Cell; 4]); 3] = [
    (
        "full",
        Jitter::Full,
        [
            (10, 488.0, 109.0, 39.3, 2.3),
            (50, 2977.0, 609.0, 332.0, 5.0),
            (100, 4791.0, 560.0, 794.0, 6.0),
            (190, 7378.0, 500.0, 1774.0, 10.0),
        ],
    ),
    (
        "equal",
        Jitter::Equal,
        [
            (10, 769.0, 178.0, 43.3, 2.4),
            (50, 4297.0, 626.0, 346.0, 6.0),
            (100, 6663.0, 666.0, 812.0, 8.0),
            (190, 9426.0, 641.0, 1758.0, 12.0),
        ],
    ),
    (
        "decorrelated",
        Jitter::Decorrelated,
        [
            (10, 425.0, 72.0, 37.5, 2.1),
            (50, 2184.0, 456.0, 376.0, 14.0),
            (100, 4513.0, 695.0, 1004.0, 26.0),
            (190, 7825.0, 887.0, 2444.0, 51.0),
        ],
    ),
];
