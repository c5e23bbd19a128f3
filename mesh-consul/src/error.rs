//! What went wrong with a request to Consul, of which kind it is, and what that means for the registry port.
//!
//! Decides the kind of a failure from status and text, as measured on Consul 1.8.7 and documented for later
//! versions. It never carries a token: bodies are Consul's own words, cut to [`BODY_BYTES_MAX`].

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::port::{ErrorSource, RegistryError};
use mesh_core::service::escape_to;
use thiserror::Error as ThisError;

/// As much of an answer's body as an error keeps.
pub const BODY_BYTES_MAX: usize = 4096;

/// A request to Consul that failed.
#[derive(Clone, ThisError)]
pub struct ConsulError {
    pub(crate) operation: &'static str,
    pub(crate) cause: Cause,
    #[source]
    pub(crate) source: Option<ErrorSource>,
}

/// How a request failed.
#[derive(Clone, PartialEq)]
pub(crate) enum Cause {
    /// No connection could be made.
    Connect,
    /// No answer within this time.
    Timeout(Duration),
    /// The connection broke under way.
    Broken,
    /// An answer that is no success.
    Answer { status: u16, body: Arc<str>, retry_after: Option<Duration> },
    /// A successful answer that could not be understood.
    Decode(Arc<str>),
    /// Nothing was sent, because this agent does not know what was asked for, or may not.
    Unsupported(Arc<str>),
    /// Nothing was sent, because it would be refused.
    Invalid(Arc<str>),
    /// Consul answers, and hides what was asked for.
    Denied(Arc<str>),
    /// Part of it was done, and the rest refused.
    Partial(Arc<str>),
}

/// What a failure means to whoever waits for success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may be over in a moment: no connection, a broken one, no answer in time, a server's trouble.
    Transient,
    /// The servers have no leader.
    NoLeader,
    /// The token may not do this, or is none. Until somebody changes its policies or the token.
    AclDenied,
    /// The agent does not know the service or check that was named.
    LostRegistration,
    /// Consul refuses the request as such: asking again is in vain.
    BadRequest,
    /// The agent wants fewer connections or requests from this address.
    ConnectionLimit,
    /// The answer is not what Consul is documented to say.
    Decode,
    /// This agent's version or edition cannot do what was asked for.
    Unsupported,
}

impl ErrorClass {
    /// The class's name, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::NoLeader => "no-leader",
            Self::AclDenied => "acl-denied",
            Self::LostRegistration => "lost-registration",
            Self::BadRequest => "bad-request",
            Self::ConnectionLimit => "connection-limit",
            Self::Decode => "decode",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ConsulError {
    pub(crate) const fn new(operation: &'static str, cause: Cause) -> Self {
        Self { operation, cause, source: None }
    }

    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The failure that the answer `status` with `body` is.
    #[must_use]
    pub fn of_answer(operation: &'static str, status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        // A character may lie across the bound; what is no UTF-8 takes three bytes for each of its own.
        let text = String::from_utf8_lossy(body.get(..BODY_BYTES_MAX + 3).unwrap_or(body));
        let body = text.get(..text.floor_char_boundary(BODY_BYTES_MAX)).unwrap_or_default().trim().into();
        Self::new(operation, Cause::Answer { status, body, retry_after })
    }

    /// What was being done.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The status of the answer, where there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        if let Cause::Answer { status, .. } = &self.cause { Some(*status) } else { None }
    }

    /// Consul's own words, at most [`BODY_BYTES_MAX`] bytes of them.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        if let Cause::Answer { body, .. } = &self.cause { Some(body) } else { None }
    }

    /// How long Consul asks to wait, where it says so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Cause::Answer { retry_after, .. } = &self.cause { *retry_after } else { None }
    }

    /// Of which kind it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match &self.cause {
            Cause::Connect | Cause::Timeout(_) | Cause::Broken => ErrorClass::Transient,
            Cause::Answer { status, body, .. } => class_of(*status, body),
            Cause::Decode(_) => ErrorClass::Decode,
            Cause::Unsupported(_) => ErrorClass::Unsupported,
            Cause::Invalid(_) | Cause::Partial(_) => ErrorClass::BadRequest,
            Cause::Denied(_) => ErrorClass::AclDenied,
        }
    }

    /// Whether the same request may succeed later without anything being put right by hand.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.class(), ErrorClass::Transient | ErrorClass::NoLeader | ErrorClass::ConnectionLimit)
    }
}

/// The class of the answer `status` with the text `body`.
///
/// Statuses alone do not do: 1.8.7 answers a lost check, a bad filter and a lost leader alike with 500.
fn class_of(status: u16, body: &str) -> ErrorClass {
    let says = |words: &[&str]| words.iter().any(|words| body.contains(words));
    match status {
        401 | 403 => ErrorClass::AclDenied,
        429 => ErrorClass::ConnectionLimit,
        404 | 500 if says(LOST) => ErrorClass::LostRegistration,
        500 if says(DENIED) => ErrorClass::AclDenied,
        500 if says(&["No cluster leader"]) => ErrorClass::NoLeader,
        500 if says(REFUSED) => ErrorClass::BadRequest,
        500..=599 | 408 => ErrorClass::Transient,
        _ => ErrorClass::BadRequest,
    }
}

/// How 1.8.7 and later versions say that the agent does not know a check or service.
const LOST: &[&str] =
    &["does not have associated TTL", "Unknown check", "Unknown service", "unknown service", "Unknown node"];
/// How a refusal of the ACL system reads when it comes through another server.
const DENIED: &[&str] = &["Permission denied", "ACL not found"];
/// What 1.8.7 answers with 500 though the request is wrong.
const REFUSED: &[&str] =
    &["Failed to create boolean expression evaluator", "Scripts are disabled", "Invalid check", "Invalid Session TTL"];

/// Says what failed, with Consul's own words cut and freed of control characters.
impl fmt::Display for ConsulError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text| escape_to(text, 512).to_string();
        write!(f, "{}: ", self.operation)?;
        match &self.cause {
            Cause::Connect => f.write_str("no connection to Consul"),
            Cause::Timeout(after) => write!(f, "no answer within {after:?}"),
            Cause::Broken => f.write_str("the connection broke"),
            Cause::Answer { status, body, .. } => write!(f, "Consul answered {status}: {}", shown(body)),
            Cause::Decode(reason) => write!(f, "the answer could not be understood: {}", shown(reason)),
            Cause::Unsupported(reason) => write!(f, "not supported: {}", shown(reason)),
            Cause::Invalid(reason) => write!(f, "not valid: {}", shown(reason)),
            Cause::Denied(reason) => write!(f, "denied: {}", shown(reason)),
            Cause::Partial(reason) => write!(f, "done in part: {}", shown(reason)),
        }
    }
}

impl fmt::Debug for ConsulError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsulError({}: {self}", self.class())?;
        if let Some(source) = &self.source {
            write!(f, ", caused by: {}", escape_to(&source.to_string(), 512))?;
        }
        f.write_str(")")
    }
}

/// What it is to those who know only the port.
impl From<ConsulError> for RegistryError {
    fn from(error: ConsulError) -> Self {
        let reason: Arc<str> = error.to_string().into();
        let source: Option<ErrorSource> = error.source.clone();
        match &error.cause {
            Cause::Connect => return Self::Unreachable { source },
            Cause::Timeout(after) => return Self::Timeout { after: *after },
            Cause::Invalid(_) | Cause::Unsupported(_) => return Self::Invalid { reason },
            Cause::Partial(_) => return Self::Partial { reason, source },
            Cause::Broken | Cause::Answer { .. } | Cause::Decode(_) | Cause::Denied(_) => {}
        }
        match error.class() {
            ErrorClass::Transient | ErrorClass::NoLeader => Self::Unavailable { reason, source },
            ErrorClass::AclDenied => Self::AccessDenied { reason },
            ErrorClass::ConnectionLimit => Self::Throttled { reason, retry_after: error.retry_after() },
            ErrorClass::LostRegistration | ErrorClass::BadRequest | ErrorClass::Unsupported => {
                Self::Refused { reason, source }
            }
            ErrorClass::Decode => Self::Malformed { reason, source },
        }
    }
}
