//! What an HTTP check asks and what it expects to hear.
//!
//! Decides which answers are good ones, and never talks to anybody. The values of its headers are secrets: they are in
//! no debug output and no error.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::ops::RangeInclusive;

use super::error::ConfigError;
use super::host::Host;
use super::path::CheckPath;
use super::text::{is_word, parsed_from_text, text_newtype};

/// The request of an HTTP check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    pub(super) tls: bool,
    pub(super) path: CheckPath,
    pub(super) method: CheckMethod,
    pub(super) host_header: Option<Host>,
    pub(super) headers: BTreeMap<HeaderName, HeaderValue>,
    pub(super) expected_statuses: Vec<StatusRange>,
    pub(super) expected_body: Option<BodyPart>,
    pub(super) degraded_header: Option<HeaderName>,
}

impl HttpCheck {
    /// Whether it is asked over TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// The path, with its query if any.
    #[must_use]
    pub const fn path(&self) -> &CheckPath {
        &self.path
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> CheckMethod {
        self.method
    }

    /// The host to name in the `Host` header, and that the certificate must be for where the mesh asks over TLS, when it is
    /// not the address that is dialled.
    #[must_use]
    pub const fn host_header(&self) -> Option<&Host> {
        self.host_header.as_ref()
    }

    /// The headers of the request besides `Host`, in the order of their names. The values are secrets.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter()
    }

    /// Whether an answer with this status is a good one: 2xx, unless other statuses were named.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        match &*self.expected_statuses {
            [] => StatusRange::SUCCESS.contains(status),
            ranges => ranges.iter().any(|range| range.contains(status)),
        }
    }

    /// The text that must be in the first [`HttpCheck::BODY_BYTES_MAX`] of the body of a good answer.
    #[must_use]
    pub const fn expected_body(&self) -> Option<&BodyPart> {
        self.expected_body.as_ref()
    }

    /// The header whose presence says that an instance answers well and is close to its limits, as Envoy's
    /// `x-envoy-degraded` does.
    #[must_use]
    pub const fn degraded_header(&self) -> Option<&HeaderName> {
        self.degraded_header.as_ref()
    }

    /// How much of a body is ever read, whatever a server sends: as much as Consul keeps.
    pub const BODY_BYTES_MAX: usize = 4096;

    /// The first field that a registry's agent could not do.
    pub(super) fn needs_mesh(&self) -> Option<&'static str> {
        let given = [
            ("expected_statuses", !self.expected_statuses.is_empty()),
            ("expected_body", self.expected_body.is_some()),
            ("degraded_header", self.degraded_header.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(field, _)| field)
    }
}

/// The method of an HTTP check: one that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum CheckMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
}

impl CheckMethod {
    /// The method as the request line has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

text_newtype! {
    /// The name of a header: 1 to 64 characters of a token (RFC 9110, section 5.6.2), kept in lower case.
    ///
    /// Refused are `Host`, which is [`HttpCheck::host_header`]'s, and those that say how long a message is or what
    /// becomes of the connection: `Connection`, `Transfer-Encoding` and `Content-Length`.
    HeaderName, "header", header_name
}

fn header_name(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !is_word(text, NAME_BYTES_MAX, b"!#$%&'*+-.^_`|~") {
        return Err("must be 1 to 64 letters, digits and characters of \"!#$%&'*+-.^_`|~\"");
    }
    if RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
        return Err("must not be host, connection, transfer-encoding or content-length, which are the check's own");
    }
    Ok(if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() })
}

/// The value of a request's header, which is a secret: at most 1,024 printable ASCII characters, the first and last
/// no space.
///
/// Its debug output hides it, and so do the errors of what was refused. Written with `serde` it is plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(Arc<str>);

impl HeaderValue {
    /// The secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn read(text: &str) -> Result<Self, ConfigError> {
        let refused = |rule: &'static str| Err(ConfigError::new("headers", "(a hidden value)", rule));
        if text.len() > VALUE_BYTES_MAX {
            refused("must be at most 1024 bytes")
        } else if text.contains(['\r', '\n']) {
            refused("must not hold CR or LF, which would inject a header")
        } else if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            refused("must hold printable ASCII characters only")
        } else if text.starts_with(' ') || text.ends_with(' ') {
            refused("must not begin or end with a space, which no header can keep")
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl TryFrom<&str> for HeaderValue {
    type Error = ConfigError;

    fn try_from(text: &str) -> Result<Self, ConfigError> {
        Self::read(text)
    }
}

impl TryFrom<String> for HeaderValue {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        Self::read(&text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for HeaderValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for HeaderValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of a value that is no text would repeat it.
        let text = <String as serde::Deserialize>::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom(ConfigError::new("headers", "(a hidden value)", "must be text")))?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}

/// Statuses of HTTP answers, from one to another: `200-299` or `204` as text. Within 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusRange {
    least: u16,
    most: u16,
}

impl StatusRange {
    /// 2xx.
    pub const SUCCESS: Self = Self { least: 200, most: 299 };

    /// Whether `status` is one of them.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.least <= status && status <= self.most
    }

    fn read(text: &str) -> Result<Self, ConfigError> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (number(least), number(most)) {
            (Some(least), Some(most)) => Self::of(least, most, &text),
            _ => Err(Self::refused(&text)),
        }
    }

    fn of(least: u16, most: u16, given: &dyn fmt::Display) -> Result<Self, ConfigError> {
        let fits = 200 <= least && least <= most && most <= 599;
        if fits { Ok(Self { least, most }) } else { Err(Self::refused(given)) }
    }

    fn refused(given: &dyn fmt::Display) -> ConfigError {
        ConfigError::new("expected_statuses", given, "must be a status or two, the lesser first, within 200-599")
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most { write!(f, "{}", self.least) } else { write!(f, "{}-{}", self.least, self.most) }
    }
}

parsed_from_text!(StatusRange);

impl TryFrom<u16> for StatusRange {
    type Error = ConfigError;

    fn try_from(status: u16) -> Result<Self, ConfigError> {
        Self::of(status, status, &status)
    }
}

impl TryFrom<RangeInclusive<u16>> for StatusRange {
    type Error = ConfigError;

    fn try_from(range: RangeInclusive<u16>) -> Result<Self, ConfigError> {
        let (least, most) = (*range.start(), *range.end());
        Self::of(least, most, &format_args!("{least}-{most}"))
    }
}

/// Three digits, as statuses are written; no sign.
fn number(text: &str) -> Option<u16> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

text_newtype! {
    /// A text to be found in the body of an answer: 1 to 1,024 bytes, compared byte by byte.
    BodyPart, "expected_body", body_part
}

fn body_part(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if (1..=PART_BYTES_MAX).contains(&text.len()) { Ok(text.into()) } else { Err("must be 1 to 1024 bytes") }
}

impl BodyPart {
    /// Whether it is in `body`.
    #[must_use]
    pub fn is_in(&self, body: &[u8]) -> bool {
        body.windows(self.as_str().len()).any(|window| window == self.as_str().as_bytes())
    }
}

/// How many headers a request may have besides its own.
pub(super) const HEADERS_MAX: usize = 16;
/// How many ranges of statuses may be named.
pub(super) const STATUSES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024;
const PART_BYTES_MAX: usize = 1024;
/// What RFC 9112 has for the framing of a message and the connection, and what the check says itself.
const RESERVED: [&str; 4] = ["host", "connection", "transfer-encoding", "content-length"];
