//! What the benches share: how an operation is timed, the fleets they run on, our subjects and the floors, and the report
//! of the results.
//!
//! Nothing here depends on criterion or on a peer, so that the report builds in seconds.

pub mod fleet;
pub mod floors;
pub mod keys;
pub mod ours;
pub mod report;
pub mod subject;
pub mod timing;
