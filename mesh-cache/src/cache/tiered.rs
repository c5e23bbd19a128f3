//! The second tier as a load uses it: what is found there is opened, dated and checked before it is believed, and what
//! is put there is sealed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_core::time::Instant;

use super::Inner;
use super::dating::{Dating, before};
use super::quarantine::Quarantine;
use super::stats::count;
use crate::codec::{Codec, decode_guarded, encode_guarded};
use crate::entry::{Claim, Fresh, Freshness, Reading, Source, State, Version};
use crate::key::{Key, Mark, Marks};
use crate::lifetimes::Lifetimes;
use crate::seal::{self, Limits, Nonces, Place, Sealer, Trust};
use crate::second::{Fetched, REMEMBERED, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark, is_current};

/// A second tier, and what is needed to put values of one type there.
#[derive(Debug)]
pub(crate) struct Tiered<V> {
    pub(crate) tier: Arc<dyn SecondTier>,
    pub(crate) codec: Arc<dyn Codec<V>>,
    pub(crate) sealer: Sealer,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) limits: Limits,
    /// Keeps one cache of a shared tier from another.
    pub(crate) namespace: String,
    /// The mark of that.
    pub(crate) space: Mark,
    /// Whether what is not sealed is believed.
    pub(crate) trusts_hints: bool,
    pub(super) quarantine: Quarantine,
}

/// What a look at the second tier came to.
pub(crate) struct Looked<V> {
    /// What the tier says before anything else is read.
    pub(crate) dating: Option<Dating>,
    /// What may be kept as it is.
    pub(crate) good: Option<Seen<V>>,
    /// What may be served if the origin fails.
    pub(crate) fallback: Option<Seen<V>>,
}

/// A value as it was described at a moment, by which it grows older.
pub(crate) struct Seen<V> {
    pub(crate) fresh: Fresh<V>,
    pub(crate) at: Instant,
}

impl<V> Looked<V> {
    const fn nothing(dating: Option<Dating>) -> Self {
        Self { dating, good: None, fallback: None }
    }
}

/// Why an entry of the second tier is not used.
enum Unusable {
    /// It is damaged, foreign or forged.
    Refused { reason: String, is_garbage: bool },
    /// Something that it is in changed.
    OutOfDate,
    /// The tier did not answer.
    Unanswered(TierError),
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// Looks for `key` in the second tier, if there is one.
    pub(crate) async fn look(&self, key: &Key) -> Looked<V> {
        let Some(tiered) = &self.tiered else { return Looked::nothing(None) };
        let marks = Marks::new(key, &[]);
        let asked_at = self.now();
        let fetched = match tiered.tier.fetch(&marks.within(tiered.space)).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.unanswered(&error);
                return Looked::nothing(None);
            }
        };
        let dating = Dating::of(&fetched, &marks);
        if tiered.quarantine.holds(marks.own(), self.now()) {
            count(&self.counters.tier_quarantined);
            return Looked::nothing(dating);
        }
        let left = tiered.tier.read_deadline().map(|deadline| deadline.saturating_sub(self.now().since(asked_at)));
        match tiered.open(key, &marks, &fetched, self.config.tier_skew_max, left).await {
            Ok(Some(Found { fresh, .. })) if self.untold.has_any(fresh.marks.all()) => Looked::nothing(dating),
            Ok(Some(found)) => Looked { dating, ..self.judge(key, found, asked_at) },
            Ok(None) | Err(Unusable::OutOfDate) => Looked::nothing(dating),
            Err(Unusable::Unanswered(error)) => {
                self.unanswered(&error);
                Looked::nothing(dating)
            }
            Err(Unusable::Refused { reason, is_garbage }) => {
                count(&self.counters.tier_refused);
                tracing::warn!(%key, reason, "an entry of the second tier is not believed");
                tiered.quarantine.hold(marks.own(), fetched.bytes.as_deref().unwrap_or_default(), self.now());
                if is_garbage && let Err(error) = tiered.tier.discard(marks.own().within(tiered.space)).await {
                    self.unanswered(&error);
                }
                Looked::nothing(dating)
            }
        }
    }

    /// Decides what an entry of the second tier that was asked for at `asked_at` is good for.
    fn judge(&self, key: &Key, found: Found<V>, asked_at: Instant) -> Looked<V> {
        let Found { mut fresh, trust } = found;
        let (now, tiered) = (self.now(), self.tiered.as_ref());
        // By the time that the answer took it may be older than it says.
        fresh.age = fresh.age.saturating_add(now.since(asked_at));
        fresh.weight = self.weigh(key, fresh.value.as_deref());
        let here = self.local.read(key.as_str(), now);
        fresh.load_time = here.as_ref().map(|(record, _)| record.load_time);
        let is_better = here.as_ref().is_none_or(|(record, state)| match record.compare(fresh.age, now) {
            Reading::Later => true,
            // That nothing has changed since is news where nothing is heard.
            Reading::Same => *state == State::Serve(Freshness::Unheard),
            Reading::Earlier => false,
        });
        let is_trusted = trust == Trust::Sealed || tiered.is_some_and(|tiered| tiered.trusts_hints);
        // Whoever may write hints is not to say how long they are kept, or what they win over.
        fresh.lifetimes = fresh.lifetimes.filter(|_| is_trusted).map(|own| self.agreed(&own));
        fresh.version = if is_trusted { fresh.version } else { Version::NONE };
        let fresh_for = fresh.lifetimes.as_ref().map_or(self.config.lifetimes.fresh, |own| own.fresh);
        let mut looked = Looked::nothing(None);
        if is_trusted && is_better && fresh.age < fresh_for {
            looked.good = Some(Seen { fresh, at: now });
        } else {
            // Whether it may be used is decided when the origin has failed, by what is here then.
            let claim = if is_trusted { Claim::StandIn } else { Claim::Hint };
            looked.fallback = Some(Seen { fresh: Fresh { claim, ..fresh }, at: now });
        }
        looked
    }

    /// What an entry says of how long it is good, within what is allowed.
    fn agreed(&self, own: &Lifetimes) -> Arc<Lifetimes> {
        let mut agreed = self.config.lifetimes.clone();
        (agreed.fresh, agreed.stale, agreed.stale_on_error) = (own.fresh, own.stale, own.stale_on_error);
        Arc::new(agreed.clamped())
    }

    /// Puts what was loaded into the second tier. Where that fails, others load it themselves.
    pub(crate) async fn share(&self, key: &Key, fresh: &Fresh<V>, begun_micros: u64) {
        let (Some(tiered), Some(value)) = (&self.tiered, &fresh.value) else { return };
        let lifetimes = fresh.lifetimes.as_deref().unwrap_or(&self.config.lifetimes);
        let (mut fresh_for, mut stale_for) = (lifetimes.fresh, lifetimes.stale);
        let keep_for = lifetimes.total().saturating_sub(fresh.age);
        if keep_for.is_zero() {
            return;
        }
        if fresh.age > REMEMBERED {
            // That its key was invalidated since it was true, the tier may have forgotten.
            (fresh_for, stale_for) = (Duration::ZERO, fresh_for.saturating_add(stale_for));
        }
        let header = seal::Header {
            written_at_micros: begun_micros,
            version: fresh.version,
            fresh_for,
            stale_for,
            stale_on_error_for: lifetimes.stale_on_error,
            age: fresh.age,
            marks: fresh.marks.all().iter().map(|mark| mark.bits()).collect(),
        };
        let place = Place { namespace: &tiered.namespace, key: key.as_str(), schema: tiered.codec.schema() };
        let sealed = encode_guarded(&*tiered.codec, value).map_err(|error| error.to_string()).and_then(|payload| {
            if payload.len() > tiered.limits.value_bytes_max {
                return Err(format!("its {} bytes are more than anybody reads", payload.len()));
            }
            let sealed = tiered.sealer.seal(&place, &header, &payload, tiered.nonces.draw());
            sealed.map_err(|error| error.to_string())
        });
        let bytes = match sealed {
            Ok(bytes) => bytes,
            Err(reason) => {
                count(&self.counters.tier_refused);
                tracing::warn!(%key, reason, "a value cannot be put into the second tier");
                return;
            }
        };
        let own = fresh.marks.own();
        let unreadable = tiered.quarantine.head(own);
        let replaces = unreadable.as_deref();
        let as_of_micros = before(begun_micros, fresh.age);
        let (version, shared_own) = (fresh.version, own.within(tiered.space));
        let store = Store { own: shared_own, bytes: &bytes, begun_micros, as_of_micros, version, keep_for, replaces };
        match tiered.tier.store(store).await {
            Ok(Stored::Yes) => tiered.quarantine.release(own),
            Ok(Stored::Overtaken | Stored::Older) => {}
            Err(error) => self.unanswered(&error),
        }
    }

    pub(super) fn unanswered(&self, error: &TierError) {
        self.counters.tier_errors.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, "the second tier failed");
    }
}

/// What was found, and how far it is to be believed.
struct Found<V> {
    fresh: Fresh<V>,
    trust: Trust,
}

impl<V> Tiered<V> {
    async fn open(
        &self,
        key: &Key,
        marks: &Marks,
        fetched: &Fetched,
        skew: Duration,
        left: Option<Duration>,
    ) -> Result<Option<Found<V>>, Unusable> {
        let Some(bytes) = &fetched.bytes else { return Ok(None) };
        let place = Place { namespace: &self.namespace, key: key.as_str(), schema: self.codec.schema() };
        let opened = self.sealer.unseal(&place, bytes, fetched.now_micros, &self.limits);
        let opened = opened.map_err(|error| {
            let (reason, is_garbage) = (error.to_string(), error.is_garbage());
            Unusable::Refused { reason, is_garbage }
        })?;
        let header = opened.header;
        let is_whole = fetched.watermarks.len() == marks.all().len();
        let as_of_micros = before(header.written_at_micros, header.age);
        if !is_whole || !is_current(as_of_micros, &fetched.watermarks, skew) {
            return Err(Unusable::OutOfDate);
        }
        let all = marks.with(header.marks.iter().map(|bits| Mark::from_bits(*bits)));
        let others = all.all().get(marks.all().len()..).unwrap_or_default();
        if !others.is_empty() {
            let others: Vec<Mark> = others.iter().map(|mark| mark.within(self.space)).collect();
            let watermarks = self.watermarks_within(left, &others).await.map_err(Unusable::Unanswered)?;
            if watermarks.len() != others.len() || !is_current(as_of_micros, &watermarks, skew) {
                return Err(Unusable::OutOfDate);
            }
        }
        let value = decode_guarded(&*self.codec, &opened.payload);
        let value = value.map_err(|error| Unusable::Refused { reason: error.to_string(), is_garbage: false })?;
        let since = Duration::from_micros(fetched.now_micros.saturating_sub(header.written_at_micros));
        let mut lifetimes = Lifetimes::ttl(header.fresh_for);
        (lifetimes.stale, lifetimes.stale_on_error) = (header.stale_for, header.stale_on_error_for);
        let fresh = Fresh {
            value: Some(Arc::new(value)),
            version: header.version,
            source: Source::SecondTier,
            age: header.age.saturating_add(since),
            marks: all,
            weight: 0,
            transit: Duration::ZERO,
            load_time: None,
            lifetimes: Some(Arc::new(lifetimes)),
            claim: Claim::Full,
        };
        Ok(Some(Found { fresh, trust: opened.trust }))
    }

    /// The watermarks of `marks`, for which nobody waits longer than `left`.
    async fn watermarks_within(&self, left: Option<Duration>, marks: &[Mark]) -> Result<Vec<Watermark>, TierError> {
        let asked = self.tier.watermarks(marks);
        let Some(left) = left else { return asked.await };
        let late = |_| TierError::new(TierErrorKind::Silent, "did not answer in time");
        tokio::time::timeout(left, asked).await.map_err(late)?
    }
}
