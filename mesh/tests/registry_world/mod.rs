//! What the tests of registries share: looking at what is there without waiting for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mesh_core::port::{Watch, WatchEvent};
use mesh_core::service::ServiceName;

/// The event that is there already, if any.
pub(crate) fn now(watch: &mut dyn Watch) -> Option<WatchEvent> {
    match watch.next().as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

/// The output of a future that never waits.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

pub(crate) fn name(service: &str) -> ServiceName {
    service.parse().unwrap()
}
