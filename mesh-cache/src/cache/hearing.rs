//! Keeps the first tier told of what others changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use crate::entry::Epoch;
use crate::key::{Mark, Scope};
use crate::second::{Listener, News};

/// Passes on what `listener` hears of the scopes of `space`, for ever. When the task ends, however it does, nothing is
/// heard any more.
pub(super) async fn hear<V: Send + Sync + 'static>(inner: Arc<Inner<V>>, space: Mark, mut listener: Box<dyn Listener>) {
    let ear = Ear(inner);
    let inner = &*ear.0;
    loop {
        match listener.next().await {
            News::Hearing(connection) => inner.local.hear(Epoch(connection)),
            News::Deaf => {
                inner.local.hear(Epoch::DEAF);
                inner.counters.deafened.fetch_add(1, Ordering::Relaxed);
            }
            News::Changed(mark) => {
                inner.invalidate(mark.within(space));
            }
            News::AllChanged => {
                inner.invalidate(Scope::All.mark());
            }
        }
    }
}

struct Ear<V>(Arc<Inner<V>>);

impl<V> Drop for Ear<V> {
    fn drop(&mut self) {
        self.0.local.hear(Epoch::DEAF);
    }
}
