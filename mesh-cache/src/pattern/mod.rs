//! The ways in which a cache and its origin are put together.
//!
//! | | who reads the origin | who writes it | choose it |
//! | --- | --- | --- | --- |
//! | [`ReadThrough`] | the cache | whoever does, and invalidates | first: it is the default |
//! | [`CacheAside`] | the caller | whoever does, and invalidates | where reading does not fit into one function |
//! | [`RefreshAhead`] | the cache, before anybody asks | as above | where a miss is too slow for whoever comes first |
//! | [`WriteThrough`] | as above | the cache, at once | where a read must see what was written |
//! | [`WriteBehind`] | as above | the cache, later and in batches | where writes are many and the last one counts |
//!
//! They share one [`Cache`](crate::Cache), and may be combined over it: what one writes another reads. Each decides when
//! the origin is asked; how long what it said is believed, the cache's lifetimes decide.

mod batch;
mod batch_size;
mod cache_aside;
mod flusher;
mod queue;
mod read_through;
mod refresh_ahead;
mod sink;
mod write_behind;
mod write_through;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::port::Clock;
use mesh_core::time::Instant;
use tokio::task::JoinHandle;

pub use cache_aside::{Aside, CacheAside, Filling, Overtaken};
pub use read_through::ReadThrough;
pub use refresh_ahead::{RefreshAhead, RefreshAheadConfig, TooManyKeys};
pub use sink::{Change, Sink, WriteError, Written};
pub use write_behind::{Flushed, NotFlushed, NotQueued, WriteBehind, WriteBehindConfig, WriteBehindStats};
pub use write_through::{PutError, WriteThrough};

use crate::cache::{BoxedLoader, Loaded, boxed};
use crate::key::Key;

/// Loads values from their origin.
///
/// Every `Fn(Key)` is one that returns a future of a [`Loaded`], or of a [`Found`](crate::Found).
pub trait Loader<V>: Send + Sync + 'static {
    /// What goes wrong with the origin.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Loads the value of `key`. It may be called for several keys at once, and again for one of which what was read
    /// changed meanwhile; its future runs on a task of the cache, and is dropped when the load's deadline has passed.
    ///
    /// # Errors
    /// Why the origin could not be read. That it has no value is [`Loaded::Absent`].
    fn load(&self, key: &Key) -> impl Future<Output = Result<Loaded<V>, Self::Error>> + Send;
}

impl<V, F, Fut, L, E> Loader<V> for F
where
    F: Fn(Key) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<L, E>> + Send,
    L: Into<Loaded<V>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Error = E;

    fn load(&self, key: &Key) -> impl Future<Output = Result<Loaded<V>, E>> + Send {
        let loading = self(key.clone());
        async move { loading.await.map(Into::into) }
    }
}

/// The load of `key` by `loader`, as the cache runs it.
fn load<V: Send + Sync + 'static, L: Loader<V>>(loader: &Arc<L>, key: &Key) -> BoxedLoader<V> {
    let (loader, key) = (Arc::clone(loader), key.clone());
    boxed(move || {
        let (loader, key) = (Arc::clone(&loader), key.clone());
        async move { loader.load(&key).await }
    })
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Owned(JoinHandle<()>);

impl Owned {
    /// Ends it, and waits until it has ended.
    async fn end(mut self) {
        self.0.abort();
        // Aborted or not, it has ended.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sleeps until `due` by `clock`; for ever, without one.
async fn sleep_until(clock: &dyn Clock, due: Option<Instant>) {
    let Some(due) = due else { return std::future::pending().await };
    let left = due.since(clock.now());
    // The runtime's timer ticks in milliseconds and rounds up: nothing comes due early.
    if left > Duration::ZERO {
        tokio::time::sleep(left).await;
    } else {
        tokio::task::yield_now().await;
    }
}
