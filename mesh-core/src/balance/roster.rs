//! The members of a service as the next view will show them, kept up to date change by change.
//!
//! A change is worked out against the lists of the last view and leaves those alone that it does not touch. It costs
//! a search for the instance's place and a copy of the lists of numbers it is in, whatever else is in the service.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;

use super::builder::{Change, Eligibility, Member};
use super::census::Census;
use super::facts::{Fact, Facts, Log};
use super::lineup::{Candidates, Table, Weights};
use super::slab::{EndpointRef, Slab};
use crate::route::{Routes, Selector};
use crate::service::InstanceKey;

#[derive(Debug)]
pub(super) struct Roster {
    slab: Slab,
    log: Log,
    /// The rows of every member, in the order of their keys.
    registered: Arc<[u32]>,
    parts: Vec<PartState>,
    census: Census,
    picks_departed: u64,
}

/// The candidates of a route, and what it takes to keep them.
#[derive(Debug, Default)]
struct PartState {
    candidates: Candidates,
    /// How many candidates have each weight.
    weights: BTreeMap<u16, u32>,
    /// Whether it changed since the last view.
    changed: bool,
}

/// What is to become of one instance.
#[derive(Debug)]
pub(super) struct Edit {
    /// Its place among those registered, or the place that it comes to.
    at: usize,
    /// Whether it is registered.
    present: bool,
    /// What it will be; nothing when it leaves.
    member: Option<Member>,
}

/// An edit in a list of rows: the row at a place goes, another comes there, or both.
#[derive(Clone, Copy, Debug)]
struct Patch {
    at: usize,
    old: Option<u32>,
    new: Option<u32>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            slab: Slab::new(),
            log: Log::default(),
            registered: Arc::default(),
            parts: vec![PartState::default()],
            census: Census::default(),
            picks_departed: 0,
        }
    }

    pub(super) const fn registered(&self) -> &Arc<[u32]> {
        &self.registered
    }

    pub(super) const fn census(&self) -> Census {
        self.census
    }

    /// Picks of instances that have left.
    pub(super) const fn picks_departed(&self) -> u64 {
        self.picks_departed
    }

    /// How many routes there are.
    pub(super) const fn routes(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn candidates(&self, route: usize) -> &Candidates {
        &self.parts[route].candidates
    }

    /// The instances that are on probation. O(n).
    pub(super) fn probing(&self) -> Candidates {
        let rows = self.registered.iter().copied();
        let rows: Arc<[u32]> =
            rows.filter(|row| self.facts().get(*row).eligibility() == Eligibility::Probing).collect();
        let slots = rows.iter().map(|row| self.facts().get(*row).slot).collect();
        Candidates { slots, rows, weights: Weights::Same(1) }
    }

    /// Whether the candidates of `route` changed since this was asked last.
    pub(super) fn take_changed(&mut self, route: usize) -> bool {
        core::mem::take(&mut self.parts[route].changed)
    }

    /// What the numbers stand for now.
    pub(super) fn table(&mut self) -> Table {
        Table { blocks: self.slab.list(), facts: self.facts().clone() }
    }

    pub(super) fn endpoint(&self, key: &InstanceKey) -> Option<EndpointRef> {
        let position = self.facts().find(&self.registered, key).ok()?;
        Some(self.slab.keep(self.facts().get(self.registered[position]).slot))
    }

    /// What `changes` come to, of two for one instance the later, without those that change nothing.
    pub(super) fn edits_of(&self, changes: impl IntoIterator<Item = Change>) -> Vec<Edit> {
        let mut changes: Vec<_> = changes.into_iter().collect();
        if changes.len() > 1 {
            changes.sort_by(|one, other| one.key().cmp(other.key()));
            // The later of two takes the place of the earlier.
            changes.dedup_by(|later, earlier| {
                later.key() == earlier.key() && {
                    core::mem::swap(later, earlier);
                    true
                }
            });
        }
        let mut from = 0;
        let edits = changes.into_iter().filter_map(|change| {
            let found = self.find_from(from, change.key());
            from = found.unwrap_or_else(|at| at);
            let (at, present) = (from, found.is_ok());
            let member = match change {
                Change::Set(member) if present && self.shows(at, &member) => return None,
                Change::Remove(_) if !present => return None,
                Change::Set(member) => Some(member),
                Change::Remove(_) => None,
            };
            Some(Edit { at, present, member })
        });
        edits.collect()
    }

    /// What it takes to come to `members`, in any order; of two for one instance the later counts.
    pub(super) fn edits_to(&self, mut members: Vec<Member>) -> Vec<Edit> {
        if let Some(edits) = self.edits_to_sorted(&members) {
            return edits;
        }
        members.sort_by(|one, other| one.instance.key().cmp(other.instance.key()));
        members.dedup_by(|later, earlier| {
            later.instance.key() == earlier.instance.key() && {
                core::mem::swap(later, earlier);
                true
            }
        });
        self.edits_to_sorted(&members).unwrap_or_default()
    }

    /// Walks the members beside those of the last view; nothing if they are not in strict order of their keys. One
    /// that is the same value in the same place is not looked into.
    fn edits_to_sorted(&self, members: &[Member]) -> Option<Vec<Edit>> {
        let mut edits = Vec::new();
        let mut at = 0;
        for (index, member) in members.iter().enumerate() {
            let known = self.registered.get(at).map(|row| self.facts().get(*row));
            if !known.is_some_and(|fact| Arc::ptr_eq(&fact.instance, &member.instance)) {
                let key = member.instance.key();
                if index.checked_sub(1).is_some_and(|before| members[before].instance.key() >= key) {
                    return None;
                }
                let gone = at;
                at = self.find_from(at, key).unwrap_or_else(|at| at);
                edits.extend((gone..at).map(|at| Edit { at, present: true, member: None }));
            }
            let present = self.registered.get(at).is_some_and(|row| self.facts().get(*row).is_of(member));
            if !present || !self.shows(at, member) {
                edits.push(Edit { at, present, member: Some(member.clone()) });
            }
            at += usize::from(present);
        }
        edits.extend((at..self.registered.len()).map(|at| Edit { at, present: true, member: None }));
        Some(edits)
    }

    /// Carries out edits, which are in the order of their places, and selects the candidates of every route anew
    /// where they touch it.
    pub(super) fn apply(&mut self, edits: Vec<Edit>, routes: &Routes) {
        self.log.tidy();
        self.make_room(edits.len());
        let before = Arc::clone(&self.registered);
        let patches: Vec<_> = edits.into_iter().map(|edit| self.carry_out(edit)).collect();
        self.registered = patched(&before, &patches, |row| row);
        for (index, (_, selector)) in routes.iter().enumerate() {
            if index < self.parts.len() {
                self.revise(index, selector, &before, &patches);
            } else {
                self.select(selector);
            }
        }
    }

    fn facts(&self) -> &Facts {
        self.log.facts()
    }

    /// As [`Facts::find`], at `from` or behind it, where a list that is walked usually has it.
    fn find_from(&self, from: usize, key: &InstanceKey) -> Result<usize, usize> {
        let rest = &self.registered[from..];
        match rest.first().map(|row| self.facts().get(*row).instance.key().cmp(key)) {
            Some(core::cmp::Ordering::Equal) => Ok(from),
            Some(core::cmp::Ordering::Greater) | None => Err(from),
            Some(core::cmp::Ordering::Less) => self.facts().find(rest, key).map(|at| from + at).map_err(|at| from + at),
        }
    }

    /// Whether the one at `at`, which has its key, is known just as `member`.
    fn shows(&self, at: usize, member: &Member) -> bool {
        let fact = self.facts().get(self.registered[at]);
        (fact.weight, fact.said) == (member.weight, member.eligibility) && fact.instance == member.instance
    }

    /// Sees to it that `more` rows can be added. Every list is renumbered where that takes a new log.
    fn make_room(&mut self, more: usize) {
        if self.log.is_fit_for(self.registered.len(), more) {
            return;
        }
        let moved = self.log.renew(&self.registered, more);
        let renumbered = |rows: &[u32]| rows.iter().map(|row| moved[*row as usize]).collect::<Arc<[u32]>>();
        let registered = renumbered(&self.registered);
        for part in &mut self.parts {
            let rows = &mut part.candidates.rows;
            let all = Arc::ptr_eq(rows, &self.registered);
            *rows = if all { Arc::clone(&registered) } else { renumbered(rows) };
            part.changed = true;
        }
        self.registered = registered;
    }

    /// Writes down what becomes of an instance and of its endpoint.
    fn carry_out(&mut self, edit: Edit) -> Patch {
        let old = edit.present.then(|| self.registered[edit.at]);
        let fact = old.map(|row| self.facts().get(row).clone());
        let kept = fact.as_ref().filter(|fact| edit.member.as_ref().is_some_and(|member| !fact.moved(member)));
        let kept = kept.map(|fact| fact.slot);
        if let Some(fact) = fact {
            self.census.count(fact.eligibility(), -1);
            if kept.is_none() {
                self.picks_departed += self.slab.get(fact.slot).picks();
                self.slab.release(fact.slot);
            }
        }
        let new = edit.member.map(|Member { instance, weight, eligibility }| {
            let slot = kept.unwrap_or_else(|| self.slab.enrol(instance.key().clone()));
            self.census.count(eligibility.with_weight(weight), 1);
            self.log.add(Fact { instance, slot, weight, said: eligibility })
        });
        Patch { at: edit.at, old, new }
    }

    /// Takes what `patches` change among those registered over to the candidates of a route.
    fn revise(&mut self, index: usize, selector: &Selector, before: &Arc<[u32]>, patches: &[Patch]) {
        let Self { parts, log, registered, census, .. } = self;
        let (part, facts) = (&mut parts[index], log.facts());
        let rows = Arc::clone(&part.candidates.rows);
        let all = Arc::ptr_eq(&rows, before);
        let mut from = 0;
        let mine = patches.iter().filter_map(|patch| {
            let admitted = |row: &u32| facts.get(*row).is_candidate(selector);
            let (old, new) = (patch.old.filter(admitted), patch.new.filter(admitted));
            if old.is_none() && new.is_none() {
                return None;
            }
            if all {
                return Some(Patch { old, new, ..*patch });
            }
            let key = patch.old.or(patch.new).map(|row| facts.get(row).instance.key())?;
            from += facts.find(&rows[from..], key).unwrap_or_else(|at| at);
            Some(Patch { at: from, old, new })
        });
        let mine: Vec<_> = mine.collect();
        let everybody = index == 0 && census.usable == census.registered;
        part.patch(&mine, facts, everybody.then_some(registered));
    }

    /// The candidates of a new route.
    fn select(&mut self, selector: &Selector) {
        let facts = self.log.facts();
        let all = self.parts[0].candidates.rows.iter().copied();
        let rows = all.filter(|row| facts.get(*row).is_candidate(selector));
        let patches: Vec<_> = rows.map(|row| Patch { at: 0, old: None, new: Some(row) }).collect();
        let mut part = PartState { changed: true, ..PartState::default() };
        part.patch(&patches, facts, None);
        self.parts.push(part);
    }
}

impl PartState {
    /// Carries out `patches`; `registered` are the rows afterwards where they are just those.
    fn patch(&mut self, patches: &[Patch], facts: &Facts, registered: Option<&Arc<[u32]>>) {
        let Candidates { slots, rows, weights } = &mut self.candidates;
        let len = rows.len();
        match registered {
            Some(registered) => *rows = Arc::clone(registered),
            None => *rows = patched(rows, patches, |row| row),
        }
        if patches.is_empty() {
            return;
        }
        self.changed = true;
        let slot = |row: u32| facts.get(row).slot;
        if patches.iter().any(|patch| patch.old.map(slot) != patch.new.map(slot)) {
            *slots = patched(slots, patches, slot);
        }
        let weight = |row: u32| facts.get(row).weight.get();
        for patch in patches {
            if let Some(weight) = patch.new.map(weight) {
                *self.weights.entry(weight).or_default() += 1;
            }
            if let Some(Entry::Occupied(mut count)) = patch.old.map(|row| self.weights.entry(weight(row))) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        let is_other = |patch: &Patch| patch.old.map(weight) != patch.new.map(weight);
        *weights = match (&*weights, self.weights.keys().next()) {
            (_, None) => Weights::Same(1),
            (_, Some(only)) if self.weights.len() == 1 => Weights::Same(*only),
            (Weights::Each(each), _) if !patches.iter().any(is_other) => Weights::Each(Arc::clone(each)),
            (Weights::Each(each), _) => Weights::Each(patched(each, patches, weight)),
            (Weights::Same(same), _) => {
                Weights::Each(patched(&core::iter::repeat_n(*same, len).collect(), patches, weight))
            }
        };
    }
}

/// `list` with what `patches` put in the place of what they take out.
fn patched<T: Copy>(list: &Arc<[T]>, patches: &[Patch], value: impl Fn(u32) -> T) -> Arc<[T]> {
    if patches.iter().all(|patch| patch.old.is_some() && patch.new.is_some()) {
        let mut list = Arc::clone(list);
        if !patches.is_empty() {
            let places = Arc::make_mut(&mut list);
            patches.iter().for_each(|patch| patch.new.into_iter().for_each(|row| places[patch.at] = value(row)));
        }
        return list;
    }
    let mut made = Vec::with_capacity(list.len() + patches.len());
    let mut from = 0;
    for patch in patches {
        made.extend_from_slice(&list[from..patch.at]);
        made.extend(patch.new.map(&value));
        from = patch.at + usize::from(patch.old.is_some());
    }
    made.extend_from_slice(&list[from..]);
    made.into()
}
