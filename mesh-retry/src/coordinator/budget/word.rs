//! The word of a lease: who answers, until when, and with how many tokens.

use mesh_core::time::Instant;

/// The word as a value: two bits say who answers, 46 the tick at which the tokens are worth nothing any more, 16 how many
/// there are. A tick is 2^20 ns, a little more than a millisecond, so that a time becomes one by a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

/// Who paid a retry, small enough to be kept with it as a [mark](Payer::mark).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payer {
    /// The local share.
    Share,
    /// A lease.
    Lease {
        /// The last 31 bits of the tick at which it ended when it paid.
        end: u32,
    },
}

/// Who answers those who ask for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// The lease. Where it has nothing, more is asked of the store.
    Lease,
    /// The local share, until the store has been heard for the first time.
    ShareAtFirst,
    /// The local share. The store does not answer.
    Share,
}

impl Word {
    /// No token; the local share answers.
    pub(super) const fn of_share(is_first: bool) -> Self {
        Self(if is_first { SHARE | FIRST } else { SHARE })
    }

    /// `tokens` that are worth nothing from `end` on, and up to a tick before.
    pub(super) const fn of_lease(tokens: u32, end: Instant) -> Self {
        let tokens = if tokens > TOKENS_MAX { TOKENS_MAX } else { tokens };
        Self((tick(end) << TOKENS_BITS) | tokens as u64)
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether there is a token that is worth something at `now`.
    #[inline]
    pub(super) const fn pays_at(self, now: Instant) -> bool {
        // The local share has no tokens.
        self.tokens() > 0 && tick(now) < self.0 >> TOKENS_BITS
    }

    /// Whether it is a lease whose tokens are worth something at `now`.
    #[inline]
    pub(super) const fn runs_at(self, now: Instant) -> bool {
        !self.is_share() && tick(now) < self.0 >> TOKENS_BITS
    }

    /// With one token less. There has to be one.
    #[inline]
    pub(super) const fn less_one(self) -> Self {
        Self(self.0 - 1)
    }

    /// With one token more; none where there are as many as fit.
    #[inline]
    pub(super) const fn one_more(self) -> Option<Self> {
        if self.tokens() < TOKENS_MAX { Some(Self(self.0 + 1)) } else { None }
    }

    #[inline]
    pub(super) const fn tokens(self) -> u32 {
        (self.0 & TOKENS_MAX as u64) as u32
    }

    pub(super) const fn answers(self) -> Answers {
        match (self.0 & SHARE != 0, self.0 & FIRST != 0) {
            (false, _) => Answers::Lease,
            (true, true) => Answers::ShareAtFirst,
            (true, false) => Answers::Share,
        }
    }

    /// Whether the local share answers.
    #[inline]
    pub(super) const fn is_share(self) -> bool {
        self.0 & SHARE != 0
    }

    /// Who pays while this is the word.
    #[inline]
    pub(super) const fn payer(self) -> Payer {
        if self.is_share() {
            Payer::Share
        } else {
            Payer::Lease { end: (self.0 >> TOKENS_BITS) as u32 & !MARK_OF_LEASE }
        }
    }
}

impl Payer {
    /// Whose mark it is; none where it is nobody's, as zero is, which is the mark of what was never marked.
    pub(super) const fn from_mark(mark: u32) -> Option<Self> {
        match mark {
            MARK_OF_SHARE => Some(Self::Share),
            MARK_OF_LEASE.. => Some(Self::Lease { end: mark & !MARK_OF_LEASE }),
            _ => None,
        }
    }

    /// The number that tells it.
    #[inline]
    pub(super) const fn mark(self) -> u32 {
        match self {
            Self::Share => MARK_OF_SHARE,
            Self::Lease { end } => MARK_OF_LEASE | end,
        }
    }

    /// The tick at which it ends, where it is a lease that has not ended at `now`, which is less than 26 days after it paid.
    #[inline]
    pub(super) const fn end_after(self, now: Instant) -> Option<u64> {
        match self {
            Self::Share => None,
            Self::Lease { end } => {
                let left = end.wrapping_sub(tick(now) as u32) & !MARK_OF_LEASE;
                if left > 0 && left <= LEFT_MAX { Some(tick(now) + left as u64) } else { None }
            }
        }
    }
}

/// The tick that `at` is in.
pub(super) const fn tick(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

const TICK_BITS: u32 = 20;
const TOKENS_BITS: u32 = 16;
const TOKENS_MAX: u32 = (1 << TOKENS_BITS) - 1;
const SHARE: u64 = 1 << 63;
const FIRST: u64 = 1 << 62;
const MARK_OF_SHARE: u32 = 1;
/// From here on a mark is a lease's.
const MARK_OF_LEASE: u32 = 1 << 31;

/// No lease has more ticks left: more than two minutes, where a minute is the longest that there is.
const LEFT_MAX: u32 = 1 << 17;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_lease_pays_as_long_as_it_has_tokens_and_runs() {
        let end = Instant::from_millis(1_000);
        let word = Word::of_lease(2, end);
        assert_eq!((word.answers(), word.tokens()), (Answers::Lease, 2));
        assert!(word.pays_at(Instant::ZERO) && word.pays_at(Instant::from_millis(997)));
        assert!(!word.pays_at(end) && !word.pays_at(Instant::MAX));
        assert!(word.less_one().pays_at(Instant::ZERO) && !word.less_one().less_one().pays_at(Instant::ZERO));
        assert_eq!(word.less_one().less_one(), Word::of_lease(0, end));
    }

    #[test]
    fn a_lease_runs_with_tokens_and_without_and_takes_one_back_where_it_fits() {
        let end = Instant::from_millis(1_000);
        for tokens in [0, 2] {
            let word = Word::of_lease(tokens, end);
            assert!(word.runs_at(Instant::ZERO) && word.runs_at(Instant::from_millis(997)) && !word.runs_at(end));
            assert_eq!(word.one_more(), Some(Word::of_lease(tokens + 1, end)));
        }
        assert_eq!(Word::of_lease(u32::MAX, end).one_more(), None, "it would count as time");
        assert!(!Word::of_share(true).runs_at(Instant::ZERO) && !Word::of_share(false).runs_at(Instant::ZERO));
    }

    #[test]
    fn who_paid_is_known_by_its_mark_until_long_after_the_end() {
        for end in [1_000, 5_000_000_000, 17_000_000_000_000].map(Instant::from_millis) {
            let lease = Word::of_lease(2, end).payer();
            let payer = Payer::from_mark(lease.mark()).unwrap();
            let tick = Duration::from_nanos(1 << TICK_BITS);
            assert_eq!(payer, lease);
            let end_tick = Some(end.as_nanos() >> TICK_BITS);
            assert_eq!([tick, MINUTE].map(|early| payer.end_after(end.before(early))), [end_tick; 2]);
            for later in [Duration::ZERO, tick, MINUTE, Duration::from_hours(1), Duration::from_hours(25 * 24)] {
                assert_eq!(payer.end_after(end.after(later)), None, "{later:?} after {end:?}");
            }
        }
        for share in [Word::of_share(true), Word::of_share(false)].map(Word::payer) {
            assert_eq!((share, Payer::from_mark(share.mark())), (Payer::Share, Some(Payer::Share)));
            assert_eq!(share.end_after(Instant::ZERO), None);
        }
        for nobody in [0, 2, u32::MAX >> 1] {
            assert_eq!(Payer::from_mark(nobody), None);
        }
    }

    #[test]
    fn the_largest_numbers_fit_and_more_tokens_than_fit_are_fewer() {
        let word = Word::of_lease(u32::MAX, Instant::MAX);
        assert_eq!((word.answers(), word.tokens()), (Answers::Lease, 65_535));
        assert!(word.pays_at(Instant::from_nanos(u64::MAX - (1 << 20))));
    }

    #[test]
    fn the_local_share_never_pays_with_a_token() {
        for (is_first, answers) in [(true, Answers::ShareAtFirst), (false, Answers::Share)] {
            let word = Word::of_share(is_first);
            assert_eq!(word.answers(), answers);
            assert!(word.is_share() && !word.pays_at(Instant::ZERO));
        }
    }
}
