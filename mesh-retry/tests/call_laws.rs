//! What holds for every call, whatever its policy, its callees and its driver do.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::backoff::{Cause, Jitter};
use mesh_retry::call::{
    AttemptId, CallEffect, CallEvent, CallInput, CallMachine, CancelReason, GiveUpReason, Unavailable,
};
use mesh_retry::classify::{Class, FinalBy};
use mesh_retry::hedge::HedgePolicy;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _, Rng};
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_machine_laws_hold(
        policy in any_hedged_policy(),
        entropy: u64,
        start in 0..2_000_000_000_u64,
        script in proptest::collection::vec((0..20_000_000_000_u64, any_input()), 0..12),
        seed: u64,
    ) {
        let script = script.into_iter().map(|(at, input)| (Instant::from_nanos(at), input)).collect();
        let until = Instant::from_millis(600_000);
        let world = World { script, answer: &answer, until, seed };
        let trace = assert_hold(|| CallMachine::new(&policy, entropy, Instant::from_nanos(start)), &world);
        let events = trace.iter().filter(|line| line.contains(" event ")).count();
        prop_assert!(events <= 1, "{trace:#?}");
    }

    #[test]
    fn a_call_keeps_its_policy(
        policy in any_policy(),
        entropy: u64,
        steps in proptest::collection::vec(any_step(), 0..40),
    ) {
        let mut run = Run::new(policy, entropy);
        for step in steps {
            if !run.step(step)? {
                break;
            }
        }
        run.judge()?;
    }
}

/// What happens to one attempt, and how late the driver's timers are.
#[derive(Clone, Copy, Debug)]
struct Step {
    end: End,
    latency: Duration,
    late: Duration,
    /// Whether the driver leaves the deadline to the machine's timer.
    by_timer: bool,
    endpoint: u64,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Class(Class),
    Hangs,
    Unavailable(Unavailable),
}

/// A call under way, with what its driver knows about it.
struct Run {
    policy: RetryPolicy,
    call: CallMachine,
    start: Instant,
    now: Instant,
    attempts: u32,
    waited: Duration,
    stale: u64,
    last: Option<End>,
    over: Option<CallEvent>,
}

impl Run {
    fn new(policy: RetryPolicy, entropy: u64) -> Self {
        let start = Instant::from_millis(77);
        Self {
            call: CallMachine::new(policy, entropy, start),
            policy,
            start,
            now: start,
            attempts: 0,
            waited: Duration::ZERO,
            stale: 0,
            last: None,
            over: None,
        }
    }

    /// Plays one attempt and the wait after it; false when the call is over or hangs.
    fn step(&mut self, step: Step) -> Result<bool, TestCaseError> {
        let Some(CallEffect::Attempt { attempt, number, timeout, .. }) = self.call.poll_effect() else {
            return self.ends();
        };
        self.check_start(number, timeout)?;
        self.put(CallInput::TimedOut { attempt: AttemptId::from_number(attempt.number() + 1) });
        self.stale += 1;
        if !self.play(step, attempt, timeout)? {
            return Ok(false);
        }
        match step.end {
            End::Unavailable(_) => {}
            End::Class(_) | End::Hangs => self.check_wait(step)?,
        }
        Ok(true)
    }

    fn check_start(&mut self, number: u32, timeout: Option<Duration>) -> Result<(), TestCaseError> {
        self.attempts += 1;
        prop_assert_eq!(number, self.attempts);
        prop_assert!(number <= self.policy.attempts_max.get());
        if let Some(deadline) = self.policy.deadline {
            prop_assert!(self.now < self.start + deadline, "attempt {} starts at the deadline or later", number);
            prop_assert!(timeout.is_some_and(|timeout| self.now + timeout <= self.start + deadline));
        }
        if let Some(longest) = self.policy.attempt_timeout {
            prop_assert!(timeout.is_some_and(|timeout| timeout <= longest));
        }
        prop_assert!(timeout.is_none_or(|timeout| !timeout.is_zero()));
        Ok(())
    }

    /// Lets one attempt take its course; false when it hangs for ever.
    fn play(&mut self, step: Step, attempt: AttemptId, timeout: Option<Duration>) -> Result<bool, TestCaseError> {
        self.last = Some(step.end);
        let class = match step.end {
            End::Unavailable(reason) => {
                self.attempts -= 1;
                self.put(CallInput::Unavailable { attempt, reason });
                return Ok(true);
            }
            End::Hangs => None,
            End::Class(class) => Some(class),
        };
        self.put(CallInput::Picked { attempt, endpoint: EndpointId::from_number(step.endpoint) });
        prop_assert!(self.call.tried().contains(EndpointId::from_number(step.endpoint)));
        match class {
            Some(class) if timeout.is_none_or(|timeout| step.latency < timeout) => {
                self.now += step.latency;
                self.put(CallInput::Ended { attempt, class });
            }
            Some(_) | None => {
                let Some(timeout) = timeout else { return Ok(false) };
                self.last = Some(End::Hangs);
                let deadline = self.policy.deadline.map(|deadline| self.start + deadline);
                let last_chance = deadline == Some(self.now + timeout);
                self.now = self.now + timeout + step.late;
                if last_chance && step.by_timer {
                    self.call.handle_timeout(self.now);
                    prop_assert_eq!(
                        self.call.poll_effect(),
                        Some(CallEffect::Cancel { attempt, why: CancelReason::Deadline })
                    );
                } else {
                    self.put(CallInput::TimedOut { attempt });
                }
            }
        }
        self.put(CallInput::Ended { attempt, class: Class::Success });
        self.stale += 1;
        Ok(true)
    }

    /// Waits for the next attempt, where there is to be one.
    fn check_wait(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Some(due) = self.call.poll_timeout() else { return Ok(()) };
        let wait = due - self.now;
        let (shortest, longest) = self.bounds();
        prop_assert!(wait >= shortest && wait <= longest, "{:?} is not in {:?}", wait, (shortest, longest));
        prop_assert!(shortest <= self.policy.retry_after_max);
        prop_assert!(self.policy.deadline.is_none_or(|deadline| due < self.start + deadline));
        self.waited += wait;
        self.now = due + step.late;
        self.call.handle_timeout(due - Duration::from_nanos(u64::from(!wait.is_zero())));
        prop_assert!(wait.is_zero() || self.call.poll_timeout() == Some(due), "woken up early, it stirred");
        self.call.handle_timeout(self.now);
        Ok(())
    }

    /// The shortest and the longest wait that the policy allows after the last attempt.
    fn bounds(&self) -> (Duration, Duration) {
        let announced = match self.last {
            Some(End::Class(Class::Throttled { retry_after })) => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        (announced, announced + self.policy.backoff.ceiling(self.attempts, Cause::Failed))
    }

    fn ends(&mut self) -> Result<bool, TestCaseError> {
        self.over = self.call.poll_event();
        prop_assert!(self.over.is_some(), "neither an effect nor an event: the call is stuck");
        prop_assert_eq!(self.call.poll_timeout(), None);
        self.put(CallInput::TimedOut { attempt: AttemptId::from_number(1) });
        self.stale += 1;
        self.call.handle_timeout(Instant::MAX);
        prop_assert_eq!(self.call.poll_effect(), None);
        prop_assert_eq!(self.call.poll_event(), None);
        Ok(false)
    }

    /// Checks the end of the call, if it came, against what is known.
    fn judge(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.call.ignored(), self.stale);
        let retries = self.policy.attempts_max.get() - 1;
        let ceilings: Duration = (1..=retries).map(|retry| self.policy.backoff.ceiling(retry, Cause::Failed)).sum();
        prop_assert!(self.waited <= ceilings + self.policy.retry_after_max * retries);
        let overdue = self.policy.deadline.is_some_and(|deadline| self.now >= self.start + deadline);
        match self.over {
            None => {}
            Some(CallEvent::Succeeded { attempts }) => {
                prop_assert_eq!(attempts, self.attempts);
                prop_assert!(matches!(self.last, Some(End::Class(Class::Success))));
            }
            Some(CallEvent::GaveUp { reason, attempts }) => {
                prop_assert_eq!(attempts, self.attempts);
                prop_assert!(self.justifies(reason, overdue), "{:?} after {:?}", reason, self.last);
            }
            Some(other) => prop_assert!(false, "{:?} is unknown to this test", other),
        }
        Ok(())
    }

    fn justifies(&self, reason: GiveUpReason, overdue: bool) -> bool {
        let (announced, longest) = self.bounds();
        let retryable = match self.last {
            Some(End::Class(class)) => class.is_retryable(),
            Some(End::Hangs) => true,
            Some(End::Unavailable(_)) | None => false,
        };
        match reason {
            GiveUpReason::Permanent => matches!(self.last, Some(End::Class(Class::Permanent))),
            GiveUpReason::Final { by } => {
                matches!(self.last, Some(End::Class(Class::Final { by: told, .. })) if told == by)
            }
            GiveUpReason::AttemptsExhausted { attempts_max } => {
                retryable && attempts_max == self.policy.attempts_max && self.attempts == attempts_max.get()
            }
            GiveUpReason::DeadlineExceeded { deadline } => overdue && self.policy.deadline == Some(deadline),
            GiveUpReason::DeadlineTooClose { needed, left } => {
                let deadline = self.policy.deadline.map(|deadline| self.start + deadline);
                let right = deadline.is_some_and(|deadline| deadline - self.now == left);
                retryable && right && !overdue && needed >= left && needed >= announced && needed <= longest
            }
            GiveUpReason::RetryAfterTooLong { announced: said, max } => {
                retryable && said == announced && said > max && max == self.policy.retry_after_max
            }
            GiveUpReason::NoInstance => matches!(self.last, Some(End::Unavailable(_))),
            // A policy alone has neither budget nor gates, and its operations may be repeated.
            GiveUpReason::Budget(_)
            | GiveUpReason::BudgetSilent
            | GiveUpReason::Shut(_)
            | GiveUpReason::Refused { .. }
            | _ => false,
        }
    }

    fn put(&mut self, input: CallInput) {
        self.call.handle_input(self.now, input);
    }
}

/// The world of the laws: answers attempts at random, and some never.
fn answer(effect: &CallEffect, rng: &mut Rng) -> Option<(Duration, CallInput)> {
    let CallEffect::Attempt { attempt, .. } = *effect else { return None };
    let input = match rng.below(8) {
        0 => CallInput::Ended { attempt, class: Class::Success },
        1 => CallInput::Ended { attempt, class: Class::Permanent },
        2 => CallInput::Ended { attempt, class: Class::Throttled { retry_after: Some(Duration::from_secs(1)) } },
        3 => CallInput::TimedOut { attempt },
        4 => CallInput::Unavailable { attempt, reason: Unavailable::AllExcluded },
        5 => return None,
        _ => CallInput::Ended { attempt, class: Class::Transient },
    };
    Some((rng.up_to(Duration::from_millis(700)), input))
}

fn any_policy() -> impl Strategy<Value = RetryPolicy> {
    let limit = || proptest::option::of(1..5_000_u64);
    (1..8_u32, 0..2_000_u64, 0..3_000_u64, 1000..4_000_u32, any_jitter(), limit(), limit(), 0..3_000_u64).prop_map(
        |(attempts_max, base, cap, multiplier_milli, jitter, deadline, attempt_timeout, retry_after_max)| {
            let mut policy = RetryPolicy::default();
            policy.attempts_max = NonZeroU32::MIN.saturating_add(attempts_max - 1);
            policy.backoff.base = Duration::from_millis(base);
            policy.backoff.cap = Duration::from_millis(cap);
            policy.backoff.multiplier_milli = multiplier_milli;
            policy.backoff.jitter = jitter;
            policy.deadline = deadline.map(Duration::from_millis);
            policy.attempt_timeout = attempt_timeout.map(Duration::from_millis);
            policy.retry_after_max = Duration::from_millis(retry_after_max);
            policy
        },
    )
}

fn any_hedged_policy() -> impl Strategy<Value = RetryPolicy> {
    let hedge = (2..=5_u32, 0..400_u64).prop_map(|(copies, delay)| {
        let mut hedge = HedgePolicy::after(Duration::from_millis(delay));
        hedge.attempts_max = NonZeroU32::MIN.saturating_add(copies - 1);
        hedge
    });
    (any_policy(), proptest::option::of(hedge)).prop_map(|(mut policy, hedge)| {
        policy.hedge = hedge;
        policy
    })
}

fn any_jitter() -> impl Strategy<Value = Jitter> {
    let drawn = [Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated];
    prop_oneof![Just(Jitter::None), prop::sample::select(drawn.to_vec())]
}

fn any_step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        12 => any_class().prop_map(End::Class),
        2 => Just(End::Hangs),
        1 => Just(End::Unavailable(Unavailable::AllExcluded)),
        1 => Just(End::Unavailable(Unavailable::None)),
    ];
    let late = prop_oneof![3 => Just(0), 1 => 0..400_u64];
    (end, 0..900_u64, late, any::<bool>(), 0..12_u64).prop_map(|(end, latency, late, by_timer, endpoint)| Step {
        end,
        latency: Duration::from_millis(latency),
        late: Duration::from_millis(late),
        by_timer,
        endpoint,
    })
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![
        1 => Just(Class::Success),
        6 => Just(Class::Transient),
        3 => proptest::option::of(0..4_000_u64)
            .prop_map(|wait| Class::Throttled { retry_after: wait.map(Duration::from_millis) }),
        1 => Just(Class::Permanent),
        1 => Just(Class::Transient.final_by(FinalBy::Idempotency)),
    ]
}

/// An input out of the blue: of an attempt that may or may not be under way.
fn any_input() -> impl Strategy<Value = CallInput> {
    (0..6_u64, 0..4_u8, any_class()).prop_map(|(number, kind, class)| {
        let attempt = AttemptId::from_number(number);
        match kind {
            0 => CallInput::Picked { attempt, endpoint: EndpointId::from_number(number) },
            1 => CallInput::TimedOut { attempt },
            2 => CallInput::Unavailable { attempt, reason: Unavailable::AllExcluded },
            _ => CallInput::Ended { attempt, class },
        }
    })
}
