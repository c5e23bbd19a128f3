//! The state of a breaker in one word, and where each event takes it.
//!
//! | bits | field | what it holds |
//! |---|---|---|
//! | 42..64 | generation | rises with every transition; its upper 10 bits are the epoch, see below |
//! | 36..42 | turn | rises with every place that is given back, so that no two grants leave the same word |
//! | 33..36 | state | [`State`] |
//! | 28..33 | level | how many half-open times failed in a row |
//! | 21..28 | given | probes that were let through and not given back |
//! | 14..21 | done | those that have ended |
//! | 7..14 | failed | those that failed |
//! | 0..7 | slow | those that were slow |
//!
//! All that half-open decides on is in this word, so a compare-exchange is all that a probe needs: a word that somebody
//! else has changed is read anew, and no interleaving can let one probe too many through.
//!
//! The epoch rises when counting starts anew ([`Word::closed`], [`Word::forced`]), and tags the words of the counters:
//! what they hold of another epoch counts for nothing. In between the lower 12 bits of the generation rise.

use super::transition::{Counts, State};

/// One state of a breaker, with all that belongs to it but for the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// Closed, before any transition.
    pub(super) const CLOSED: Self = Self(STATE.at(CLOSED));

    pub(super) const fn generation(self) -> u32 {
        (self.0 >> GENERATION.shift) as u32
    }

    /// What tags the counters meanwhile.
    pub(super) const fn tag(self) -> u64 {
        Self::tag_of(self.generation())
    }

    /// What tags the counters in `generation`.
    pub(super) const fn tag_of(generation: u32) -> u64 {
        (generation >> WITHIN_EPOCH_BITS) as u64
    }

    pub(super) const fn state(self) -> State {
        match STATE.of(self.0) {
            CLOSED => State::Closed,
            OPEN => State::Open,
            HALF_OPEN => State::HalfOpen,
            FORCED_OPEN => State::ForcedOpen,
            DISABLED => State::Disabled,
            _ => State::MetricsOnly,
        }
    }

    /// Whether every call goes through.
    pub(super) const fn admits_all(self) -> bool {
        STATE.of(self.0) >= CLOSED
    }

    /// How many half-open times failed in a row.
    pub(super) const fn level(self) -> u32 {
        LEVEL.of(self.0) as u32
    }

    /// How many probes are under way or have ended.
    pub(super) const fn given(self) -> u32 {
        GIVEN.of(self.0) as u32
    }

    /// How the probes ended that have ended: those of the half-open time, or of the last one while open again.
    pub(super) const fn probes(self) -> Counts {
        let calls = DONE.of(self.0) as u32;
        let (failed, slow) = (FAILED.of(self.0) as u32, SLOW.of(self.0) as u32);
        Counts { calls, failed, slow, failures_in_row: 0 }
    }

    /// Open, for the first time or after a half-open time that failed, whose numbers stay.
    pub(super) const fn opened(self) -> Self {
        let level = match self.state() {
            State::HalfOpen => LEVEL.clamp(LEVEL.of(self.0) + 1),
            State::Closed | State::Open | State::ForcedOpen | State::Disabled | State::MetricsOnly => 0,
        };
        let numbers = self.0 & (DONE.mask() | FAILED.mask() | SLOW.mask());
        Self(numbers | LEVEL.at(level) | STATE.at(OPEN) | self.next_generation())
    }

    /// Half-open, with a first probe let through.
    pub(super) const fn half_opened(self) -> Self {
        let level = self.0 & LEVEL.mask();
        Self(GIVEN.at(1) | level | STATE.at(HALF_OPEN) | self.next_generation())
    }

    /// Closed, with everything forgotten.
    pub(super) const fn closed(self) -> Self {
        self.forced(State::Closed)
    }

    /// In `state` by order, with everything forgotten.
    pub(super) const fn forced(self, state: State) -> Self {
        let code = match state {
            State::Closed => CLOSED,
            State::Open => OPEN,
            State::HalfOpen => HALF_OPEN,
            State::ForcedOpen => FORCED_OPEN,
            State::Disabled => DISABLED,
            State::MetricsOnly => METRICS_ONLY,
        };
        let epoch = (self.0 >> (GENERATION.shift + WITHIN_EPOCH_BITS)).wrapping_add(1);
        Self(epoch << (GENERATION.shift + WITHIN_EPOCH_BITS) | STATE.at(code))
    }

    /// One more probe let through. The caller has seen that there is a place.
    pub(super) const fn granted(self) -> Self {
        Self(self.0 + GIVEN.at(1))
    }

    /// A probe's place given back, unless all have ended.
    pub(super) const fn given_back(self) -> Self {
        if GIVEN.of(self.0) <= DONE.of(self.0) {
            return self;
        }
        let turn = TURN.at((TURN.of(self.0) + 1) & TURN.max());
        Self((self.0 - GIVEN.at(1)) & !TURN.mask() | turn)
    }

    /// A probe that ended. One that nobody was given counts as one that was.
    pub(super) const fn probe_ended(self, failed: bool, slow: bool) -> Self {
        Self(self.0 + DONE.at(1) + FAILED.at(failed as u64) + SLOW.at(slow as u64))
    }

    /// The places of all probes under way taken back, and one of them given to a new one. Those that lost theirs are of
    /// another generation now, so that their ends count for nothing.
    pub(super) const fn reclaimed(self) -> Self {
        let kept = self.0 & (STATE.mask() | LEVEL.mask() | DONE.mask() | FAILED.mask() | SLOW.mask());
        Self(kept | GIVEN.at(DONE.of(self.0) + 1) | self.next_generation())
    }

    const fn next_generation(self) -> u64 {
        GENERATION.at((GENERATION.of(self.0) + 1) & GENERATION.max())
    }
}

/// Some bits of a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) shift: u32,
    pub(super) bits: u32,
}

impl Field {
    pub(super) const fn of(self, word: u64) -> u64 {
        word >> self.shift & self.max()
    }

    /// `value`, which fits, in its place.
    pub(super) const fn at(self, value: u64) -> u64 {
        value << self.shift
    }

    pub(super) const fn max(self) -> u64 {
        (1 << self.bits) - 1
    }

    pub(super) const fn mask(self) -> u64 {
        self.max() << self.shift
    }

    const fn clamp(self, value: u64) -> u64 {
        if value < self.max() { value } else { self.max() }
    }
}

/// The most probes of a half-open time.
pub(super) const PROBES_MAX: u32 = GIVEN.max() as u32;

/// How many bits of a counter's word say of which epoch it is.
pub(super) const TAG_BITS: u32 = GENERATION.bits - WITHIN_EPOCH_BITS;

const GENERATION: Field = Field { shift: 42, bits: 22 };
const WITHIN_EPOCH_BITS: u32 = 12;
const TURN: Field = Field { shift: 36, bits: 6 };
const STATE: Field = Field { shift: 33, bits: 3 };
const LEVEL: Field = Field { shift: 28, bits: 5 };
const GIVEN: Field = Field { shift: 21, bits: 7 };
const DONE: Field = Field { shift: 14, bits: 7 };
const FAILED: Field = Field { shift: 7, bits: 7 };
const SLOW: Field = Field { shift: 0, bits: 7 };

const OPEN: u64 = 0;
const HALF_OPEN: u64 = 1;
const FORCED_OPEN: u64 = 2;
/// From here on every call goes through.
const CLOSED: u64 = 3;
const DISABLED: u64 = 4;
const METRICS_ONLY: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_share_no_bit_and_leave_none_out() {
        let fields = [GENERATION, TURN, STATE, LEVEL, GIVEN, DONE, FAILED, SLOW];
        let union = fields.iter().fold(0, |union, field| union | field.mask());
        let bits: u32 = fields.iter().map(|field| field.bits).sum();
        assert_eq!((union, bits), (u64::MAX, u64::BITS));
    }

    #[test]
    fn a_place_given_back_leaves_a_word_that_was_not_there_before() {
        let mut word = Word::CLOSED.opened().half_opened();
        let mut seen = vec![word];
        for _ in 0..TURN.max() {
            word = word.given_back().granted();
            assert!(!seen.contains(&word));
            assert_eq!((word.given(), word.state(), word.generation()), (1, State::HalfOpen, 2));
            seen.push(word);
        }
        assert_eq!(word.given_back().granted(), seen[0], "the turn goes round, and touches nothing else");
        let none_out = word.probe_ended(true, true);
        assert_eq!(none_out.given_back(), none_out);
    }

    #[test]
    fn the_level_stays_at_its_most_and_the_generation_goes_round() {
        let mut word = Word(GENERATION.at(GENERATION.max()) | STATE.at(CLOSED)).opened();
        assert_eq!((word.generation(), word.state(), word.level()), (0, State::Open, 0));
        for failed in 1..100 {
            word = word.half_opened().probe_ended(true, false).opened();
            assert_eq!(word.level(), failed.min(31));
            assert_eq!((word.given(), word.probes().calls, word.probes().failed), (0, 1, 1));
        }
        let last = Word(GENERATION.at(GENERATION.max())).closed();
        assert_eq!((last.generation(), last.state(), last.level()), (0, State::Closed, 0));
    }

    #[test]
    fn counting_anew_is_another_epoch_and_to_open_is_not() {
        let open = Word::CLOSED.opened();
        assert_eq!(open.tag(), Word::CLOSED.tag());
        assert_eq!(open.half_opened().closed().tag(), 1);
        assert_eq!(Word::CLOSED.forced(State::Disabled).tag(), 1);
        for word in [open, open.half_opened(), open.half_opened().reclaimed()] {
            assert!(!word.admits_all());
        }
        for state in [State::Closed, State::Disabled, State::MetricsOnly] {
            assert!(open.forced(state).admits_all());
        }
        assert!(!open.forced(State::ForcedOpen).admits_all());
    }
}
