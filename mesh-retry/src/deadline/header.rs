//! The headers by which the time that is left and the number of an attempt travel with a request, and their texts. Every
//! text has a meaning, and no number is too long. [`Told`](super::Told) writes and reads them all.
//!
//! | header | value | whose |
//! |---|---|---|
//! | [`GRPC_TIMEOUT`] | the time that is left: at most 8 digits and a unit | gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`) |
//! | [`GRPC_PREVIOUS_ATTEMPTS`] | the attempts before this one, left out of the first | gRPC (proposal A6) |
//! | [`REMAINING_MS`] | the time that is left, in whole milliseconds | the mesh's |
//! | [`ATTEMPT`] | the number of the attempt, from 1 | the mesh's |
//!
//! The mesh has two of its own because gRPC's are for gRPC's requests: a proxy may act on them, and need not on others'.
//! Their names have no `X-`, which RFC 6648 advises against, and no vendor's but the mesh's, so that nothing on the way
//! changes them. Envoy's `x-envoy-expected-rq-timeout-ms` and `x-envoy-attempt-count` mean the same, and Envoy overwrites
//! them.

use core::fmt;
use core::time::Duration;

/// gRPC's header of the time that is left: [`GrpcTimeout`].
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// gRPC's header of the number of attempts before this one. The first attempt goes without.
pub const GRPC_PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// The mesh's header of the time that is left, in whole milliseconds: [`remaining_ms`].
pub const REMAINING_MS: &str = "mesh-remaining-ms";

/// The mesh's header of the number of the attempt: 1 for the first of a call, whoever makes it.
pub const ATTEMPT: &str = "mesh-attempt";

/// A time as `grpc-timeout` tells it: at most 99,999,999 hours, minutes, seconds, milliseconds, microseconds or
/// nanoseconds. Shown as its text, such as `250m`, which is a quarter of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcTimeout {
    value: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    letter: u8,
    nanos: u64,
}

impl GrpcTimeout {
    /// The most of `remaining` that can be told: in the finest unit that it fits into, rounded down.
    ///
    /// Of no time it is `0n`. gRPC's text wants a positive number, but to leave the header out would mean any
    /// time at all; better not to send such a request.
    #[must_use]
    pub fn from_remaining(remaining: Duration) -> Self {
        let nanos = remaining.as_nanos();
        let fits = |unit: &Unit| nanos / u128::from(unit.nanos) <= u128::from(VALUE_MAX);
        let unit = UNITS.into_iter().find(fits).unwrap_or(HOURS);
        let value = nanos / u128::from(unit.nanos);
        Self { value: u32::try_from(value).map_or(VALUE_MAX, |value| value.min(VALUE_MAX)), unit }
    }

    /// Reads the value of a `grpc-timeout` header: one to eight digits and a unit, and nothing else.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (letter, digits) = value.as_bytes().split_last()?;
        let unit = UNITS.into_iter().find(|unit| unit.letter == *letter)?;
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        Some(Self { value, unit })
    }

    /// The time that it tells: at most 99,999,999 hours.
    #[must_use]
    pub fn duration(self) -> Duration {
        let (seconds, nanos) = (self.unit.nanos / SECOND, self.unit.nanos % SECOND);
        // One of the two is zero, and the other times 99,999,999 far from its end.
        Duration::from_secs(seconds.saturating_mul(u64::from(self.value)))
            + Duration::from_nanos(nanos.saturating_mul(u64::from(self.value)))
    }
}

impl fmt::Display for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, char::from(self.unit.letter))
    }
}

/// The value of a header, shown as its text. It is written where it is needed, and allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(Text);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Number(u64),
    Timeout(GrpcTimeout),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(Text::Number(number))
    }
}

impl From<GrpcTimeout> for Value {
    fn from(timeout: GrpcTimeout) -> Self {
        Self(Text::Timeout(timeout))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Text::Number(number) => number.fmt(f),
            Text::Timeout(timeout) => timeout.fmt(f),
        }
    }
}

/// What `remaining` is in [`REMAINING_MS`]: whole milliseconds, rounded down.
#[must_use]
pub fn remaining_ms(remaining: Duration) -> u64 {
    u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX)
}

const DIGITS_MAX: usize = 8;
const VALUE_MAX: u32 = 99_999_999;
const SECOND: u64 = 1_000_000_000;
const HOURS: Unit = Unit { letter: b'H', nanos: 3600 * SECOND };
/// From the finest.
const UNITS: [Unit; 6] = [
    Unit { letter: b'n', nanos: 1 },
    Unit { letter: b'u', nanos: 1_000 },
    Unit { letter: b'm', nanos: 1_000_000 },
    Unit { letter: b'S', nanos: SECOND },
    Unit { letter: b'M', nanos: 60 * SECOND },
    HOURS,
];
