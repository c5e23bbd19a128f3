//! How calls and the owner get a driver to look.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_retry::coordinator::budget::Wake;
use tokio::sync::Notify;

/// Rung by calls that find no token, and by the owner who wants the driver to end. Clones share it.
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
