//! Decides what an HTTP status means. Never looks at method or body: whether the request may be repeated is for
//! [`Idempotency`](super::Idempotency) to say.

use super::{Class, Done};

/// The class of an HTTP status code.
///
/// | status | class | why |
/// |---|---|---|
/// | 100 to 399 | success | RFC 9110 15.2 to 15.4; following redirections is the HTTP client's work |
/// | 408, 421, 425 | transient | RFC 9110 15.5.9 and 15.5.20, RFC 8470 5.2: the same request may be sent again |
/// | 429, 503 | throttled | RFC 6585 4 and RFC 9110 15.6.4: the callee is overloaded |
/// | other 400 to 499 | permanent | RFC 9110 15.5: the request is at fault, and stays so |
/// | 501, 505 | permanent | RFC 9110 15.6.2 and 15.6.6: the callee does not know the method or the version |
/// | other 500 to 599 | transient | RFC 9110 15.6; 15 has unknown codes treated as 500 |
/// | any other number | transient | RFC 9110 15: to be treated as a server error |
///
/// The wait that a throttled answer may announce is in its `Retry-After`: see
/// [`parse_retry_after`](super::parse_retry_after) and [`Class::with_retry_after`].
#[must_use]
pub const fn class_of_status(status: u16) -> Class {
    match status {
        100..=399 => Class::Success,
        408 | 421 | 425 => Class::Transient,
        429 | 503 => Class::Throttled { retry_after: None },
        400..=499 | 501 | 505 => Class::Permanent,
        _ => Class::Transient,
    }
}

/// What a callee that gave an HTTP status has done of the request.
///
/// | status | done | why |
/// |---|---|---|
/// | 421 | nothing | RFC 9110 15.5.20: it is not the one to ask, and any method may be sent again elsewhere |
/// | 425 | nothing | RFC 8470 5.2: it will not risk to process a request that may be a replay |
/// | 429, 503 | shed | it says that it has too much to do; a gateway may say so of a service that did its part |
/// | any other | perhaps | nothing in the status tells |
#[must_use]
pub const fn done_by_status(status: u16) -> Done {
    match status {
        421 | 425 => Done::Nothing,
        429 | 503 => Done::Shed,
        _ => Done::Perhaps,
    }
}
