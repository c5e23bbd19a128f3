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
    /// Whether some candidate that is picked too seldom to be told of has requests that do not end: the variation knows
    /// nothing of it.
    pub(super) is_blind: bool,
}

/// The averages of every candidate, by their positions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: EndpointId,
    /// All picks up to the last look; none before the first, when it is not known since when they were made.
    picks: Option<u64>,
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
    /// A watch over the candidates of `lineup`, with what `previous` knows of them.
    pub(super) fn over(lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        let known = previous.map_or(&[][..], |previous| &previous.candidates);
        // Both are in the order of the keys: most often the next one is the next one.
        let (mut at, mut index) = (0, None);
        let newest = known.iter().map(|candidate| candidate.id).max();
        let candidate = |position| {
            let id = lineup.endpoint(position).id();
            // Endpoints are numbered as they join.
            if Some(id) > newest {
                return Candidate::new(id);
            }
            let near = (at..known.len().min(at + NEAR)).find(|&at| known[at].id == id);
            let found = near.or_else(|| index.get_or_insert_with(|| by_id(known)).get(&id).copied());
            at = found.map_or(at, |found| found + 1);
            found.map_or_else(|| Candidate::new(id), |found| known[found])
        };
        Self { candidates: (0..lineup.len()).map(candidate).collect() }
    }

    /// Takes in how the candidates stand at `now`. `lineup` is the one that it watches over.
    pub(super) fn look(&mut self, now: Instant, lineup: &Lineup<'_>) -> Signals {
        for (position, candidate) in self.candidates.iter_mut().enumerate() {
            let endpoint = lineup.endpoint(position);
            let picks = endpoint.picks();
            if let Some(before) = candidate.picks.replace(picks) {
                candidate.picked.add(picks.saturating_sub(before) as f64);
            }
            candidate.load.add(lineup.load(position, now) as f64);
        }
        self.signals(lineup)
    }

    fn signals(&self, lineup: &Lineup<'_>) -> Signals {
        let count = self.candidates.len() as f64;
        if self.candidates.is_empty() {
            return Signals::default();
        }
        let load = self.candidates.iter().map(|candidate| candidate.load.value).sum::<f64>() / count;
        let picked = self.candidates.iter().map(|candidate| candidate.picked.value).sum::<f64>();
        let weights = (0..self.candidates.len()).map(|position| f64::from(lineup.weight(position))).sum::<f64>();
        // Of those who were picked too seldom nothing can be told.
        let told = self.candidates.iter().filter(|candidate| candidate.picked.value >= PICKED_MIN);
        let hangs = |candidate: &Candidate| candidate.picked.value < PICKED_MIN && candidate.load.value >= STUCK_MIN;
        let is_blind = self.candidates.iter().any(hangs);
        Signals { load, is_blind, variation: variation(told.map(|candidate| candidate.projected(picked / weights))) }
    }
}

/// Where each of them is.
fn by_id(known: &[Candidate]) -> BTreeMap<EndpointId, usize> {
    known.iter().enumerate().map(|(at, candidate)| (candidate.id, at)).collect()
}

impl Candidate {
    fn new(id: EndpointId) -> Self {
        Self { id, picks: None, picked: Average::default(), load: Average::default() }
    }

    /// Its load per weight, had it been picked `fair` times for each unit of weight.
    fn projected(&self, fair: f64) -> Projected {
        let Self { picked, load, .. } = self;
        let projected = load.value * fair / picked.value;
        // Both of what it is made of are counts, and a count's variance over its square is its inverse.
        let requests = load.value / load.noise();
        let chance = projected * projected * (1.0 / requests + picked.noise() / picked.value);
        Projected { load: projected, chance: if requests > 0.0 { chance } else { 0.0 }, requests }
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
fn variation(projected: impl Iterator<Item = Projected> + Clone) -> f64 {
    let (mut count, mut sum, mut chance, mut requests) = (0.0, 0.0, 0.0, 0.0);
    for one in projected.clone() {
        count += 1.0;
        sum += one.load;
        chance += one.chance;
        requests += one.requests;
    }
    if count < 2.0 || sum <= 0.0 {
        return 0.0;
    }
    let (mean, chance) = (sum / count, chance / count);
    let variance = projected.map(|one| (one.load - mean) * (one.load - mean)).sum::<f64>() / (count - 1.0);
    let doubt = DOUBT * (2.0 / (count - 1.0) + 1.0 / requests).sqrt();
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
/// How many places further on a candidate is looked for before all are looked through.
const NEAR: usize = 8;
/// How many standard deviations count as chance: about one look in ten thousand is beyond.
const DOUBT: f64 = 4.0;
/// Picks an interval of which the load of an instance can be projected.
const PICKED_MIN: f64 = 1.0;
/// Requests in flight, on average, of one that is picked less than once an interval, from which on it is said to hang.
const STUCK_MIN: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Member, Strategy, ViewBuilder};
    use crate::rng::Rng;
    use crate::route::RouteId;
    use crate::service::Instance;

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
    fn whatever_joins_leaves_or_moves_each_candidate_keeps_what_is_known_of_itself() {
        let member =
            |number: u16| Member::usable(Instance::builder("api", "127.0.0.1", 10_000 + number).build().unwrap());
        let mut views = ViewBuilder::new(Strategy::Random);
        let mut rng = Rng::from_seed(11);
        let mut watch = Watch::default();
        for _ in 0..200 {
            // Anything from one who leaves to nearly all: what is near is found there, and what is far by its number.
            let share = 1 + rng.below(9);
            let view = views.build((0..60).filter(|_| rng.below(10) < share).map(member).collect::<Vec<_>>());
            let before = watch;
            watch = Watch::over(&view.lineup(&view.all), Some(&before));
            for (candidate, (endpoint, _)) in watch.candidates.iter_mut().zip(view.usable(RouteId::ALL)) {
                assert_eq!(candidate.id, endpoint.id());
                let known = before.candidates.iter().any(|before| before.id == candidate.id);
                assert_eq!(candidate.picks, known.then(|| candidate.id.number()));
                candidate.picks = Some(candidate.id.number());
            }
        }
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
                sum += if look < 10 { 0.0 } else { variation(projected.iter().copied()) };
            }
            assert!(sum / 50.0 < 0.1, "mean {mean}: {}", sum / 50.0);
        }
    }

    #[test]
    fn what_is_not_chance_is_measured() {
        // Half of them hold twice as much as the others: the deviation is a third of the mean.
        let one = |at| Projected { load: if at % 2 == 0 { 10.0 } else { 20.0 }, chance: 0.0, requests: 100.0 };
        let projected: Vec<_> = (0..1_000).map(one).collect();
        let all = || projected.iter().copied();
        assert!((variation(all()) - 1.0 / 3.0).abs() < 1e-3);
        assert_eq!((variation(all().take(1)), variation(all().take(0))), (0.0, 0.0));
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
