//! The bytes of an envelope: what is written, and what can be told of it before any key is tried.

use crate::entry::Version;
use std::time::Duration;

use super::error::{SealError, UnsealError};
use super::wire::Cursor;
use super::{NONCE_BYTES, TAG_BYTES, Trust};

/// The first bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"MSH1";
/// Where the byte stands that says whether it is sealed.
pub const KIND_OFFSET: usize = 4;
/// Where the id of the key stands.
pub const KEY_ID_OFFSET: usize = 5;
/// Where the time of writing stands.
pub const WRITTEN_AT_OFFSET: usize = 9;
/// Where the version stands: its epoch, then its index, 16 bytes in all.
///
/// Big-endian, so the order of the bytes of an index is that of indexes. A Lua script should compare them byte by byte
/// (`string.byte`; Lua counts from 1): its numbers are floats, exact to 53 bits, and its `<` on strings follows the
/// server's locale.
pub const VERSION_OFFSET: usize = 17;
/// Where the index of the version stands.
pub const VERSION_INDEX_OFFSET: usize = 25;
/// Where the first of the three lifetimes stands.
pub const LIFETIMES_OFFSET: usize = 33;
/// Where the value's own age at the time of writing stands.
pub const AGE_OFFSET: usize = 57;
/// Where the number of marks stands; the marks follow it.
pub const MARKS_OFFSET: usize = 65;
/// The most marks of one value.
pub const MARKS_MAX: usize = 32;
/// The most that an envelope adds to its payload.
pub const OVERHEAD_BYTES_MAX: usize = MARKS_OFFSET + 2 + 8 * MARKS_MAX + 4 + NONCE_BYTES + TAG_BYTES;

/// What is known of a value besides the value.
///
/// Lifetimes are cut to whole milliseconds and the age is rounded up to them: a value never looks younger than it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When it was written, in microseconds of the tier's clock, which all that share the tier agree on.
    pub written_at_micros: u64,
    /// Which of several values for the same key is the later one.
    pub version: Version,
    /// How long it is fresh, counted from the moment that it was true.
    pub fresh_for: Duration,
    /// How long it may be served after that while a new one is fetched.
    pub stale_for: Duration,
    /// How long it may be served after that if fetching fails.
    pub stale_on_error_for: Duration,
    /// How old it was already when it was written.
    pub age: Duration,
    /// What it is found by when something changed: hashes of its tags and scopes, at most [`MARKS_MAX`].
    pub marks: Vec<u64>,
}

impl Header {
    /// Writes everything that stands before the nonce.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        trust: Trust,
        key_id: u32,
        payload_bytes: u32,
    ) -> Result<(), SealError> {
        let too_many = SealError::TooManyMarks { marks: self.marks.len() };
        let marks = u16::try_from(self.marks.len()).ok().filter(|marks| usize::from(*marks) <= MARKS_MAX);
        let marks = marks.ok_or(too_many)?;
        out.extend(MAGIC);
        out.push(trust.kind());
        out.extend(key_id.to_be_bytes());
        let lifetimes = [self.fresh_for, self.stale_for, self.stale_on_error_for].map(millis_down);
        let numbers = [self.written_at_micros, self.version.epoch, self.version.index];
        for number in numbers.into_iter().chain(lifetimes).chain([millis_up(self.age)]) {
            out.extend(number.to_be_bytes());
        }
        out.extend(marks.to_be_bytes());
        for mark in &self.marks {
            out.extend(mark.to_be_bytes());
        }
        out.extend(payload_bytes.to_be_bytes());
        Ok(())
    }
}

/// An envelope taken apart, its payload still as it came.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) header: Header,
    /// Everything before the nonce, which the seal covers.
    pub(super) header_bytes: &'a [u8],
    pub(super) body: Body<'a>,
}

#[derive(Debug)]
pub(super) enum Body<'a> {
    Hint(&'a [u8]),
    Sealed { key_id: u32, nonce: [u8; NONCE_BYTES], ciphertext: &'a [u8], tag: [u8; TAG_BYTES] },
}

impl<'a> Envelope<'a> {
    /// Takes `bytes` apart. Allocates nothing before their size is known to be allowed, and then the marks only.
    pub(super) fn parse(bytes: &'a [u8], value_bytes_max: usize) -> Result<Self, UnsealError> {
        let too_large = UnsealError::TooLarge { bytes: bytes.len(), value_bytes_max };
        if bytes.len() > value_bytes_max.saturating_add(OVERHEAD_BYTES_MAX) {
            return Err(too_large);
        }
        let truncated = UnsealError::Truncated { bytes: bytes.len() };
        let mut cursor = Cursor::new(bytes);
        let (trust, key_id) = prelude(&mut cursor, truncated)?;
        let (header, payload_bytes) = header(&mut cursor, truncated)?;
        let header_bytes = bytes.get(..bytes.len() - cursor.rest().len()).ok_or(truncated)?;
        if payload_bytes > value_bytes_max {
            return Err(UnsealError::TooLarge { bytes: payload_bytes, value_bytes_max });
        }
        let body = body(&mut cursor, trust, key_id, payload_bytes).ok_or(truncated)?;
        match cursor.rest().len() {
            0 => Ok(Self { header, header_bytes, body }),
            bytes => Err(UnsealError::TrailingBytes { bytes }),
        }
    }
}

fn prelude(cursor: &mut Cursor<'_>, truncated: UnsealError) -> Result<(Trust, u32), UnsealError> {
    if cursor.array().ok_or(truncated)? != MAGIC {
        return Err(UnsealError::NotAnEnvelope);
    }
    let kind = cursor.u8().ok_or(truncated)?;
    let trust = Trust::of_kind(kind).ok_or(UnsealError::UnknownKind { kind })?;
    let key_id = cursor.u32().ok_or(truncated)?;
    if trust == Trust::Hint && key_id != 0 {
        return Err(UnsealError::HintWithKey { key_id });
    }
    Ok((trust, key_id))
}

/// The numbers, the marks and the length of the payload.
fn header(cursor: &mut Cursor<'_>, truncated: UnsealError) -> Result<(Header, usize), UnsealError> {
    let mut number = || cursor.u64().ok_or(truncated);
    let mut header = Header {
        written_at_micros: number()?,
        version: Version { epoch: number()?, index: number()? },
        fresh_for: Duration::from_millis(number()?),
        stale_for: Duration::from_millis(number()?),
        stale_on_error_for: Duration::from_millis(number()?),
        age: Duration::from_millis(number()?),
        marks: Vec::new(),
    };
    let marks = cursor.u16().ok_or(truncated)?;
    if usize::from(marks) > MARKS_MAX {
        return Err(UnsealError::TooManyMarks { marks });
    }
    for _ in 0..marks {
        header.marks.push(cursor.u64().ok_or(truncated)?);
    }
    let payload_bytes = usize::try_from(cursor.u32().ok_or(truncated)?).unwrap_or(usize::MAX);
    Ok((header, payload_bytes))
}

fn body<'a>(cursor: &mut Cursor<'a>, trust: Trust, key_id: u32, payload_bytes: usize) -> Option<Body<'a>> {
    match trust {
        Trust::Hint => cursor.slice(payload_bytes).map(Body::Hint),
        Trust::Sealed => {
            let (nonce, ciphertext) = (cursor.array()?, cursor.slice(payload_bytes)?);
            Some(Body::Sealed { key_id, nonce, ciphertext, tag: cursor.array()? })
        }
    }
}

fn millis_down(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
