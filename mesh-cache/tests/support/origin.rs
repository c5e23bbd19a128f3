//! An origin that does as it is told, and remembers how often it was asked.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::mesh_core::port::BoxFuture;
use mesh_cache::{Found, Loaded, Tag, Version};

/// What an origin answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Value(u64),
    /// A value and its version.
    Versioned(u64, Version),
    Tagged(u64, Tag),
    /// A value that it has known for a while.
    Aged(u64, Duration),
    Absent,
    Fails,
    Panics,
}

/// An origin of values; cloning it shares it.
#[derive(Clone, Debug)]
pub(crate) struct Origin(Arc<State>);

#[derive(Debug)]
struct State {
    says: Mutex<(Says, Duration)>,
    begun: AtomicU64,
    ended: AtomicU64,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
}

impl Origin {
    pub(crate) fn new(says: Says) -> Self {
        let says = Mutex::new((says, Duration::ZERO));
        let [begun, ended, under_way, most_under_way] = [const { AtomicU64::new(0) }; 4];
        Self(Arc::new(State { says, begun, ended, under_way, most_under_way }))
    }

    pub(crate) fn says(&self, says: Says) {
        self.0.says.lock().unwrap().0 = says;
    }

    /// From now on an answer takes that long; it is what was true when it was asked for.
    pub(crate) fn takes(&self, time: Duration) {
        self.0.says.lock().unwrap().1 = time;
    }

    /// How many loads were begun.
    pub(crate) fn loads(&self) -> u64 {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// How many loads were not dropped before they ended.
    pub(crate) fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn under_way(&self) -> u64 {
        self.0.under_way.load(Ordering::SeqCst)
    }

    pub(crate) fn most_under_way(&self) -> u64 {
        self.0.most_under_way.load(Ordering::SeqCst)
    }

    /// A loader that asks this origin.
    pub(crate) fn loader(
        &self,
    ) -> impl FnMut() -> BoxFuture<'static, Result<Loaded<u64>, Unwilling>> + Send + 'static + use<> {
        let origin = self.clone();
        move || Box::pin(origin.clone().answer())
    }

    async fn answer(self) -> Result<Loaded<u64>, Unwilling> {
        let (says, takes) = self.0.says.lock().unwrap().clone();
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let visit = Visit::begin(&self.0);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        drop(visit);
        match says {
            Says::Value(value) => Ok(Found::new(value).into()),
            Says::Versioned(value, version) => Ok(Found::new(value).version(version).into()),
            Says::Tagged(value, tag) => Ok(Found::new(value).tag(tag).into()),
            Says::Aged(value, age) => Ok(Found::new(value).age(age).into()),
            Says::Absent => Ok(Loaded::Absent),
            Says::Fails => Err(Unwilling),
            Says::Panics => panic!("the origin's loader panics, as it was told to"),
        }
    }
}

/// A load under way, counted until it ends or is dropped.
struct Visit<'a>(&'a State);

impl<'a> Visit<'a> {
    fn begin(state: &'a State) -> Self {
        let now = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_under_way.fetch_max(now, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error of an origin that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwilling;

impl fmt::Display for Unwilling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin is unwilling")
    }
}

impl std::error::Error for Unwilling {}
