//! What the adaptive strategy goes by: how high the load is, and how uneven it would be under weighted round robin.
//!
//! The requests in flight at one moment say little: of few, chance alone makes them vary by more than any threshold; and
//! a policy that evens them out hides why it was needed. So each candidate's load and picks are averaged over the last
//! few looks, and its load is projected to the picks that its weight would have brought it: by Little's law an instance
//! holds in flight what it is sent, times the time it takes. From the variance of that the part is taken off that
//! Poisson arrivals cause by themselves, which is the mean, cut down by the averaging.

use alloc::collections::BTreeMap;

use crate::balance::tried::EndpointId;
use crate::balance::view::Lineup;
use crate::time::Instant;

/// What a decision is made on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Signals {
    /// Requests in flight, and failures held, an instance.
    pub(super) load: f64,
    /// The standard deviation of the projected load per weight over its mean, less chance.
    pub(super) variation: f64,
}

/// The averages of every candidate.
#[derive(Debug, Default)]
pub(super) struct Watch {
    candidates: BTreeMap<EndpointId, Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// All picks up to the last look.
    picks: u64,
    /// Picks between two looks.
    picked: Average,
    load: Average,
}

/// An exponential average that begins as the plain one of what it has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    value: f64,
    /// The sum of the weights of what was seen: 1 in the long run.
    mass: f64,
}

impl Watch {
    /// Takes in how the candidates of `lineup` stand at `now`; those that are not among them any more are forgotten.
    pub(super) fn look(&mut self, now: Instant, lineup: &Lineup<'_>) -> Signals {
        let mut seen = BTreeMap::new();
        for position in 0..lineup.len() {
            let endpoint = lineup.endpoint(position);
            let (picks, load) = (endpoint.picks(), endpoint.load(now));
            let known = self.candidates.get(&endpoint.id()).copied();
            // Of one that is new nothing is known but its load: its picks began at no known time.
            let mut candidate =
                known.unwrap_or(Candidate { picks, picked: Average::default(), load: Average::default() });
            if known.is_some() {
                candidate.picked.add(picks.wrapping_sub(candidate.picks) as f64);
            }
            candidate.picks = picks;
            candidate.load.add(load as f64);
            seen.insert(endpoint.id(), candidate);
        }
        self.candidates = seen;
        self.signals(lineup)
    }

    fn signals(&self, lineup: &Lineup<'_>) -> Signals {
        let candidates = || {
            (0..lineup.len()).filter_map(|at| {
                let candidate = self.candidates.get(&lineup.endpoint(at).id())?;
                Some((candidate, f64::from(lineup.weight(at))))
            })
        };
        let (mut load, mut count, mut picked, mut weights) = (0.0, 0.0, 0.0, 0.0);
        for (candidate, weight) in candidates() {
            load += candidate.load.value;
            count += 1.0;
            picked += candidate.picked.value;
            weights += weight;
        }
        if count == 0.0 || picked <= 0.0 {
            return Signals { load: if count == 0.0 { 0.0 } else { load / count }, variation: 0.0 };
        }
        // Per weight: the load that the picks of the weight would make, of those who were picked often enough to tell.
        let fair = picked / weights;
        let told = candidates().filter(|(candidate, _)| candidate.picked.value >= PICKED_MIN);
        let projected = told.map(|(candidate, _)| {
            let Candidate { picked, load, .. } = candidate;
            let projected = load.value * fair / picked.value;
            // Both of what it is made of are counts, and a count's variance over its square is its inverse.
            let requests = load.value / load.noise();
            let chance = projected * projected * (1.0 / requests + picked.noise() / picked.value);
            Projected { load: projected, chance: if requests > 0.0 { chance } else { 0.0 }, requests }
        });
        let projected: Vec<Projected> = projected.collect();
        Signals { load: load / count, variation: variation(&projected) }
    }
}

/// The load per weight that weighted round robin would make of a candidate.
#[derive(Clone, Copy, Debug)]
struct Projected {
    load: f64,
    /// The variance that it has by chance.
    chance: f64,
    /// How many requests it was seen by.
    requests: f64,
}

/// The standard deviation of the projected loads over their mean, less what chance may make of it.
///
/// The variance of a sample of n has itself a standard deviation, of √(2/(n-1) + k/n) times the true one, where k is the
/// kurtosis beyond the normal's: the inverse of a Poisson mean. [`DOUBT`] of those count as chance.
fn variation(projected: &[Projected]) -> f64 {
    let count = projected.len() as f64;
    let mean = projected.iter().map(|one| one.load).sum::<f64>() / count;
    if projected.len() < 2 || mean <= 0.0 {
        return 0.0;
    }
    let variance = projected.iter().map(|one| (one.load - mean) * (one.load - mean)).sum::<f64>() / (count - 1.0);
    let chance = projected.iter().map(|one| one.chance).sum::<f64>() / count;
    let requests = projected.iter().map(|one| one.requests).sum::<f64>() / count;
    let doubt = DOUBT * (2.0 / (count - 1.0) + 1.0 / (requests * count)).sqrt();
    if variance <= chance * (1.0 + doubt) { 0.0 } else { (variance - chance).sqrt() / mean }
}

impl Average {
    fn add(&mut self, sample: f64) {
        self.mass += SMOOTHING * (1.0 - self.mass);
        self.value += SMOOTHING / self.mass * (sample - self.value);
    }

    /// By how much the variance of the average is smaller than that of a sample.
    fn noise(&self) -> f64 {
        // The sum of the squares of the samples' weights, which is s / (2 - s) in the long run, and 1 after one.
        let lost = 1.0 - self.mass;
        SMOOTHING / (2.0 - SMOOTHING) * (1.0 - lost * lost) / (self.mass * self.mass)
    }
}

/// How much of an average its newest sample is.
const SMOOTHING: f64 = 0.2;
/// How many standard deviations count as chance: about one look in ten thousand is beyond.
const DOUBT: f64 = 4.0;
/// Picks an interval of which the load of an instance can be projected.
const PICKED_MIN: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_average_begins_as_the_plain_one_and_forgets() {
        let mut average = Average::default();
        average.add(6.0);
        assert!(average.value == 6.0 && (average.noise() - 1.0).abs() < 1e-12);
        average.add(3.0);
        // Weights 0.8 : 1 of the two.
        assert!((average.value - (6.0 * 0.8 + 3.0) / 1.8).abs() < 1e-12);
        assert!((average.noise() - (0.64 + 1.0) / (1.8 * 1.8)).abs() < 1e-12, "{}", average.noise());
        (0..200).for_each(|_| average.add(1.0));
        assert!((average.value - 1.0).abs() < 1e-9);
        assert!((average.noise() - 0.2 / 1.8).abs() < 1e-9);
    }

    #[test]
    fn chance_alone_is_no_variation() {
        let mut rng = Rng::from_seed(5);
        for mean in [0.5_f64, 2.0, 20.0] {
            let mut averages = [Average::default(); 200];
            let mut sum = 0.0;
            for look in 0..60 {
                averages.iter_mut().for_each(|average| average.add(poisson(&mut rng, mean)));
                let one = |load: &Average| Projected {
                    load: load.value,
                    chance: load.value * load.noise(),
                    requests: load.value / load.noise(),
                };
                let projected: Vec<_> = averages.iter().map(one).collect();
                sum += if look < 10 { 0.0 } else { variation(&projected) };
            }
            assert!(sum / 50.0 < 0.1, "mean {mean}: {}", sum / 50.0);
        }
    }

    #[test]
    fn what_is_not_chance_is_measured() {
        // Half of them hold twice as much as the others: the deviation is a third of the mean.
        let one = |at| Projected { load: if at % 2 == 0 { 10.0 } else { 20.0 }, chance: 0.0, requests: 100.0 };
        let projected: Vec<_> = (0..1_000).map(one).collect();
        assert!((variation(&projected) - 1.0 / 3.0).abs() < 1e-3);
        assert_eq!((variation(&projected[..1]), variation(&[])), (0.0, 0.0));
    }

    /// Knuth's way, for small means.
    fn poisson(rng: &mut Rng, mean: f64) -> f64 {
        let (limit, mut product, mut count) = (libm::exp(-mean), 1.0, -1.0);
        while product > limit {
            product *= rng.unit();
            count += 1.0;
        }
        count
    }
}
