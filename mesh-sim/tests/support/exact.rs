//! Small scenarios whose every number can be worked out by hand, and what a run of them shows.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![expect(clippy::expect_used, reason = "a scenario that is not possible is a broken test")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::balance::Strategy;
use mesh_core::balance::policy::LeastLoadedConfig;
use mesh_core::time::Instant;
use mesh_sim::model::scenario::{
    Arrivals, BackoffShape, Clients, Direction, Distribution, Fault, FaultKind, Network, Retry, Scenario, ServerGroup,
    Target,
};
use mesh_sim::model::{Event, EventKind, Observer, Run};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a number from 1")
}

pub(crate) fn constant(millis: u64) -> Distribution {
    Distribution::constant(ms(millis))
}

/// Requests at these milliseconds.
pub(crate) fn at(millis: &[u64]) -> Arrivals {
    Arrivals::at(millis.iter().copied().map(ms).collect::<Vec<_>>())
}

/// `count` fifo servers of one worker that take 10 ms for a request.
pub(crate) fn backends(count: u32) -> ServerGroup {
    ServerGroup::new("backend", count, constant(10))
}

/// One such server.
pub(crate) fn backend() -> ServerGroup {
    backends(1)
}

/// A second in which one client sends requests in turn.
pub(crate) fn scenario(arrivals: Arrivals, servers: ServerGroup) -> Scenario {
    Scenario::new("exact", ms(1000), arrivals).servers(servers).strategy(Strategy::RoundRobin)
}

pub(crate) fn network(millis: u64) -> Network {
    Network::with_latency(constant(millis))
}

/// At most `attempts` attempts, with a wait of 10 ms before the first retry that doubles up to 40 ms.
pub(crate) fn retry(attempts: u32) -> Retry {
    let mut retry = Retry::default();
    retry.attempts_max = number(attempts);
    let jitter = mesh_retry::backoff::Jitter::None;
    retry.backoff = BackoffShape::Exponential { base: ms(10), cap: ms(40), multiplier_milli: 2000, jitter };
    retry
}

/// Least loaded that forgets a failure at once.
pub(crate) fn least_loaded_without_hold() -> Strategy {
    let mut config = LeastLoadedConfig::default();
    config.failure_hold = Duration::ZERO;
    Strategy::LeastLoaded(config)
}

pub(crate) fn all() -> Target {
    Target::Group("backend".into())
}

pub(crate) fn server(index: u32) -> Target {
    Target::Server { group: "backend".into(), index }
}

/// `kind` of every backend from `from` until `until`.
pub(crate) fn fault(kind: FaultKind, from: u64, until: u64) -> Fault {
    aimed(all(), kind, from, until)
}

/// `kind` of `target` from `from` until `until`.
pub(crate) fn aimed(target: Target, kind: FaultKind, from: u64, until: u64) -> Fault {
    Fault::new(ms(from), target, kind).lasting(ms(until - from))
}

pub(crate) const fn partition(direction: Direction) -> FaultKind {
    FaultKind::Partition { direction }
}

pub(crate) fn with_clients(mut scenario: Scenario, change: impl FnOnce(Clients) -> Clients) -> Scenario {
    scenario.clients = change(scenario.clients);
    scenario
}

/// A run and everything that happened in it.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) run: Run,
    pub(crate) events: Vec<(Instant, Event)>,
}

impl Trace {
    /// The run of the scenario's first strategy.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self::of_strategy(scenario, 0)
    }

    pub(crate) fn of_strategy(scenario: &Scenario, index: usize) -> Self {
        let mut events = Events::default();
        let run = scenario.plan().expect("a possible scenario").run(index, &mut events);
        Self { run, events: events.0 }
    }

    /// What happened of `kinds`, as text: `10ms served r0.1@0` is attempt 1 of request 0 at server 0.
    pub(crate) fn lines(&self, kinds: &[EventKind]) -> Vec<String> {
        self.select(kinds).map(|(at, event)| line(*at, event)).collect()
    }

    /// What happened to requests and attempts, the choice of servers aside.
    pub(crate) fn story(&self) -> Vec<String> {
        self.lines(STORY)
    }

    /// How requests ended: succeeded, failed, timed out, rejected and refused.
    pub(crate) fn ends(&self) -> [u64; 5] {
        let requests = self.run.requests;
        [requests.succeeded, requests.failed, requests.timed_out, requests.rejected, requests.refused]
    }

    pub(crate) fn select(&self, kinds: &[EventKind]) -> impl Iterator<Item = &(Instant, Event)> {
        self.events.iter().filter(move |(_, event)| kinds.contains(&event.kind))
    }

    /// The servers that were picked, one after the other.
    pub(crate) fn picks(&self) -> Vec<u32> {
        self.select(&[EventKind::Picked]).map(|(_, event)| event.server).collect()
    }

    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.select(&[kind]).count()
    }
}

#[derive(Default)]
struct Events(Vec<(Instant, Event)>);

impl Observer for Events {
    fn occurred(&mut self, at: Instant, event: &Event) {
        self.0.push((at, *event));
    }
}

fn line(at: Instant, event: &Event) -> String {
    let Event { kind, request, attempt, client, server } = *event;
    let request = if request == u64::MAX { format!("c{client}") } else { format!("r{request}") };
    let attempt = if attempt == u32::MAX { String::new() } else { format!(".{attempt}") };
    let server = if server == u32::MAX { String::new() } else { format!("@{server}") };
    format!("{at:?} {} {request}{attempt}{server}", kind.name())
}

const STORY: &[EventKind] = &[
    EventKind::Unavailable,
    EventKind::Started,
    EventKind::Served,
    EventKind::Erred,
    EventKind::Rejected,
    EventKind::Refused,
    EventKind::Swallowed,
    EventKind::Crashed,
    EventKind::Cancelled,
    EventKind::Lost,
    EventKind::Replied,
    EventKind::Failed,
    EventKind::TimedOut,
];
