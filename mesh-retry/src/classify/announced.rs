//! Reads the waits that a callee announces, and its word that it wants no retry. Every text has a meaning, and no
//! number is too long.

use core::time::Duration;

use super::date::parse_http_date;
use super::{Class, FinalBy};

/// The wait that the value of a `Retry-After` header announces (RFC 9110 10.2.3): a number of seconds, or the time from
/// `now` to a date; of a date that has passed, zero.
///
/// `now` is in seconds since the Unix epoch: the `Date` of the same answer ([`parse_http_date`]), which is
/// right even where the two clocks differ, or else the owner's wall clock. Without either a date gives `None`, as does
/// everything malformed. A number beyond `u64` counts as the longest wait there is.
#[must_use]
pub fn parse_retry_after(value: &str, now: Option<u64>) -> Option<Duration> {
    let seconds = whole_number(value).or_else(|| Some(parse_http_date(value, now)?.saturating_sub(now?)));
    seconds.map(Duration::from_secs)
}

/// The wait that the value of AWS's `x-amz-retry-after` header announces: a number of milliseconds. `None` where it is
/// malformed, as there: the backoff decides alone.
#[must_use]
pub fn parse_amz_retry_after(value: &str) -> Option<Duration> {
    whole_number(value).map(Duration::from_millis)
}

/// What a gRPC server says of retries in its `grpc-retry-pushback-ms` (proposal A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// To come again after this time.
    After(Duration),
    /// Not to come again.
    Never,
}

impl Pushback {
    /// Reads the value of `grpc-retry-pushback-ms`: a signed number of milliseconds in 32 bits, where a negative one and
    /// whatever is no such number mean never (proposal A6). Of a trailer that is given twice, join the values by a comma,
    /// as HTTP does: that is no number either.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let millis = whole_number(value).and_then(|millis| i32::try_from(millis).ok());
        match millis {
            Some(millis) => Self::After(Duration::from_millis(u64::from(millis.unsigned_abs()))),
            None => Self::Never,
        }
    }
}

impl Class {
    /// The class of a result whose answer came with `pushback`.
    ///
    /// A failure that is worth another attempt becomes a throttled one with the announced wait, or a
    /// [`Class::Final`]. Other results stay what they are: a pushback allows no retry that the policy does not
    /// (proposal A6).
    #[must_use]
    pub const fn with_pushback(self, pushback: Pushback) -> Self {
        match (self, pushback) {
            (Self::Transient | Self::Unreachable | Self::Throttled { .. }, Pushback::After(wait)) => {
                Self::Throttled { retry_after: Some(wait) }
            }
            (_, Pushback::After(_)) => self,
            (_, Pushback::Never) => self.final_by(FinalBy::Callee),
        }
    }
}

/// The whole number that `value` is, blanks around it aside: digits and nothing else. One beyond `u64` counts as the largest.
pub(crate) fn whole_number(value: &str) -> Option<u64> {
    let digits = value.trim_matches([' ', '\t']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // All are digits, so the one way to fail is to be too large.
    Some(digits.parse().unwrap_or(u64::MAX))
}
