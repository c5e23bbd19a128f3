//! What excuses a process that hears late: a link or a server that is silent, and a machine that is busy elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_cache::TokioClock;
use mesh_cache::mesh_core::port::Clock as _;
use mesh_cache::mesh_core::time::Instant;
use tokio::task::JoinHandle;

/// The time since the run began.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    clock: TokioClock,
    began: Instant,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let clock = TokioClock::new();
        Self { clock, began: clock.now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.clock.now().since(self.began)
    }
}

/// Until when something kept silent.
pub(crate) struct Silence {
    watch: Watch,
    until: AtomicU64,
}

impl Silence {
    pub(crate) const fn new(watch: Watch) -> Self {
        Self { watch, until: AtomicU64::new(0) }
    }

    pub(crate) fn begin(&self) {
        self.until.store(u64::MAX, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.until.store(self.watch.now().as_nanos(), Ordering::SeqCst);
    }

    /// Whether it may have kept something from who began to read at `began`, `within` a while.
    pub(crate) fn reaches(&self, began: Instant, within: Duration) -> bool {
        Instant::from_nanos(self.until.load(Ordering::SeqCst)) + within > began
    }
}

/// How late this process' own timers were lately: nobody can be told sooner than that.
pub(crate) struct Lateness {
    watch: Watch,
    lately: Mutex<VecDeque<(Instant, Duration)>>,
}

impl Lateness {
    /// Begins to watch.
    pub(crate) fn watch(watch: Watch) -> (Arc<Self>, JoinHandle<()>) {
        let lateness = Arc::new(Self { watch, lately: Mutex::default() });
        let watched = Arc::clone(&lateness);
        let watching = tokio::spawn(async move {
            loop {
                let due = watch.now() + TICK;
                tokio::time::sleep(TICK).await;
                watched.note(watch.now(), due);
            }
        });
        (lateness, watching)
    }

    /// The most of the last few seconds.
    pub(crate) fn get(&self) -> Duration {
        let lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.watch.now() - LATELY;
        lately.iter().filter(|(at, _)| *at >= from).map(|(_, late)| *late).max().unwrap_or_default()
    }

    fn note(&self, now: Instant, due: Instant) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.push_back((now, now.since(due)));
        while lately.front().is_some_and(|(at, _)| *at + LATELY < now) {
            lately.pop_front();
        }
    }
}

const TICK: Duration = Duration::from_millis(5);
const LATELY: Duration = Duration::from_secs(3);
