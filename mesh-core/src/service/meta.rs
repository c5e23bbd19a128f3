//! The metadata of an instance, within Consul's limits whatever the registry is.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::error::{ConfigError, Problem};
use super::text::is_word;

/// Metadata: at most [`Meta::PAIRS_MAX`] pairs, sorted by key.
///
/// A key is 1 to 128 ASCII letters, digits, `-` and `_` (no dots) and does not begin with `consul-`; a value
/// has at most 512 **bytes** and no control characters. All but the last are limits of Consul's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta(BTreeMap<Arc<str>, Arc<str>>);

impl Meta {
    /// How many pairs there may be.
    pub const PAIRS_MAX: usize = 64;

    /// Sets `key` to `value`, in place of any value it had.
    ///
    /// # Errors
    /// When either breaks the rules above, or there are [`Meta::PAIRS_MAX`] other keys.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        key_rule(key).map_err(|rule| ConfigError::new("meta key", key, rule))?;
        value_rule(value).map_err(|rule| ConfigError::new("meta", pair(key, value), rule))?;
        if self.len() >= Self::PAIRS_MAX && !self.0.contains_key(key) {
            return Err(ConfigError::new("meta", key, "must be at most 64 pairs"));
        }
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// The pairs in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// How many pairs there are.
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

fn key_rule(key: &str) -> Result<(), &'static str> {
    if !is_word(key, 128, b"-_") {
        Err("must be 1 to 128 letters, digits, '-' and '_'")
    } else if key.starts_with("consul-") {
        Err("must not begin with 'consul-', which Consul keeps for itself")
    } else {
        Ok(())
    }
}

fn value_rule(value: &str) -> Result<(), &'static str> {
    if value.len() > VALUE_BYTES_MAX {
        Err("the value must be at most 512 bytes")
    } else if value.contains(char::is_control) {
        Err("the value must have no control characters")
    } else {
        Ok(())
    }
}

/// As much of `key=value` as an error shows.
fn pair(key: &str, value: &str) -> String {
    let shown = value.chars().take(Problem::VALUE_CHARS_MAX + 1).collect::<String>();
    format!("{key}={shown}")
}

/// Consul counts bytes: 257 times `é` is too long.
const VALUE_BYTES_MAX: usize = 512;
