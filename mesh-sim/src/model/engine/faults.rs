//! The faults of a run as a list of edges, made before it starts: who is hit by what, from when until when.
//!
//! A flap becomes the crashes that it is made of, and a join the absence before it. Nothing is drawn here: which
//! servers are hit follows from the scenario alone.

use alloc::sync::Arc;
use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};

use super::law::Law;
use crate::model::scenario::{Direction, Fault, FaultKind, Scenario, ServerGroup, Target};

/// The faults of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) effects: Vec<Effect>,
    /// Beginnings and ends, in the order in which they come.
    pub(super) edges: Vec<Edge>,
}

/// Something that is so for a time.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) kind: EffectKind,
    pub(super) victims: Victims,
    pub(super) until: Option<Instant>,
}

/// Who is hit.
#[derive(Clone, Debug)]
pub(super) enum Victims {
    Servers(Arc<[u32]>),
    Clients,
    Registry,
    Store,
}

/// What is so.
#[derive(Clone, Debug)]
pub(super) enum EffectKind {
    Crash,
    Hang,
    Pause,
    ServiceTime(Arc<Law>),
    Slowdown(f64),
    Errors {
        rate: f64,
        latency: u64,
    },
    Partition(Direction),
    Latency(u64),
    Loss(f64),
    Checks {
        pass: bool,
    },
    /// Not there yet, or not there any more: not registered, and nobody answers.
    Absent,
    /// Not registered; `serves` says whether it takes what comes all the same.
    Left {
        serves: bool,
    },
    Outage,
    Skew(u64),
}

/// The beginning or the end of an effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) at: Instant,
    pub(super) effect: usize,
    pub(super) begins: bool,
}

impl Schedule {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut schedule = Self { effects: Vec::new(), edges: Vec::new() };
        let end = instant(scenario.duration);
        for fault in &scenario.faults {
            let victims = if fault.fault == FaultKind::StoreOutage {
                Victims::Store
            } else {
                victims(fault.target.as_ref(), &scenario.servers)
            };
            schedule.add(fault, victims, end);
        }
        // A stable sort: of two at one time, the one that stands first in the file comes first, ends before beginnings.
        schedule.edges.sort_by_key(|edge| (edge.at, edge.begins));
        schedule
    }

    fn add(&mut self, fault: &Fault, victims: Victims, end: Instant) {
        let begin = instant(fault.at);
        let until = fault.lasts.map(|lasts| begin + lasts);
        if let FaultKind::Flap { up, down } = &fault.fault {
            let (mut at, last) = (begin, until.unwrap_or(end));
            while at < last {
                self.put(EffectKind::Crash, victims.clone(), at, Some((at + *down).min(last)));
                at = at + *down + *up;
            }
        } else if fault.fault == FaultKind::Join {
            self.put(EffectKind::Absent, victims.clone(), Instant::ZERO, Some(begin));
            if let Some(until) = until {
                self.put(EffectKind::Absent, victims, until, None);
            }
        } else {
            self.put(effect(&fault.fault), victims, begin, until);
        }
    }

    fn put(&mut self, kind: EffectKind, victims: Victims, at: Instant, until: Option<Instant>) {
        if until.is_some_and(|until| until <= at) {
            return;
        }
        let effect = self.effects.len();
        self.effects.push(Effect { kind, victims, until });
        self.edges.push(Edge { at, effect, begins: true });
        self.edges.extend(until.map(|at| Edge { at, effect, begins: false }));
    }
}

fn effect(kind: &FaultKind) -> EffectKind {
    match kind {
        FaultKind::Crash | FaultKind::Flap { .. } => EffectKind::Crash,
        FaultKind::Hang => EffectKind::Hang,
        FaultKind::ServiceTime(law) => EffectKind::ServiceTime(Arc::new(Law::of(law))),
        FaultKind::Slowdown { factor } => EffectKind::Slowdown(*factor),
        FaultKind::Errors { rate, latency } => EffectKind::Errors { rate: *rate, latency: saturating_nanos(*latency) },
        FaultKind::Partition { direction } => EffectKind::Partition(*direction),
        FaultKind::Latency { add } => EffectKind::Latency(saturating_nanos(*add)),
        FaultKind::Loss { rate } => EffectKind::Loss(*rate),
        FaultKind::Pause => EffectKind::Pause,
        FaultKind::ChecksFail => EffectKind::Checks { pass: false },
        FaultKind::ChecksPass => EffectKind::Checks { pass: true },
        FaultKind::Join => EffectKind::Absent,
        FaultKind::Drain => EffectKind::Left { serves: false },
        FaultKind::Deregister => EffectKind::Left { serves: true },
        FaultKind::RegistryOutage | FaultKind::StoreOutage => EffectKind::Outage,
        FaultKind::ClockSkew { by } => EffectKind::Skew(saturating_nanos(*by)),
    }
}

/// Who is hit by a fault aimed at `target`. Servers are numbered over all groups.
fn victims(target: Option<&Target>, groups: &[ServerGroup]) -> Victims {
    let mut first = 0;
    let ranges: Vec<_> = groups
        .iter()
        .map(|group| {
            let start = first;
            first += group.count;
            (group, start)
        })
        .collect();
    let chosen = |take: &dyn Fn(&ServerGroup) -> core::ops::Range<u32>| {
        let numbers = ranges.iter().flat_map(|&(group, start)| take(group).map(move |index| start + index));
        Victims::Servers(numbers.collect())
    };
    match target {
        None => Victims::Registry,
        Some(Target::Clients) => Victims::Clients,
        Some(Target::Group(name)) => chosen(&|group| if group.group == *name { 0..group.count } else { 0..0 }),
        Some(Target::Server { group: name, index }) => {
            chosen(&|group| if group.group == *name { *index..*index + 1 } else { 0..0 })
        }
        Some(Target::Fraction { group: name, fraction }) => chosen(&|group| {
            let count = (fraction * f64::from(group.count)).round() as u32;
            if group.group == *name { 0..count.min(group.count) } else { 0..0 }
        }),
        Some(Target::Zone(name)) => {
            chosen(&|group| if group.zone.as_ref() == Some(name) { 0..group.count } else { 0..0 })
        }
    }
}

fn instant(offset: Duration) -> Instant {
    Instant::ZERO + offset
}
