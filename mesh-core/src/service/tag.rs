//! The tags of an instance.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;

use super::error::ConfigError;
use super::text::text_newtype;

text_newtype! {
    /// A tag: 1 to 255 bytes without control characters, and without white space at either end.
    Tag, "tag", tag
}

/// A sorted set of at most [`Tags::COUNT_MAX`] tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags(BTreeSet<Tag>);

impl Tags {
    /// How many tags an instance may have. Consul has no bound; this one is ours and equal to that of metadata.
    pub const COUNT_MAX: usize = 64;

    /// Adds `tag`; a tag that is there already changes nothing.
    ///
    /// # Errors
    /// When there are [`Tags::COUNT_MAX`] others.
    pub fn insert(&mut self, tag: Tag) -> Result<(), ConfigError> {
        if self.len() >= Self::COUNT_MAX && !self.0.contains(&tag) {
            return Err(ConfigError::new("tags", tag, "must be at most 64"));
        }
        self.0.insert(tag);
        Ok(())
    }

    /// Whether `tag` is one of them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }

    /// The tags in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tag> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn tag(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !(1..=255).contains(&text.len()) {
        Err("must be 1 to 255 bytes")
    } else if text.contains(char::is_control) {
        Err("must have no control characters")
    } else if text.trim() != text {
        Err("must not begin or end with white space")
    } else {
        Ok(text.into())
    }
}
