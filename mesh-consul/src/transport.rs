//! How requests travel: a seam, so that a simulated network can take the place of reqwest.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use mesh_core::port::BoxFuture;
use thiserror::Error;

use crate::request::Lane;

/// Carries one request to the agent and its answer back.
///
/// It follows no redirects, retries nothing and reads no more of a body than it was told to. A future that is dropped
/// cancels the request on this side; the agent may carry it out all the same.
pub trait Transport: Debug + Send + Sync {
    /// Sends `request`, whose URI has only path and query, on `lane`; gives up after `timeout`.
    fn send(
        &self,
        lane: Lane,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection could be made: nothing was sent.
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer, or not all of it, came in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than what is read.
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// What is read at most.
        bytes_max: usize,
    },
}
