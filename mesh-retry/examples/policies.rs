//! What each preset would do over one scripted outage, attempt by attempt and with its reasons.
//!
//! A client makes twenty calls a second for twelve seconds. The service is well for two seconds, then nobody accepts a
//! connection for four, then it is overloaded for two and says so, and then it is well again. Each preset retries with the
//! budget that its peer pairs it with. Four calls are told in full, and all of them are counted.
//!
//! ```sh
//! cargo run --release -p mesh-retry --example policies
//! cargo run --release -p mesh-retry --example policies -- grpc
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it shows")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mesh_retry::budget::{
    AwsConfig, Budget, BudgetConfig, ConcurrentConfig, GrpcThrottleConfig, TokenBucketConfig, WindowConfig,
};
use mesh_retry::call::{AttemptId, CallEffect, CallEvent, CallInput, CallMachine, Decision, Terms};
use mesh_retry::classify::Class;
use mesh_retry::policy::RetryPolicy;
use mesh_retry::{EndpointId, Instant, Machine as _};

fn main() {
    let wanted = std::env::args().nth(1);
    let presets = presets();
    let chosen: Vec<_> =
        presets.iter().filter(|preset| wanted.as_ref().is_none_or(|name| preset.name == name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = presets.iter().map(|preset| preset.name).collect();
        eprintln!("there is no preset of that name; there are {}", names.join(", "));
        std::process::exit(2);
    }
    println!("20 calls/s; down from 2 s to 6 s, overloaded to 8 s (\"come back in 1 s\")\n");
    let outcomes: Vec<_> = chosen.iter().map(|preset| (preset.name, Run::new(preset).play())).collect();
    println!(
        "{:<14}{:>8}{:>10}{:>10}{:>12}{:>16}",
        "preset", "calls", "answered", "attempts", "per call", "in the outage"
    );
    for (name, outcome) in outcomes {
        let Outcome { calls, answered, attempts, outage_attempts } = outcome;
        let per_call = f64::from(attempts) / f64::from(calls);
        let in_outage = f64::from(outage_attempts) / f64::from(OUTAGE_CALLS);
        println!("{name:<14}{calls:>8}{answered:>10}{attempts:>10}{per_call:>12.2}{in_outage:>15.2}x");
    }
}

/// A policy and the budget that goes with it.
struct Preset {
    name: &'static str,
    policy: RetryPolicy,
    budget: BudgetConfig,
}

fn presets() -> [Preset; 8] {
    let mesh = || BudgetConfig::TokenBucket(TokenBucketConfig::default());
    let preset = |name, policy, budget| Preset { name, policy, budget };
    [
        preset("default", RetryPolicy::default(), mesh()),
        preset("aggressive", RetryPolicy::aggressive(), mesh()),
        preset("conservative", RetryPolicy::conservative(), mesh()),
        preset("aws_2024", RetryPolicy::aws_2024(), BudgetConfig::AwsStandard(AwsConfig::aws_2024())),
        preset("aws_2026", RetryPolicy::aws_2026(), BudgetConfig::AwsStandard(AwsConfig::aws_2026())),
        preset("grpc", RetryPolicy::grpc(), BudgetConfig::GrpcThrottle(GrpcThrottleConfig::default())),
        preset("envoy", RetryPolicy::envoy(), BudgetConfig::Concurrent(ConcurrentConfig::default())),
        preset("finagle", RetryPolicy::finagle(), BudgetConfig::Window(WindowConfig::default())),
    ]
}

/// What the calls of one client go by.
struct Client<'a> {
    policy: &'a RetryPolicy,
    budget: &'a dyn Budget,
}

impl Terms for Client<'_> {
    fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        Some(self.budget)
    }
}

/// What came of all calls.
#[derive(Default)]
struct Outcome {
    calls: u32,
    answered: u32,
    attempts: u32,
    outage_attempts: u32,
}

/// Something that is to happen to a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Begins,
    Wakes,
    Ends(AttemptId),
}

/// One client over the outage.
struct Run<'a> {
    preset: &'a Preset,
    agenda: BinaryHeap<Reverse<(Instant, u32, Due)>>,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(preset: &'a Preset) -> Self {
        let begins = |call| Reverse((Instant::ZERO + APART * call, call, Due::Begins));
        Self { preset, agenda: (0..CALLS).map(begins).collect(), outcome: Outcome::default() }
    }

    fn play(mut self) -> Outcome {
        println!("{}", self.preset.name);
        let budget = self.preset.budget.build();
        let mut calls: Vec<Option<CallMachine<Client<'_>>>> = (0..CALLS).map(|_| None).collect();
        while let Some(Reverse((now, call, due))) = self.agenda.pop() {
            let client = || Client { policy: &self.preset.policy, budget: &*budget };
            let machine = calls[call as usize].get_or_insert_with(|| CallMachine::new(client(), u64::from(call), now));
            match due {
                Due::Begins => {}
                Due::Wakes => machine.handle_timeout(now),
                Due::Ends(attempt) => {
                    let (class, said) = answer(now);
                    tell(call, now, format_args!("  {said}"));
                    machine.handle_input(now, CallInput::Ended { attempt, class });
                }
            }
            self.follow(now, call, machine);
        }
        println!();
        self.outcome
    }

    /// Does what the machine of a call asks for.
    fn follow(&mut self, now: Instant, call: u32, machine: &mut CallMachine<Client<'_>>) {
        if let Some(Decision::Retry { at }) = machine.take_decision() {
            tell(call, now, format_args!("  waits for {}", millis(at.since(now))));
        }
        while let Some(effect) = machine.poll_effect() {
            if let CallEffect::Attempt { attempt, number, .. } = effect {
                tell(call, now, format_args!("attempt {number}"));
                self.outcome.attempts += 1;
                self.outcome.outage_attempts += u32::from(OUTAGE.contains(&now));
                machine.handle_input(now, CallInput::Picked { attempt, endpoint: EndpointId::from_number(1) });
                self.agenda.push(Reverse((now + ROUND_TRIP, call, Due::Ends(attempt))));
            }
        }
        match machine.poll_event() {
            Some(CallEvent::Succeeded { .. }) => {
                self.outcome.calls += 1;
                self.outcome.answered += 1;
            }
            Some(CallEvent::GaveUp { reason, .. }) => {
                tell(call, now, format_args!("  gives up: {reason}"));
                self.outcome.calls += 1;
            }
            Some(_) | None => {}
        }
        if let Some(due) = machine.poll_timeout() {
            self.agenda.push(Reverse((due, call, Due::Wakes)));
        }
    }
}

/// What the service answers to an attempt that ends `now`.
fn answer(now: Instant) -> (Class, &'static str) {
    match now.as_nanos() / 1_000_000_000 {
        2..6 => (Class::Unreachable, "nobody accepts the connection"),
        6..8 => (Class::Throttled { retry_after: Some(Duration::from_secs(1)) }, "503, Retry-After: 1"),
        _ => (Class::Success, "200"),
    }
}

/// Tells what happens to a call that is told in full.
fn tell(call: u32, now: Instant, what: std::fmt::Arguments<'_>) {
    if TOLD.contains(&call) {
        let mut line = format!("  call {call:>3}  {:>9} ", millis(now.since(Instant::ZERO)));
        for word in what.to_string().split(' ') {
            if line.len() + 1 + word.len() > COLUMNS {
                println!("{line}");
                line = " ".repeat(INDENT);
            }
            line = line + " " + word;
        }
        println!("{line}");
    }
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

const APART: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(10);
const CALLS: u32 = 240;
/// At the beginning of the outage, within it, at its end, and while the service is overloaded.
const TOLD: [u32; 4] = [40, 70, 117, 140];
const OUTAGE: std::ops::Range<Instant> = Instant::from_millis(2_000)..Instant::from_millis(8_000);
const OUTAGE_CALLS: u32 = 120;

/// How wide the terminal is, and where what does not fit goes on.
const COLUMNS: usize = 80;
const INDENT: usize = 26;
