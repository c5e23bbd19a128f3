//! The model tier: many clients with the mesh's own decisions, many servers, one virtual clock.

pub(crate) mod engine;
mod observe;
mod plan;
mod problem;
mod result;
pub mod scenario;

pub use observe::{Event, EventKind, Observer};
pub use plan::Plan;
pub use problem::{Invalid, Problem, Warning};
pub use result::{Latency, Report, Requests, Run, ServerRun, Verdict, Wait};
