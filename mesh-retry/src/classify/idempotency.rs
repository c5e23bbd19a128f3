//! Decides whether a request may be repeated, by what it is and by what its callee may have done of it.

use super::{Class, FinalBy};

/// Whether doing a request twice is as good as doing it once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Idempotency {
    /// It is, by what the request means.
    Idempotent,
    /// It is not: it may be repeated only where its callee certainly did nothing.
    NotIdempotent,
    /// It is, because the request carries a key by which its callee knows it again (`Idempotency-Key`,
    /// draft-ietf-httpapi-idempotency-key-header). Every attempt must carry the same one.
    Keyed,
    /// Nobody has said. [`UnsafeRules::unknown_is_idempotent`] decides.
    #[default]
    Unknown,
}

/// What the callee may have done of a request whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Certainly nothing: nobody accepted the connection, or whoever did refused the request unseen.
    Nothing,
    /// Nothing, by its own word: it says that it has too much to do. [`UnsafeRules::trust_shed`] decides.
    Shed,
    /// There is no telling.
    Perhaps,
}

/// When a request that is not idempotent may be repeated beyond the certain cases. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct UnsafeRules {
    /// Whether an answer of overload (429, 503, RESOURCE_EXHAUSTED) is a promise that nothing was done. Default false: a
    /// gateway may give one for a service that did its part.
    pub trust_shed: bool,
    /// Whether a request of which nobody has said anything is taken for idempotent. Default false.
    pub unknown_is_idempotent: bool,
}

impl Idempotency {
    /// That of an HTTP method, by RFC 9110 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT and DELETE are idempotent, POST, PATCH
    /// (RFC 5789 2) and CONNECT are not, and of others it says nothing. Methods are case-sensitive (9.1).
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" => Self::Idempotent,
            "POST" | "PATCH" | "CONNECT" => Self::NotIdempotent,
            _ => Self::Unknown,
        }
    }

    /// That of the same request with an idempotency key, which its callee honours.
    #[must_use]
    pub const fn with_key(self) -> Self {
        match self {
            Self::Idempotent => Self::Idempotent,
            Self::NotIdempotent | Self::Keyed | Self::Unknown => Self::Keyed,
        }
    }

    /// Whether a second attempt may be made whatever became of the first, as a hedge is.
    #[must_use]
    pub const fn may_repeat(self, rules: UnsafeRules) -> bool {
        match self {
            Self::Idempotent | Self::Keyed => true,
            Self::NotIdempotent => false,
            Self::Unknown => rules.unknown_is_idempotent,
        }
    }

    /// The class of a result for such a request, of which the callee has done `done`: `class` where the request may be
    /// repeated, and otherwise the same failure as a [`Class::Final`].
    #[must_use]
    pub const fn judge(self, class: Class, done: Done, rules: UnsafeRules) -> Class {
        let untouched = match done {
            Done::Nothing => true,
            Done::Shed => rules.trust_shed,
            Done::Perhaps => false,
        };
        if untouched || self.may_repeat(rules) { class } else { class.final_by(FinalBy::Idempotency) }
    }
}
