//! The names that entries go by, and the marks by which they are found when something changed.
//!
//! Decides which names are taken. A key is a path of segments, so that whole branches can be invalidated; what a key
//! says never reaches a second tier, which is told its mark only.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::second::Reach;
use mesh_core::service::ConfigError;
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

/// The name of an entry: one to eight segments, such as `discovery/dc1/api`.
///
/// Segments are parted by `/` and not empty; at most 256 bytes of UTF-8 without control characters. Cheap to clone; up to
/// 23 bytes nothing is allocated, and a hit finds the text where it finds the entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmolStr);

impl Key {
    /// The most bytes of a key.
    pub const BYTES_MAX: usize = 256;
    /// The most segments of a key.
    pub const SEGMENTS_MAX: usize = 8;

    /// The key that `text` says.
    ///
    /// # Errors
    /// Names the rule that it breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = text.as_ref();
        check("key", text, text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key that no entry has.
    pub(crate) fn none() -> Self {
        Self(SmolStr::default())
    }

    /// The prefixes that it stands under, from the shortest to the longest.
    fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..=at))
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Key {
    type Error = ConfigError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A branch of keys: one to seven whole segments and a `/` at the end, such as `discovery/dc1/`.
///
/// Whole segments only, because then every entry knows the branches that it stands under, and a process that hears that
/// one of them changed need not be told its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// The prefix that `text` says.
    ///
    /// # Errors
    /// Names the rule that it breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = text.as_ref();
        let Some(branch) = text.strip_suffix('/') else {
            return Err(ConfigError::new("prefix", text, "must end with `/`: whole segments only"));
        };
        check("prefix", text, branch)?;
        if branch.split('/').count() >= Key::SEGMENTS_MAX {
            return Err(ConfigError::new("prefix", text, "must leave room for one of the 8 segments of a key"));
        }
        Ok(Self(text.into()))
    }

    /// The text, with the `/` at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word that many entries share, such as `node:db-7`: 1 to 256 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The most tags of an entry.
    pub const COUNT_MAX: usize = 22;

    /// The tag that `text` says.
    ///
    /// # Errors
    /// Names the rule that it breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = text.as_ref();
        check_text("tag", text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an invalidation is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One entry.
    Key(Key),
    /// Every entry of a branch.
    Prefix(Prefix),
    /// Every entry that has the tag.
    Tag(Tag),
    /// Every entry.
    All,
}

impl Scope {
    /// How many entries it may be aimed at.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        match self {
            Self::Key(_) => Reach::Entry,
            Self::Prefix(_) | Self::Tag(_) | Self::All => Reach::Many,
        }
    }

    /// What it is called where its name must not be said.
    #[must_use]
    pub fn mark(&self) -> Mark {
        match self {
            Self::Key(key) => Mark::of(b'k', key.as_str()),
            Self::Prefix(prefix) => Mark::of(b'p', prefix.as_str()),
            Self::Tag(tag) => Mark::of(b't', tag.as_str()),
            Self::All => *ALL,
        }
    }
}

/// What a scope is called where its name must not be said: the first 64 bits of the SHA-256 of its kind and name.
///
/// Two of 10,000 scopes share one with a probability of 3 in 10^12; the wrong one is invalidated besides then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// The mark whose bits are `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What it is called by those who share `namespace`, and back: whoever shares another never means the same.
    #[must_use]
    pub(crate) const fn within(self, namespace: Self) -> Self {
        Self(self.0 ^ namespace.0)
    }

    /// The mark of a namespace.
    pub(crate) fn of_namespace(name: &str) -> Self {
        Self::of(b'n', name)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    fn of(kind: u8, name: &str) -> Self {
        let digest = Sha256::new().chain_update([kind]).chain_update(name).finalize();
        Self(digest.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The marks of the scopes that one entry is in: its own, those of its branches, that of everything, those of its tags.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks(Arc<[Mark]>);

impl Marks {
    /// The most marks of an entry.
    pub const COUNT_MAX: usize = 2 + (Key::SEGMENTS_MAX - 1) + Tag::COUNT_MAX;

    /// The marks of the entry `key` with `tags`; of too many tags the first count, in their order.
    #[must_use]
    pub fn new(key: &Key, tags: &[Tag]) -> Self {
        let own = [Mark::of(b'k', key.as_str()), Scope::All.mark()];
        let branches = key.ancestors().map(|branch| Mark::of(b'p', branch));
        let tags = tags.iter().take(Tag::COUNT_MAX).map(|tag| Mark::of(b't', tag.as_str()));
        Self(own.into_iter().chain(branches).chain(tags).collect())
    }

    /// Those of nothing.
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    /// These and `others`; of too many the first count.
    #[must_use]
    pub fn with(&self, others: impl IntoIterator<Item = Mark>) -> Self {
        let mut marks = self.0.to_vec();
        for other in others {
            if marks.len() < Self::COUNT_MAX && !marks.contains(&other) {
                marks.push(other);
            }
        }
        Self(marks.into())
    }

    /// These as they are called in a tier that the caches of `namespace` share.
    #[must_use]
    pub fn shared_in(&self, namespace: &str) -> Self {
        self.within(Mark::of_namespace(namespace))
    }

    /// These as those call them who share the namespace of that mark.
    pub(crate) fn within(&self, namespace: Mark) -> Self {
        Self(self.0.iter().map(|mark| mark.within(namespace)).collect())
    }

    /// The entry's own.
    #[must_use]
    pub fn own(&self) -> Mark {
        self.0.first().copied().unwrap_or(Mark(0))
    }

    /// All of them, its own first.
    #[must_use]
    pub fn all(&self) -> &[Mark] {
        &self.0
    }

    /// Whether `mark` is among them.
    #[must_use]
    pub fn contain(&self, mark: Mark) -> bool {
        self.0.contains(&mark)
    }
}

/// The mark of everything, which every entry has.
static ALL: LazyLock<Mark> = LazyLock::new(|| Mark::of(b'a', ""));

fn check(field: &'static str, text: &str, path: &str) -> Result<(), ConfigError> {
    check_text(field, text)?;
    if path.split('/').any(str::is_empty) {
        return Err(ConfigError::new(field, text, "must have no empty segment: one `/` between two segments"));
    }
    if path.split('/').count() > Key::SEGMENTS_MAX {
        return Err(ConfigError::new(field, text, "must have at most 8 segments"));
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str) -> Result<(), ConfigError> {
    if text.is_empty() || text.len() > Key::BYTES_MAX {
        return Err(ConfigError::new(field, text, "must be 1 to 256 bytes long"));
    }
    if text.chars().any(char::is_control) {
        return Err(ConfigError::new(field, text, "must have no control characters"));
    }
    Ok(())
}
