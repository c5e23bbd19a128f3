//! Our subjects: every built-in strategy with the lease that is borrowed, and some of them asked in other ways.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::time::Duration;

use mesh_core::balance::policy::{Sequence, WeightedRoundRobinConfig};
use mesh_core::balance::{Balancer, Handle, Lease, Outcome, PickContext, Strategy, hash_key};
use mesh_core::time::Instant;

use crate::subject::{Subject, in_flight, in_turn};
use crate::timing::{Clock, WyRand};
use crate::{fleet, keys};

/// A strategy, and how it is asked.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Its name in the ids: `mesh/<strategy>`, and how it is asked where that is not the usual way.
    pub name: String,
    strategy: Strategy,
    is_weighted: bool,
    key: Key,
    hold: Hold,
    reads_clock: bool,
    /// For how long handles hold counts back.
    window: Duration,
}

/// What a request says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    None,
    Hash,
    Text,
}

/// How a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Borrowed,
    Owned,
    InFlight,
}

impl Ours {
    /// `strategy` as it is usually asked: the lease is borrowed, time is given, instances weigh 1 but where the weights
    /// are what the strategy is about, and keys come hashed where it wants any.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        let is_weighted = matches!(strategy, Strategy::WeightedRoundRobin(_) | Strategy::WeightedRandom);
        let is_keyed = matches!(
            strategy,
            Strategy::RingHash(_) | Strategy::Maglev(_) | Strategy::Rendezvous | Strategy::BoundedLoad(_)
        );
        let key = if is_keyed { Key::Hash } else { Key::None };
        let name = format!("mesh/{}", strategy.name());
        Self { name, strategy, is_weighted, key, hold: Hold::Borrowed, reads_clock: false, window: Duration::ZERO }
    }

    /// Every built-in strategy, the default one first, and then what is asked in other ways.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let others = Strategy::built_in().into_iter().filter(|strategy| *strategy != Strategy::default());
        let strategies = std::iter::once(Strategy::default()).chain(others);
        let mut all: Vec<Self> = strategies.map(Self::new).collect();
        all.extend([Self::called("p2c-least-loaded").owned(), Self::called("peak-ewma").owned()]);
        all.extend([Self::called("p2c-least-loaded").weighted(), Self::called("peak-ewma").weighted()]);
        all.extend([Self::called("peak-ewma").clocked(), Self::smooth()]);
        all.extend(["ring-hash", "maglev"].map(|name| Self::called(name).of_texts()));
        all
    }

    /// The strategies that callers share between threads most: with a lease that ends before the next, and with
    /// [`IN_FLIGHT`](crate::subject::IN_FLIGHT) that are owned.
    #[must_use]
    pub fn contended() -> Vec<Self> {
        let names = ["p2c-least-loaded", "peak-ewma", "round-robin", "weighted-round-robin", "random"];
        let borrowed: Vec<Self> = names.into_iter().chain(["weighted-random"]).map(Self::called).collect();
        let held = borrowed.iter().cloned().map(Self::in_flight);
        let clocked = Self::called("peak-ewma").clocked();
        let windowed =
            [Self::called("p2c-least-loaded").windowed(), Self::called("p2c-least-loaded").windowed().in_flight()];
        borrowed.iter().cloned().chain(held).chain([clocked]).chain(windowed).collect()
    }

    /// The built-in strategy of that name as it is usually asked.
    fn called(name: &str) -> Self {
        Self::new(Strategy::from_name(name).expect("the strategy is built in"))
    }

    fn smooth() -> Self {
        let mut config = WeightedRoundRobinConfig::default();
        config.sequence = Sequence::Smooth;
        Self::new(Strategy::WeightedRoundRobin(config)).named("smooth")
    }

    fn owned(self) -> Self {
        Self { hold: Hold::Owned, ..self.named("owned") }
    }

    fn in_flight(self) -> Self {
        Self { hold: Hold::InFlight, ..self.named("16") }
    }

    fn weighted(self) -> Self {
        Self { is_weighted: true, ..self.named("weighted") }
    }

    fn clocked(self) -> Self {
        Self { reads_clock: true, ..self.named("clock") }
    }

    /// With counts that are held back as for requests of a quarter of a millisecond.
    fn windowed(self) -> Self {
        Self { window: WINDOW, ..self.named("windowed") }
    }

    fn of_texts(self) -> Self {
        Self { key: Key::Text, ..self.named("text-key") }
    }

    fn named(self, how: &str) -> Self {
        Self { name: format!("{}/{how}", self.name), ..self }
    }

    /// Whether a pick reads the clock, rather than being given the time.
    #[must_use]
    pub const fn reads_clock(&self) -> bool {
        self.reads_clock
    }

    /// A balancer over `size` instances, to be shared by all workers.
    #[must_use]
    pub fn balancer(&self, size: usize) -> Balancer {
        let members = if self.is_weighted { fleet::weighted_members(size) } else { fleet::members(size) };
        fleet::balancer_with(self.strategy.clone(), self.window, members.expect("the fleet is valid"))
    }

    /// What the thread of that number does with `balancer`, with a handle of its own.
    #[must_use]
    pub fn worker(&self, balancer: &Balancer, thread: u64) -> Box<dyn FnMut(u64)> {
        if self.reads_clock {
            return self.worker_at(balancer, thread, Clock::start());
        }
        let step = if self.window.is_zero() { TICK } else { PICK / 2 };
        self.worker_at(balancer, thread, Ticks { nanos: 0, step })
    }

    fn worker_at(&self, balancer: &Balancer, thread: u64, time: impl Time) -> Box<dyn FnMut(u64)> {
        match self.key {
            Key::None => self.worker_for(Picks::new(balancer, thread, time, Any)),
            Key::Hash => self.worker_for(Picks::new(balancer, thread, time, Hashed(keys::hashes()))),
            Key::Text => self.worker_for(Picks::new(balancer, thread, time, Texts(keys::texts()))),
        }
    }

    fn worker_for<T: Time, K: Keys>(&self, mut picks: Picks<T, K>) -> Box<dyn FnMut(u64)> {
        match self.hold {
            Hold::Borrowed => Box::new(move |ops| (0..ops).for_each(|_| picks.borrowed())),
            Hold::Owned => Box::new(in_turn(picks)),
            Hold::InFlight => Box::new(in_flight(picks)),
        }
    }
}

/// One thread's picks.
struct Picks<T, K> {
    handle: Handle,
    context: PickContext<'static>,
    rng: WyRand,
    time: T,
    keys: K,
}

impl<T: Time, K: Keys> Picks<T, K> {
    fn new(balancer: &Balancer, thread: u64, time: T, keys: K) -> Self {
        let context = PickContext::default();
        Self { handle: balancer.handle(), context, rng: WyRand::new(thread), time, keys }
    }

    /// A request whose lease is borrowed, from its pick to its end.
    #[inline]
    fn borrowed(&mut self) {
        let entropy = self.rng.next_u64();
        self.keys.give(&mut self.context, entropy);
        let lease = self.handle.pick(self.time.now(), &self.context, entropy).expect("all are usable");
        black_box(lease.endpoint());
        black_box(lease.finish(self.time.now(), Outcome::Success));
    }
}

/// Requests whose leases are owned.
impl<T: Time, K: Keys> Subject for Picks<T, K> {
    type Lease = Lease;

    #[inline]
    fn start(&mut self) -> Lease {
        let entropy = self.rng.next_u64();
        self.keys.give(&mut self.context, entropy);
        self.handle.pick_owned(self.time.now(), &self.context, entropy).expect("all are usable")
    }

    #[inline]
    fn end(&mut self, lease: Lease) {
        black_box(lease.finish(self.time.now(), Outcome::Success));
    }
}

/// Where a caller has the time from.
trait Time: 'static {
    fn now(&mut self) -> Instant;
}

/// Time that is given, as every decision of the mesh wants it: it passes by `step` nanoseconds at every look.
struct Ticks {
    nanos: u64,
    step: u64,
}

const TICK: u64 = 1_000;
/// About what a pick and its end take: where counts are held back for a while, time must not seem to pass faster.
const PICK: u64 = 30;
const WINDOW: Duration = Duration::from_micros(5);

impl Time for Ticks {
    #[inline]
    fn now(&mut self) -> Instant {
        self.nanos += self.step;
        Instant::from_nanos(self.nanos)
    }
}

impl Time for Clock {
    #[inline]
    fn now(&mut self) -> Instant {
        Instant::from_nanos(self.nanos())
    }
}

/// What a request says of its key, chosen by a random word.
trait Keys: 'static {
    fn give(&self, context: &mut PickContext<'static>, bits: u64);
}

/// No key.
struct Any;

impl Keys for Any {
    #[inline]
    fn give(&self, _: &mut PickContext<'static>, _: u64) {}
}

/// Keys that were hashed before.
struct Hashed(Vec<u64>);

impl Keys for Hashed {
    #[inline]
    fn give(&self, context: &mut PickContext<'static>, bits: u64) {
        context.hash_key = Some(self.0[keys::index(bits)]);
    }
}

/// Keys that are hashed for the pick.
struct Texts(Vec<String>);

impl Keys for Texts {
    #[inline]
    fn give(&self, context: &mut PickContext<'static>, bits: u64) {
        context.hash_key = Some(hash_key(self.0[keys::index(bits)].as_bytes()));
    }
}
