//! A call: the retries of the call machine, carried out on a tokio runtime.

mod attempt;
mod breaker;
mod bulkhead;
mod config;
mod copies;
mod incoming;
mod instances;
mod placing;
mod policy;
mod shared;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mesh_core::balance::{Outcome, PickError};
use mesh_core::machine::Machine as _;
use mesh_core::recorder::Measurement;
use mesh_core::time::Instant;
use mesh_retry::call::{AttemptId, CallEffect, CallEvent, CallInput, CallMachine, Decision, GiveUpReason};
use mesh_retry::classify::{Class, Classify, UnsafeRules};
use mesh_retry::deadline::Deadline;

pub use attempt::Attempt;
pub(crate) use bulkhead::enter;
pub use config::CallsConfig;
pub use incoming::IncomingCall;
pub use policy::CallPolicy;
pub(crate) use shared::SharedByCalls;

use copies::Copies;
use instances::Placed;
use shared::CallTerms;

use crate::error::{CallError, ServiceError};
use crate::service::Followed;
use crate::service_mesh::Inner;

/// One call on its way.
pub(crate) struct Call<'a, C> {
    inner: &'a Inner,
    followed: &'a Arc<Followed>,
    policy: &'a CallPolicy<C>,
    machine: CallMachine<CallTerms<'a>>,
    started: Instant,
    /// The time as it was last read: a clock costs as much as a pick.
    now: Instant,
    /// When it has to be over.
    deadline: Deadline,
    refused: Option<PickError>,
}

impl<'a, C> Call<'a, C> {
    /// A call that began at `started`, may make its first attempt `now`, and has to be over at `deadline`.
    pub(crate) fn new(
        inner: &'a Inner,
        followed: &'a Arc<Followed>,
        policy: &'a CallPolicy<C>,
        started: Instant,
        now: Instant,
        deadline: Deadline,
    ) -> Self {
        let entropy = inner.random(followed);
        let terms = CallTerms {
            policy: &policy.retry,
            idempotency: policy.idempotency,
            budget: policy.budget.as_deref(),
            deadline,
            shared: &followed.calls,
        };
        let machine = CallMachine::since(terms, entropy, started, now);
        Self { inner, followed, policy, machine, started, now, deadline, refused: None }
    }

    /// Makes attempts until the machine says that the call is over.
    pub(crate) async fn run<T, E, F, Fut>(&mut self, attempt: F) -> Result<T, CallError<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // A call whose attempts follow one another needs no place but its own for them.
        if self.policy.retry.hedge.is_none() {
            self.one_by_one(attempt).await
        } else {
            self.side_by_side(attempt).await
        }
    }

    async fn one_by_one<T, E, F, Fut>(&mut self, mut attempt: F) -> Result<T, CallError<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut last = None;
        loop {
            match self.machine.poll_effect() {
                Some(CallEffect::Attempt { attempt: id, number, kind, timeout }) => {
                    if let Some(lease) = self.place(id) {
                        let made = Attempt::new(&lease, number, kind, self.until(&lease, timeout));
                        last = self.attempt(id, lease, made, &mut attempt).await;
                    }
                }
                // Attempts are made one at a time and end before the machine is asked again: nothing is left
                // to abandon.
                Some(CallEffect::Cancel { .. }) => {}
                None => match self.machine.poll_event() {
                    Some(event) => return self.conclude(event, last),
                    None => self.wait().await,
                },
            }
        }
    }

    /// Makes the attempts of a call that hedges.
    async fn side_by_side<T, E, F, Fut>(&mut self, mut attempt: F) -> Result<T, CallError<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (mut copies, mut last) = (Copies::default(), None);
        loop {
            match self.machine.poll_effect() {
                Some(CallEffect::Attempt { attempt: id, number, kind, timeout }) => {
                    if let Some(lease) = self.place(id) {
                        let until = self.until(&lease, timeout);
                        let future = attempt(Attempt::new(&lease, number, kind, until));
                        copies.start(id, lease, until.instant(), future);
                    }
                }
                Some(CallEffect::Cancel { attempt, why }) => {
                    if let Some(running) = copies.take(attempt) {
                        self.end(running.lease, why.outcome());
                    }
                }
                None => match self.machine.poll_event() {
                    Some(event) => return self.conclude(event, last),
                    None => self.watch(&mut copies, &mut last).await,
                },
            }
        }
    }

    /// Goes on with the copies until one ends, or a time comes that the machine or one of them waits for.
    async fn watch<T, E, Fut>(&mut self, copies: &mut Copies<Fut>, last: &mut Option<Result<T, E>>)
    where
        C: Classify<T, E>,
        Fut: Future<Output = Result<T, E>>,
    {
        let due = [self.machine.poll_timeout(), copies.due()].into_iter().flatten().min();
        let sleep = async {
            match due {
                Some(due) => self.inner.sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let mut sleep = pin!(sleep);
        let ended = poll_fn(|context| {
            if let Poll::Ready(ended) = copies.poll_any(context) {
                return Poll::Ready(Some(ended));
            }
            sleep.as_mut().poll(context).map(|()| None)
        })
        .await;
        if let Some((running, result)) = ended {
            let class = self.judge(&result);
            *last = Some(result);
            let now = self.end(running.lease, class.outcome());
            self.machine.handle_input(now, CallInput::Ended { attempt: running.id, class });
            self.explain(now);
            return;
        }
        while let Some(running) = copies.take_late(self.inner.now()) {
            *last = None;
            let now = self.end(running.lease, Outcome::TimedOut);
            self.machine.handle_input(now, CallInput::TimedOut { attempt: running.id });
            self.explain(now);
        }
        let now = self.read_clock();
        self.machine.handle_timeout(now);
        self.explain(now);
    }

    /// What a result means for the call, whose operation may be one that must not be repeated.
    fn judge<T, E>(&self, result: &Result<T, E>) -> Class
    where
        C: Classify<T, E>,
    {
        let classifier = &self.policy.classifier;
        self.policy.idempotency.judge(classifier.classify(result), classifier.done(result), UnsafeRules::default())
    }

    /// Takes note of what was decided about further attempts.
    fn explain(&mut self, now: Instant) {
        while let Some(decision) = self.machine.take_decision() {
            match decision {
                Decision::Retry { at } => self.record_extra(now, "retry", "granted", at.since(now)),
                Decision::Deferred { at } => {
                    tracing::debug!(service = %self.followed.name, wait = ?at.since(now), "the budget is asked again");
                }
                Decision::Held { at, by } => {
                    tracing::debug!(service = %self.followed.name, %by, wait = ?at.since(now), "an attempt is put off");
                }
                Decision::Hedge { .. } => self.record_extra(now, "hedge", "granted", Duration::ZERO),
                Decision::NoHedge(reason) => self.record_extra(now, "hedge", reason.name(), Duration::ZERO),
            }
        }
    }

    fn record_extra(&self, now: Instant, kind: &'static str, result: &'static str, wait: Duration) {
        let service = &self.followed.name;
        let budget_milli = match &self.policy.budget {
            Some(budget) => Some(budget.level(now).has_milli),
            None => self.followed.calls.budget_milli(now),
        };
        self.inner.record(&Measurement::ExtraAttempt { service, kind, result, wait, budget_milli });
    }

    /// Ends an attempt, and says when.
    fn end(&mut self, lease: Placed, outcome: Outcome) -> Instant {
        let now = self.read_clock();
        let latency = now.since(lease.started());
        let service = &self.followed.name;
        self.inner.record(&Measurement::AttemptEnded { service, outcome: outcome.name(), latency });
        self.followed.calls.ended(now, lease, outcome, latency);
        now
    }

    /// When an attempt has taken too long that may take `timeout`. The machine names it by the time of its last input,
    /// which may be long ago where the registry was waited for, so the end of the call is looked at as well.
    fn until(&self, placed: &Placed, timeout: Option<Duration>) -> Deadline {
        let own = timeout.map_or(Deadline::NEVER, |timeout| Deadline::after(placed.started(), timeout));
        own.min(self.deadline)
    }

    /// Makes one attempt; none where it timed out.
    async fn attempt<T, E, F, Fut>(
        &mut self,
        id: AttemptId,
        lease: Placed,
        made: Attempt,
        attempt: &mut F,
    ) -> Option<Result<T, E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let timeout = made.deadline().remaining(lease.started());
        let future = attempt(made);
        let result = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, future).await.ok(),
            None => Some(future.await),
        };
        let class = result.as_ref().map(|result| self.judge(result));
        let now = self.end(lease, class.map_or(Outcome::TimedOut, Class::outcome));
        let input = match class {
            Some(class) => CallInput::Ended { attempt: id, class },
            None => CallInput::TimedOut { attempt: id },
        };
        self.machine.handle_input(now, input);
        self.explain(now);
        result
    }

    /// Lets the time pass that the machine wants to pass.
    async fn wait(&mut self) {
        if let Some(due) = self.machine.poll_timeout() {
            self.inner.sleep_until(due).await;
            let now = self.read_clock();
            self.machine.handle_timeout(now);
            self.explain(now);
        }
    }

    fn read_clock(&mut self) -> Instant {
        self.now = self.inner.now();
        self.now
    }

    fn conclude<T, E>(&self, event: CallEvent, last: Option<Result<T, E>>) -> Result<T, CallError<E>> {
        let (attempts, reason) = match event {
            CallEvent::Succeeded { attempts } => (attempts, None),
            CallEvent::GaveUp { reason, attempts } => (attempts, Some(reason)),
            // An event that this version does not know ends the call all the same, with what the last attempt gave.
            _ => (self.machine.attempts(), None),
        };
        let now = self.now;
        if let Some(reason) = reason.filter(|reason| attempts > 0 && denies_a_retry(reason)) {
            self.record_extra(now, "retry", reason.name(), Duration::ZERO);
        }
        let elapsed = now.since(self.started);
        let result = reason.map_or("ok", GiveUpReason::name);
        self.inner.record(&Measurement::CallEnded { service: &self.followed.name, attempts, elapsed, result });
        let (error, reason) = match (last, reason) {
            // A reply that was classed as a failure is still the service's own word: the caller gets it.
            (Some(Ok(reply)), _) => return Ok(reply),
            (last, reason) => (last.and_then(Result::err), reason.unwrap_or(GiveUpReason::Permanent)),
        };
        Err(match self.refused {
            Some(source) if reason == GiveUpReason::NoInstance => {
                let reason = ServiceError::Pick { service: self.followed.name.clone(), source };
                CallError::NoInstance { reason, attempts, last: error }
            }
            _ => CallError::GaveUp { reason, attempts, last: error },
        })
    }
}

/// Whether a call that gave up for `reason` would otherwise have been tried again.
const fn denies_a_retry(reason: &GiveUpReason) -> bool {
    match reason {
        GiveUpReason::Budget(_)
        | GiveUpReason::BudgetSilent
        | GiveUpReason::Shut(_)
        | GiveUpReason::Refused { .. }
        | GiveUpReason::AttemptsExhausted { .. }
        | GiveUpReason::DeadlineTooClose { .. }
        | GiveUpReason::RetryAfterTooLong { .. } => true,
        GiveUpReason::Permanent
        | GiveUpReason::Final { .. }
        | GiveUpReason::DeadlineExceeded { .. }
        | GiveUpReason::NoInstance
        | _ => false,
    }
}
