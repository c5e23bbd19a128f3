//! How much load retries make with a budget: closed forms, met by seeded draws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use mesh_retry::budget::{After, Budget, BudgetConfig, End, Extra, TokenBucket, TokenBucketConfig, WindowConfig};
use mesh_retry::{Instant, Rng};

#[test]
fn load_is_one_and_the_lesser_of_the_failures_and_the_ratio() {
    // Each attempt fails with p, independently, and every failure is retried as long as there is a token: load is
    // 1 + min(p / (1 - p), r), and the share of calls that succeed is min(1, (1 - p) · load). The draws stay within four
    // standard deviations of that, and near the edge p / (1 - p) = r the bucket runs dry now and then.
    let calls = 200_000;
    for (p, r) in [
        (0.01, 100),
        (0.05, 100),
        (0.2, 100),
        (0.5, 100),
        (0.75, 100),
        (0.1, 200),
        (0.5, 200),
        (0.9, 200),
        (0.5, 1_500),
    ] {
        let bucket = TokenBucket::new(&bucket(r, 20_000));
        let mut rng = Rng::from_seed(9);
        let run = run(&bucket, p, calls, &mut rng);
        let ratio = f64::from(r) / 1_000.0;
        let load = 1.0 + (p / (1.0 - p)).min(ratio);
        let off = 4.0 * (p / ((1.0 - p) * (1.0 - p)) / calls as f64).sqrt() + 20.0 / calls as f64;
        assert!((run.load() - load).abs() < off, "p {p} r {ratio}: load {} where {load} is expected", run.load());
        let success = ((1.0 - p) * load).min(1.0);
        assert!((run.success() - success).abs() < 0.005, "p {p} r {ratio}: {} succeed of {success}", run.success());
    }
}

#[test]
fn what_many_clients_hold_at_the_start_adds_up() {
    // Brooker's client-count effect: each client spends its bucket. Up to one token is left over, and
    // what first attempts bring while it is full is lost.
    for clients in [10, 100, 1_000] {
        let calls = 10_000 / clients;
        let mut rng = Rng::from_seed(16);
        let runs: Vec<Run> = (0..clients)
            .map(|_| run(&TokenBucket::new(&TokenBucketConfig::brooker()), 0.75, calls, &mut rng))
            .collect();
        let attempts: u64 = runs.iter().map(|run| run.attempts).sum();
        let load = attempts as f64 / 10_000.0;
        let held = clients as f64 / 10_000.0;
        let range = 1.1 + 3.9 * held..=1.1 + 5.0 * held;
        assert!(range.contains(&load), "{clients} clients: {load} is not in {range:?}");
    }
}

#[test]
fn a_fleet_whose_callee_is_down_adds_little_with_the_default_and_much_with_finagles() {
    // A thousand processes with a call a second each, all of which fail, for a hundred seconds: r · R + n · N retries a
    // second, and what each process holds at the start.
    let seconds = 100;
    for (config, a_second) in [
        (BudgetConfig::default(), 0.2 + 0.1 + 10.0 / 100.0),
        (BudgetConfig::Window(WindowConfig::default()), 0.2 + 10.0),
    ] {
        let budget = config.build();
        let mut retries = 0;
        for second in 0..seconds {
            budget.deposit(at(second));
            for ask in 0..1_000 {
                let now = at(second) + core::time::Duration::from_millis(ask);
                let answer = budget.withdraw(now, Extra::retry(After::Transient));
                retries += u32::from(answer.is_granted());
                budget.ended(now, End::Failed, answer.paid());
            }
        }
        let got = f64::from(retries) / seconds as f64;
        // A window is eleven slots of a second, of which ten are paid for.
        assert!(
            got <= a_second + 0.11 && got >= a_second * 10.0 / 11.0 - 0.05,
            "{config:?}: {got} of {a_second} a second"
        );
    }
}

/// What calls came to.
struct Run {
    calls: u64,
    attempts: u64,
    successes: u64,
}

impl Run {
    fn load(&self) -> f64 {
        self.attempts as f64 / self.calls as f64
    }

    fn success(&self) -> f64 {
        self.successes as f64 / self.calls as f64
    }
}

/// Makes `calls` calls, whose attempts fail with `p`; each failure is retried if the budget grants it.
fn run(budget: &dyn Budget, p: f64, calls: u64, rng: &mut Rng) -> Run {
    let mut run = Run { calls, attempts: 0, successes: 0 };
    for _ in 0..calls {
        budget.deposit(Instant::ZERO);
        let mut paid = None;
        loop {
            run.attempts += 1;
            if rng.unit() >= p {
                run.successes += 1;
                budget.ended(Instant::ZERO, End::Succeeded, paid);
                break;
            }
            budget.ended(Instant::ZERO, End::Failed, paid);
            paid = budget.withdraw(Instant::ZERO, Extra::retry(After::Transient)).paid();
            if paid.is_none() {
                break;
            }
        }
    }
    run
}

fn bucket(ratio_milli: u32, burst_milli: u32) -> TokenBucketConfig {
    let mut config = TokenBucketConfig::brooker();
    (config.ratio_milli, config.burst_milli) = (ratio_milli, burst_milli);
    config
}

fn at(second: u64) -> Instant {
    Instant::from_millis(1_000 * second)
}
