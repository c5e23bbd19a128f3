//! The runs of failures that an endpoint is in, in one word, and who is to be told of them.

use core::num::NonZeroU32;

use super::outcome::Outcome;

/// What the owner of a balancer wants to hear of how attempts end.
///
/// The counts are those of Envoy's outlier detection (`outlier_detection.proto`): failures of any kind, failures of the
/// gateway kind (an overloaded, silent or unreachable instance; 502 and 504 are there as well), and failures of local origin
/// (silent or unreachable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WakeRules {
    /// After how many failures in a row a lease asks for a sweep, and where `split_local` after as many of local origin: 1 to
    /// [`WakeRules::RUN_MAX`]. Default 5, Envoy's `consecutive_5xx`.
    pub failures: NonZeroU32,
    /// After how many failures in a row it asks as well, where that is another number. Default none.
    pub failures_again: Option<NonZeroU32>,
    /// As `failures`, for those of the gateway kind. Default none.
    pub gateway: Option<NonZeroU32>,
    /// As `failures`, for those of local origin. Default none.
    pub local: Option<NonZeroU32>,
    /// Whether failures of local origin are counted as such only, and neither as failures nor as the gateway's. Default
    /// false.
    pub split_local: bool,
    /// Whether an overloaded answer is a failure. Default false: who takes an instance out because it has too much to do
    /// gives the others more.
    pub overload_fails: bool,
    /// Whether it is one where it ends the one request that an instance on probation gets. Where neither, it says nothing of
    /// that instance, and another request is tried. Default false.
    pub overload_fails_trials: bool,
    /// Whether the ends of attempts are tallied by kind, with the latency of those that succeeded
    /// ([`Endpoint::tally`](super::Endpoint::tally)). Default false: the end of an attempt then costs two writes more.
    pub tally: bool,
}

impl WakeRules {
    /// The longest run that is told from a longer one.
    pub const RUN_MAX: u32 = FIELD;
}

impl Default for WakeRules {
    fn default() -> Self {
        Self {
            failures: FAILURES,
            failures_again: None,
            gateway: None,
            local: None,
            split_local: false,
            overload_fails: false,
            overload_fails_trials: false,
            tally: false,
        }
    }
}

/// How many failures of each kind there have been in a row; of more than [`WakeRules::RUN_MAX`] just that many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Runs {
    /// Failures of any kind.
    pub failures: u32,
    /// Those of the gateway kind.
    pub gateway: u32,
    /// Those of local origin.
    pub local: u32,
}

impl Runs {
    pub(super) const fn unpack(word: u32) -> Self {
        Self { failures: word & FIELD, gateway: word >> BITS & FIELD, local: word >> (2 * BITS) & FIELD }
    }

    const fn pack(self) -> u32 {
        self.failures | self.gateway << BITS | self.local << (2 * BITS)
    }

    /// The word after an attempt that ended with `outcome`.
    pub(super) fn after(word: u32, outcome: Outcome, rules: &WakeRules) -> u32 {
        let Self { failures, gateway, local } = Self::unpack(word);
        let (more, more_gateway) = ((failures + 1).min(FIELD), (gateway + 1).min(FIELD));
        let runs = match outcome {
            Outcome::Success => Self::default(),
            Outcome::Failure => Self { failures: more, gateway: 0, local: 0 },
            // Who answers can be reached.
            Outcome::Overloaded { .. } if !rules.overload_fails => Self { failures, gateway, local: 0 },
            Outcome::Overloaded { .. } => Self { failures: more, gateway: more_gateway, local: 0 },
            Outcome::TimedOut | Outcome::Unreachable => {
                let local = (local + 1).min(FIELD);
                let both = if rules.split_local { (failures, gateway) } else { (more, more_gateway) };
                Self { failures: both.0, gateway: both.1, local }
            }
            Outcome::Cancelled => return word,
        };
        runs.pack()
    }

    /// Whether the owner is to be woken where these runs come after `before`: each is told once, when it gets so long.
    pub(super) fn wake(self, before: Self, rules: &WakeRules) -> bool {
        let reached = |before: u32, now: u32, length: Option<NonZeroU32>| {
            length.is_some_and(|length| before < length.get() && now >= length.get())
        };
        reached(before.failures, self.failures, Some(rules.failures))
            || reached(before.failures, self.failures, rules.failures_again)
            || reached(before.gateway, self.gateway, rules.gateway)
            || reached(before.local, self.local, rules.local)
            || rules.split_local && reached(before.local, self.local, Some(rules.failures))
    }
}

const BITS: u32 = 10;
const FIELD: u32 = (1 << BITS) - 1;
const FAILURES: NonZeroU32 = NonZeroU32::new(5).unwrap();
