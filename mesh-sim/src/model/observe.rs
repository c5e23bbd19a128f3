//! Who looks on while a simulation runs: traces, progress, interrupts.

use core::ops::ControlFlow;

use mesh_core::balance::{EndpointId, Explanation};
use mesh_core::time::Instant;

/// Looks on while a simulation runs; it can end it, and change nothing else.
pub trait Observer {
    /// Takes note of an event.
    #[inline]
    fn occurred(&mut self, at: Instant, event: &Event) {
        let _ = (at, event);
    }

    /// Whether it wants to be told why each pick went where it did, which costs time.
    #[inline]
    fn wants_reasons(&self) -> bool {
        false
    }

    /// Takes note of a pick and its reasons, in the place of [`Observer::occurred`], where it
    /// [wants](Observer::wants_reasons) them. `server` knows the number of an endpoint's server.
    fn picked(&mut self, at: Instant, event: &Event, why: &Explanation, server: &dyn Fn(EndpointId) -> u32) {
        let _ = (why, server);
        self.occurred(at, event);
    }

    /// Is told now and then how far it is; may interrupt it.
    fn progress(&mut self, at: Instant) -> ControlFlow<()> {
        let _ = at;
        ControlFlow::Continue(())
    }
}

/// Nobody.
impl Observer for () {}

/// An event of the trace. What an event has nothing to do with is `u64::MAX` or `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The request, numbered by arrival from 0.
    pub request: u64,
    /// The attempt of the request, from 1.
    pub attempt: u32,
    /// The client, from 0.
    pub client: u32,
    /// The server, numbered over all groups from 0.
    pub server: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum EventKind {
    /// A request came.
    Arrived,
    /// A client chose a server for an attempt.
    Picked,
    /// A client found no server to choose.
    Unavailable,
    /// An attempt came to its server and was taken in.
    Accepted,
    /// A server began to work on an attempt.
    Started,
    /// A server had done its work on an attempt.
    Served,
    /// A server answered an attempt with an error.
    Erred,
    /// A server had no room for an attempt.
    Rejected,
    /// A server that is down refused an attempt.
    Refused,
    /// A server took an attempt in that it will never answer.
    Swallowed,
    /// A server lost an attempt in a crash.
    Crashed,
    /// A server gave up an attempt that its client had abandoned.
    Cancelled,
    /// A message was lost.
    Lost,
    /// A client got a success.
    Replied,
    /// A client got something else.
    Failed,
    /// A client stopped waiting for an attempt.
    TimedOut,
    /// A call waits before its next attempt.
    Waiting,
    /// A call ended in success.
    Succeeded,
    /// A call ended without.
    GaveUp,
    /// A fault began.
    FaultBegan,
    /// A fault ended.
    FaultEnded,
    /// A client heard a list of servers.
    Discovered,
    /// A client lost the registry.
    RegistryLost,
    /// A client published a view.
    Published,
    /// A client sent a check.
    Probed,
    /// A client got the answer to a check: it passed.
    CheckPassed,
    /// A client got the answer to a check: it failed.
    CheckFailed,
    /// A client took a server for healthy.
    TurnedHealthy,
    /// A client took a server for unhealthy.
    TurnedUnhealthy,
    /// A client took a server out for how requests to it ended.
    Ejected,
    /// A client tries a server again that it had taken out, with one request.
    Probation,
    /// A client gives a server its share again that it had taken out.
    Restored,
    /// A client needs no answer to an attempt any more: another copy of it won, or the call failed without it.
    Abandoned,
}

impl EventKind {
    /// Its name in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Picked => "picked",
            Self::Unavailable => "unavailable",
            Self::Accepted => "accepted",
            Self::Started => "started",
            Self::Served => "served",
            Self::Erred => "erred",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Swallowed => "swallowed",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Replied => "replied",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::GaveUp => "gave-up",
            Self::FaultBegan => "fault-began",
            Self::FaultEnded => "fault-ended",
            Self::Discovered => "discovered",
            Self::RegistryLost => "registry-lost",
            Self::Published => "published",
            Self::Probed => "probed",
            Self::CheckPassed => "check-passed",
            Self::CheckFailed => "check-failed",
            Self::TurnedHealthy => "turned-healthy",
            Self::TurnedUnhealthy => "turned-unhealthy",
            Self::Ejected => "ejected",
            Self::Probation => "probation",
            Self::Restored => "restored",
            Self::Abandoned => "abandoned",
        }
    }
}
