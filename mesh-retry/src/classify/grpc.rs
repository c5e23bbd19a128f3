//! Decides what a gRPC status code means.

use super::{Class, Done, Failure, FinalBy, whole_number};

/// A status code of gRPC (`doc/statuscodes.md` of its repository).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum GrpcCode {
    /// 0: no error.
    Ok,
    /// 1: given up, by the caller as a rule.
    Cancelled,
    /// 2: an error without a code of its own.
    Unknown,
    /// 3: the request is wrong whatever the state of the system.
    InvalidArgument,
    /// 4: it took longer than it might.
    DeadlineExceeded,
    /// 5: what was asked for is not there.
    NotFound,
    /// 6: what was to be made is there.
    AlreadyExists,
    /// 7: the caller may not.
    PermissionDenied,
    /// 8: something is used up: a quota, memory, the callee itself.
    ResourceExhausted,
    /// 9: the system is not in the state that the request needs.
    FailedPrecondition,
    /// 10: given up for the sake of another request; to be begun again as a whole.
    Aborted,
    /// 11: past the valid range.
    OutOfRange,
    /// 12: the callee does not know the method.
    Unimplemented,
    /// 13: an invariant of the callee's is broken.
    Internal,
    /// 14: not there for the moment.
    Unavailable,
    /// 15: data is lost for good.
    DataLoss,
    /// 16: nobody knows who the caller is.
    Unauthenticated,
}

impl GrpcCode {
    /// All of them, each at its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code numbered `number`; of a number that gRPC does not know, [`GrpcCode::Unknown`].
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let known = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number));
        known.copied().unwrap_or(Self::Unknown)
    }

    /// The code that the value of a `grpc-status` trailer names; [`GrpcCode::Unknown`] where it is no number.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        whole_number(value).map_or(Self::Unknown, Self::from_number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// What it means, where the codes in `retried` are worth another attempt.
    ///
    /// | code | failed as | why |
    /// |---|---|---|
    /// | OK | success | |
    /// | UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS | transient | the callee's fault, as Envoy has it when it looks for outliers (500, 504, 503) |
    /// | RESOURCE_EXHAUSTED | throttled | a quota or the callee is used up |
    /// | CANCELLED and all others | permanent | the caller's doing, or its request's; ABORTED is to be begun again as a whole, and not by this call |
    ///
    /// A code of the last row that is in `retried` is transient. A code of the others that is not in `retried` is
    /// [`Class::Final`]: the balancer learns of the failure, and no attempt follows. By default gRPC retries no code,
    /// and its examples UNAVAILABLE: [`GrpcCodes::GRPC`].
    #[must_use]
    pub const fn class(self, retried: GrpcCodes) -> Class {
        let failure = match self {
            Self::Ok => return Class::Success,
            Self::Unknown | Self::DeadlineExceeded | Self::Internal | Self::Unavailable | Self::DataLoss => {
                Failure::Transient
            }
            Self::ResourceExhausted => Failure::Throttled { retry_after: None },
            Self::Cancelled
            | Self::InvalidArgument
            | Self::NotFound
            | Self::AlreadyExists
            | Self::PermissionDenied
            | Self::FailedPrecondition
            | Self::Aborted
            | Self::OutOfRange
            | Self::Unimplemented
            | Self::Unauthenticated => {
                return if retried.contains(self) { Class::Transient } else { Class::Permanent };
            }
        };
        if retried.contains(self) { failure.class() } else { Class::Final { failure, by: FinalBy::Code } }
    }

    /// What a callee that gave this code has done of the request. Only RESOURCE_EXHAUSTED says more than perhaps: gRPC's
    /// clients know of requests that no server saw before they have a code (the transparent retries of proposal A6).
    #[must_use]
    pub const fn done(self) -> Done {
        if matches!(self, Self::ResourceExhausted) { Done::Shed } else { Done::Perhaps }
    }
}

/// A set of status codes: those that are worth another attempt. As text, a list of their names: `["UNAVAILABLE"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<GrpcCode>", into = "Vec<GrpcCode>"))]
pub struct GrpcCodes(u32);

impl GrpcCodes {
    /// None: what gRPC retries without a policy.
    pub const NONE: Self = Self(0);
    /// UNAVAILABLE, that of the examples of gRPC's proposal A6, and the one code that says nothing but to come again.
    pub const GRPC: Self = Self::NONE.with(GrpcCode::Unavailable);
    /// All that Envoy's `x-envoy-retry-grpc-on` knows: cancelled, deadline-exceeded, internal, resource-exhausted,
    /// unavailable.
    pub const ENVOY: Self = Self::GRPC
        .with(GrpcCode::Cancelled)
        .with(GrpcCode::DeadlineExceeded)
        .with(GrpcCode::Internal)
        .with(GrpcCode::ResourceExhausted);

    /// The set and `code`.
    #[must_use]
    pub const fn with(self, code: GrpcCode) -> Self {
        Self(self.0 | 1 << code.number())
    }

    /// Whether `code` is in it.
    #[must_use]
    pub const fn contains(self, code: GrpcCode) -> bool {
        self.0 >> code.number() & 1 == 1
    }
}

impl Default for GrpcCodes {
    /// [`GrpcCodes::GRPC`].
    fn default() -> Self {
        Self::GRPC
    }
}

impl From<Vec<GrpcCode>> for GrpcCodes {
    fn from(codes: Vec<GrpcCode>) -> Self {
        codes.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<GrpcCodes> for Vec<GrpcCode> {
    fn from(codes: GrpcCodes) -> Self {
        GrpcCode::ALL.into_iter().filter(|code| codes.contains(*code)).collect()
    }
}
