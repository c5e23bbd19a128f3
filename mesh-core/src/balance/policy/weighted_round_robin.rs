//! Weighted round robin: every candidate as often as its weight says, spread evenly.

mod smooth;
mod stride;

use core::any::Any;

use super::round_robin::{Rotation, Turn, take_turns};
use super::weighting::draw_admitted;
use super::{Draw, Picker};
use crate::balance::view::Lineup;

use smooth::cycle;
use stride::Stride;

/// The parameters of weighted round robin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct WeightedRoundRobinConfig {
    /// Which sequence it follows. Default [`Sequence::Stride`].
    pub sequence: Sequence,
}

/// The order in which weighted round robin offers its candidates.
///
/// Both make one pick of one turn in O(1), without a lock, and neither is begun anew when a view is built: an
/// unchanged one goes on where it was, a changed one at a place that favours nobody. A pick that excludes what it has
/// tried takes no turn but draws by weight, so that retries do not shift the turns of first attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Sequence {
    /// Laps in which everybody has one turn; those of less than the mean weight keep their share of their turns, by the
    /// rule of gRPC's static stride scheduler (gRFC A58), and pass the others on to heavier ones. A counter and no
    /// state, for any number of candidates and any weights. Equal weights give plain round robin.
    ///
    /// Over many laps a share is its weight's to within 2^-15 of itself, 65,535 to 1 included. It differs from gRPC's
    /// in that it neither caps weights at ten times their mean nor lifts them to a hundredth of it, which gRPC does
    /// because its weights are measured; these are an operator's. It skips no turn, where gRPC skips up to ten for
    /// each pick, and would have to skip n for one large weight among small ones.
    #[default]
    Stride,
    /// nginx's smooth sequence, exactly, as a cycle worked out beforehand. Its length is the sum of the weights
    /// divided by their greatest common divisor; beyond 65,536 places [`Sequence::Stride`] is followed instead.
    Smooth,
}

#[derive(Debug)]
pub(in crate::balance) struct WeightedRoundRobin {
    rotation: Rotation,
    order: Order,
    /// Whether strides stand in for a smooth cycle that would be too long.
    stands_in: bool,
}

/// Who is picked at which turn.
#[derive(Debug)]
enum Order {
    Stride(Stride),
    /// The position at each place of the cycle.
    Smooth(Box<[u16]>),
}

impl WeightedRoundRobin {
    pub(super) fn build(config: &WeightedRoundRobinConfig, lineup: &Lineup<'_>, previous: Option<&dyn Picker>) -> Self {
        let order = Order::build(config.sequence, lineup);
        let previous = previous.and_then(|picker| (picker as &dyn Any).downcast_ref::<Self>());
        let previous = previous.map(|previous| &previous.rotation);
        let wants_smooth = config.sequence == Sequence::Smooth && !lineup.is_empty();
        let stands_in = wants_smooth && matches!(order, Order::Stride(_));
        Self { rotation: Rotation::build(lineup, order.len(), lineup.print(true), previous), order, stands_in }
    }
}

impl Order {
    fn build(sequence: Sequence, lineup: &Lineup<'_>) -> Self {
        let weights: Vec<u32> = (0..lineup.len()).map(|position| lineup.weight(position)).collect();
        let cycle = match sequence {
            Sequence::Stride => None,
            Sequence::Smooth => cycle(&weights),
        };
        cycle.map_or_else(|| Self::Stride(Stride::build(&weights)), Self::Smooth)
    }

    /// How many places its cycle has.
    fn len(&self) -> usize {
        match self {
            Self::Stride(stride) => stride.len(),
            Self::Smooth(cycle) => cycle.len(),
        }
    }

    #[inline]
    fn at(&self, turn: Turn) -> usize {
        match self {
            Self::Stride(stride) => stride.at(turn),
            Self::Smooth(cycle) => usize::from(cycle[turn.place as usize]),
        }
    }

    /// The position that 64 random bits stand for, each as likely as its weight.
    fn sample(&self, bits: u64) -> usize {
        match self {
            Self::Stride(stride) => stride.sample(bits),
            Self::Smooth(cycle) => usize::from(cycle[crate::rng::scale(bits, cycle.len() as u64) as usize]),
        }
    }
}

impl Picker for WeightedRoundRobin {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let lineup = draw.lineup();
        if lineup.is_empty() {
            return None;
        }
        let turn = take_turns(draw, |draw| self.order.at(self.rotation.next(draw)));
        turn.or_else(|| draw_admitted(draw, |bits| self.order.sample(bits), |position| lineup.weight(position)))
    }

    fn learns_from_success(&self) -> bool {
        false
    }

    fn in_force(&self) -> Option<&'static str> {
        self.stands_in.then_some("stride")
    }
}

const fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}
