//! How the instances fill the table.

use xxhash_rust::xxh64::xxh64;

use crate::balance::policy::hash::order;
use crate::balance::view::Lineup;

/// The position that each of `size` entries belongs to, for `size` instances at most; `size` must be a prime. Without
/// instances nobody's.
///
/// Instances take an entry each in the order of their addresses, round after round: the next free one of their
/// permutation. Those with less than the greatest weight sit out rounds in proportion.
pub(super) fn fill(size: u32, lineup: &Lineup<'_>) -> Box<[u32]> {
    let mut table = Filling { entries: vec![FREE; size as usize], free: size };
    if !lineup.is_empty() {
        let mut fillers = fillers(size, lineup);
        let greatest = fillers.iter().map(|filler| filler.weight).fold(0.0, f64::max);
        let each_round = fillers.iter().map(|filler| filler.weight).sum::<f64>() / greatest;
        if each_round * SITTING_OUT_MAX >= fillers.len() as f64 {
            table.fill_asking_all(&mut fillers, greatest);
        } else {
            table.fill_by_calendar(&mut fillers, greatest);
        }
    }
    table.entries.into()
}

/// An instance that takes entries.
#[derive(Clone, Copy, Debug)]
struct Filler {
    position: u32,
    /// The next entry of its permutation: offset + step × number, modulo the size.
    next: u32,
    step: u32,
    /// Of all weights together.
    weight: f64,
    /// It sits a round out while round × weight is below this.
    target: f64,
}

impl Filler {
    /// The first round after `round` in which it takes an entry, worked out from the target and then set right by the
    /// very comparison that it stands for, which may round otherwise.
    fn round_after(&self, round: u32) -> u32 {
        let about = (self.target / self.weight).ceil();
        let mut due = if about < f64::from(u32::MAX) { about as u32 } else { return u32::MAX };
        while due > 1 && f64::from(due - 1) * self.weight >= self.target {
            due -= 1;
        }
        while f64::from(due) * self.weight < self.target {
            due += 1;
        }
        due.max(round + 1)
    }
}

/// The table as far as it is filled.
#[derive(Debug)]
struct Filling {
    entries: Vec<u32>,
    free: u32,
}

impl Filling {
    /// Round after round, asking every instance.
    fn fill_asking_all(&mut self, fillers: &mut [Filler], greatest: f64) {
        for round in 1_u32.. {
            for filler in &mut *fillers {
                if self.free == 0 {
                    return;
                }
                if f64::from(round) * filler.weight >= filler.target {
                    self.take(filler, greatest);
                }
            }
        }
    }

    /// Round after round, asking only those whose turn it is: where nearly all sit out nearly every round.
    fn fill_by_calendar(&mut self, fillers: &mut [Filler], greatest: f64) {
        // The heaviest takes an entry in every round, so there are as many rounds as entries at most. Each round is a
        // list: the first whose turn it is, and after each the next.
        let mut first = vec![NOBODY; self.entries.len() + 1];
        let mut after = vec![NOBODY; fillers.len()];
        let mut due: Vec<u32> = (0..fillers.len() as u32).collect();
        for round in 1..=self.entries.len() {
            for &index in &due {
                if self.free == 0 {
                    return;
                }
                let filler = &mut fillers[index as usize];
                self.take(filler, greatest);
                if let Some(first) = first.get_mut(filler.round_after(round as u32) as usize) {
                    after[index as usize] = core::mem::replace(first, index);
                }
            }
            due.clear();
            let mut next = first.get(round + 1).copied().unwrap_or(NOBODY);
            while next != NOBODY {
                due.push(next);
                next = after[next as usize];
            }
            due.sort_unstable();
        }
    }

    /// Gives `filler` the next free entry of its permutation; there must be a free one.
    #[inline]
    fn take(&mut self, filler: &mut Filler, greatest: f64) {
        let size = self.entries.len() as u32;
        // The size is far below 2^31, so the sum stays in its type.
        let after = |at: u32| if at + filler.step >= size { at + filler.step - size } else { at + filler.step };
        let mut at = filler.next;
        while self.entries[at as usize] != FREE {
            at = after(at);
        }
        self.entries[at as usize] = filler.position;
        self.free -= 1;
        filler.next = after(at);
        filler.target += greatest;
    }
}

/// The instances in the order of their addresses, with the permutations that Envoy gives them: offset XXH64 of the
/// address modulo the size, step XXH64 of it with seed 1 modulo the size less one, plus one.
fn fillers(size: u32, lineup: &Lineup<'_>) -> Vec<Filler> {
    let mut addresses = Addresses::of(lineup);
    addresses.sort();
    let total: u64 = (0..lineup.len()).map(|at| u64::from(lineup.weight(at))).sum();
    let filler = |address: &Address| {
        let (bytes, position) = (addresses.bytes(address), address.position);
        Filler {
            position,
            next: (xxh64(bytes, 0) % u64::from(size)) as u32,
            step: (xxh64(bytes, 1) % u64::from(size - 1).max(1)) as u32 + 1,
            weight: f64::from(lineup.weight(position as usize)) / total as f64,
            target: 0.0,
        }
    };
    addresses.list.iter().map(filler).collect()
}

/// `<host>:<port>` of every instance, in one text: a few hundred bytes for each of a few million at most, so that 32 bits
/// say where.
#[derive(Debug)]
struct Addresses {
    text: String,
    list: Vec<Address>,
}

#[derive(Debug)]
struct Address {
    /// Its first sixteen bytes, which settle nearly every comparison.
    head: u128,
    start: u32,
    end: u32,
    position: u32,
}

impl Addresses {
    fn of(lineup: &Lineup<'_>) -> Self {
        let mut addresses = Self { text: String::new(), list: Vec::with_capacity(lineup.len()) };
        for position in 0..lineup.len() {
            let (instance, start) = (lineup.instance(position), addresses.text.len());
            order::push_address(&mut addresses.text, instance);
            let bytes = &addresses.text.as_bytes()[start..];
            let head = bytes.iter().chain(&[0; 16]).take(16).fold(0, |head, &byte| (head << 8) | u128::from(byte));
            let (start, end) = (start as u32, addresses.text.len() as u32);
            addresses.list.push(Address { head, start, end, position: position as u32 });
        }
        addresses
    }

    /// Addresses that are the same stay in the order of the instances' keys.
    fn sort(&mut self) {
        let Self { text, list } = self;
        let bytes = |address: &Address| &text.as_bytes()[address.start as usize..address.end as usize];
        list.sort_by(|one, other| one.head.cmp(&other.head).then_with(|| bytes(one).cmp(bytes(other))));
    }

    fn bytes(&self, address: &Address) -> &[u8] {
        &self.text.as_bytes()[address.start as usize..address.end as usize]
    }
}

/// The smallest prime at or after `size`, in the range of sizes.
pub(super) fn size_at_or_after(size: u32) -> u32 {
    (size.clamp(2, SIZE_MAX)..SIZE_MAX).find(|&size| is_prime(size)).unwrap_or(SIZE_MAX)
}

pub(super) fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

/// The greatest size, as in Envoy; a prime.
pub(super) const SIZE_MAX: u32 = 5_000_011;
/// An entry that nobody has taken.
const FREE: u32 = u32::MAX;
/// The end of a list of fillers.
const NOBODY: u32 = u32::MAX;
/// How many instances are asked for each that takes an entry, at most; beyond, a calendar is cheaper.
const SITTING_OUT_MAX: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_primes_and_what_is_none_is_taken_as_the_next() {
        let primes: Vec<u32> = (0..30).filter(|&number| is_prime(number)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65_537) && is_prime(SIZE_MAX) && !is_prime(65_536) && !is_prime(2_209));
        let taken = [0, 2, 4, 65_536, 65_537, 5_000_000, u32::MAX].map(size_at_or_after);
        assert_eq!(taken, [2, 2, 5, 65_537, 65_537, SIZE_MAX, SIZE_MAX]);
    }

    #[test]
    fn the_calendar_and_the_rounds_fill_the_same_table() {
        for seed in 0..200_u64 {
            let (size, count) = (1_009, 1 + (seed as usize * 7) % 90);
            let mut draws = crate::rng::Draws::new(seed);
            let weights: Vec<u64> = (0..count).map(|_| 1 + draws.below([3, 100, 65_535][seed as usize % 3])).collect();
            let total: u64 = weights.iter().sum();
            let filler = |(position, &weight): (usize, &u64)| Filler {
                position: position as u32,
                next: draws.below(size) as u32,
                step: 1 + draws.below(size - 1) as u32,
                weight: weight as f64 / total as f64,
                target: 0.0,
            };
            let mut fillers: Vec<Filler> = weights.iter().enumerate().map(filler).collect();
            let greatest = fillers.iter().map(|filler| filler.weight).fold(0.0, f64::max);
            let filled = [Filling::fill_asking_all, Filling::fill_by_calendar].map(|fill| {
                let mut table = Filling { entries: vec![FREE; size as usize], free: size as u32 };
                fill(&mut table, &mut fillers.clone(), greatest);
                table.entries
            });
            assert_eq!(filled[0], filled[1], "{weights:?}");
            assert!(!filled[0].contains(&FREE));
            fillers.clear();
        }
    }
}
