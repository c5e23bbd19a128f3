//! Decides what the reset of an HTTP/2 or HTTP/3 stream means.

use super::{Class, Done};

/// The class of a stream that the callee reset with `code`: an error code of HTTP/2 (RFC 9113 7), or of HTTP/3 (RFC 9114
/// 8.1), whose numbers begin at 0x100.
///
/// | code | class | why |
/// |---|---|---|
/// | ENHANCE_YOUR_CALM 0xb, H3_EXCESSIVE_LOAD 0x107 | throttled | the caller asks for too much |
/// | INADEQUATE_SECURITY 0xc, HTTP_1_1_REQUIRED 0xd, H3_VERSION_FALLBACK 0x110 | permanent | the HTTP client has to change its ways |
/// | any other, REFUSED_STREAM 0x7 and H3_REQUEST_REJECTED 0x10b among them | transient | another stream may fare better |
#[must_use]
pub const fn class_of_reset(code: u64) -> Class {
    match code {
        0xB | 0x107 => Class::Throttled { retry_after: None },
        0xC | 0xD | 0x110 => Class::Permanent,
        _ => Class::Transient,
    }
}

/// What a callee that reset a stream with `code` has done of the request: nothing where it refused the stream (RFC 9113 8.7,
/// RFC 9114 4.1.1). Streams beyond the last one that a GOAWAY names are as good as refused (RFC 9113 6.8).
#[must_use]
pub const fn done_by_reset(code: u64) -> Done {
    match code {
        0x7 | 0x10B => Done::Nothing,
        _ => Done::Perhaps,
    }
}
