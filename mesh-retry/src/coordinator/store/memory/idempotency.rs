//! Operations that are to be carried out once.

use crate::coordinator::store::{Abandon, Abandoned, Begin, Begun, Fence, Finish, Finished, Renew, Renewed, StoreTime};

#[derive(Clone, Debug, Default)]
pub(super) struct Operations;

impl Operations {
    pub(super) fn begin(&mut self, _: StoreTime, _: &Begin) -> Begun {
        Begun::Fresh { fence: Fence::new(1) }
    }

    pub(super) fn renew(&mut self, _: StoreTime, _: &Renew) -> Renewed {
        Renewed::Fenced
    }

    pub(super) fn finish(&mut self, _: StoreTime, _: &Finish) -> Finished {
        Finished::Fenced
    }

    pub(super) fn abandon(&mut self, _: StoreTime, _: &Abandon) -> Abandoned {
        Abandoned::Fenced
    }
}
