//! The engine: one thread, one virtual clock, events in the order of (time, sequence).
//!
//! Clients are the mesh's own values: a balancer, a service machine and call machines each, driven as the tokio driver
//! drives them. Servers, network and registry are models. Time jumps from event to event in whole nanoseconds, and
//! nothing is drawn but from the streams of `random`, so that a seed gives the same trace on every machine.
//!
//! It never reads a clock or a file, and an observer can end a run but change nothing in it.

mod agenda;
mod arrivals;
mod call;
mod calling;
mod client;
mod condition;
mod control;
mod course;
mod digest;
mod edges;
mod faults;
mod fleet;
mod law;
mod losing;
mod metrics;
mod network;
mod probing;
mod production;
mod queue;
mod random;
mod registry;
mod server;
mod serving;
mod setup;
mod sharing;
mod summary;

use alloc::collections::{BTreeMap, VecDeque};
use core::hint::black_box;
use core::time::Duration;

use mesh_core::balance::{Explanation, Lease, Strategy};
use mesh_core::health::{ProbeId, ProbeVerdict};
use mesh_core::rng::Rng;
use mesh_core::service::InstanceKey;
use mesh_core::time::Instant;
use mesh_retry::call::AttemptId;
use slotmap::{DefaultKey, SlotMap};

use super::observe::{Event, EventKind, Observer};
use super::result::Run;
use super::scenario::{CancelMode, Scenario};
use agenda::Agenda;
use call::Call;
use client::Client;
use condition::Condition;
pub(crate) use course::Course;
use digest::Digest;
use faults::{Edge, Effect};
use fleet::{Fleet, LetterKey};
use metrics::Metrics;
use network::Wire;
pub(crate) use production::Production;
use random::Streams;
use registry::Registry;
use server::{Group, Server};

type CallKey = DefaultKey;
type AttemptKey = DefaultKey;
type ProbeKey = DefaultKey;

/// Runs `strategy` in `scenario`, which must have been found valid.
pub(crate) fn run<O: Observer>(scenario: &Scenario, strategy: &Strategy, observer: &mut O) -> Run {
    run_course(scenario, strategy, &&Production::new(scenario), observer)
}

/// As [`run`], with calls that `course` decides.
pub(crate) fn run_course<C: Course, O: Observer>(
    scenario: &Scenario,
    strategy: &Strategy,
    course: &C,
    observer: &mut O,
) -> Run {
    let mut engine = Engine::new(scenario, strategy, course, observer);
    engine.begin();
    while let Some((at, due)) = engine.agenda.pop() {
        engine.now = at;
        engine.steps += 1;
        if engine.steps.is_multiple_of(STEPS_UNSEEN) && engine.observer.progress(at).is_break() {
            return engine.summary(strategy, Some(at));
        }
        engine.foresee();
        engine.dispatch(due);
        engine.answer_bells();
        if engine.is_over() {
            break;
        }
    }
    engine.wind_down();
    engine.summary(strategy, None)
}

/// A simulation under way.
struct Engine<'a, C: Course, O> {
    scenario: &'a Scenario,
    course: &'a C,
    observer: &'a mut O,
    now: Instant,
    steps: u64,
    agenda: Agenda<Due>,
    digest: Digest,
    metrics: Metrics,
    /// From the warm-up to the duration.
    window: (Instant, Instant),
    wire: Wire,
    demands: Streams,
    mishaps: Streams,

    servers: Vec<Server>,
    groups: Vec<Group>,
    attempts: SlotMap<AttemptKey, Attempt>,

    clients: Vec<Client>,
    numbers: BTreeMap<InstanceKey, u32>,
    calls: SlotMap<CallKey, Call<C::Call>>,
    probes: SlotMap<ProbeKey, Probing>,
    probes_made: u64,
    registry: Registry,
    /// The coordinator of the clients, where they share a budget.
    fleet: Option<Box<Fleet>>,

    arrivals: arrivals::Process,
    choice: Rng,
    keys: Option<setup::KeyLaw>,
    requests_made: u64,
    /// Whether a request may still come of its own: an arrival, or a user who has not retired.
    sources: u32,
    /// How many requests each user of a closed loop has made.
    asked: Vec<u64>,
    /// Requests that came while their clients were paused.
    held: VecDeque<Coming>,

    effects: Vec<Effect>,
    edges: Vec<Edge>,
    /// What is wrong with all clients; none while they are well.
    affliction: Option<Box<Condition>>,
}

/// Something that is to happen.
#[derive(Clone, Copy, Debug)]
enum Due {
    Arrival,
    Asks(u32),
    Release,
    Reaches(AttemptKey),
    Ends(AttemptKey),
    Shares { server: u32, plan: u32 },
    Answers(AttemptKey),
    Replies(AttemptKey),
    Cancels(AttemptKey),
    TimesOut(AttemptKey),
    Deadline(CallKey),
    Wakes(CallKey),
    Hears { client: u32, version: u64 },
    LosesRegistry(u32),
    Machine(u32),
    Coordinator(u32),
    StoreReached(LetterKey),
    StoreReplied(LetterKey),
    ProbeReaches(ProbeKey),
    ProbeReturns(ProbeKey),
    Edge(usize),
}

/// Whose doing something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Requests come of their own.
    Source,
    Client,
    Server,
    Faults,
}

impl Due {
    const fn side(self) -> Side {
        match self {
            Self::Arrival | Self::Asks(_) => Side::Source,
            Self::Release
            | Self::Replies(_)
            | Self::TimesOut(_)
            | Self::Deadline(_)
            | Self::Wakes(_)
            | Self::Hears { .. }
            | Self::LosesRegistry(_)
            | Self::Machine(_)
            | Self::Coordinator(_)
            | Self::StoreReplied(_)
            | Self::ProbeReturns(_) => Side::Client,
            Self::Reaches(_)
            | Self::Ends(_)
            | Self::Shares { .. }
            | Self::Answers(_)
            | Self::Cancels(_)
            | Self::ProbeReaches(_)
            | Self::StoreReached(_) => Side::Server,
            Self::Edge(_) => Side::Faults,
        }
    }
}

/// A request as it comes.
#[derive(Clone, Copy, Debug)]
struct Coming {
    request: u64,
    client: u32,
    intended: Instant,
    user: u32,
}

/// An attempt under way: its client's side is the lease, its server's side the place.
#[derive(Debug)]
struct Attempt {
    call: CallKey,
    request: u64,
    number: u32,
    client: u32,
    server: u32,
    measured: bool,
    place: Place,
    answer: Answer,
    /// Held while the client waits.
    lease: Option<Lease>,
    id: AttemptId,
    /// When it came to the server, and when its service began.
    arrived: Instant,
    started: Instant,
    /// Of one in service, for how long its server had been paused before (fifo and delay), or its demand
    /// (processor-sharing); of one that was swallowed, the number of the hang. In nanoseconds.
    mark: u64,
    /// Who waits behind it.
    behind: AttemptKey,
}

/// Where an attempt is, as its server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OnTheWay,
    /// Come to a server that is paused.
    AtTheDoor,
    Waiting,
    /// Taken back; it is forgotten when its turn comes.
    Left,
    InService,
    Swallowed,
    /// Its answer is on the way.
    Answered,
    Gone,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Success,
    Error,
    /// No connection, or one that broke.
    Nobody,
    Full,
}

/// A check under way.
#[derive(Debug)]
struct Probing {
    client: u32,
    server: u32,
    number: u64,
    id: ProbeId,
    sent: Instant,
    verdict: ProbeVerdict,
}

impl<C: Course, O: Observer> Engine<'_, C, O> {
    #[inline]
    fn dispatch(&mut self, due: Due) {
        if self.affliction.is_some() && self.is_held_up(due) {
            return;
        }
        match due {
            Due::Arrival => self.arrive(),
            Due::Asks(user) => self.ask(user),
            Due::Release => self.release(),
            Due::Reaches(attempt) => self.reach(attempt),
            Due::Ends(attempt) => self.end(attempt),
            Due::Shares { server, plan } => self.share(server, plan),
            Due::Answers(attempt) => self.answer(attempt),
            Due::Replies(attempt) => self.reply(attempt),
            Due::Cancels(attempt) => self.cancel(attempt),
            Due::TimesOut(attempt) => self.time_out(attempt),
            Due::Deadline(call) => self.deadline(call),
            Due::Wakes(call) => self.wake(call),
            Due::Hears { client, version } => self.hear(client, version),
            Due::LosesRegistry(client) => self.lose_registry(client),
            Due::Machine(client) => self.turn_machine(client),
            Due::Coordinator(client) => self.turn_coordinator(client),
            Due::StoreReached(letter) => self.reach_store(letter),
            Due::StoreReplied(letter) => self.hear_store(letter),
            Due::ProbeReaches(probe) => self.probe_reaches(probe),
            Due::ProbeReturns(probe) => self.probe_returns(probe),
            Due::Edge(edge) => self.edge(edge),
        }
    }

    /// Reads what the end of a service will need that comes next, so that the processor fetches it while it works on
    /// what comes now: with thousands of servers most of the time would be spent waiting for memory.
    #[inline]
    fn foresee(&self) {
        if let Some(Due::Ends(key)) = self.agenda.peek()
            && let Some(attempt) = self.attempts.get(*key)
        {
            black_box(self.servers[attempt.server as usize].working);
            black_box(self.calls.get(attempt.call).map(|call| call.measured));
            black_box(attempt.lease.as_ref().map(|lease| lease.endpoint().in_flight()));
        }
    }

    /// Lets servers go on until the duration with what nobody waits for any more: it keeps their workers busy.
    fn wind_down(&mut self) {
        while let Some((at, due)) = self.agenda.pop().filter(|(at, _)| *at <= self.window.1) {
            self.now = at;
            if matches!(due.side(), Side::Server | Side::Faults) {
                self.dispatch(due);
            }
        }
    }

    /// Puts off what a paused client would have to do.
    fn is_held_up(&mut self, due: Due) -> bool {
        let Some(affliction) = self.affliction.as_ref().filter(|affliction| affliction.paused) else { return false };
        let until = affliction.paused_until(&self.effects).unwrap_or(self.window.1);
        if due.side() == Side::Client && until > self.now {
            self.agenda.push(until, due);
            return true;
        }
        false
    }

    /// Whether no request is under way and none can come.
    #[inline]
    fn is_over(&self) -> bool {
        self.sources == 0 && self.calls.is_empty() && self.held.is_empty()
    }

    #[inline]
    fn note(&mut self, event: Event) {
        self.digest.take(self.now, &event);
        self.observer.occurred(self.now, &event);
    }

    /// Takes note of a pick, and why it went where it did.
    #[inline]
    fn note_pick(&mut self, event: Event, why: Option<Explanation>) {
        let Some(why) = why else { return self.note(event) };
        self.digest.take(self.now, &event);
        let client = &self.clients[event.client as usize];
        self.observer.picked(self.now, &event, &why, &|endpoint| client.server(endpoint));
    }

    /// Takes note of what became of an attempt.
    #[inline]
    fn note_attempt(&mut self, kind: EventKind, key: AttemptKey) {
        if let Some(attempt) = self.attempts.get(key) {
            let Attempt { request, number, client, server, .. } = *attempt;
            self.note(Event { kind, request, attempt: number, client, server });
        }
    }

    /// Takes note of something that concerns no request.
    fn note_control(&mut self, kind: EventKind, client: u32, server: u32) {
        self.note(Event { kind, request: u64::MAX, attempt: u32::MAX, client, server });
    }

    /// The time as the clients' clocks show it.
    #[inline]
    fn local(&self, at: Instant) -> Instant {
        match &self.affliction {
            None => at,
            Some(affliction) => Instant::from_nanos(at.as_nanos().saturating_add(affliction.skew)),
        }
    }

    /// The virtual time at which the clients' clocks show `local`.
    fn to_virtual(&self, local: Instant) -> Instant {
        let skew = self.affliction.as_ref().map_or(0, |affliction| affliction.skew);
        local.before(Duration::from_nanos(skew)).max(self.now)
    }
}

/// After how many events an observer is asked whether to go on.
const STEPS_UNSEEN: u64 = 1 << 14;
/// Nobody: the number of what an event has nothing to do with.
const NOBODY: u32 = u32::MAX;
