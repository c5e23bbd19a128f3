//! What a check reports, and how the text with it is made fit to be shown.

use alloc::sync::Arc;
use core::fmt;

use crate::service::escape_to;

/// What came of one run of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// All is well.
    Pass,
    /// It passes, but something is wrong.
    Warn(Note),
    /// It fails.
    Fail(Note),
}

impl Report {
    /// A pass with a warning.
    #[must_use]
    pub fn warn(note: &str) -> Self {
        Self::Warn(Note::new(note))
    }

    /// A failure.
    #[must_use]
    pub fn fail(note: &str) -> Self {
        Self::Fail(Note::new(note))
    }

    /// Whether it counts as good.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        match self {
            Self::Pass | Self::Warn(_) => true,
            Self::Fail(_) => false,
        }
    }
}

/// A text that came with a report, fit for a log: at most [`NOTE_BYTES_MAX`] bytes, control and invisible characters
/// escaped as [`escape`](crate::service::escape) does, and what stands between `://` and `@` in a URL replaced by `***`,
/// since drivers of databases quote the password in their errors.
///
/// Secrets that stand elsewhere are for the check to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note(Arc<str>);

impl Note {
    /// The note that says `text`, cut to its bound and "…".
    #[must_use]
    pub fn new(text: &str) -> Self {
        let read = prefix(text, READ_BYTES_MAX);
        let bare = without_credentials(read, read.len() < text.len());
        let escaped = escape_to(&bare, READ_BYTES_MAX).to_string();
        if escaped.len() <= NOTE_BYTES_MAX {
            return Self(escaped.into());
        }
        let kept = prefix(&escaped, NOTE_BYTES_MAX - ELLIPSIS.len());
        Self(format!("{kept}{ELLIPSIS}").into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most bytes of a [`Note`].
pub const NOTE_BYTES_MAX: usize = 256;

/// The longest beginning of `text` that has at most `bytes_max` bytes.
fn prefix(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `text` without the user and password of any URL in it; one that was `cut` within them loses what is left of them.
fn without_credentials(text: &str, cut: bool) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(AUTHORITY) {
        let (before, after) = rest.split_at(at + AUTHORITY.len());
        clean.push_str(before);
        let end = after.find(|end: char| end.is_whitespace() || matches!(end, '/' | '?' | '#' | '"'));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = &after[authority.len()..];
        match authority.rfind('@') {
            Some(at) => {
                clean.push_str(HIDDEN);
                clean.push_str(&authority[at..]);
            }
            None if cut && end.is_none() => clean.push_str(HIDDEN),
            None => clean.push_str(authority),
        }
    }
    clean.push_str(rest);
    clean
}

/// How much of a text is looked at; a gigabyte is not copied to keep 256 bytes of it.
const READ_BYTES_MAX: usize = 4 * NOTE_BYTES_MAX;
const ELLIPSIS: &str = "…";
const AUTHORITY: &str = "://";
const HIDDEN: &str = "***";
