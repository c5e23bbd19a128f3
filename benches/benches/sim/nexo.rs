//! The peer: the steady model in nexosim, on one thread, as one model that holds all servers, its cheapest form.

use std::collections::VecDeque;
use std::time::Duration;

use mesh_benches::timing::WyRand;
use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::{EventSinkReader as _, Output, SinkState, event_queue};
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::heap_loop::exponential;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Server {
    inside: u32,
    waiting: VecDeque<u64>,
    serving: u64,
}

/// The servers and their clients.
#[derive(Debug, Serialize, Deserialize)]
struct Fleet {
    servers: Vec<Server>,
    #[serde(skip, default = "rng")]
    rng: WyRand,
    gap: f64,
    to_come: u64,
    inside: u64,
    sum: u64,
    ended: Output<u64>,
}

fn rng() -> WyRand {
    WyRand::new(1)
}

#[Model]
impl Fleet {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>, _: &mut ()) {
        self.expect_arrival(cx);
    }

    #[nexosim(schedulable)]
    async fn arrive(&mut self, _: (), cx: &Context<Self>) {
        let now = nanos(cx.time());
        self.to_come -= 1;
        self.inside += 1;
        if self.to_come > 0 {
            self.expect_arrival(cx);
        }
        let server = self.choose();
        let chosen = &mut self.servers[server];
        chosen.inside += 1;
        if chosen.inside == 1 {
            chosen.serving = now;
            self.expect_departure(server, cx);
        } else {
            chosen.waiting.push_back(now);
        }
    }

    #[nexosim(schedulable)]
    async fn depart(&mut self, server: usize, cx: &Context<Self>) {
        let leaving = &mut self.servers[server];
        leaving.inside -= 1;
        self.inside -= 1;
        self.sum += nanos(cx.time()) - leaving.serving;
        if let Some(came) = leaving.waiting.pop_front() {
            leaving.serving = came;
            self.expect_departure(server, cx);
        }
        if self.to_come == 0 && self.inside == 0 {
            self.ended.send(self.sum).await;
        }
    }
}

impl Fleet {
    fn expect_arrival(&mut self, cx: &Context<Self>) {
        let gap = wait(self.gap * exponential(&mut self.rng));
        cx.schedule_event(gap, schedulable!(Self::arrive), ()).expect("it is later than now");
    }

    fn expect_departure(&mut self, server: usize, cx: &Context<Self>) {
        let service = wait(10e6 * exponential(&mut self.rng));
        cx.schedule_event(service, schedulable!(Self::depart), server).expect("it is later than now");
    }

    /// The less loaded of two distinct servers.
    fn choose(&mut self) -> usize {
        let (bits, len) = (self.rng.next_u64(), self.servers.len() as u64);
        let first = (((bits >> 32) * len) >> 32) as usize;
        let second = (((bits & 0xFFFF_FFFF) * (len - 1)) >> 32) as usize;
        let second = second + usize::from(second >= first);
        if self.servers[second].inside < self.servers[first].inside { second } else { first }
    }
}

pub(crate) fn run(servers: usize, requests: u64) -> Outcome {
    let mut fleet = Fleet {
        servers: (0..servers).map(|_| Server::default()).collect(),
        rng: rng(),
        gap: 10e6 / (0.9 * servers as f64),
        to_come: requests,
        inside: 0,
        sum: 0,
        ended: Output::default(),
    };
    let mailbox = Mailbox::new();
    let (sink, mut ended) = event_queue(SinkState::Enabled);
    fleet.ended.connect_sink(sink);
    let init = SimInit::with_num_threads(1).add_model(fleet, mailbox, "fleet");
    let mut simulation = init.init(MonotonicTime::EPOCH).expect("the model is complete");
    simulation.run().expect("the model does not fail");
    let sum = ended.try_read().expect("the last request has ended");
    Outcome { requests, mean_millis: sum as f64 / requests as f64 / 1e6 }
}

/// nexosim schedules nothing for the present moment.
fn wait(nanos: f64) -> Duration {
    Duration::from_nanos((nanos as u64).max(1))
}

fn nanos(time: MonotonicTime) -> u64 {
    time.as_secs() as u64 * 1_000_000_000 + u64::from(time.subsec_nanos())
}
