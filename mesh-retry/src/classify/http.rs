//! Decides what an HTTP status and its `Retry-After` mean. Never looks at method or body: whether the request
//! may be repeated is the caller's knowledge.

use core::time::Duration;

use super::Class;

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
/// The wait that a throttled answer may announce is in its `Retry-After`: see [`parse_retry_after`] and
/// [`Class::with_retry_after`].
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

/// The wait that the value of a `Retry-After` header announces, where it is a number of seconds.
///
/// RFC 9110 10.2.3 allows a date as well. A date needs a wall clock, which no decision here has, so it gives
/// `None`, as does everything malformed. A number beyond `u64` counts as the longest wait there is.
#[must_use]
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    let digits = value.trim_matches([' ', '\t']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // All are digits, so the one way to fail is to be too large.
    Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}
