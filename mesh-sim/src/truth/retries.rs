//! What retries add to a load, and what bounds them: closed forms, and the published simulators of Marc Brooker
//! ("Fixing retries with token buckets and circuit breakers", 2022, and "Metastability and distributed systems", 2021).

use alloc::sync::Arc;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use mesh_core::balance::Strategy;
use mesh_core::time::Instant;
use mesh_retry::backoff::Jitter;
use mesh_retry::budget::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};

use super::experiments::{collapsing, retry};
use super::row::Claim;
use super::{Task, replicate};
use crate::model::Run;
use crate::model::engine::{self, Production, run_course};
use crate::model::scenario::{
    Arrivals, BackoffShape, Clients, Discipline, Distribution, Fault, FaultKind, Network, RateStep, Retry, RetryBudget,
    Scenario, ServerGroup, Target,
};

pub(super) fn tasks() -> Vec<Task> {
    let mut tasks: Vec<Task> = [0.05, 0.2, 0.5, 0.75].into_iter().map(three_retries).collect();
    tasks.extend(BUCKET.into_iter().map(bucket));
    tasks.extend(FLEETS.into_iter().map(fleet));
    tasks.extend(BREAKER.into_iter().map(breaker));
    tasks.push(spike());
    tasks.push(ramp(true));
    tasks.push(ramp(false));
    tasks
}

/// Three retries of whatever fails: `(1 - p^4) / (1 - p)` attempts a call, of which `1 - p^4` succeed.
fn three_retries(p: f64) -> Task {
    let success = 1.0 - p * p * p * p;
    let claims = claims(format!("3 retries p={p}"), success / (1.0 - p), success);
    measured(claims, move |seed| {
        numbers(&engine::run(&failing(p, 100, 100, 4, None, seed), &Strategy::Random, &mut ()))
    })
}

/// The token bucket of the published simulator with 100 clients: 0.1 a call, at most 5, retries without limit.
fn bucket((p, load, success): (f64, f64, f64)) -> Task {
    let claims = claims(format!("bucket p={p}"), load, success);
    let run =
        move |seed| engine::run(&failing(p, 100, 10, UNLIMITED, Some(brooker()), seed), &Strategy::Random, &mut ());
    measured(claims, move |seed| numbers(&run(seed)))
}

/// The same policy with the same calls of more and more clients, each of which has a bucket of its own.
fn fleet((clients, load): (u32, f64)) -> Task {
    let claims = vec![(format!("bucket p=0.5 clients={clients} load"), Claim::Is(load), 0.015 * load)];
    let run = move |seed| {
        let scenario = failing(0.5, clients, 100, UNLIMITED, Some(brooker()), seed);
        engine::run(&scenario, &Strategy::Random, &mut ())
    };
    Task { claims, measure: Box::new(move |seed| replicate(seed, 40, |seed| [numbers(&run(seed))[0]])) }
}

/// The published simulator's breaker: three retries, unless more than a tenth of the client's attempts have failed.
fn breaker((p, load, success): (f64, f64, f64)) -> Task {
    let claims = claims(format!("breaker p={p}"), load, success);
    measured(claims, move |seed| {
        let scenario = failing(p, 100, 10, 4, None, seed);
        let budgets = (0..100).map(|_| Arc::new(LifetimeBreaker::default()) as Arc<dyn Budget>).collect();
        let course = Production::with_budgets(&scenario, budgets);
        numbers(&run_course(&scenario, &Strategy::Random, &&course, &mut ()))
    })
}

/// After the spike of the collapse's simulator, with one bucket for all its callers.
fn spike() -> Task {
    let mut retries = retry(Duration::from_nanos(1), Duration::from_nanos(1));
    retries.budget = Some(shared());
    super::experiments::collapse("one bucket", retries, 100, Claim::AtMost(0.0), 0.0)
}

/// Load that climbs to twice the usual and falls again, slowly: the share of calls that succeed from 55 s on, when there
/// is room for all of them again.
fn ramp(is_bounded: bool) -> Task {
    let (name, claim) =
        if is_bounded { ("ramp, one bucket", Claim::AtLeast(0.99)) } else { ("ramp, no bound", Claim::AtMost(0.01)) };
    let claims = vec![(name.to_owned(), claim, 0.0)];
    let measure = move |seed| {
        replicate(seed, 20, |seed| {
            let rate = |second: u64| 80.0 - 1.6 * (second as f64 + 0.5 - 25.0).abs();
            let steps =
                (0..75).map(|second| RateStep { at: Duration::from_secs(second), rate: rate(second) }).collect();
            let mut retries = retry(Duration::from_nanos(1), Duration::from_nanos(1));
            retries.budget = is_bounded.then(shared);
            let scenario = collapsing(Arrivals::Steps { steps }, &retries, Duration::from_secs(75));
            let scenario = scenario.warmup(Duration::from_secs(55)).seed(seed);
            [engine::run(&scenario, &Strategy::Random, &mut ()).success_ratio.unwrap_or(f64::NAN)]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// 10,000 calls in so many seconds, of which every attempt fails with `p`, over a network of 10 ms each way.
fn failing(p: f64, clients: u32, seconds: u64, attempts: u32, budget: Option<RetryBudget>, seed: u64) -> Scenario {
    // In the published simulator every client makes a call at the start as well.
    let rate = 10_000.0 / seconds as f64 + f64::from(clients) / seconds as f64;
    let arrivals = Arrivals::poisson(rate);
    let backoff = BackoffShape::Exponential {
        base: Duration::from_nanos(1),
        cap: Duration::from_nanos(1),
        multiplier_milli: 1000,
        jitter: Jitter::None,
    };
    let retry = Retry { attempts_max: count(attempts), backoff, budget };
    let mut calls = Clients::new(arrivals.clone()).retry(retry);
    calls.count = count(clients);
    let errors = FaultKind::Errors { rate: p, latency: Duration::ZERO };
    let group = ServerGroup::new("one", 1, Distribution::constant(Duration::from_nanos(1)));
    Scenario::new("failing", Duration::from_secs(seconds), arrivals)
        .servers(group.discipline(Discipline::Delay))
        .clients(calls)
        .network(Network::with_latency(Distribution::exponential(Duration::from_millis(10))))
        .fault(Fault::new(Duration::ZERO, Target::Group("one".into()), errors))
        .seed(seed)
}

/// The attempts for each call, and the share of calls that succeeded.
fn numbers(run: &Run) -> [f64; 2] {
    [run.attempts_per_request.unwrap_or(f64::NAN), run.success_ratio.unwrap_or(f64::NAN)]
}

/// The published tolerances: 1.5 % of the load, and one in a hundred calls.
fn claims(name: String, load: f64, success: f64) -> Vec<(String, Claim, f64)> {
    vec![(format!("{name} load"), Claim::Is(load), 0.015 * load), (format!("{name} success"), Claim::Is(success), 0.01)]
}

fn measured(
    claims: Vec<(String, Claim, f64)>,
    measure: impl Fn(u64) -> [f64; 2] + Copy + Send + Sync + 'static,
) -> Task {
    Task { claims, measure: Box::new(move |seed| replicate(seed, 40, measure)) }
}

/// The bucket of the published simulator.
fn brooker() -> RetryBudget {
    let mut budget = RetryBudget::default();
    (budget.ratio, budget.per_second, budget.burst) = (0.1, 0.0, 5.0);
    budget
}

/// A bucket for all callers of the collapse.
fn shared() -> RetryBudget {
    let mut budget = RetryBudget::default();
    (budget.ratio, budget.per_second, budget.burst) = (0.1, 0.0, 10.0);
    budget
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(count.saturating_sub(1))
}

/// Allows retries until more than a tenth of all attempts have failed.
#[derive(Debug, Default)]
struct LifetimeBreaker {
    attempts: AtomicU64,
    failures: AtomicU64,
}

impl Budget for LifetimeBreaker {
    fn deposit(&self, _: Instant) {}

    fn withdraw(&self, now: Instant, _: Extra) -> Answer {
        let Level { has_milli, .. } = self.level(now);
        if has_milli > 0 {
            return Answer::Granted(Paid::new(0));
        }
        Answer::Denied(Denial::new(BudgetKind::Custom("lifetime"), 0, 1, None))
    }

    fn ended(&self, _: Instant, end: End, _: Option<Paid>) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(end == End::Failed), Ordering::Relaxed);
    }

    fn level(&self, _: Instant) -> Level {
        let (attempts, failures) = (self.attempts.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed));
        Level::new(u32::from(10 * failures <= attempts), Some(1))
    }
}

const UNLIMITED: u32 = 10_000;

/// What the published simulator gave for its bucket: failure rate, load, success.
const BUCKET: [(f64, f64, f64); 5] = [
    (0.05, 1.0525, 0.9998),
    (0.2, 1.1342, 0.9084),
    (0.3, 1.1379, 0.8027),
    (0.5, 1.1413, 0.5802),
    (0.75, 1.1422, 0.2831),
];
/// And for more and more clients with the same calls, half of which fail.
const FLEETS: [(u32, f64); 3] = [(10, 1.104), (100, 1.142), (1000, 1.459)];
/// And for its breaker.
const BREAKER: [(f64, f64, f64); 3] = [(0.05, 1.0375, 0.9857), (0.2, 1.0039, 0.8108), (0.5, 1.0002, 0.5004)];
