//! How calls and the owner get a driver to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_retry::coordinator::Wake;
use tokio::sync::Notify;

/// Rung by calls that find no token or have something to tell, and by the owner who wants the driver to end. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rung: Notify,
    is_closing: AtomicBool,
}

impl Bell {
    /// Waits until it is rung; says whether the driver is to end. What rang before is not lost.
    pub(super) async fn rung(&self) -> bool {
        self.0.rung.notified().await;
        // Stored before it was rung, which synchronises.
        self.0.is_closing.load(Ordering::Relaxed)
    }

    /// Lets the driver give back what the process holds, and end.
    pub(super) fn close(&self) {
        self.0.is_closing.store(true, Ordering::Relaxed);
        self.0.rung.notify_one();
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.rung.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_rang_before_anybody_listened_is_heard_once() {
        let bell = Bell::default();
        let heard = || tokio::time::timeout(Duration::from_secs(1), bell.rung());
        (0..3).for_each(|_| bell.wake());
        assert_eq!(heard().await, Ok(false));
        heard().await.unwrap_err();
        bell.clone().close();
        assert_eq!(heard().await, Ok(true));
        bell.wake();
        assert_eq!(heard().await, Ok(true), "it stays closed");
    }
}
