//! The origin as one that is written.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::entry::Version;
use crate::error::OriginError;
use crate::key::Key;

/// Writes values to their origin.
///
/// A write may be dropped half-way, when whoever waits for it loses patience; it may then have been carried out or not.
/// Writing a value twice must do no harm.
pub trait Sink<V: Send + Sync + 'static>: Send + Sync + 'static {
    /// Writes the value of `key`, and returns its version: [`Version::NONE`] where the origin has none.
    ///
    /// # Errors
    /// Why it was not written, and whether it may have been all the same.
    fn write(&self, key: &Key, value: &V) -> impl Future<Output = Result<Version, WriteError>> + Send;

    /// Takes the value of `key` away. That there is none is success.
    ///
    /// # Errors
    /// Why it was not taken away, and whether it may have been all the same.
    fn remove(&self, key: &Key) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Writes `changes`, each of another key, from the first on; as it is, one after another. A sink whose origin takes
    /// many at once writes its own.
    fn write_all(&self, changes: &[Change<V>]) -> impl Future<Output = Progress> + Send {
        async move {
            let mut progress = Progress { written: Vec::with_capacity(changes.len()), stopped: None };
            for Change { key, value } in changes {
                let written = match value {
                    Some(value) => self.write(key, value).await,
                    None => self.remove(key).await.map(|()| Version::NONE),
                };
                match written {
                    Ok(version) => progress.written.push(version),
                    Err(error) => {
                        progress.stopped = Some(error);
                        break;
                    }
                }
            }
            progress
        }
    }
}

/// A value that is to be written, or taken away.
pub struct Change<V> {
    /// Whose it is.
    pub key: Key,
    /// The value; `None` takes it away.
    pub value: Option<Arc<V>>,
}

impl<V> Clone for Change<V> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone() }
    }
}

impl<V> fmt::Debug for Change<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.value.is_some() { "write" } else { "remove" };
        f.debug_struct("Change").field("key", &self.key).field("what", &what).finish()
    }
}

/// How far a batch was written.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The versions of those that were written: as many of the first as there are.
    pub written: Vec<Version>,
    /// Why the next one was not.
    pub stopped: Option<WriteError>,
}

/// Why the origin was not written, and whether it was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// It was not changed; another try may succeed.
    #[error("the origin was not changed")]
    NotWritten(#[source] OriginError),
    /// It was not changed, and no try will.
    #[error("the origin refuses what was to be written")]
    Refused(#[source] OriginError),
    /// It may have been changed or not, or be about to be.
    #[error("the origin may have been changed")]
    Unknown(#[source] OriginError),
}

impl WriteError {
    /// The origin was not changed, because of `error`.
    #[must_use]
    pub fn not_written(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::NotWritten(OriginError::new(error))
    }

    /// The origin was not changed and will not be, because of `error`.
    #[must_use]
    pub fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused(OriginError::new(error))
    }

    /// Because of `error`, such as a time-out, nobody knows whether the origin was changed.
    #[must_use]
    pub fn unknown(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unknown(OriginError::new(error))
    }

    /// Whether the origin may have been changed all the same.
    #[must_use]
    pub const fn may_have_changed(&self) -> bool {
        match self {
            Self::NotWritten(_) | Self::Refused(_) => false,
            Self::Unknown(_) => true,
        }
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotWritten(_) => "not-written",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}
