//! Closed forms of queueing theory, in units of the mean service time.

/// The probability that a request waits in M/M/k at utilisation `rho` (Erlang's C formula).
pub(super) fn erlang_c(k: u32, rho: f64) -> f64 {
    let offered = f64::from(k) * rho;
    // Erlang's B by its recursion, which neither overflows nor loses digits.
    let blocked = (1..=k).fold(1.0, |blocked, servers| {
        let load = offered * blocked;
        load / (f64::from(servers) + load)
    });
    blocked / (1.0 - rho * (1.0 - blocked))
}

/// The mean sojourn time in M/M/k.
pub(super) fn mmk_mean(k: u32, rho: f64) -> f64 {
    1.0 + erlang_c(k, rho) / (f64::from(k) * (1.0 - rho))
}

/// The 99th percentile of the sojourn time in M/M/k: the root of P(T > t) = 0.01, where a wait is exponential with rate
/// k(1 - rho) and happens with Erlang's C.
pub(super) fn mmk_p99(k: u32, rho: f64) -> f64 {
    let (waits, rate) = (erlang_c(k, rho), f64::from(k) * (1.0 - rho));
    let tail = |t: f64| {
        if (rate - 1.0).abs() < 1e-12 {
            return libm::exp(-t) * (1.0 + waits * t);
        }
        let both = (libm::exp(-t) - libm::exp(-rate * t)) * rate / (rate - 1.0);
        (1.0 - waits) * libm::exp(-t) + waits * (libm::exp(-rate * t) + both)
    };
    bisect(0.0, 1e5, |t| tail(t) > 0.01)
}

/// The mean sojourn time in M/G/1 for a squared coefficient of variation `cv2` of the service (Pollaczek and
/// Khinchine).
pub(super) fn mg1_mean(rho: f64, cv2: f64) -> f64 {
    1.0 + rho * (1.0 + cv2) / (2.0 * (1.0 - rho))
}

/// The mean sojourn time in M/G/1 with processor sharing, whatever the law of the service.
pub(super) fn ps_mean(rho: f64) -> f64 {
    1.0 / (1.0 - rho)
}

/// The mean sojourn time of round robin over `n` servers, each of which is Erlang-n/M/1. The law is exponential.
pub(super) fn round_robin_mean(n: u32, rho: f64) -> f64 {
    let stages = f64::from(n) * rho;
    let transform = |sigma: f64| power(stages / (stages + 1.0 - sigma), n);
    // The root below 1 of sigma = transform(sigma): below it the transform is above the diagonal.
    let sigma = bisect(0.0, 1.0 - 1e-9, |sigma| transform(sigma) > sigma);
    1.0 / (1.0 - sigma)
}

/// The 99th percentile of an exponential law with this mean.
pub(super) fn exponential_p99(mean: f64) -> f64 {
    libm::log(100.0) * mean
}

/// The fractions of bins with at least 1, 2, 3 and 4 balls, after as many balls as bins have each gone to the emptier
/// of `d` (Mitzenmacher's fluid limit: s_i' = s_(i-1)^d - s_i^d at time 1).
pub(super) fn bins(d: u32) -> [f64; 4] {
    let slope = |state: &[f64; LEVELS]| {
        core::array::from_fn(|i| if i == 0 { 0.0 } else { power(state[i - 1], d) - power(state[i], d) })
    };
    let mut state = [0.0; LEVELS];
    state[0] = 1.0;
    let step = 1.0 / f64::from(STEPS);
    for _ in 0..STEPS {
        // The classic method of Runge and Kutta.
        let one: [f64; LEVELS] = slope(&state);
        let two: [f64; LEVELS] = slope(&moved(&state, &one, step / 2.0));
        let three: [f64; LEVELS] = slope(&moved(&state, &two, step / 2.0));
        let four: [f64; LEVELS] = slope(&moved(&state, &three, step));
        for i in 0..LEVELS {
            state[i] += step / 6.0 * (one[i] + 2.0 * two[i] + 2.0 * three[i] + four[i]);
        }
    }
    [state[1], state[2], state[3], state[4]]
}

/// The retrial queue M/M/1/1: how many wait to try again (the orbit), at arrival rate `lambda` and retry rate `theta`.
pub(super) fn retrial_orbit(lambda: f64, theta: f64) -> f64 {
    lambda * (lambda + lambda * theta) / ((1.0 - lambda) * theta)
}

/// The retrial queue M/M/1/1: attempts for each job.
pub(super) fn retrial_attempts(lambda: f64, theta: f64) -> f64 {
    1.0 + lambda * (1.0 + theta) / (1.0 - lambda)
}

fn moved(state: &[f64; LEVELS], slope: &[f64; LEVELS], step: f64) -> [f64; LEVELS] {
    core::array::from_fn(|i| state[i] + step * slope[i])
}

fn power(base: f64, exponent: u32) -> f64 {
    (0..exponent).fold(1.0, |power, _| power * base)
}

/// Where `below` turns from true to false between `low` and `high`.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

const LEVELS: usize = 8;
const STEPS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(value: f64, table: f64) {
        assert!((value / table - 1.0).abs() < 5e-5, "{value} instead of {table}");
    }

    #[test]
    fn erlangs_formula_gives_the_tables() {
        for (k, means) in [
            (1, [2.0, 3.33333, 5.0, 10.0, 20.0, 100.0]),
            (2, [1.333333, 1.960784, 2.777778, 5.263158, 10.256410, 50.251256]),
            (5, [1.052149, 1.251892, 1.554113, 2.524986, 4.511196, 20.500534]),
            (10, [1.007221, 1.073910, 1.204590, 1.668732, 2.651171, 10.637384]),
            (100, [1.0, 1.000015, 1.000982, 1.021694, 1.101291, 1.882768]),
        ] {
            for (rho, mean) in RHOS.into_iter().zip(means) {
                close(mmk_mean(k, rho), mean);
            }
        }
        for (rho, p99) in RHOS.into_iter().zip([9.2103, 15.3506, 23.0259, 46.0517, 92.1034, 460.517]) {
            close(mmk_p99(1, rho), p99);
        }
        for (rho, p99) in RHOS.into_iter().zip([4.6142, 4.7103, 4.9461, 6.2499, 10.2085, 46.7360]) {
            close(mmk_p99(10, rho), p99);
        }
        for (rho, waits) in RHOS.into_iter().zip([0.036105, 0.221731, 0.409180, 0.668732, 0.825586, 0.963738]) {
            close(erlang_c(10, rho), waits);
        }
    }

    #[test]
    fn pollaczek_and_khinchine_give_the_tables() {
        let rhos = [0.5, 0.7, 0.8, 0.9, 0.95];
        for (cv2, means) in [
            (0.0, [1.5, 2.16667, 3.0, 5.5, 10.5]),
            (1.0, [2.0, 3.33333, 5.0, 10.0, 20.0]),
            (4.0, [3.5, 6.83333, 11.0, 23.5, 48.5]),
            (10.0, [6.5, 13.83333, 23.0, 50.5, 105.5]),
        ] {
            for (rho, mean) in rhos.into_iter().zip(means) {
                close(mg1_mean(rho, cv2), mean);
            }
        }
        for (rho, mean) in rhos.into_iter().zip([2.0, 3.33333, 5.0, 10.0, 20.0]) {
            close(ps_mean(rho), mean);
        }
    }

    #[test]
    fn round_robin_gives_the_tables() {
        for (n, means) in [
            (1, [2.0, 3.3333, 5.0, 10.0, 20.0, 100.0]),
            (2, [1.6180, 2.6006, 3.8440, 7.5883, 15.0857, 75.0838]),
            (4, [1.4325, 2.2367, 3.2674, 6.3830, 12.6289, 62.6258]),
            (10, [1.3246, 2.0198, 2.9223, 5.6603, 11.1549, 55.1510]),
            (100, [1.2619, 1.8905, 2.7157, 5.2268, 10.2707, 50.6661]),
        ] {
            for (rho, mean) in RHOS.into_iter().zip(means) {
                close(round_robin_mean(n, rho), mean);
            }
        }
    }

    #[test]
    fn the_fluid_limit_gives_the_tables() {
        for (d, fractions) in [
            (1, [0.63212, 0.26424, 0.08030, 0.01899]),
            (2, [0.76159, 0.22950, 0.008895, 6.05e-6]),
            (3, [0.82300, 0.17650, 5.077e-4, 3.9e-12]),
            (4, [0.85920, 0.14080, 2.301e-5, 0.0]),
        ] {
            for (value, table) in bins(d).into_iter().zip(fractions) {
                assert!((value - table).abs() < 5e-5, "d = {d}: {value} instead of {table}");
            }
        }
    }

    #[test]
    fn the_retrial_queue_gives_the_tables() {
        for (lambda, theta, orbit, attempts) in [
            (0.5, 0.1, 5.5, 2.1),
            (0.5, 1.0, 1.0, 3.0),
            (0.7, 0.5, 4.9, 4.5),
            (0.8, 10.0, 3.52, 45.0),
            (0.9, 0.5, 24.3, 14.5),
        ] {
            close(retrial_orbit(lambda, theta), orbit);
            close(retrial_attempts(lambda, theta), attempts);
        }
    }

    const RHOS: [f64; 6] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99];
}
