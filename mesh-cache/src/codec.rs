//! How a value becomes bytes and the bytes a value again, when the bytes may have come from anybody.
//!
//! Decides what is too large to be decoded, before it is. Few bytes can become much memory: 60 KiB of `[{},{},…]` read
//! as structs of 216 bytes took 10 MiB. So it is not the bytes alone that are counted but also what they would become.

use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use thiserror::Error;

/// Turns values into bytes and back.
///
/// What it decodes may be hostile even where it was sealed: whoever has the key may have been broken into. A codec should
/// bound the memory and the time that any bytes may cost. It may panic; [`decode_guarded`] and [`encode_guarded`]
/// contain that.
pub trait Codec<V>: Debug + Send + Sync {
    /// The bytes of `value`; [`Codec::decode`] must read them.
    ///
    /// # Errors
    /// Why there are none.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// The value of `bytes`.
    ///
    /// # Errors
    /// Why they are none.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;

    /// The version of the bytes' format: what one version wrote is never given to another to decode.
    fn schema(&self) -> u32;
}

/// Values as JSON, for every type that serde knows.
///
/// Counted are the `,`, `[` and `{` outside of strings, in one pass that allocates nothing: no value in JSON has more
/// parts than those and one. Up to its first mistake, a text is split by this count as it is by the decoder, and
/// beyond it nothing is decoded. A type that makes much of one part, say a list as long as a number tells, has to
/// bound that itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonCodec {
    /// The version of the type: raise it whenever what was written before would be misread.
    pub schema: u32,
    /// The most bytes: 64 KiB, as much as an envelope's payload may have by default.
    pub bytes_max: usize,
    /// The most structural elements: [`JsonCodec::ELEMENTS_MAX`].
    pub elements_max: usize,
}

impl JsonCodec {
    /// How many `,`, `[` and `{` a value has at most, unless told otherwise.
    ///
    /// One to eight bytes, in 64 KiB: a list of instances, with their names, addresses and tags, has one to 12, and the
    /// tersest list that is let through has 4,096 empty objects, as many as a service may have instances. A limit is of
    /// use only while it is less than half of [`JsonCodec::bytes_max`]: raise both together, for instance to 1 MiB and
    /// 65,536 for 4,096 instances of 16 elements each.
    pub const ELEMENTS_MAX: usize = 8_192;
    /// How deeply lists and objects may be nested: half of what serde_json allows, since tasks have small stacks.
    pub const DEPTH_MAX: usize = 64;

    /// JSON of the version `schema`, with the limits that go by default.
    #[must_use]
    pub const fn new(schema: u32) -> Self {
        Self { schema, bytes_max: 64 * 1024, elements_max: Self::ELEMENTS_MAX }
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for JsonCodec {
    /// Refuses what would not be read again, by trying: a value that nobody can read is better never written.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        let mut writer = Writer { codec: self, out: Vec::new(), scan: Scan::default(), refused: None };
        if serde_json::to_writer(&mut writer, value).is_err() {
            return Err(writer.refused.unwrap_or(CodecError::Unwritable));
        }
        serde_json::from_slice::<V>(&writer.out).map_err(|_| CodecError::OneWay)?;
        Ok(writer.out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        if bytes.len() > self.bytes_max {
            return Err(CodecError::TooManyBytes { bytes_max: self.bytes_max });
        }
        Scan::default().pass(bytes, self.elements_max)?;
        serde_json::from_slice(bytes).map_err(|error| CodecError::of_json(&error))
    }

    fn schema(&self) -> u32 {
        self.schema
    }
}

/// [`Codec::decode`], with a panic in it made an error.
///
/// # Errors
/// The codec's, or [`CodecError::Panicked`].
pub fn decode_guarded<V, C: Codec<V> + ?Sized>(codec: &C, bytes: &[u8]) -> Result<V, CodecError> {
    guarded(|| codec.decode(bytes))
}

/// [`Codec::encode`], with a panic in it made an error.
///
/// # Errors
/// The codec's, or [`CodecError::Panicked`].
pub fn encode_guarded<V, C: Codec<V> + ?Sized>(codec: &C, value: &V) -> Result<Vec<u8>, CodecError> {
    guarded(|| codec.encode(value))
}

/// Nothing that was half-way changed is looked at afterwards, except what a codec keeps inside itself; with panics set to
/// abort, there is no afterwards.
fn guarded<T>(run: impl FnOnce() -> Result<T, CodecError>) -> Result<T, CodecError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(CodecError::Panicked))
}

/// Why a value has no bytes, or bytes no value. None of either is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// It has more bytes than are allowed.
    #[error("more than {bytes_max} bytes")]
    TooManyBytes {
        /// How many are allowed.
        bytes_max: usize,
    },
    /// It has more parts than are allowed.
    #[error("more than {elements_max} elements")]
    TooManyElements {
        /// How many are allowed.
        elements_max: usize,
    },
    /// It is nested more deeply than is allowed.
    #[error("nested more than {depth_max} deep")]
    TooDeep {
        /// How deep is allowed.
        depth_max: usize,
    },
    /// The bytes are not of the format, or end too early.
    #[error("malformed at line {line}, column {column}")]
    Malformed {
        /// Where, counted from 1.
        line: usize,
        /// Where in the line, counted from 1.
        column: usize,
    },
    /// The bytes are of the format, and of another type: a field is missing, twice there, or out of range.
    #[error("of another type at line {line}, column {column}")]
    Mismatched {
        /// Where, counted from 1.
        line: usize,
        /// Where in the line, counted from 1.
        column: usize,
    },
    /// The format has no way to write the value, such as a map whose keys are no strings.
    #[error("the value cannot be written")]
    Unwritable,
    /// The value can be written, and what was written could not be read, such as a number that is none.
    #[error("the value would not be read again")]
    OneWay,
    /// A codec has another reason.
    #[error("{0}")]
    Refused(&'static str),
    /// The codec, or the type's own code, panicked.
    #[error("the codec panicked")]
    Panicked,
}

impl CodecError {
    /// A short name that never changes, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::TooManyElements { .. } => "too_many_elements",
            Self::TooDeep { .. } => "too_deep",
            Self::Malformed { .. } => "malformed",
            Self::Mismatched { .. } => "mismatched",
            Self::Unwritable => "unwritable",
            Self::OneWay => "one_way",
            Self::Refused(_) => "refused",
            Self::Panicked => "panicked",
        }
    }

    /// The place only: serde_json's own words repeat what stands there.
    fn of_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => Self::Mismatched { line, column },
            Category::Syntax | Category::Eof | Category::Io => Self::Malformed { line, column },
        }
    }
}

/// Where in a text one is, and what was passed.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    elements: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    fn pass(&mut self, bytes: &[u8], elements_max: usize) -> Result<(), CodecError> {
        for byte in bytes {
            self.step(*byte);
            if self.elements > elements_max {
                return Err(CodecError::TooManyElements { elements_max });
            }
            if self.depth > JsonCodec::DEPTH_MAX {
                return Err(CodecError::TooDeep { depth_max: JsonCodec::DEPTH_MAX });
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
            return;
        }
        match (byte, self.in_string) {
            (b'"', _) => self.in_string = !self.in_string,
            (b'\\', true) => self.escaped = true,
            (b'[' | b'{', false) => {
                self.elements += 1;
                self.depth += 1;
            }
            (b',', false) => self.elements += 1,
            (b']' | b'}', false) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// Takes JSON while it is written, and stops it at the first limit: an endless value ends, and a deep one does not use
/// up the stack.
#[derive(Debug)]
struct Writer<'a> {
    codec: &'a JsonCodec,
    out: Vec<u8>,
    scan: Scan,
    refused: Option<CodecError>,
}

impl Writer<'_> {
    fn check(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        let JsonCodec { bytes_max, elements_max, .. } = *self.codec;
        if bytes.len() > bytes_max.saturating_sub(self.out.len()) {
            return Err(CodecError::TooManyBytes { bytes_max });
        }
        self.scan.pass(bytes, elements_max)
    }
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(refused) = self.check(bytes) {
            self.refused = Some(refused);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
