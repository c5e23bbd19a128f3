//! The part of a fleet's budget that calls meet.

use core::time::Duration;

use mesh_core::time::Instant;

use super::super::wake::Wake;
use super::config::FleetBudgetConfig;
use super::share::Share;
use super::word::{Answers, Payer, Word, tick};
use crate::budget::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A budget that all processes of a fleet share, as one of them sees it: [the module](super) says how and with what bound.
///
/// Never waits for the store: a call is answered from what the process holds. A first attempt is one addition; a retry that
/// finds a token is one swap of a word.
///
/// A retry counts, and is paid, when it is granted, before its wait. Where the store may have more it is told to ask again
/// at the end of its wait ([`Answer::Later`]); the reply has come by then, as a rule. An attempt that is not made after all
/// ([`End::NotMade`]) gives back what it was paid with, unless that was a token of a lease that has ended: also where that is
/// told late, as of a call that was dropped in its wait and knows no later time than that at which it paid.
///
/// **Orderings**: the word of the lease is all that calls need, and they swap it relaxed. Who gives a token back also has to
/// know since when leases have followed one another without a break. That is written before the word of the lease that
/// begins after one (release), and read after the word that the token is to go to (acquire): each of its changes is a swap,
/// so that whoever sees any later word sees it too.
#[derive(Debug)]
pub struct FleetBudget {
    hot: Hot,
    share: Share,
    cold: Cold,
    config: FleetBudgetConfig,
    wake: Box<dyn Wake>,
}

/// What every call writes, alone on its pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Hot {
    lease: AtomicU64,
    /// First attempts that count for the fleet's bucket; those that the local share was told of are not among them.
    requests: AtomicU64,
}

/// What those write who find no token, and the machine.
#[derive(Debug)]
struct Cold {
    /// How many were told to ask again, and how many were denied because the store had nothing.
    deferred: AtomicU64,
    denied: AtomicU64,
    /// How many the share paid for, and how many it denied.
    shared: AtomicU64,
    share_denied: AtomicU64,
    /// Whether the driver has been woken and the machine has not looked since.
    is_woken: AtomicU32,
    /// Until when the store is not asked for more, in nanoseconds of the owner's epoch.
    denied_until: AtomicU64,
    /// Since which tick each lease began before the one before it ended. What a lease that ended by then paid is gone.
    unbroken_since: AtomicU64,
    /// What the store had left for all.
    left_milli: AtomicU32,
}

impl FleetBudget {
    /// A budget whose store has not been heard yet. `wake` wakes the driver of its machine.
    #[must_use]
    pub fn new(config: &FleetBudgetConfig, wake: Box<dyn Wake>) -> Self {
        let hot = Hot { lease: AtomicU64::new(Word::of_share(true).bits()), requests: AtomicU64::new(0) };
        let cold = Cold {
            deferred: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            share_denied: AtomicU64::new(0),
            is_woken: AtomicU32::new(0),
            denied_until: AtomicU64::new(0),
            unbroken_since: AtomicU64::new(0),
            left_milli: AtomicU32::new(0),
        };
        Self { hot, share: Share::new(config), cold, config: *config, wake }
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &FleetBudgetConfig {
        &self.config
    }

    /// How many retries and hedges were told to ask again since the start.
    #[must_use]
    pub fn deferred(&self) -> u64 {
        self.cold.deferred.load(Ordering::Relaxed)
    }

    /// How many were denied since the start because the store had nothing.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.cold.denied.load(Ordering::Relaxed)
    }

    /// How many the share has paid for since the start, and how many it denied.
    pub(super) fn shared(&self) -> (u64, u64) {
        (self.cold.shared.load(Ordering::Relaxed), self.cold.share_denied.load(Ordering::Relaxed))
    }

    fn word(&self) -> Word {
        Word::from_bits(self.hot.lease.load(Ordering::Relaxed))
    }

    /// Gives back what `payer` paid one retry with.
    #[cold]
    fn give_back(&self, now: Instant, payer: Payer) {
        if payer == Payer::Share {
            return self.share.give_back();
        }
        let Some(end) = payer.end_after(now) else { return };
        let mut word = Word::from_bits(self.hot.lease.load(Ordering::Acquire));
        // `now` may be long ago, and both leases run then: what tells is whether one led to the other.
        while word.runs_at(now) && self.cold.unbroken_since.load(Ordering::Relaxed) < end {
            let Some(more) = word.one_more() else { return };
            match self.hot.lease.compare_exchange_weak(word.bits(), more.bits(), Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return,
                Err(changed) => word = Word::from_bits(changed),
            }
        }
    }

    #[cold]
    fn without_token(&self, now: Instant, word: Word) -> Answer {
        match word.answers() {
            Answers::Share => self.share_pays(word).unwrap_or_else(|wait| self.share_denies(now, wait)),
            Answers::ShareAtFirst => {
                self.wake_once();
                self.share_pays(word).unwrap_or_else(|_| self.defer())
            }
            Answers::Lease => {
                let until = Instant::from_nanos(self.cold.denied_until.load(Ordering::Relaxed));
                if now < until {
                    self.cold.denied.fetch_add(1, Ordering::Relaxed);
                    let left_milli = self.cold.left_milli.load(Ordering::Relaxed);
                    return Answer::Denied(Denial::new(BudgetKind::Fleet, left_milli, RETRY_MILLI, Some(until)));
                }
                self.defer()
            }
        }
    }

    /// The share pays, or says how long time takes to bring what is missing, if it does.
    fn share_pays(&self, word: Word) -> Result<Answer, Option<Duration>> {
        self.share.withdraw()?;
        self.cold.shared.fetch_add(1, Ordering::Relaxed);
        Ok(Answer::Granted(paid(word)))
    }

    fn share_denies(&self, now: Instant, wait: Option<Duration>) -> Answer {
        self.cold.share_denied.fetch_add(1, Ordering::Relaxed);
        let retry_at = wait.map(|wait| now.after(wait));
        Answer::Denied(Denial::new(BudgetKind::Fleet, self.share.level_milli(), RETRY_MILLI, retry_at))
    }

    fn defer(&self) -> Answer {
        self.cold.deferred.fetch_add(1, Ordering::Relaxed);
        self.wake_once();
        Answer::Later
    }

    /// What was counted before is seen by the machine that takes the flag down: both swap it, and the later of the two
    /// sees all that the earlier did.
    fn wake_once(&self) {
        if self.cold.is_woken.swap(1, Ordering::AcqRel) == 0 {
            self.wake.wake();
        }
    }
}

impl Budget for FleetBudget {
    #[inline]
    fn deposit(&self, _: Instant) {
        // Each first attempt counts in one place, whoever changes the word meanwhile.
        if self.word().is_share() {
            self.share.deposit();
        } else {
            self.hot.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn withdraw(&self, now: Instant, _: Extra) -> Answer {
        // The word is all there is, and nothing else is published with it.
        let mut word = self.word();
        while word.pays_at(now) {
            let less = word.less_one().bits();
            match self.hot.lease.compare_exchange_weak(word.bits(), less, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Answer::Granted(paid(word)),
                Err(changed) => word = Word::from_bits(changed),
            }
        }
        self.without_token(now, word)
    }

    /// Gives back what was paid for an attempt that was not made, and nothing else: to the share where that paid; to the
    /// lease as long as the one that paid has not ended, and a lease answers. Where `now` is before the end of that one and
    /// the time is not, to a lease that it was prolonged to without a break, and to no other.
    #[inline]
    fn ended(&self, now: Instant, end: End, paid: Option<Paid>) {
        match (end, paid) {
            (End::NotMade, Some(paid)) => {
                if let Some(payer) = Payer::from_mark(paid.mark()) {
                    self.give_back(now, payer);
                }
            }
            (End::Succeeded | End::Failed | End::Permanent | End::Cancelled, _) | (End::NotMade, None) => {}
        }
    }

    /// What the process holds, or its share where that answers.
    fn level(&self, now: Instant) -> Level {
        let word = self.word();
        let tokens = if word.pays_at(now) { word.tokens() } else { 0 };
        Level::new(if word.is_share() { self.share.level_milli() } else { tokens * RETRY_MILLI }, None)
    }
}

/// What the machine does with it.
impl FleetBudget {
    /// How many tokens there are, worth something or not.
    pub(super) fn tokens(&self) -> u32 {
        self.word().tokens()
    }

    /// Lets the lease answer, with `granted` more tokens than there are, until `end`. Tokens that are worth nothing at `now`
    /// are taken away and returned.
    pub(super) fn grant(&self, now: Instant, granted: u32, end: Instant) -> u32 {
        let mut word = self.word();
        // Nobody else changes when it ends.
        if !word.runs_at(now) {
            self.cold.unbroken_since.store(tick(now), Ordering::Relaxed);
        }
        loop {
            let (kept, over) = if word.pays_at(now) { (word.tokens(), 0) } else { (0, word.tokens()) };
            let next = Word::of_lease(kept.saturating_add(granted), end).bits();
            match self.hot.lease.compare_exchange_weak(word.bits(), next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return over,
                Err(changed) => word = Word::from_bits(changed),
            }
        }
    }

    /// Takes all tokens away and returns how many there were.
    pub(super) fn take_back(&self) -> u32 {
        self.put(Word::of_lease(0, Instant::ZERO))
    }

    /// Lets the local share answer, takes all tokens away and returns how many there were.
    pub(super) fn go_alone(&self) -> u32 {
        self.put(Word::of_share(false))
    }

    fn put(&self, word: Word) -> u32 {
        Word::from_bits(self.hot.lease.swap(word.bits(), Ordering::Relaxed)).tokens()
    }

    /// Whether somebody has woken the driver since the last look.
    pub(super) fn take_wake(&self) -> bool {
        self.cold.is_woken.swap(0, Ordering::AcqRel) != 0
    }

    /// Takes note of what the store has left, and until when it is not asked for more.
    pub(super) fn deny_until(&self, until: Instant, left_milli: u32) {
        self.cold.left_milli.store(left_milli, Ordering::Relaxed);
        self.cold.denied_until.store(until.as_nanos(), Ordering::Relaxed);
    }

    /// First attempts that count for the fleet's bucket.
    pub(super) fn requests(&self) -> u64 {
        self.hot.requests.load(Ordering::Relaxed)
    }

    pub(super) const fn share(&self) -> &Share {
        &self.share
    }
}

/// What a retry was paid with that was granted while the word was `word`.
#[inline]
const fn paid(word: Word) -> Paid {
    Paid::new(RETRY_MILLI).marked(word.payer().mark())
}

/// What a retry costs.
const RETRY_MILLI: u32 = 1_000;
