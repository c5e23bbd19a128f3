//! The work that hyper wants done beside a call over HTTP/2, without a task of its own for any of it.
//!
//! Decides that nothing goes on once whoever waits for the call has stopped.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use hyper::rt::Executor;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes futures on and polls them while a call is waited for; dropping it drops them.
#[derive(Default)]
pub(super) struct Tasks {
    taken_on: Arc<Mutex<Vec<Task>>>,
}

/// Gives futures to the [`Tasks`] it is of. Weak, because such a future holds one of these itself.
#[derive(Clone)]
pub(super) struct Beside {
    tasks: Weak<Mutex<Vec<Task>>>,
}

impl Tasks {
    /// Where futures are given to it.
    pub(super) fn beside(&self) -> Beside {
        Beside { tasks: Arc::downgrade(&self.taken_on) }
    }

    /// Waits for `call` and polls what was taken on meanwhile.
    pub(super) async fn driving<T>(self, call: impl Future<Output = T>) -> T {
        let (mut call, mut running) = (pin!(call), Vec::new());
        poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => {
                self.poll(&mut running, context);
                Poll::Pending
            }
        })
        .await
    }

    /// Polls what runs, and then what was taken on until that is nothing any more.
    fn poll(&self, running: &mut Vec<Task>, context: &mut Context<'_>) {
        let mut is_pending = |task: &mut Task| task.as_mut().poll(context).is_pending();
        running.retain_mut(&mut is_pending);
        loop {
            let mut new = std::mem::take(&mut *lock(&self.taken_on));
            if new.is_empty() {
                return;
            }
            new.retain_mut(&mut is_pending);
            running.append(&mut new);
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Beside {
    fn execute(&self, task: F) {
        // Where nobody polls any more there is nothing to take on.
        if let Some(tasks) = self.tasks.upgrade() {
            lock(&tasks).push(Box::pin(task));
        }
    }
}

fn lock(tasks: &Mutex<Vec<Task>>) -> MutexGuard<'_, Vec<Task>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A future that is never done, and that holds what hyper's hold: a way to give others to the same tasks.
    fn endless(beside: &Beside, alive: &Arc<()>) -> impl Future<Output = ()> + Send + 'static {
        let held = (beside.clone(), Arc::clone(alive));
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    }

    #[tokio::test]
    async fn what_was_taken_on_goes_with_the_call_polled_or_not() {
        for yields in [false, true] {
            let (tasks, alive) = (Tasks::default(), Arc::new(()));
            let beside = tasks.beside();
            let call = async {
                beside.execute(endless(&beside, &alive));
                if yields {
                    tokio::task::yield_now().await;
                }
                Arc::strong_count(&alive)
            };
            assert_eq!(tasks.driving(call).await, 2);
            assert_eq!(Arc::strong_count(&alive), 1, "yields: {yields}");
            beside.execute(endless(&beside, &alive));
            assert_eq!(Arc::strong_count(&alive), 1, "too late");
        }
    }
}
