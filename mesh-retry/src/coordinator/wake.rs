//! How those who make calls get the driver of a machine to look. Decides nothing.

use core::fmt::Debug;

/// Wakes the driver of a machine. Called on the hot path, but only by the first who has something to be looked at.
pub trait Wake: Debug + Send + Sync {
    /// Has the driver hand its machine an input that says so, soon. Never blocks.
    fn wake(&self);
}
