//! What the fuzz target and its stable twin do with any bytes: an answer of Consul's, with headers and body.

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::service::ServiceName;

use crate::error::ConsulError;
use crate::health::{Listing, Vantage, decode, decode_query};
use crate::response::{Meta, retry_after};
use crate::version::Version;

/// What came of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Whether its headers had an index.
    pub indexed: bool,
    /// Instances that could be read from it.
    pub instances: usize,
    /// Entries that could not.
    pub unusable: usize,
}

/// Reads `bytes` as an answer: lines `name: value`, an empty line, the body. Everything that is read of an answer is read
/// of it, in every way.
///
/// # Panics
/// Where a promise does not hold: an index below 1, an error with more of the body than is kept, an instance twice.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
#[must_use]
pub fn replay(bytes: &[u8]) -> Replayed {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((&b""[..], bytes), |end| (&bytes[..end], &bytes[end + 2..]));
    let headers = headers(head);
    let meta = Meta::of(&headers);
    if meta.index.is_some_and(|index| index.get() == 0) {
        panic!("an index below 1");
    }
    for status in [400, 403, 404, 429, 500, 503] {
        let error = ConsulError::of_answer("replay", status, body, retry_after(&headers));
        let (kept, shown) = (error.body().unwrap_or_default().len(), format!("{error} {error:?}"));
        if kept > crate::error::BODY_BYTES_MAX || shown.chars().any(|c| c.is_control()) {
            panic!("an error keeps {kept} bytes, or shows control characters");
        }
    }
    let _ = Version::parse(&String::from_utf8_lossy(body));
    let Ok(service) = "web".parse::<ServiceName>() else { return Replayed::default() };
    let _ = decode_query(&service, body);
    let _ = decode(&service, body, Vantage::Foreign);
    let Listing { snapshot, unusable, .. } = decode(&service, body, Vantage::Local).unwrap_or_default();
    let sorted = snapshot.entries().windows(2).all(|pair| match pair {
        [one, next] => one.key() < next.key(),
        _ => true,
    });
    if !sorted || snapshot.iter().any(|entry| entry.instance().port() == 0) {
        panic!("a list with one instance twice, or with one that cannot be called");
    }
    Replayed { indexed: meta.index.is_some(), instances: snapshot.len(), unusable }
}

fn headers(head: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    headers
}
