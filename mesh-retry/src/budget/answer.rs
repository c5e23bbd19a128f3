//! What a budget answers: granted and at what price, or denied, with the numbers. Decides nothing.

use core::fmt;
use core::num::NonZeroU32;

use mesh_core::time::Instant;
use thiserror::Error;

/// What a budget answers to who asks for one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an attempt that was granted has been paid, and its end is to be told"]
pub enum Answer {
    /// The attempt may be made. [`Budget::ended`](super::Budget::ended) wants to know the price.
    Granted(Paid),
    /// The wait may begin; ask again at its end. The budget has nothing at hand and has asked for more where it comes from.
    /// Nothing has been paid.
    Later,
    /// The attempt must not be made. Nothing has been paid.
    Denied(Denial),
}

impl Answer {
    /// What was paid, where it was granted.
    #[must_use]
    pub const fn paid(self) -> Option<Paid> {
        match self {
            Self::Granted(paid) => Some(paid),
            Self::Later | Self::Denied(_) => None,
        }
    }

    /// Whether the attempt may be made.
    #[must_use]
    pub const fn is_granted(self) -> bool {
        self.paid().is_some()
    }
}

/// The price of an attempt, in the budget's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Paid {
    /// One more than it is, so that a price that may be none needs no further word: calls keep several.
    units_and_one: NonZeroU32,
    mark: u32,
}

impl Paid {
    /// A price of `units`, for budgets: 2^32 - 2 at most.
    #[must_use]
    pub const fn new(units: u32) -> Self {
        Self { units_and_one: NonZeroU32::MIN.saturating_add(units), mark: 0 }
    }

    /// The same price with a mark by which its budget knows at the end of the attempt what it was paid from.
    #[must_use]
    pub const fn marked(self, mark: u32) -> Self {
        Self { mark, ..self }
    }

    /// Its amount, in the unit of the budget that named it.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.units_and_one.get() - 1
    }

    /// What the budget marked it with; nothing but that budget can read it. Zero where it did not.
    #[must_use]
    pub const fn mark(self) -> u32 {
        self.mark
    }
}

/// Why there is no further attempt: what a budget has, and what one costs.
///
/// Counted in thousandths of an attempt. Which attempts are meant the budget's own documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the {budget} budget has {} of an attempt and one costs {}{}", Thousandths(*has_milli), Thousandths(*wants_milli), Until(*retry_at))]
#[non_exhaustive]
pub struct Denial {
    /// Which budget.
    pub budget: BudgetKind,
    /// What it has.
    pub has_milli: u32,
    /// What it would have had to have.
    pub wants_milli: u32,
    /// When asking again may help, if nothing else happens; none where only the ends of other attempts, or calls yet to
    /// come, could help.
    pub retry_at: Option<Instant>,
}

impl Denial {
    /// A denial by `budget`, which has `has_milli` thousandths of an attempt where `wants_milli` are needed.
    #[must_use]
    pub const fn new(budget: BudgetKind, has_milli: u32, wants_milli: u32, retry_at: Option<Instant>) -> Self {
        Self { budget, has_milli, wants_milli, retry_at }
    }

    /// The budget's name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.budget.name()
    }
}

/// Which kind of budget denied an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetKind {
    /// [`TokenBucket`](super::TokenBucket).
    TokenBucket,
    /// [`WindowBudget`](super::WindowBudget).
    Window,
    /// [`GrpcThrottle`](super::GrpcThrottle).
    GrpcThrottle,
    /// [`AwsStandard`](super::AwsStandard).
    AwsStandard,
    /// [`ConcurrentRetries`](super::ConcurrentRetries).
    Concurrent,
    /// [`FleetBudget`](crate::coordinator::budget::FleetBudget).
    Fleet,
    /// One of your own, by its name in metrics and logs.
    Custom(&'static str),
}

impl BudgetKind {
    /// Its name in metrics, logs and configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenBucket => "token-bucket",
            Self::Window => "window",
            Self::GrpcThrottle => "grpc-throttle",
            Self::AwsStandard => "aws-standard",
            Self::Concurrent => "concurrent",
            Self::Fleet => "fleet",
            Self::Custom(name) => name,
        }
    }
}

impl fmt::Display for BudgetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a budget has, in thousandths of an attempt; where threads spend meanwhile, what it had a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// What it would grant now.
    pub has_milli: u32,
    /// The most that it can have; none where that depends on the traffic.
    pub most_milli: Option<u32>,
}

impl Level {
    /// A level of `has_milli` out of `most_milli`.
    #[must_use]
    pub const fn new(has_milli: u32, most_milli: Option<u32>) -> Self {
        Self { has_milli, most_milli }
    }
}

/// A number of thousandths as a number of wholes: "1.250".
struct Thousandths(u32);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// When asking again may help, as the end of a sentence.
struct Until(Option<Instant>);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "; it may have it at {at:?}"),
            None => Ok(()),
        }
    }
}
