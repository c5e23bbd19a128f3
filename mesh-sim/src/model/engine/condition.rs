//! What faults make of one server, or of all clients: of two of one kind the one that began later counts.

use alloc::sync::Arc;

use mesh_core::time::Instant;

use super::faults::{Effect, EffectKind};
use super::law::Law;
use super::network::Weather;
use crate::model::scenario::Direction;

/// What is wrong with somebody at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// The effects in force, in the order in which they began.
    active: Vec<usize>,
    pub(super) crashed: bool,
    /// Connections are refused: it crashed, is not there, or takes no more.
    pub(super) refuses: bool,
    pub(super) hangs: bool,
    pub(super) paused: bool,
    pub(super) service: Option<Arc<Law>>,
    pub(super) slowdown: Option<f64>,
    errors: Option<(f64, u64)>,
    /// What happens to messages to it and from it.
    pub(super) inbound: Weather,
    pub(super) outbound: Weather,
    pub(super) checks: Option<bool>,
    pub(super) unregistered: bool,
    pub(super) skew: u64,
}

impl Condition {
    /// An effect begins or ends.
    pub(super) fn turn(&mut self, effect: usize, begins: bool, effects: &[Effect]) {
        let mut active = core::mem::take(&mut self.active);
        if begins {
            active.push(effect);
        } else {
            active.retain(|other| *other != effect);
        }
        *self = Self::default();
        for &effect in &active {
            self.suffer(&effects[effect].kind);
        }
        self.active = active;
    }

    /// The share of attempts that is answered with an error, and after how many nanoseconds. One whose checks pass
    /// come what may fails all requests, unless something else says how.
    pub(super) fn erring(&self) -> Option<(f64, u64)> {
        self.errors.or((self.checks == Some(true)).then_some((1.0, 0)))
    }

    /// Whether nothing is wrong.
    pub(super) fn is_well(&self) -> bool {
        self.active.is_empty()
    }

    /// The end of the pause in force that ends last; none where one never does.
    pub(super) fn paused_until(&self, effects: &[Effect]) -> Option<Instant> {
        let pauses = self.active.iter().map(|&effect| &effects[effect]);
        let ends = pauses.filter(|effect| matches!(effect.kind, EffectKind::Pause)).map(|effect| effect.until);
        ends.map(|until| until.unwrap_or(Instant::MAX)).max().filter(|until| *until < Instant::MAX)
    }

    fn suffer(&mut self, kind: &EffectKind) {
        match kind {
            EffectKind::Crash => (self.crashed, self.refuses) = (true, true),
            EffectKind::Hang => self.hangs = true,
            EffectKind::Pause => self.paused = true,
            EffectKind::ServiceTime(law) => self.service = Some(Arc::clone(law)),
            EffectKind::Slowdown(factor) => self.slowdown = Some(*factor),
            EffectKind::Errors { rate, latency } => self.errors = Some((*rate, *latency)),
            EffectKind::Partition(direction) => {
                self.inbound.cut = matches!(direction, Direction::Both | Direction::In);
                self.outbound.cut = matches!(direction, Direction::Both | Direction::Out);
            }
            EffectKind::Latency(add) => (self.inbound.add, self.outbound.add) = (*add, *add),
            EffectKind::Loss(rate) => (self.inbound.loss, self.outbound.loss) = (*rate, *rate),
            EffectKind::Checks { pass } => self.checks = Some(*pass),
            EffectKind::Absent => (self.unregistered, self.refuses) = (true, true),
            EffectKind::Left { serves } => {
                self.unregistered = true;
                self.refuses |= !serves;
            }
            EffectKind::Outage => {}
            EffectKind::Skew(by) => self.skew = *by,
        }
    }
}
