//! The world as the adapter meets it: the clock, the operating system's entropy, and environment variables.
//!
//! The one file of this crate that reads a clock or takes entropy. It decides nothing.

use std::sync::Arc;

use mesh_core::port::{Clock, Entropy};
use mesh_core::time::{Instant, saturating_nanos};

/// All that the adapter needs of the world outside, besides its [`Transport`](crate::Transport).
#[derive(Clone, Debug)]
pub struct Environment {
    /// Tells the time. Timers are tokio's: a clock of one's own must tick with tokio's time.
    pub clock: Arc<dyn Clock>,
    /// Makes one process's waits differ from another's.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { clock: Arc::new(TokioClock::new()), entropy: Arc::new(OsEntropy) }
    }
}

#[derive(Debug)]
struct TokioClock(tokio::time::Instant);

impl TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(saturating_nanos(self.0.elapsed()))
    }
}

#[derive(Debug)]
struct OsEntropy;

impl Entropy for OsEntropy {
    /// Nothing but waits is drawn from it: where the system gives no entropy, the process's id has to do.
    fn next_u64(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|_| mesh_core::rng::mix(u64::from(std::process::id())))
    }
}

/// The environment variable `name`, where it is set and text.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
