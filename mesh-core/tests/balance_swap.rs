//! Views that are swapped while many threads pick: every pick is from one view, and every count is given back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use mesh_core::balance::ViewBuilder;
use mesh_core::balance::{Balancer, Change, EndpointRef, Lease, Member, Outcome, PickContext, Route, Strategy};
use mesh_core::rng::Rng;
use mesh_core::route::{RouteId, Selector};
use mesh_core::service::{Instance, InstanceKey, Weight};
use support::*;

#[test]
fn no_pick_sees_a_torn_view_and_every_count_is_given_back() {
    let mut publisher = Publisher::new();
    let stop = Arc::new(AtomicBool::new(false));
    let (sent, received) = channel();
    let picker = |thread: u64| {
        let (balancer, even) = (publisher.balancer.clone(), publisher.even);
        let (sent, stop) = (sent.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            pick(&balancer, even, &sent, thread);
            stop.store(true, Ordering::Relaxed);
        })
    };
    let pickers: Vec<_> = (0..PICKERS).map(picker).collect();
    drop(sent);
    let finisher = std::thread::spawn(move || finish(&received));
    let mut views = 0;
    while !stop.load(Ordering::Relaxed) {
        publisher.publish();
        views += 1;
    }
    pickers.into_iter().for_each(|thread| thread.join().unwrap());
    finisher.join().unwrap();
    assert!(views > 100, "{views} views were published meanwhile");
    let counted: u64 = publisher.ever.values().map(|endpoint| endpoint.picks()).sum();
    assert_eq!(counted, PICKERS * PICKS, "picks of all endpoints that ever were");
    for endpoint in publisher.ever.values() {
        assert_eq!(endpoint.in_flight(), 0, "{} at rest", endpoint.key());
    }
}

const PICKERS: u64 = 3;
const PICKS: u64 = 350_000;
const FLEET: u16 = 100;

/// Publishes one change after the other and remembers every endpoint that ever was.
struct Publisher {
    views: ViewBuilder,
    balancer: Balancer,
    even: RouteId,
    rng: Rng,
    ever: BTreeMap<u64, EndpointRef>,
}

impl Publisher {
    fn new() -> Self {
        let mut views = ViewBuilder::new(Strategy::default());
        let even = views.route(Selector::any().tag("even").unwrap()).unwrap();
        let balancer = Balancer::new();
        balancer.publish(views.build((0..FLEET / 2).map(said)));
        let mut publisher = Self { views, balancer, even, rng: Rng::from_seed(1), ever: BTreeMap::new() };
        (0..FLEET).for_each(|number| publisher.remember(number));
        publisher
    }

    fn publish(&mut self) {
        let number = self.rng.below(u64::from(FLEET)) as u16;
        let change = match self.rng.below(4) {
            // Some always stay, so that there is somebody to pick.
            0 | 1 if number >= 4 => Change::Remove(key(number)),
            2 if number >= 4 => Change::Set(Member { weight: Weight::DRAINED, ..said(number) }),
            _ => Change::Set(said(number)),
        };
        assert!(self.balancer.publish(self.views.update([change])));
        self.remember(number);
    }

    fn remember(&mut self, number: u16) {
        if let Some(endpoint) = self.views.endpoint(&key(number)) {
            self.ever.entry(endpoint.id().number()).or_insert(endpoint);
        }
    }
}

/// Instance `number`, whose port, tag and metadata say the same.
fn said(number: u16) -> Member {
    let tag = if number.is_multiple_of(2) { "even" } else { "odd" };
    let instance = Instance::builder("api", "127.0.0.1", 10_000 + number).tag(tag);
    Member::usable(instance.meta("number", number.to_string()).build().unwrap())
}

/// Picks with handles that come and go; a third of the leases ends on another thread.
fn pick(balancer: &Balancer, even: RouteId, sent: &Sender<Lease>, thread: u64) {
    let mut rng = Rng::from_seed(thread);
    let mut handle = balancer.handle();
    for step in 0..PICKS {
        let word = rng.next_u64();
        let route = if word.is_multiple_of(5) { Route::Registered(even) } else { Route::All };
        let context = PickContext { route, ..PickContext::default() };
        match word % 3 {
            0 => {
                let lease = handle.pick(at(step), &context, word).unwrap();
                check(lease.instance(), lease.endpoint().key(), route);
                lease.finish(at(step), if word.is_multiple_of(7) { Outcome::Failure } else { Outcome::Success });
            }
            1 => drop(handle.pick(at(step), &context, word).unwrap()),
            _ => {
                let lease = handle.pick_owned(at(step), &context, word).unwrap();
                check(lease.instance(), lease.endpoint().key(), route);
                sent.send(lease).unwrap();
            }
        }
        if step % 10_000 == 0 {
            handle = balancer.handle();
        }
    }
}

/// What is known of who was picked belongs together, and is what was asked for.
fn check(instance: &Instance, key: &InstanceKey, route: Route<'_>) {
    assert_eq!(instance.key(), key);
    let number = (instance.port() - 10_000).to_string();
    assert_eq!(instance.meta().get("number"), Some(number.as_str()));
    if matches!(route, Route::Registered(_)) {
        assert!(instance.tags().iter().any(|tag| tag.as_str() == "even"));
    }
}

/// Ends leases of other threads, in no order.
fn finish(received: &Receiver<Lease>) {
    let mut held = Vec::new();
    let mut rng = Rng::from_seed(9);
    for lease in received {
        held.push(lease);
        if held.len() == 64 {
            let lease = held.swap_remove(rng.below(64) as usize);
            lease.finish(at(1), if rng.below(2) == 0 { Outcome::Success } else { Outcome::TimedOut });
        }
    }
}
