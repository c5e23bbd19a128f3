//! A request to Consul as a value: what is asked, on which lane, and until when it is waited for.
//!
//! Every segment of a path and every value of a query is percent-encoded, whatever it holds: Consul's agents take
//! names with slashes and spaces.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// One request; the client adds address, token and user agent.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is being done, for errors and logs.
    pub operation: &'static str,
    /// The method.
    pub method: Method,
    /// Path and query, encoded, with a leading slash.
    pub target: String,
    /// The body; empty for none.
    pub body: Bytes,
    /// On which connections it goes.
    pub lane: Lane,
    /// How long the answer is waited for.
    pub timeout: Duration,
}

/// Kinds of requests that may not wait for each other: blocking queries fill connections and streams for minutes,
/// and a heartbeat that waits behind them comes too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Registrations and single reads.
    #[default]
    Control,
    /// Blocking queries.
    Watch,
    /// Heartbeats of TTL checks.
    Heartbeat,
}

impl Request {
    /// A GET of the path made of `segments`.
    #[must_use]
    pub fn get(operation: &'static str, segments: &[&str]) -> Self {
        Self::new(operation, Method::GET, segments)
    }

    /// A PUT to the path made of `segments`.
    #[must_use]
    pub fn put(operation: &'static str, segments: &[&str]) -> Self {
        Self::new(operation, Method::PUT, segments)
    }

    fn new(operation: &'static str, method: Method, segments: &[&str]) -> Self {
        let target = segments.iter().fold("/v1".to_owned(), |path, segment| path + "/" + &encode(segment));
        Self { operation, method, target, body: Bytes::new(), lane: Lane::Control, timeout: TIMEOUT }
    }

    /// Adds `name=value` to the query.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        let separator = self.separator();
        // Writing to a String does not fail.
        let _ = write!(self.target, "{separator}{name}={}", encode(value));
        self
    }

    /// Adds `name` to the query, without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        let separator = self.separator();
        self.target.push(separator);
        self.target.push_str(name);
        self
    }

    /// Sends `body`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Goes on `lane`.
    #[must_use]
    pub const fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Is waited for that long.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn separator(&self) -> char {
        if self.target.contains('?') { '&' } else { '?' }
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `text` as a duration of Go's: whole milliseconds.
pub(crate) fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request is given that says nothing else: more than an agent takes to find out that there is no leader
/// (7.3 s, measured for 1.8.7).
const TIMEOUT: Duration = Duration::from_secs(10);
