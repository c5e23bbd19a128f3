//! A reading under way: begun before its first read, and given back however it ends.

use std::fmt;
use std::sync::Arc;

use mesh_core::time::Instant;

use super::Inner;
use crate::entry::Fresh;
use crate::key::Key;
use crate::local::{Kept, Ticket};

/// A ticket of the first tier that is given back when it is dropped.
pub(crate) struct Held<V> {
    inner: Arc<Inner<V>>,
    ticket: Option<Ticket>,
}

impl<V> Held<V> {
    /// To be called before the first read of what is to be kept.
    pub(crate) fn begin(inner: &Arc<Inner<V>>) -> Self {
        Self { ticket: Some(inner.local.begin()), inner: Arc::clone(inner) }
    }
}

impl<V: Send + Sync + 'static> Held<V> {
    /// Keeps what was read, as it was at `at`, unless it may be out of date. Only once: it is given back with that.
    pub(crate) fn settle(&mut self, key: &Key, fresh: Fresh<V>, at: Instant) -> Kept<V> {
        let inner = &self.inner;
        match self.ticket.take() {
            Some(ticket) => inner.local.settle(ticket, key, fresh, at, inner.random()),
            None => Kept::Overtaken,
        }
    }

    /// Keeps what was written; where something changed since, nothing is left under the key.
    pub(crate) fn insert(&mut self, key: &Key, fresh: Fresh<V>) -> Kept<V> {
        let inner = &self.inner;
        match self.ticket.take() {
            Some(ticket) => inner.local.insert_since(ticket, key, fresh, inner.now(), inner.random()),
            None => Kept::Overtaken,
        }
    }
}

impl<V> Drop for Held<V> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.local.abandon(ticket);
        }
    }
}

impl<V> fmt::Debug for Held<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}
