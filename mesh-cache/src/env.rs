//! The world as the mesh and its cache meet it: the clock, the operating system's entropy, and connections.
//!
//! The one file of this crate that reads a clock or takes entropy. Everything else asks an [`Environment`],
//! so that a simulation may replace the whole world. It decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use mesh_core::port::{Clock, Entropy};
use mesh_core::rng::mix;
use mesh_core::time::{Instant, saturating_nanos};

use crate::dial::{Dial, TcpDial};

/// All that the mesh and its cache need of the world outside, besides a registry.
///
/// Exhaustive, because whoever simulates the world must replace all of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Tells the time. Timers are tokio's: a clock of one's own must tick with tokio's time, as a paused runtime's
    /// does.
    pub clock: Arc<dyn Clock>,
    /// Makes one process's choices differ from another's.
    pub entropy: Arc<dyn Entropy>,
    /// Opens connections.
    pub dial: Arc<dyn Dial>,
    /// Tells the date, for what outlasts the process. No decision but the age of a file hangs on it.
    pub wall: Arc<dyn WallClock>,
}

/// Tells the date.
pub trait WallClock: std::fmt::Debug + Send + Sync {
    /// Milliseconds since 1970, as far as anybody set the clock right.
    fn unix_millis(&self) -> u64;
}

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    fn unix_millis(&self) -> u64 {
        wall_clock_nanos() / 1_000_000
    }
}

impl Environment {
    /// The real world: tokio's clock, the operating system's entropy, TCP.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Arc::new(TokioClock::new()),
            entropy: Arc::new(OsEntropy::new()),
            dial: Arc::new(TcpDial::new()),
            wall: Arc::new(SystemWallClock),
        }
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::system()
    }
}

/// Tokio's clock; it stands still while tokio's time is paused.
///
/// It shows [`TokioClock::START`] when it is made, and not zero: what is older than the process must have a time too.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    epoch: tokio::time::Instant,
    start: Instant,
}

impl TokioClock {
    /// What a clock shows that was just made: 366 days, longer than anything is kept.
    pub const START: Instant = Instant::from_nanos(366 * 86_400 * 1_000_000_000);

    /// A clock that shows [`TokioClock::START`] now.
    #[must_use]
    pub fn new() -> Self {
        Self::showing(Self::START)
    }

    /// A clock that shows `start` now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn showing(start: Instant) -> Self {
        Self { epoch: tokio::time::Instant::now(), start }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        self.start + self.epoch.elapsed()
    }
}

/// The operating system's random words.
///
/// Each word is a system call. Should the system refuse one, which Linux does only where a sandbox forbids it,
/// the word is mixed from the wall clock, the process id and a counter, and a warning is logged once: choices
/// then still differ between processes and from call to call. No secret is drawn here that this would give away: the
/// nearest to one is the token of an operation's owner, which its store shows to whoever may speak to it, and of which
/// no two may be the same.
#[derive(Debug)]
pub struct OsEntropy {
    refusals: AtomicU64,
    warned: Once,
}

impl OsEntropy {
    /// The entropy of this machine.
    #[must_use]
    pub const fn new() -> Self {
        Self { refusals: AtomicU64::new(0), warned: Once::new() }
    }

    /// The word that the system has drawn, or one in its place.
    fn word(&self, drawn: Result<u64, getrandom::Error>) -> u64 {
        drawn.unwrap_or_else(|error| {
            self.warned.call_once(|| {
                tracing::warn!(%error, "the system gives no entropy; choices are drawn from the clock instead");
            });
            self.makeshift(wall_clock_nanos())
        })
    }

    fn makeshift(&self, wall_clock_nanos: u64) -> u64 {
        let refusals = self.refusals.fetch_add(1, Ordering::Relaxed);
        mix(mix(mix(wall_clock_nanos) ^ u64::from(std::process::id())) ^ refusals)
    }
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for OsEntropy {
    fn next_u64(&self) -> u64 {
        self.word(getrandom::u64())
    }
}

/// Nanoseconds since 1970; two processes that start at once in two containers have the same id, not the same time.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "no decision reads it: it only seeds")]
fn wall_clock_nanos() -> u64 {
    use std::time::SystemTime;

    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, saturating_nanos)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts what is logged.
    #[derive(Default)]
    struct Logged(AtomicU64);

    impl Subscriber for Logged {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_system_that_refuses_again_and_again_is_logged_once_and_words_differ_all_the_same() {
        let (entropy, logged) = (OsEntropy::new(), Arc::new(Logged::default()));
        let words: BTreeSet<u64> = tracing::subscriber::with_default(Arc::clone(&logged), || {
            (0..100).map(|_| entropy.word(Err(getrandom::Error::UNSUPPORTED))).collect()
        });
        assert_eq!((words.len(), logged.0.load(Ordering::Relaxed)), (100, 1));
        assert_eq!(entropy.word(Ok(7)), 7, "what is drawn is used as it is");
    }

    #[test]
    fn makeshift_words_differ_even_when_the_clock_stands_still() {
        let entropy = OsEntropy::new();
        let words: BTreeSet<u64> = (0..10_000).map(|_| entropy.makeshift(7)).collect();
        assert_eq!(words.len(), 10_000);
    }

    #[test]
    fn words_of_the_system_differ() {
        let entropy = OsEntropy::new();
        assert_ne!(entropy.next_u64(), entropy.next_u64());
        assert_eq!(entropy.refusals.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_tokios_time_when_it_is_paused() {
        let clock = TokioClock::new();
        assert_eq!(clock.now(), TokioClock::START);
        tokio::time::advance(std::time::Duration::from_millis(250)).await;
        assert_eq!(clock.now(), TokioClock::START + std::time::Duration::from_millis(250));
    }
}
