//! How those who make calls get the driver of a machine to look. Decides nothing.

use core::fmt::Debug;

/// Tells the driver of a machine to hand it the input that says that it was woken, soon.
pub trait Wake: Debug + Send + Sync {
    /// Called by a call, on its thread: must not wait. Not called again for the same before the machine has looked.
    fn wake(&self);
}
