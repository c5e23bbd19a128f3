//! What the second tier says of the time before an origin is read, and what that makes of what the origin says.
//!
//! Decides whether a value that its origin had known for a while already may be older than a change. What was read anew
//! cannot be: its load began after whatever the process was told of before, and is overtaken by the rest.

use std::time::Duration;

use super::Inner;
use crate::entry::{Claim, Fresh};
use crate::key::{Key, Marks};
use crate::second::{Fetched, Watermark, is_current};

/// What the second tier said before an origin was read.
#[derive(Debug)]
pub(crate) struct Dating {
    /// Its time, in microseconds.
    pub(crate) begun_micros: u64,
    /// The watermarks of whatever has the key's marks, in their order.
    watermarks: Vec<Watermark>,
}

impl Dating {
    /// What `fetched` says of a key that has `marks`; nothing, if that is not all that was asked.
    pub(super) fn of(fetched: &Fetched, marks: &Marks) -> Option<Self> {
        let is_whole = fetched.watermarks.len() == marks.all().len();
        is_whole.then(|| Self { begun_micros: fetched.now_micros, watermarks: fetched.watermarks.clone() })
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// What is made of `fresh`, which its origin said after the second tier had said `dating`.
    pub(crate) async fn claim(&self, fresh: &Fresh<V>, dating: Option<&Dating>) -> Claim {
        let Some(tiered) = self.tiered.as_ref().filter(|_| !fresh.age.is_zero()) else { return Claim::Full };
        let Some(Dating { begun_micros, watermarks }) = dating else { return Claim::Unvouched };
        let (as_of, skew) = (before(*begun_micros, fresh.age), self.config.tier_skew_max);
        if !is_current(as_of, watermarks, skew) {
            return Claim::Outdated;
        }
        // The key's own marks come first.
        let tags = fresh.marks.all().get(watermarks.len()..).unwrap_or_default();
        if tags.is_empty() {
            return Claim::Full;
        }
        let tags: Vec<_> = tags.iter().map(|mark| mark.within(tiered.space)).collect();
        match tiered.tier.watermarks(&tags).await {
            Ok(watermarks) if watermarks.len() != tags.len() => Claim::Unvouched,
            Ok(watermarks) if is_current(as_of, &watermarks, skew) => Claim::Full,
            Ok(_) => Claim::Outdated,
            Err(error) => {
                self.unanswered(&error);
                Claim::Unvouched
            }
        }
    }

    /// What the second tier says before `key` is put there; `None` where there is no tier, or no answer.
    pub(super) async fn date(&self, key: &Key) -> Option<Dating> {
        let tiered = self.tiered.as_ref()?;
        let marks = Marks::new(key, &[]);
        match tiered.tier.fetch(&marks.within(tiered.space)).await {
            Ok(fetched) => Dating::of(&fetched, &marks),
            Err(error) => {
                self.unanswered(&error);
                None
            }
        }
    }
}

/// The time `age` before `micros`.
pub(super) fn before(micros: u64, age: Duration) -> u64 {
    micros.saturating_sub(u64::try_from(age.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX))
}
