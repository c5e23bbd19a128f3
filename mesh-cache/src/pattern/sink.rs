//! The origin as one that is written.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

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
    ///
    /// What it tells `written` counts, whatever becomes of the rest: it is not written again, and the time that the sink
    /// has begins anew. Where all are written or none, nothing need be told before the end; of a batch that takes too long
    /// for that the next try is half.
    ///
    /// # Errors
    /// Why the first of which `written` was not told was not written, and whether it may have been all the same. Without
    /// an error all of them were: those that `written` was not told of have no version.
    fn write_all(
        &self,
        changes: &[Change<V>],
        written: &Written,
    ) -> impl Future<Output = Result<(), WriteError>> + Send {
        async move {
            for Change { key, value } in changes {
                let version = match value {
                    Some(value) => self.write(key, value).await?,
                    None => self.remove(key).await.map(|()| Version::NONE)?,
                };
                written.tell(version);
            }
            Ok(())
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

/// Told of the changes of a batch that were written, one after another, as soon as they were.
#[derive(Debug)]
pub struct Written(mpsc::UnboundedSender<Version>);

impl Written {
    /// Where it tells of them, and where they are heard.
    pub(super) fn channel() -> (Self, mpsc::UnboundedReceiver<Version>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// The first change of which it was not told yet was written, and has this version now: [`Version::NONE`] where the
    /// origin has none, or it was taken away.
    pub fn tell(&self, version: Version) {
        // Who lost patience does not listen any more, and will have it written again.
        let _ = self.0.send(version);
    }
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
