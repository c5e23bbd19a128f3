//! What a service knows of its own health: named checks, what depends on what, and what follows for the whole.
//!
//! Decides whether the process is alive, whether it wants requests and whether it has started, and says why. Runs
//! no check and reads no clock: whoever runs them reports what came of it.
//!
//! | kind | asks | while nothing is reported | not as it should be |
//! |---|---|---|---|
//! | startup | has it begun? | not started | not started, hence neither ready nor judged alive or dead |
//! | liveness | would a restart help? | alive | not alive, hence not ready |
//! | readiness | should it be given requests? | not ready | not ready |
//!
//! The initial words and the order are those of Kubernetes' prober (`pkg/kubelet/prober/worker.go` there: a
//! readiness probe begins as failed, a liveness probe as passed, and neither is run before the startup probe
//! passed). That a check is [`Blocked`](CheckStatus::Blocked) by one that it depends on, and that a check of
//! little importance only degrades, is ours.

mod aggregate;
mod check;
mod error;
mod graph;
mod judgement;
mod machine;
mod report;

pub use aggregate::{Aggregate, OwnState, OwnStatus, Reason};
pub use check::{CheckKind, CheckName, Importance, OwnCheck};
pub use error::{OwnCheckError, UnknownCheck};
pub use judgement::CheckStatus;
pub use machine::{OwnHealth, OwnHealthConfig};
pub use report::{NOTE_BYTES_MAX, Note, Report};
