//! What a cache should keep, worked out the slow way: a list from the oldest to the newest, and a hand.

use mesh_cache::{Prefix, Tag};
use proptest::prelude::*;

/// What is done to a cache and to the model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Put { number: u64, weight: u64 },
    Read(u64),
    Invalidate(u64),
    InvalidateBranch(u64),
    InvalidateTag(u64),
    InvalidateAll,
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let number = || 0_u64..9;
    prop_oneof![
        8 => (number(), 0_u64..400).prop_map(|(number, weight)| Op::Put { number, weight }),
        8 => number().prop_map(Op::Read),
        1 => number().prop_map(Op::Invalidate),
        1 => number().prop_map(Op::InvalidateBranch),
        1 => number().prop_map(Op::InvalidateTag),
        1 => Just(Op::InvalidateAll),
    ]
}

/// The key of a number; all are of one length.
pub(crate) fn name(number: u64) -> String {
    format!("{}/{number}", ["a", "b", "c"][number as usize % 3])
}

pub(crate) fn branch(number: u64) -> Prefix {
    Prefix::new(["a/", "b/", "c/"][number as usize % 3]).unwrap()
}

/// The tag of a value.
pub(crate) fn tag(value: u64) -> Tag {
    Tag::new(["even", "odd"][value as usize % 2]).unwrap()
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    value: u64,
    weight: u64,
    is_read: bool,
}

/// SIEVE, naively. Time stands still.
#[derive(Debug)]
pub(crate) struct Model {
    /// From the oldest to the newest.
    entries: Vec<Entry>,
    /// The number of the entry that the hand is at; without one it begins at the oldest.
    hand: Option<u64>,
    entries_max: usize,
    bytes_max: u64,
    evicted: u64,
}

impl Model {
    pub(crate) const fn new(entries_max: usize, bytes_max: u64) -> Self {
        Self { entries: Vec::new(), hand: None, entries_max, bytes_max, evicted: 0 }
    }

    /// Whether it is kept.
    pub(crate) fn put(&mut self, number: u64, value: u64, weight: u64) -> bool {
        if weight > self.bytes_max {
            self.remove(|other, _| other == number);
            return false;
        }
        let place = self.place(number);
        let (more, before) = place.map_or((1, 0), |place| (0, self.entries[place].weight));
        while self.entries.len() + more > self.entries_max || self.bytes() - before + weight > self.bytes_max {
            let victim = self.victim(number);
            self.take(victim);
            self.evicted += 1;
        }
        match self.place(number) {
            Some(place) => {
                let entry = &mut self.entries[place];
                (entry.value, entry.weight) = (value, weight);
            }
            None => self.entries.push(Entry { number, value, weight, is_read: false }),
        }
        true
    }

    pub(crate) fn read(&mut self, number: u64) -> Option<u64> {
        let place = self.place(number)?;
        self.entries[place].is_read = true;
        Some(self.entries[place].value)
    }

    /// How many went, by number and value.
    pub(crate) fn remove(&mut self, goes: impl Fn(u64, u64) -> bool) -> u64 {
        let going = self.entries.iter().filter(|entry| goes(entry.number, entry.value));
        let going: Vec<u64> = going.map(|entry| entry.number).collect();
        going.iter().for_each(|number| self.take(*number));
        going.len() as u64
    }

    /// Entries, bytes, evictions.
    pub(crate) fn stats(&self) -> (u64, u64, u64) {
        (self.entries.len() as u64, self.bytes(), self.evicted)
    }

    /// Who goes for `but`.
    fn victim(&mut self, but: u64) -> u64 {
        loop {
            let place = self.hand.and_then(|hand| self.place(hand)).unwrap_or(0);
            let entry = &mut self.entries[place];
            let is_spared = entry.number == but || std::mem::take(&mut entry.is_read);
            let number = entry.number;
            if !is_spared {
                self.hand = Some(number);
                return number;
            }
            self.hand = self.entries.get(place + 1).map(|entry| entry.number);
        }
    }

    fn take(&mut self, number: u64) {
        let place = self.place(number).unwrap();
        if self.hand == Some(number) {
            self.hand = self.entries.get(place + 1).map(|entry| entry.number);
        }
        self.entries.remove(place);
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.number == number)
    }

    fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.weight).sum()
    }
}
