//! The tasks that belong to a cache.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;

/// Tasks of a cache, aborted when it is dropped. They hold what they work on, and not these.
#[derive(Debug)]
pub(super) struct Tasks(Mutex<Option<JoinSet<()>>>);

impl Default for Tasks {
    fn default() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }
}

impl Tasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = &mut *tasks else {
            // Shut down. It is dropped without having begun, once the lock is open again.
            return;
        };
        // What a task that panicked has to say, those who waited for it were told.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Ends them, waits until they have ended, and begins none any more.
    pub(super) async fn shut_down(&self) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }
}
