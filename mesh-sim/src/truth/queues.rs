//! Queues with closed forms, and the tables of Mitzenmacher's choices. The mean service time is a second.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::balance::Strategy;
use mesh_core::balance::policy::P2cConfig;

use super::formulas::{
    exponential_p99, mg1_mean, mmk_mean, mmk_p99, ps_mean, retrial_attempts, retrial_orbit, round_robin_mean,
};
use super::retrial::Retrials;
use super::row::Claim;
use super::{Task, replicate};
use crate::model::Run;
use crate::model::engine::{self, Course, run_course};
use crate::model::scenario::{Arrivals, Discipline, Distribution, Scenario, ServerGroup};

/// Queues and choices at every utilisation of the short or the full form.
pub(super) fn tasks(full: bool) -> Vec<Task> {
    let mut tasks = Vec::new();
    let rhos = |from: &[f64]| from.iter().copied().filter(|rho| full || *rho <= 0.9).collect::<Vec<_>>();
    for rho in rhos(&[0.5, 0.7, 0.8, 0.9, 0.95, 0.99]) {
        tasks.push(multi_server(1, rho));
    }
    for (k, few) in
        [(2, &[0.5, 0.8, 0.9, 0.95][..]), (5, &[0.8, 0.9, 0.95]), (10, &[0.5, 0.8, 0.9, 0.95]), (100, &[0.9, 0.95])]
    {
        tasks.extend(rhos(few).into_iter().map(|rho| multi_server(k, rho)));
    }
    let mean = Duration::from_secs(1);
    let hyper = |cv2| Distribution::Hyperexponential { mean, cv2 };
    for rho in rhos(&[0.5, 0.7, 0.8, 0.9, 0.95]) {
        tasks.push(single("M/D/1", rho, Distribution::constant(mean), 0.0));
    }
    for rho in rhos(&[0.5, 0.8, 0.9, 0.95]) {
        tasks.push(single("M/H2/1 cv2=4", rho, hyper(4.0), 4.0));
        tasks.push(single("M/H2/1 cv2=10", rho, hyper(10.0), 10.0));
    }
    for rho in rhos(&[0.5, 0.8, 0.9, 0.95]) {
        tasks.push(shared("M/D/1-PS", rho, Distribution::constant(mean)));
        tasks.push(shared("M/M/1-PS", rho, Distribution::exponential(mean)));
        tasks.push(shared("M/H2/1-PS cv2=4", rho, hyper(4.0)));
    }
    tasks.push(random_split(0.8));
    for n in [2, 4, 10, 100] {
        tasks.extend(rhos(&[0.5, 0.8, 0.9, 0.95]).into_iter().map(|rho| round_robin(n, rho)));
    }
    for (choices, table) in [(2, CHOICES_2), (3, CHOICES_3)] {
        let listed = table.into_iter().filter(|(rho, ..)| full || *rho <= 0.9);
        tasks.extend(listed.map(|(rho, mean, relative)| choice(choices, rho, mean, relative)));
    }
    tasks
}

/// The retrial queue M/M/1/1 (Falin and Templeton, "Retrial Queues", 1997).
pub(super) fn retrial_tasks() -> Vec<Task> {
    [(0.5, 1.0, 0.01), (0.7, 0.5, 0.01), (0.8, 0.1, 0.01), (0.8, 1.0, 0.01), (0.8, 10.0, 0.01), (0.9, 0.5, 0.02)]
        .into_iter()
        .map(|(lambda, theta, relative)| retrial(lambda, theta, relative))
        .collect()
}

/// How many requests each row measures.
fn jobs(rho: f64) -> f64 {
    match rho {
        rho if rho <= 0.5 => 15e5,
        rho if rho <= 0.7 => 2e6,
        rho if rho <= 0.8 => 25e5,
        rho if rho <= 0.9 => 5e6,
        rho if rho <= 0.95 => 3e7,
        _ => 1e8,
    }
}

/// The tolerance of means that part D lists for a utilisation.
fn relative(rho: f64) -> f64 {
    match rho {
        rho if rho <= 0.8 => 0.005,
        rho if rho <= 0.9 => 0.01,
        rho if rho <= 0.95 => 0.03,
        _ => 0.1,
    }
}

fn multi_server(k: u32, rho: f64) -> Task {
    let group = ServerGroup::new("k", 1, EXPONENTIAL).workers(workers(k));
    let claims = vec![
        near(format!("M/M/{k} rho={rho} mean"), mmk_mean(k, rho), relative(rho)),
        near(format!("M/M/{k} rho={rho} p99"), mmk_p99(k, rho), 0.02),
    ];
    sojourn(claims, group, Strategy::Random, f64::from(k) * rho, rho)
}

fn single(name: &str, rho: f64, law: Distribution, cv2: f64) -> Task {
    let relative = if cv2 <= 1.0 {
        0.01
    } else if cv2 <= 4.0 {
        0.03
    } else {
        0.05
    };
    let claims = vec![near(format!("{name} rho={rho} mean"), mg1_mean(rho, cv2), relative)];
    sojourn(claims, ServerGroup::new("one", 1, law), Strategy::Random, rho, rho)
}

fn shared(name: &str, rho: f64, law: Distribution) -> Task {
    let group = ServerGroup::new("one", 1, law).discipline(Discipline::ProcessorSharing);
    let claims = vec![near(format!("{name} rho={rho} mean"), ps_mean(rho), 0.01)];
    sojourn(claims, group, Strategy::Random, rho, rho.min(0.8))
}

fn random_split(rho: f64) -> Task {
    let claims = vec![near(format!("random n=10 rho={rho} mean"), mmk_mean(1, rho), 0.01)];
    sojourn(claims, ServerGroup::new("ten", 10, EXPONENTIAL), Strategy::Random, 10.0 * rho, rho)
}

fn round_robin(n: u32, rho: f64) -> Task {
    let mean = round_robin_mean(n, rho);
    let relative = if rho <= 0.9 { 0.01 } else { 0.03 };
    let claims = vec![
        near(format!("round robin n={n} rho={rho} mean"), mean, relative),
        near(format!("round robin n={n} rho={rho} p99"), exponential_p99(mean), 0.02),
    ];
    sojourn(claims, ServerGroup::new("n", n, EXPONENTIAL), Strategy::RoundRobin, f64::from(n) * rho, rho.min(0.85))
}

fn choice(choices: u32, rho: f64, mean: f64, relative: f64) -> Task {
    let claims = vec![near(format!("JSQ({choices}) n=100 rho={rho} mean"), mean, relative)];
    let group = ServerGroup::new("hundred", 100, EXPONENTIAL);
    sojourn(claims, group, choosing(choices), 100.0 * rho, rho.min(0.85))
}

/// The production policy with so many choices.
pub(super) fn choosing(choices: u32) -> Strategy {
    let mut config = P2cConfig::default();
    config.choices = choices;
    Strategy::P2cLeastLoaded(config)
}

/// The mean and, where two things are claimed, the 99th percentile of the sojourn time in `group`.
fn sojourn(claims: Vec<(String, Claim, f64)>, group: ServerGroup, strategy: Strategy, rate: f64, rho: f64) -> Task {
    let measured = jobs(rho) / REPLICATIONS as f64 / rate;
    // The time in which a queue forgets how it began, many times over.
    let forget = 1.0 - rho.sqrt();
    let warmup = 10.0 / (forget * forget);
    let wants_p99 = claims.len() > 1;
    let measure = move |seed| {
        let one = |seed| {
            let scenario = scenario(&group, rate, warmup, measured, seed);
            let run = engine::run(&scenario, &strategy, &mut ());
            let seconds = |millis: Option<f64>| millis.unwrap_or(f64::NAN) / 1e3;
            [seconds(run.latency_ms.mean), seconds(run.latency_ms.p99)]
        };
        let estimates = replicate(seed, REPLICATIONS, one);
        if wants_p99 { estimates } else { estimates.into_iter().take(1).collect() }
    };
    Task { claims, measure: Box::new(measure) }
}

fn scenario(group: &ServerGroup, rate: f64, warmup: f64, measured: f64, seed: u64) -> Scenario {
    let duration = Duration::from_secs_f64(warmup + measured);
    let scenario = Scenario::new("truth", duration, Arrivals::poisson(rate)).servers(group.clone());
    scenario.warmup(Duration::from_secs_f64(warmup)).seed(seed)
}

fn retrial(lambda: f64, theta: f64, relative: f64) -> Task {
    let name = |what: &str| format!("retrial {lambda}/{theta} {what}");
    let claims = vec![
        near(name("busy"), lambda, relative),
        near(name("orbit"), retrial_orbit(lambda, theta), relative),
        near(name("attempts"), retrial_attempts(lambda, theta), relative),
    ];
    let measured = RETRIAL_ATTEMPTS / retrial_attempts(lambda, theta) / REPLICATIONS as f64 / lambda;
    let measure = move |seed| {
        replicate(seed, REPLICATIONS, |seed| {
            let group = ServerGroup::new("one", 1, EXPONENTIAL).queue_limit(0);
            let scenario = scenario(&group, lambda, 2000.0, measured, seed);
            let course = Retrials { wait: 1e9 / theta };
            retrial_numbers(&scenario, &course, measured)
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// The utilisation, the orbit (by Little's law, of those who wait to try again) and the attempts of each job.
fn retrial_numbers<C: Course>(scenario: &Scenario, course: &C, measured: f64) -> [f64; 3] {
    let run: Run = run_course(scenario, &Strategy::Random, course, &mut ());
    let busy = run.servers[0].utilisation.unwrap_or(f64::NAN);
    let rate = run.requests.measured as f64 / measured;
    let sojourn = run.latency_ms.mean.unwrap_or(f64::NAN) / 1e3;
    [busy, rate * sojourn - busy, run.attempts_per_request.unwrap_or(f64::NAN)]
}

fn near(name: String, expected: f64, relative: f64) -> (String, Claim, f64) {
    (name, Claim::Is(expected), expected * relative)
}

fn workers(k: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(k.saturating_sub(1))
}

const EXPONENTIAL: Distribution = Distribution::exponential(Duration::from_secs(1));
const REPLICATIONS: u64 = 32;
const RETRIAL_ATTEMPTS: f64 = 5e6;

/// Utilisation, simulated mean for 100 servers, and the tolerance: Mitzenmacher, "The power of two choices in
/// randomized load balancing", 2001, choices without replacement.
const CHOICES_2: [(f64, f64, f64); 6] = [
    (0.5, 1.2673, 0.005),
    (0.7, 1.6202, 0.005),
    (0.8, 1.9585, 0.005),
    (0.9, 2.6454, 0.005),
    (0.95, 3.4610, 0.01),
    (0.99, 5.9275, 0.03),
];
const CHOICES_3: [(f64, f64, f64); 6] = [
    (0.5, 1.1277, 0.005),
    (0.7, 1.3634, 0.005),
    (0.8, 1.5940, 0.005),
    (0.9, 2.0614, 0.005),
    (0.95, 2.6137, 0.01),
    (0.99, 4.4080, 0.03),
];
