//! Which instance gets the next request: a published view, read without a lock.

mod tried;

pub use tried::{EndpointId, Tried};
