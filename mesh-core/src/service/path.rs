//! The path of an HTTP check: text that becomes part of a request that others send.

use alloc::borrow::Cow;

use super::text::text_newtype;

text_newtype! {
    /// The path of an HTTP check, with a query if any: 1 to 1024 bytes that begin with `/`, of the characters
    /// that RFC 3986 allows there, with whole percent escapes. No fragment, no white space.
    CheckPath, "path", check_path
}

impl Default for CheckPath {
    /// `/health`
    fn default() -> Self {
        Self("/health".into())
    }
}

fn check_path(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if text.contains(['\r', '\n']) {
        Err("must not hold CR or LF, which would inject a header")
    } else if text.contains('#') {
        Err("must not hold '#': a fragment is never sent")
    } else if !text.starts_with('/') {
        Err("must begin with '/'")
    } else if text.len() > 1024 {
        Err("must be at most 1024 bytes")
    } else if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || OTHERS.contains(&byte)) {
        Err("must be of the characters that RFC 3986 allows in a path or query")
    } else if !escapes_are_whole(text) {
        Err("must have two hexadecimal digits after each '%'")
    } else {
        Ok(text.into())
    }
}

fn escapes_are_whole(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| matches!(rest.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

/// RFC 3986: the rest of `unreserved`, `sub-delims`, `:`, `@`, `/`, `?` and the `%` of an escape.
const OTHERS: &[u8] = b"-._~!$&'()*+,;=:@/?%";
