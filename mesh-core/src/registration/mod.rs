//! Keeps an instance registered: decides when to register, verify, register again, roll back and deregister.
//!
//! A registry's acknowledgement proves little and an error proves nothing: an acknowledged entry may never
//! become visible, a refused one may stand in part, an unanswered order may have been carried out, and a
//! registry that restarts forgets. The [`RegistrationKeeper`] therefore believes only what it sees there.
//!
//! - A first registration, and an update, is tried until its attempts or its time are used up or the registry
//!   refuses. What then stands of it is taken away part by part, or, for an update, put back; the report says
//!   what could not be.
//! - What once was registered is verified from time to time and registered again for as long as it takes. It
//!   is not taken away because the registry refuses to repeat it: the instance serves, and the refusal is the
//!   registry's trouble.
//! - A deregistration takes away whatever stands and whatever may yet come of an order under way.
//!
//! It never talks to a registry: a driver carries its effects to a [`Registry`](crate::port::Registry).
//! Two processes that keep the same id overwrite each other for ever: ids must differ.

mod activity;
mod config;
mod event;
mod keeper;
mod message;
mod operation;
mod parts;
mod removal;
mod round;

pub use config::{KeeperConfig, Pace};
pub use event::{Failure, RegistrationError, RegistrationEvent, UpdateError};
pub use keeper::{RegistrationKeeper, RegistrationState};
pub use message::{OpId, RegistrationEffect, RegistrationInput};
pub use parts::{Part, PartState, Parts, Standing};
