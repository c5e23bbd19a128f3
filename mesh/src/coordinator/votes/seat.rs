//! A breaker's way to its voter.

use std::sync::Arc;

use mesh_retry::breaker::Breaker;
use mesh_retry::coordinator::Wake as _;

use super::super::bell::Bell;
use super::heard::Heard;

/// A breaker's way to its voter, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct VoterSeat {
    heard: Arc<Heard>,
    bell: Bell,
}

impl VoterSeat {
    pub(super) const fn new(heard: Arc<Heard>, bell: Bell) -> Self {
        Self { heard, bell }
    }

    /// Tells of a transition of `breaker`, whose seat this is.
    #[cold]
    pub(crate) fn changed(&self, breaker: &Breaker) {
        self.heard.put(breaker);
        self.bell.wake();
    }

    /// Lets go of the probe and casts no more votes. The breaker goes by itself then.
    pub(crate) fn leave(&self) {
        self.bell.close();
    }
}

impl Drop for VoterSeat {
    fn drop(&mut self) {
        self.leave();
    }
}
