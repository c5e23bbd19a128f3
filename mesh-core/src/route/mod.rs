//! Which instances a call may go to: selectors over tags, metadata and versions, and their short names.
//!
//! A selector is resolved when a view is built, never during a pick, which names it by its [`RouteId`].

mod routes;
mod selector;

pub use routes::{RouteId, Routes, RoutesFull};
pub use selector::Selector;
