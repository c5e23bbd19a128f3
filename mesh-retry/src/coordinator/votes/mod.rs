//! Shares what processes have found out of a subject, an instance or a service as it is seen from one zone: evidence, never
//! a decision. Each process's own breaker decides, and only about what it has seen fail itself.
//!
//! A [`VotesMachine`] votes for its process: whether its own breaker for the subject is open. Where at least
//! [`open_min`](VotesConfig::open_min) processes find it open, and more than half of those that have a vote, that is a quorum,
//! and as long as it is known to hold, the [breaker](crate::breaker::Breaker::with_evidence) opens after fewer failures of its
//! own than otherwise. **A path that is healthy for this process stays open to it**, whatever others think: one bad node
//! does not make good ones bad (Polly's discussion of a shared breaker, App-vNext/Polly#287).
//!
//! A breaker that is to try whether its subject is well again asks for the one **probe** that all processes share: who has it
//! tries, the others are refused and ask again after a sixteenth of a lease to an eighth. So the processes that have opened
//! become half-open one after another. Whoever's half-open time ends without finding the subject well leaves his lease to end
//! by itself, so that such a subject meets one of them each [`probe_lease`](VotesConfig::probe_lease); who finds it well lets go
//! at once, and the next tries soon after: while all of N make calls, all have closed within a lease and N turns of the time that the probes
//! take, an eighth of a lease, a few answers of the store and the time between two calls.
//!
//! A turn is never waited for without end: who has it and makes no calls loses it after a lease, or after ten leases at most
//! where its breaker is half-open; and a process that calls so seldom that its turn is over before its next call makes that call as
//! it would without a store ([`ProbeRight::Local`]).
//!
//! # When the store is lost
//! Evidence ends [`live_for`](VotesConfig::live_for) after the vote that was last answered was sent, and probes are given by
//! each process to itself: local breakers, as without a store. One that has asked for the probe by then waits for the answer
//! for twice [`reply_within`](VotesConfig::reply_within) at most.
//!
//! # When a process goes
//! One that is told to [`Stop`](VotesInput::Stop) takes its vote back, so that its next life, which has another id, is not a
//! second voter. One that crashes, or whose last vote is lost or is overtaken on its way, leaves the vote behind: for
//! [`live_for`](VotesConfig::live_for) after it was cast the process counts as one more voter of what it last thought, and as
//! two where it is there again. So a process that was open and crashes in a loop can be a quorum with itself: for as long, and
//! only of breakers that have failures of their own. And a process that stops and begins anew on the same subject at once may
//! take back what it has voted since: until its next [`heartbeat`](VotesConfig::heartbeat) it has no vote.
//!
//! # What is promised
//! * A quorum takes two votes at least, whatever is configured; each life of a process has one, by an id that is drawn at
//!   random. Who may write to the store may vote: that the store lets nobody else is what makes votes those of the fleet.
//! * While the store keeps its state, no two processes have the shared probe at once ([`ProbeRight::Shared`]).
//! * Votes can be late, not more: one that arrives after a later one counts until the next, which comes each
//!   [`heartbeat`](VotesConfig::heartbeat).
//!
//! # What it costs
//! A command each heartbeat, or up to a quarter sooner, for each subject and process; one for each change; for a turn to probe
//! two, and one more each third of a lease while the breaker is half-open; and while another process tries, one each sixteenth
//! to eighth of a lease from each that makes calls and would try as well.

mod config;
mod evidence;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod machine;
mod message;

pub use config::VotesConfig;
pub use evidence::{Evidence, ProbeRight};
pub use machine::VotesMachine;
pub use message::{VotesEvent, VotesInput};
