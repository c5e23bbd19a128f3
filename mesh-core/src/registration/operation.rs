//! The one thing a keeper waits for: the answer to an operation, or the end of a pause.

use alloc::sync::Arc;
use core::time::Duration;

use super::message::{OpId, RegistrationEffect};
use super::parts::Part;
use crate::service::ServiceConfig;
use crate::time::Instant;

/// Numbers operations, keeps their time, and tells answers that are waited for from those that are not.
#[derive(Debug, Default)]
pub(super) struct Desk {
    next_op: u64,
    waiting: Waiting,
    effect: Option<RegistrationEffect>,
    ignored: u64,
    unanswered: Option<(OpId, Instant)>,
}

/// What an activity wants to ask of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Make the configuration stand.
    Register,
    /// See what stands.
    Inspect,
    /// Take a part away.
    Deregister(Part),
}

/// What came to an end with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A pause.
    Pause,
    /// The patience for an answer.
    Answer { to: Question, after: Duration },
}

#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    Pause {
        until: Instant,
    },
    Answer {
        op: OpId,
        to: Question,
        since: Instant,
        until: Instant,
    },
}

impl Desk {
    /// Asks `question` about `config` and waits for the answer until `until`. Whatever was waited for before
    /// no longer is, and is not asked if the driver has not fetched it yet.
    pub(super) fn ask(&mut self, now: Instant, question: Question, config: &Arc<ServiceConfig>, until: Instant) {
        let op = OpId::new(self.next_op);
        self.next_op = self.next_op.saturating_add(1);
        self.waiting = Waiting::Answer { op, to: question, since: now, until };
        let config = Arc::clone(config);
        self.effect = Some(match question {
            Question::Register => RegistrationEffect::Register { op, config },
            Question::Inspect => RegistrationEffect::Inspect { op, config },
            Question::Deregister(part) => RegistrationEffect::Deregister {
                op,
                service: config.instance().service().clone(),
                instance: config.instance().id().clone(),
                part,
            },
        });
    }

    /// Pauses until `until`.
    pub(super) fn pause(&mut self, until: Instant) {
        self.abandon();
        self.waiting = Waiting::Pause { until };
    }

    /// Ends the pause at `until`, if there is one and that is earlier; whether it is.
    pub(super) fn hurry(&mut self, until: Instant) -> bool {
        match &mut self.waiting {
            Waiting::Pause { until: planned } if until < *planned => {
                *planned = until;
                true
            }
            Waiting::Pause { .. } | Waiting::Answer { .. } | Waiting::Nothing => false,
        }
    }

    /// Waits for nothing any more.
    pub(super) fn abandon(&mut self) {
        self.waiting = Waiting::Nothing;
        self.effect = None;
    }

    /// What `op` asked, if it is of this kind and its answer is waited for; it no longer is. Other answers are
    /// counted.
    pub(super) fn settle(&mut self, op: OpId, is_kind: impl Fn(Question) -> bool) -> Option<Question> {
        match self.waiting {
            Waiting::Answer { op: awaited, to, .. } if awaited == op && is_kind(to) => {
                self.abandon();
                Some(to)
            }
            Waiting::Answer { .. } | Waiting::Pause { .. } | Waiting::Nothing => {
                self.ignored = self.ignored.saturating_add(1);
                if self.unanswered.is_some_and(|(late, _)| late == op) {
                    self.unanswered = None;
                }
                None
            }
        }
    }

    /// What is due at `now`, and is no longer waited for.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let due = match self.waiting {
            Waiting::Pause { until } if until <= now => Due::Pause,
            Waiting::Answer { op, to, since, until } if until <= now => {
                if self.registration_in_flight() {
                    self.unanswered = Some((op, now));
                }
                Due::Answer { to, after: until.since(since) }
            }
            Waiting::Pause { .. } | Waiting::Answer { .. } | Waiting::Nothing => return None,
        };
        self.abandon();
        Some(due)
    }

    /// When the next thing is due.
    pub(super) const fn next_due(&self) -> Option<Instant> {
        match self.waiting {
            Waiting::Nothing => None,
            Waiting::Pause { until } | Waiting::Answer { until, .. } => Some(until),
        }
    }

    /// Whether the registry was asked to register and has not answered yet. A request that the driver has not
    /// fetched does not count.
    pub(super) fn registration_in_flight(&self) -> bool {
        let asked = matches!(self.waiting, Waiting::Answer { to: Question::Register, .. });
        asked && self.effect.is_none()
    }

    /// Whether a registration was left unanswered so shortly before `now` that it may still be carried out.
    pub(super) fn registration_may_come(&self, now: Instant) -> bool {
        self.unanswered.is_some_and(|(_, at)| now.since(at) < UNANSWERED_FOR)
    }

    /// Hands the operation to the driver.
    pub(super) fn take_effect(&mut self) -> Option<RegistrationEffect> {
        self.effect.take()
    }

    /// How many answers came late or to nothing that was asked.
    pub(super) const fn ignored(&self) -> u64 {
        self.ignored
    }
}

/// How long after its time ran out a registration may still be carried out. Requests that hung behind a frozen
/// Consul leader were answered after 36 s.
const UNANSWERED_FOR: Duration = Duration::from_secs(60);
