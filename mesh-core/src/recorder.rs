//! What the mesh measures about itself, in one vocabulary for production and simulation.
//!
//! A [`Recorder`] is told what happened; it never changes what is decided. Measurements name the service and
//! hardly ever the endpoint, because every distinct value of an attribute costs a time series. Words such as
//! `outcome` come from small fixed sets in the code, never from the outside.

mod names;

use alloc::sync::Arc;
use core::fmt::Debug;
use core::time::Duration;

use crate::service::{InstanceId, ServiceName};

/// Takes note of what happens.
///
/// Called on the path of every request: an implementation must neither block nor, in the common case,
/// allocate.
pub trait Recorder: Debug + Send + Sync {
    /// Takes note of `measurement`.
    fn record(&self, measurement: &Measurement<'_>);
}

impl<R: Recorder + ?Sized> Recorder for Arc<R> {
    fn record(&self, measurement: &Measurement<'_>) {
        (**self).record(measurement);
    }
}

/// A recorder that takes note of nothing: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoRecorder;

impl Recorder for NoRecorder {
    #[inline]
    fn record(&self, _: &Measurement<'_>) {}
}

/// Something that happened, as plain data.
///
/// The names follow OpenTelemetry's spelling; durations are recorded in seconds by sinks that follow it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Measurement<'a> {
    /// A call ended, with all its attempts.
    CallEnded {
        /// The service that was called.
        service: &'a ServiceName,
        /// How many attempts it took; the retries are one fewer.
        attempts: u32,
        /// From the start of the call to its end, waits included.
        elapsed: Duration,
        /// `ok`, or why the call was given up.
        result: &'static str,
    },
    /// One attempt of a call ended.
    AttemptEnded {
        /// The service that was called.
        service: &'a ServiceName,
        /// The outcome that the balancer was told.
        outcome: &'static str,
        /// From the pick to the end of the attempt.
        latency: Duration,
    },
    /// A call wanted one more attempt than it had made, and may make it or not.
    ExtraAttempt {
        /// The service that is called.
        service: &'a ServiceName,
        /// `retry` or `hedge`.
        kind: &'static str,
        /// `granted`, or why not: see `GiveUpReason::name`.
        result: &'static str,
        /// How long it waits first; zero where it is not made, and where the budget paid for it only after its wait.
        wait: Duration,
        /// What the budget has left, in thousandths of an attempt; none without a budget.
        budget_milli: Option<u32>,
    },
    /// A call waited for a place in the bulkhead of its service, or got one at once.
    QueueTime {
        /// The service that is called.
        service: &'a ServiceName,
        /// How long it waited; zero where there was room.
        waited: Duration,
        /// `admitted`, `cancelled` where the caller left, or why it was not let in: see `bulkhead::Refusal::name`.
        result: &'static str,
    },
    /// The circuit breaker of a service, or of one of its instances, opened, closed, or lets a few calls find out.
    BreakerChanged {
        /// The service that it is for.
        service: &'a ServiceName,
        /// The instance that it is for; none where it is for the service as a whole. Sinks that pay for every value of an
        /// attribute leave it out.
        instance: Option<&'a InstanceId>,
        /// What it was: see `breaker::State::name`.
        from: &'static str,
        /// What it is.
        to: &'static str,
        /// Why: see `breaker::Reason::name`.
        reason: &'static str,
    },
    /// The store that processes share answered what a service's budget was told and asked.
    BudgetSettled {
        /// The service that is called.
        service: &'a ServiceName,
        /// How long the answer took.
        latency: Duration,
        /// How many tokens were asked for, each of which is one retry or hedge.
        wanted: u32,
        /// How many there are now for it.
        granted: u32,
        /// How many went back.
        returned: u32,
        /// What is left for all processes, in thousandths of an attempt.
        left_milli: u32,
        /// How many processes share the budget.
        processes: u32,
        /// For how long this process asks for no more; zero where it got what it asked for.
        denied_for: Duration,
    },
    /// The store did not answer what a service's budget was told and asked.
    BudgetUnsettled {
        /// The service that is called.
        service: &'a ServiceName,
        /// What is known of it: see `StoreFailure::name`.
        failure: &'static str,
        /// How long it took to know.
        after: Duration,
        /// How many failures in a row there have been.
        failures: u32,
    },
    /// How this process answered those who asked a budget of the fleet for retries and hedges, since this was told last: see
    /// `FleetAnswers`.
    BudgetAnswered {
        /// The service that is called.
        service: &'a ServiceName,
        /// How many were paid for with tokens that the store had granted.
        by_lease: u64,
        /// How many were paid for with this process' own share.
        by_share: u64,
        /// How many were told to ask again at the end of their waits. When they do, they count once more.
        deferred: u64,
        /// How many got nothing.
        denied: u64,
    },
    /// Who answers in this process those who ask a budget of the fleet for retries has changed.
    BudgetStateChanged {
        /// The service that is called.
        service: &'a ServiceName,
        /// What it was: see `FleetState::name`.
        from: &'static str,
        /// What it is.
        to: &'static str,
        /// Why: see `FleetChange::name`.
        reason: &'static str,
    },
    /// The store that processes share was asked for numbers of the slots in which retries are made.
    RetrySlots {
        /// The service that is called.
        service: &'a ServiceName,
        /// `refilled`, or why not: see `StoreFailure::name`.
        result: &'static str,
        /// How many numbers there are now; zero where there are no new ones.
        count: u32,
        /// How long the answer took, or how long it took to know that there is none.
        latency: Duration,
    },
    /// An operation that is to be carried out once may be, or not.
    OperationBegan {
        /// Which kind of operation: its name, never its key.
        operation: &'a str,
        /// By what right (see `idempotency::Right::name`); `done` where it was carried out before; `called-off` where whoever
        /// began it has left; or why not (see `OperationRefusal::name`).
        result: &'static str,
        /// How long it took to know.
        waited: Duration,
    },
    /// Whoever was to carry an operation out has come to an end.
    OperationEnded {
        /// Which kind of operation.
        operation: &'a str,
        /// What became of it: see `idempotency::OperationEnd::name`; `taken-away` where somebody took over, or the store
        /// forgot.
        result: &'static str,
        /// From when it might be carried out to when the store was told the end, or was given up.
        elapsed: Duration,
    },
    /// The store that processes share has counted the vote of this process on a service, or on one of its instances.
    VoteCounted {
        /// The service that is called.
        service: &'a ServiceName,
        /// The instance that was voted on; none where it was the service as a whole. Sinks that pay for every value of an
        /// attribute leave it out.
        instance: Option<&'a InstanceId>,
        /// How many processes have a vote.
        live: u32,
        /// How many of these find it open.
        open: u32,
        /// How long the answer took.
        latency: Duration,
    },
    /// Whether so many processes find a service open, or one of its instances, that the breaker of this one opens earlier
    /// has changed.
    EvidenceChanged {
        /// The service that is called.
        service: &'a ServiceName,
        /// The instance that it is of; none where it is the service as a whole. Sinks that pay for every value of an attribute
        /// leave it out.
        instance: Option<&'a InstanceId>,
        /// Whether they do.
        quorum: bool,
        /// `store`, or `silence` where the store has said nothing for too long.
        by: &'static str,
    },
    /// It was said whose turn it is to try whether a service is well again, or one of its instances.
    ProbeRight {
        /// The service that is called.
        service: &'a ServiceName,
        /// The instance that it is of; none where it is the service as a whole. Sinks that pay for every value of an attribute
        /// leave it out.
        instance: Option<&'a InstanceId>,
        /// `shared` where it is this process's alone, `others`, or `local` where each goes by itself: see `ProbeRight::name`.
        right: &'static str,
    },
    /// The store did not answer a vote, or a question for the probe.
    VoteFailed {
        /// The service that is called.
        service: &'a ServiceName,
        /// The instance that it is of; none where it is the service as a whole. Sinks that pay for every value of an attribute
        /// leave it out.
        instance: Option<&'a InstanceId>,
        /// What is known of it: see `StoreFailure::name`.
        failure: &'static str,
    },
    /// How the clock of the store that processes share runs against this process's own, by an answer of the store's.
    StoreSkew {
        /// The service whose budget, or slots where it has no budget, were answered.
        service: &'a ServiceName,
        /// How many microseconds the store's clock has gained since it was first measured, or set; negative where it lost.
        gained_micros: i64,
        /// By how much more or less that may be.
        uncertain_by: Duration,
        /// Whether one of the two clocks was set since the last answer.
        was_set: bool,
    },
    /// The balancer had no instance to offer.
    PickRefused {
        /// The service that was asked for.
        service: &'a ServiceName,
        /// Why there was none.
        reason: &'static str,
    },
    /// A new view of a service's endpoints was published.
    Endpoints {
        /// The service.
        service: &'a ServiceName,
        /// How many may be picked.
        eligible: u32,
        /// How many are left out because they are unhealthy.
        unhealthy: u32,
        /// How many are left out because requests to them end badly.
        ejected: u32,
        /// How many get one request at a time, to see whether they are well again.
        probing: u32,
        /// How many are left out because their weight is zero.
        drained: u32,
        /// How many the registry lists.
        registered: u32,
    },
    /// The registry was heard, or could not be.
    DiscoveryUpdated {
        /// The service that is followed.
        service: &'a ServiceName,
        /// What came of it: changed, confirmed, kept for protection, lost.
        result: &'static str,
    },
    /// A health check that the mesh runs gave its verdict.
    HealthChecked {
        /// The service of the instance that was checked.
        service: &'a ServiceName,
        /// Whether it passed.
        passed: bool,
        /// How long the check took.
        latency: Duration,
    },
    /// What is thought of an instance changed.
    StatusChanged {
        /// The service of the instance.
        service: &'a ServiceName,
        /// What was thought of it: see `Status::name`.
        from: &'static str,
        /// What is thought of it.
        to: &'static str,
        /// Which source decided: see `health::Reason::name`.
        reason: &'static str,
        /// How long what was thought before had been thought; of instances that were out, the time out.
        lasted: Duration,
    },
    /// An instance was found to be an outlier.
    OutlierFound {
        /// The service of the instance.
        service: &'a ServiceName,
        /// By which detector: see `Cause::name`.
        cause: &'static str,
        /// `ejected`, or why not: `no-room`, `not-enforced`.
        result: &'static str,
    },
    /// An instance that had been ejected is given its share again.
    OutlierRestored {
        /// The service of the instance.
        service: &'a ServiceName,
        /// What brought it back: see `Restoration::name`.
        by: &'static str,
    },
    /// An instance that was critical for too long was to be taken out of the registry.
    Reaped {
        /// The service of the instance.
        service: &'a ServiceName,
        /// `done`, `again` or `never`.
        result: &'static str,
    },
    /// The registration of this process's own instance changed.
    Registration {
        /// The service that is offered.
        service: &'a ServiceName,
        /// What happened: see `RegistrationEvent::as_str`.
        event: &'static str,
    },
    /// A deregistration ended.
    Deregistration {
        /// The service that was offered.
        service: &'a ServiceName,
        /// Whether the registry was seen to hold nothing any more.
        confirmed: bool,
        /// From the command to the end.
        elapsed: Duration,
    },
}
