//! Decides what an error of a connection means.

use std::io::ErrorKind;

use super::{Class, Done};

/// The class of an error that opening, writing to or reading from a connection gave.
///
/// | kind | class | why |
/// |---|---|---|
/// | refused, reset, aborted, not connected, broken pipe, unexpected end | unreachable | there was no connection, or it broke |
/// | host or network unreachable, network down, address not available | unreachable | there is no way there |
/// | timed out | unreachable | the peer's machine does not answer |
/// | not found | unreachable | nobody has opened the Unix socket |
/// | permission denied, invalid input, unsupported, address in use, out of memory, storage or quota full | permanent | the caller's own system refuses, and would every attempt |
/// | any other | transient | something went wrong between the two, and may not elsewhere or later |
#[must_use]
pub fn class_of_io(kind: ErrorKind) -> Class {
    if UNREACHABLE.contains(&kind) {
        Class::Unreachable
    } else if PERMANENT.contains(&kind) {
        Class::Permanent
    } else {
        Class::Transient
    }
}

/// What the callee has done of a request that ended with such an error: nothing where nobody accepted the connection, or
/// where the caller had no address to open one from; of the others the kind does not tell.
///
/// Whoever knows that nothing had been sent yet knows [`Done::Nothing`] without asking.
#[must_use]
pub fn done_by_io(kind: ErrorKind) -> Done {
    if matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::AddrNotAvailable) {
        Done::Nothing
    } else {
        Done::Perhaps
    }
}

const UNREACHABLE: [ErrorKind; 12] = [
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::BrokenPipe,
    ErrorKind::UnexpectedEof,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::NetworkDown,
    ErrorKind::AddrNotAvailable,
    ErrorKind::TimedOut,
    ErrorKind::NotFound,
];

const PERMANENT: [ErrorKind; 7] = [
    ErrorKind::PermissionDenied,
    ErrorKind::InvalidInput,
    ErrorKind::Unsupported,
    ErrorKind::AddrInUse,
    ErrorKind::OutOfMemory,
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
];
