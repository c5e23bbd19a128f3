//! What went wrong with a call to Redis, of which kind it is, and whether something may have changed.
//!
//! Decides the kind from the code that a server's error begins with. It keeps neither the server's text nor anything
//! that was sent: both may hold keys, values or passwords.

use std::time::Duration;

use ::redis::{ErrorKind, Value};
use thiserror::Error as ThisError;

use super::cluster::SLOTS;
use super::reason::{DownReason, Unfit};
use super::url::Node;
use crate::second::{TierError, TierErrorKind};

/// A call to Redis that failed.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum RedisError {
    /// No answer came in time; the command may have been carried out, or may be still.
    #[error("no answer from Redis within {0:?}")]
    Timeout(Duration),
    /// The connection ended while the answer was waited for; the command may have been carried out.
    #[error("the connection to Redis ended before the answer")]
    Disconnected,
    /// The server loads its data. Nothing changed.
    #[error("Redis loads its data")]
    Loading,
    /// A script runs and does not end. Nothing changed.
    #[error("Redis is busy with a script")]
    Busy,
    /// The server is a replica. Nothing changed.
    #[error("this Redis is a replica and takes no writes")]
    ReadOnly,
    /// The server has no memory for a write. Nothing changed.
    #[error("Redis has reached its maxmemory")]
    Oom,
    /// The server does not know the script, and could not be taught. Nothing changed.
    #[error("Redis does not know the script")]
    NoScript,
    /// The user may not do this. Nothing changed.
    #[error("the user of Redis may not do this")]
    NoPerm,
    /// The key holds something of another type. Nothing changed.
    #[error("the key holds a value of another type")]
    WrongType,
    /// The key lives on another node. Nothing changed.
    #[error("the slot {} has moved to another node", .0.slot)]
    Moved(Redirect),
    /// The key is being moved, and this command is to be asked of another node once. Nothing changed.
    #[error("the slot {} is moving to another node", .0.slot)]
    Ask(Redirect),
    /// The server refuses user or password. Nothing changed.
    #[error("Redis refuses user or password")]
    Auth,
    /// The answer could not be understood; the command may have been carried out.
    #[error("the answer is none that Redis is documented to give")]
    Hostile,
    /// There is no connection. Nothing was sent.
    #[error("there is no connection to Redis: {why}")]
    Down {
        /// Why.
        why: DownReason,
    },
    /// As many calls are under way as are allowed. Nothing was sent.
    #[error("too many calls to Redis are under way")]
    Overloaded,
    /// A script failed half-way; what it wrote before stays.
    #[error("a script failed in Redis: {code}")]
    Script {
        /// What the server's error begins with, "ERR".
        code: Code,
    },
    /// The server refuses the command. Nothing changed.
    #[error("Redis refuses the command: {code}")]
    Other {
        /// What the server's error begins with, "CROSSSLOT".
        code: Code,
    },
    /// The command is none that can be sent: it is empty, or has no key to find its node by. Nothing was sent.
    #[error("the command cannot be sent: it is empty, or has no key")]
    Unsendable,
}

/// Where a cluster's node points instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot of the key.
    pub slot: u16,
    /// The node to ask; `None` where the node that answered does not know its name.
    pub node: Option<Node>,
}

/// The word that a server's error begins with: at most 32 capital letters, "ERR" in place of anything else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code(Box<str>);

impl Code {
    fn new(text: &str) -> Self {
        let is_code = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
        Self(if is_code { text } else { "ERR" }.into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl RedisError {
    /// The reply, or the error that it is or holds.
    ///
    /// # Errors
    /// The first error of the server's in `reply`.
    pub fn check(reply: Value) -> Result<Value, Self> {
        reply.extract_error().map_err(|error| Self::of(&error))
    }

    pub(crate) fn of(error: &::redis::RedisError) -> Self {
        match (error.code(), error.kind()) {
            (Some(code), _) => Self::of_code(code, error.detail().unwrap_or_default()),
            (None, ErrorKind::AuthenticationFailed) => Self::Auth,
            (None, ErrorKind::Client | ErrorKind::InvalidClientConfig) => Self::Unsendable,
            (None, ErrorKind::Io) => Self::Disconnected,
            (None, _) => Self::Hostile,
        }
    }

    fn of_code(code: &str, detail: &str) -> Self {
        match code {
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "READONLY" => Self::ReadOnly,
            "OOM" => Self::Oom,
            "NOSCRIPT" => Self::NoScript,
            "NOAUTH" | "WRONGPASS" => Self::Auth,
            "MOVED" => Redirect::parse(detail).map_or(Self::Hostile, Self::Moved),
            "ASK" => Redirect::parse(detail).map_or(Self::Hostile, Self::Ask),
            // Redis 7 says these at a script's first write or not at all. Redis 6.2 says the second at any write, and only of
            // a state of its disk that does not change while a script runs. So what meets them has written nothing before.
            "NOREPLICAS" | "MISCONF" => Self::Other { code: Code::new(code) },
            // From here on it may be a script's own error: Redis 7 ends those in "script: <hash>, on @user_script:1."
            // and earlier versions begin them with "Error running script (call to f_<hash>)".
            _ if detail.contains("script: ") || detail.starts_with("Error running script") => {
                Self::Script { code: Code::new(code) }
            }
            "NOPERM" => Self::NoPerm,
            "WRONGTYPE" => Self::WrongType,
            _ => Self::Other { code: Code::new(code) },
        }
    }

    /// Its name, for logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Disconnected => "disconnected",
            Self::Loading => "loading",
            Self::Busy => "busy",
            Self::ReadOnly => "read-only",
            Self::Oom => "out-of-memory",
            Self::NoScript => "no-script",
            Self::NoPerm => "no-permission",
            Self::WrongType => "wrong-type",
            Self::Moved(_) => "moved",
            Self::Ask(_) => "ask",
            Self::Auth => "auth",
            Self::Hostile => "hostile",
            Self::Down { .. } => "down",
            Self::Overloaded => "overloaded",
            Self::Script { .. } => "script",
            Self::Other { .. } => "other",
            Self::Unsendable => "unsendable",
        }
    }

    /// Whether the same call may succeed later without anything being put right by hand.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout(_)
            | Self::Disconnected
            | Self::Loading
            | Self::Busy
            | Self::ReadOnly
            | Self::Oom
            | Self::Moved(_)
            | Self::Ask(_)
            | Self::Overloaded => true,
            Self::Down { why } => !matches!(why, DownReason::Closed),
            Self::Other { code } => TRANSIENT.contains(&code.as_str()),
            Self::NoScript
            | Self::NoPerm
            | Self::WrongType
            | Self::Auth
            | Self::Hostile
            | Self::Script { .. }
            | Self::Unsendable => false,
        }
    }

    /// Whether the command may have been carried out, wholly or in part, now or later.
    #[must_use]
    pub const fn may_have_changed(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Disconnected | Self::Hostile | Self::Script { .. } => true,
            Self::Loading
            | Self::Busy
            | Self::ReadOnly
            | Self::Oom
            | Self::NoScript
            | Self::NoPerm
            | Self::WrongType
            | Self::Moved(_)
            | Self::Ask(_)
            | Self::Auth
            | Self::Down { .. }
            | Self::Overloaded
            | Self::Other { .. }
            | Self::Unsendable => false,
        }
    }

    /// Whether it says that the store is ill, rather than that the command is wrong; a breaker around Redis counts these.
    #[must_use]
    pub fn blames_the_store(&self) -> bool {
        match self {
            Self::Timeout(_)
            | Self::Disconnected
            | Self::Loading
            | Self::Busy
            | Self::ReadOnly
            | Self::Oom
            | Self::Auth
            | Self::Hostile
            | Self::Down { .. } => true,
            Self::Other { code } => TRANSIENT.contains(&code.as_str()),
            Self::NoScript
            | Self::NoPerm
            | Self::WrongType
            | Self::Moved(_)
            | Self::Ask(_)
            | Self::Overloaded
            | Self::Script { .. }
            | Self::Unsendable => false,
        }
    }

    /// What it says of the server, for the link.
    pub(crate) fn unfit(&self) -> Option<Unfit> {
        match self {
            Self::Loading => Some(Unfit::Loading),
            Self::Busy => Some(Unfit::Busy),
            Self::ReadOnly => Some(Unfit::ReadOnly),
            Self::Oom => Some(Unfit::Oom),
            Self::Other { code } if code.as_str() == "MASTERDOWN" => Some(Unfit::MasterDown),
            Self::Timeout(_)
            | Self::Disconnected
            | Self::NoScript
            | Self::NoPerm
            | Self::WrongType
            | Self::Moved(_)
            | Self::Ask(_)
            | Self::Auth
            | Self::Hostile
            | Self::Down { .. }
            | Self::Overloaded
            | Self::Script { .. }
            | Self::Other { .. }
            | Self::Unsendable => None,
        }
    }

    /// Where it says to ask instead.
    pub(crate) const fn redirect(&self) -> Option<&Redirect> {
        if let Self::Moved(redirect) | Self::Ask(redirect) = self { Some(redirect) } else { None }
    }

    /// Whether another node of a cluster may serve the key by now. While a link connects for the first time its node has
    /// only just been named.
    pub(crate) fn doubts_the_topology(&self) -> bool {
        match self {
            Self::Moved(_) => true,
            Self::Down { why } => !matches!(why, DownReason::Starting | DownReason::Closed),
            Self::Other { code } => code.as_str() == "CLUSTERDOWN",
            Self::Timeout(_)
            | Self::Disconnected
            | Self::Loading
            | Self::Busy
            | Self::ReadOnly
            | Self::Oom
            | Self::NoScript
            | Self::NoPerm
            | Self::WrongType
            | Self::Ask(_)
            | Self::Auth
            | Self::Hostile
            | Self::Overloaded
            | Self::Script { .. }
            | Self::Unsendable => false,
        }
    }
}

impl From<RedisError> for TierError {
    fn from(error: RedisError) -> Self {
        let kind = match error {
            RedisError::Down { .. } | RedisError::Overloaded | RedisError::Unsendable => TierErrorKind::Away,
            RedisError::Timeout(_) | RedisError::Disconnected => TierErrorKind::Silent,
            RedisError::Hostile => TierErrorKind::Garbled,
            RedisError::Loading
            | RedisError::Busy
            | RedisError::ReadOnly
            | RedisError::Oom
            | RedisError::NoScript
            | RedisError::NoPerm
            | RedisError::WrongType
            | RedisError::Moved(_)
            | RedisError::Ask(_)
            | RedisError::Auth
            | RedisError::Script { .. }
            | RedisError::Other { .. } => TierErrorKind::Refused,
        };
        Self::new(kind, format!("failed: {error}"))
    }
}

impl Redirect {
    /// Reads `3999 127.0.0.1:6381`, with an empty or unknown host where the node does not know it.
    fn parse(detail: &str) -> Option<Self> {
        let (slot, address) = detail.split_once(' ')?;
        let slot = slot.parse().ok().filter(|slot| *slot < SLOTS)?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let node = host.parse().ok().map(|host| Node { host, port });
        let unknown = host.is_empty() || host == "?";
        (node.is_some() || unknown).then_some(Self { slot, node })
    }
}

/// Refusals that are the server's trouble and may end by themselves.
const TRANSIENT: &[&str] = &["TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "MISCONF"];
