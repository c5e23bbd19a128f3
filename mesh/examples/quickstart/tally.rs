//! What the callers saw, and how it is printed.

use std::time::Duration;

use crate::run::{BACKENDS, CALLS};

/// Counts of one caller, or of all.
#[derive(Default)]
pub(crate) struct Tally {
    errors: usize,
    attempts: usize,
    latencies: Vec<Duration>,
    /// Attempts by third of the run and backend.
    shares: [[usize; BACKENDS]; 3],
}

impl Tally {
    /// Counts a call that made `attempts` at the backends named.
    pub(crate) fn count(&mut self, third: usize, latency: Duration, attempts: &[usize], good: bool) {
        self.errors += usize::from(!good);
        self.attempts += attempts.len();
        self.latencies.push(latency);
        for &backend in attempts {
            self.shares[third][backend] += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.errors += other.errors;
        self.attempts += other.attempts;
        self.latencies.extend(other.latencies);
        for (mine, theirs) in self.shares.iter_mut().flatten().zip(other.shares.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// Prints the table and the line for programs; whether what the example demonstrates held.
    #[expect(clippy::print_stdout, reason = "an example shows what it did")]
    pub(crate) fn report(mut self, elapsed: Duration, victim: usize, clean: bool) -> bool {
        self.latencies.sort_unstable();
        let (calls, errors, attempts) = (self.latencies.len(), self.errors, self.attempts);
        let retries = attempts.saturating_sub(calls);
        let (p50, p99) = (self.quantile(50), self.quantile(99));
        let rate = calls as f64 / elapsed.as_secs_f64();

        println!("calls {calls}   errors seen by the caller {errors}   attempts {attempts}   retries {retries}");
        println!("p50 {} us   p99 {} us   {rate:.0} calls per second\n", p50.as_micros(), p99.as_micros());
        println!("share of attempts     backend 0  backend 1  backend 2  backend 3");
        for (third, what) in ["first third", "second third", "last third"].into_iter().enumerate() {
            let shares: Vec<String> = (0..BACKENDS).map(|at| format!("{:>9.1}%", self.share(third, at))).collect();
            let note = if third == 1 { format!("  backend {victim} is down") } else { String::new() };
            println!("{what:<20}{}{note}", shares.join(" "));
        }
        println!("\nshut down {}", if clean { "in order" } else { "with something left over" });
        println!(
            "RESULT calls={calls} errors={errors} attempts={attempts} retries={retries} p50_us={} p99_us={} calls_per_s={rate:.0}",
            p50.as_micros(),
            p99.as_micros(),
        );
        let noticed = self.share(1, victim) < 10.0;
        let returned = self.share(2, victim) > 10.0;
        calls == CALLS && errors == 0 && noticed && returned && clean
    }

    fn share(&self, third: usize, backend: usize) -> f64 {
        let all: usize = self.shares[third].iter().sum();
        100.0 * self.shares[third][backend] as f64 / all.max(1) as f64
    }

    fn quantile(&self, percent: usize) -> Duration {
        let at = self.latencies.len() * percent / 100;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}
