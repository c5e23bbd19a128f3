//! What the keys of a second tier are called: by marks, which are hashes.

use std::sync::Arc;

use mesh_core::service::ConfigError;

use crate::key::Mark;
use crate::second::check_prefix;

/// The names of keys.
#[derive(Clone, Debug)]
pub(super) struct Names {
    entry_prefix: Arc<str>,
    pub(super) watermark_prefix: Arc<str>,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, ConfigError> {
        check_prefix("prefix", prefix)?;
        let (entry, watermark) = (format!("{prefix}:v1:e:"), format!("{prefix}:v1:w:"));
        Ok(Self { entry_prefix: entry.into(), watermark_prefix: watermark.into() })
    }

    /// In braces, so that an entry and its watermark are in the same slot of a cluster.
    pub(super) fn entry(&self, mark: Mark) -> String {
        format!("{}{{{mark}}}", self.entry_prefix)
    }

    pub(super) fn watermark(&self, mark: Mark) -> String {
        format!("{}{{{mark}}}", self.watermark_prefix)
    }

    pub(super) fn mark_of(&self, key: &[u8]) -> Option<Mark> {
        let digits = key.strip_prefix(self.watermark_prefix.as_bytes())?.strip_prefix(b"{")?.strip_suffix(b"}")?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Mark::from_bits)
    }
}
