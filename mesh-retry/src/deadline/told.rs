//! What a request says of its caller's time and attempts: written on one side, read on the other.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::time::Instant;

use super::Deadline;
use super::header::{ATTEMPT, GRPC_PREVIOUS_ATTEMPTS, GRPC_TIMEOUT, GrpcTimeout, REMAINING_MS, Value, remaining_ms};
use crate::classify::whole_number;

/// What a request says of its caller's time and attempts.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use mesh_retry::Instant;
/// use mesh_retry::deadline::{Deadline, Told};
///
/// let told = Told::new(Some(Duration::from_millis(250)), NonZeroU32::new(2));
/// let sent: Vec<_> = told.headers().map(|(name, value)| (name, value.to_string())).collect();
/// assert_eq!(sent, [("mesh-remaining-ms", "250".into()), ("mesh-attempt", "2".into())]);
///
/// let read = Told::read_pairs(sent);
/// assert_eq!(read, told);
/// assert_eq!(read.deadline(Instant::from_millis(1000)), Deadline::at(Instant::from_millis(1250)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// How much time its caller had left when it was sent; `None` where it does not say.
    pub remaining: Option<Duration>,
    /// The number of the attempt, from 1; `None` where it does not say.
    pub attempt: Option<NonZeroU32>,
}

impl Told {
    /// What a request is to say that is sent with so much time left.
    #[must_use]
    pub const fn new(remaining: Option<Duration>, attempt: Option<NonZeroU32>) -> Self {
        Self { remaining, attempt }
    }

    /// Reads what a request says, whose headers `header` looks up by their lower-case names.
    ///
    /// Of several times the shortest counts, of two attempts the mesh's own. What is malformed counts as not said; a
    /// server may also refuse it ([`GrpcTimeout::parse`]).
    #[must_use]
    pub fn read<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        let mut heard = Heard::default();
        for name in NAMES {
            if let Some(value) = header(name) {
                heard.hear(name, value);
            }
        }
        heard.told()
    }

    /// As [`Told::read`], from all the headers of a request, whatever the case of their names: an `&http::HeaderMap`, or
    /// pairs of texts. Of two attempts under one name the first counts.
    #[must_use]
    pub fn read_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut heard = Heard::default();
        for (name, value) in headers {
            let name = NAMES.into_iter().find(|known| name.as_ref().eq_ignore_ascii_case(known.as_bytes()));
            if let (Some(name), Ok(value)) = (name, core::str::from_utf8(value.as_ref())) {
                heard.hear(name, value);
            }
        }
        heard.told()
    }

    /// The mesh's headers that say it: [`REMAINING_MS`] and [`ATTEMPT`], each left out where there is nothing to say.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Value)> + use<> {
        let remaining = self.remaining.map(|remaining| (REMAINING_MS, Value::from(remaining_ms(remaining))));
        let attempt = self.attempt.map(|attempt| (ATTEMPT, Value::from(u64::from(attempt.get()))));
        [remaining, attempt].into_iter().flatten()
    }

    /// gRPC's headers that say it: [`GRPC_TIMEOUT`] and [`GRPC_PREVIOUS_ATTEMPTS`], which a first attempt goes without.
    pub fn grpc_headers(&self) -> impl Iterator<Item = (&'static str, Value)> + use<> {
        let timeout = self.remaining.map(GrpcTimeout::from_remaining);
        let before = self.attempt.map(|attempt| u64::from(attempt.get()) - 1).filter(|before| *before > 0);
        let timeout = timeout.map(|timeout| (GRPC_TIMEOUT, Value::from(timeout)));
        [timeout, before.map(|before| (GRPC_PREVIOUS_ATTEMPTS, Value::from(before)))].into_iter().flatten()
    }

    /// The deadline of a request that says this and arrived at `now`; never, where it says nothing. A server that allows
    /// less takes the lesser of this and its own.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Deadline {
        self.remaining.map_or(Deadline::NEVER, |remaining| Deadline::after(now, remaining))
    }
}

/// What has been heard so far of a request.
#[derive(Debug, Default)]
struct Heard {
    remaining: Option<Duration>,
    attempt: Option<NonZeroU32>,
    by_grpc: Option<NonZeroU32>,
}

impl Heard {
    fn hear(&mut self, name: &'static str, value: &str) {
        let number = |attempt: u64| u32::try_from(attempt).ok().and_then(NonZeroU32::new);
        match name {
            REMAINING_MS => self.bound(whole_number(value).map(Duration::from_millis)),
            GRPC_TIMEOUT => self.bound(GrpcTimeout::parse(value).map(GrpcTimeout::duration)),
            ATTEMPT => self.attempt = self.attempt.or_else(|| whole_number(value).and_then(number)),
            _ => self.by_grpc = self.by_grpc.or_else(|| whole_number(value)?.checked_add(1).and_then(number)),
        }
    }

    fn bound(&mut self, remaining: Option<Duration>) {
        self.remaining = [self.remaining, remaining].into_iter().flatten().min();
    }

    fn told(self) -> Told {
        Told::new(self.remaining, self.attempt.or(self.by_grpc))
    }
}

const NAMES: [&str; 4] = [REMAINING_MS, ATTEMPT, GRPC_TIMEOUT, GRPC_PREVIOUS_ATTEMPTS];
