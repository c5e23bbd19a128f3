//! The same random histories in memory and on a real Redis, step by step: they reply the same.
//!
//! Nothing here is soon over, so that the clocks of the two do not matter; what hangs on time is in the suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::TokioClock;
use mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator};
use mesh_cache::mesh_retry::Rng;
use mesh_cache::mesh_retry::budget::TokenBucketConfig;
use mesh_cache::mesh_retry::coordinator::store::{
    Abandon, Begin, Begun, Fence, Fingerprint, Finish, OwnerToken, Probe, Probed, ProcessId, ReleaseProbe, Renew,
    Settle, StateKey, StoreCommand, StoreReply, StoreTime, TakeSlots, Vote,
};
use mesh_testkit::RedisServer;

use coordinator_support::{SOON, connected};

const LONG: Duration = Duration::from_secs(600);

/// A store with the fences that it gave, in their order.
struct Twin {
    store: Arc<dyn CoordinatorStore>,
    fences: Vec<Fence>,
}

impl Twin {
    fn new(store: impl CoordinatorStore + 'static) -> Self {
        Self { store: Arc::new(store), fences: vec![Fence::new(0)] }
    }

    /// The `back`th last fence.
    fn fence(&self, back: usize) -> Fence {
        self.fences[self.fences.len().saturating_sub(1 + back)]
    }

    /// The reply without what hangs on the clock; a fence is the number of those that were given before.
    async fn ask(&mut self, command: StoreCommand) -> StoreReply {
        let want = if let StoreCommand::Settle(settle) = &command { settle.want } else { 0 };
        let mut reply = self.store.apply(command).await.unwrap();
        if let StoreReply::Settled(settled) = &mut reply {
            settled.at = StoreTime::default();
            // Another settlement under the same number, which no process sends, is granted what the first one was; from
            // the network no more is taken than was wanted.
            settled.granted = settled.granted.min(want);
        }
        if let StoreReply::Slots(slots) = &mut reply {
            slots.at = StoreTime::default();
        }
        if let StoreReply::Begun(Begun::Fresh { fence } | Begun::TakenOver { fence }) = &mut reply {
            if self.fences.iter().all(|known| known < fence) {
                self.fences.push(*fence);
            }
            let number = self.fences.iter().position(|known| known == fence);
            *fence = Fence::new(number.expect("a fence is none of before and not the greatest") as u64);
        }
        if let StoreReply::Begun(Begun::InFlight { lease_left }) | StoreReply::Probed(Probed::Others { lease_left }) =
            &mut reply
        {
            assert!(*lease_left > LONG - SOON && *lease_left <= LONG, "{lease_left:?}");
            *lease_left = LONG;
        }
        reply
    }
}

/// Draws commands about a few keys, by a few processes.
struct Draws(Rng);

impl Draws {
    fn below(&mut self, most: u64) -> u64 {
        self.0.below(most)
    }

    fn small(&mut self) -> u32 {
        let most = [1, 2, 6, 20, 300][self.below(5) as usize];
        self.below(most) as u32
    }

    fn key(&mut self) -> StateKey {
        StateKey::new(u128::from(self.below(3)) << 100 | 7)
    }

    fn process(&mut self) -> ProcessId {
        ProcessId::new(u128::from(self.below(4)) + 1)
    }

    fn settle(&mut self) -> Settle {
        let mut limits = TokenBucketConfig::default();
        limits.per_second_milli = 0;
        limits.ratio_milli = [0, 1, 200, 999, 1_000, 5_000][self.below(6) as usize];
        limits.burst_milli = [1_000, 1_001, 10_000, 99_999][self.below(4) as usize];
        Settle {
            budget: self.key(),
            limits,
            process: self.process(),
            epoch: 1 + self.below(60),
            cumulative_requests: 0,
            reported_requests: self.below(100),
            want: self.small(),
            kept: self.small(),
            returned: self.small(),
        }
    }

    /// A command for each of the two: the same one, but for fences.
    fn command(&mut self, twins: &[Twin; 2]) -> [StoreCommand; 2] {
        let (key, owner) = (self.key(), OwnerToken::new(u128::from(self.below(3))));
        let back = self.below(3) as usize;
        let fences = [0, 1].map(|twin| twins[twin].fence(back));
        let (lease, keep) = (LONG, LONG);
        let result = vec![self.below(256) as u8; self.small() as usize];
        match self.below(14) {
            0..6 => {
                let mut settle = self.settle();
                // Of one process the later settlement has no smaller count.
                settle.cumulative_requests = settle.epoch * 3 + self.below(3);
                [StoreCommand::Settle(settle), StoreCommand::Settle(settle)]
            }
            6 => {
                let take = TakeSlots { counter: key, count: self.small() };
                [StoreCommand::TakeSlots(take), StoreCommand::TakeSlots(take)]
            }
            7 | 8 => {
                let fingerprint = Fingerprint::new(u128::from(self.below(8) / 7));
                let begin = Begin { key, fingerprint, owner, lease, keep };
                [StoreCommand::Begin(begin), StoreCommand::Begin(begin)]
            }
            9 => fences.map(|fence| StoreCommand::Renew(Renew { key, owner, fence, lease })),
            10 => fences.map(|fence| StoreCommand::Finish(Finish { key, owner, fence, result: result.clone(), keep })),
            11 => fences.map(|fence| StoreCommand::Abandon(Abandon { key, owner, fence })),
            12 => {
                let vote = Vote { subject: key, voter: self.process(), open: self.below(2) == 0, live_for: LONG };
                [StoreCommand::Vote(vote), StoreCommand::Vote(vote)]
            }
            _ => {
                let (subject, holder) = (key, self.process());
                let probe = StoreCommand::Probe(Probe { subject, holder, lease });
                let release = StoreCommand::ReleaseProbe(ReleaseProbe { subject, holder });
                if self.below(2) == 0 { [probe.clone(), probe] } else { [release.clone(), release] }
            }
        }
    }
}

#[tokio::test]
async fn a_redis_replies_as_the_memory_does_to_random_histories() {
    let server = RedisServer::start().await;
    let redis = connected(&server.url(), SOON).await;
    let mut replies = std::collections::BTreeSet::new();
    for seed in 0..60 {
        server.command(&["FLUSHALL"]).await.unwrap();
        let mut twins = [Twin::new(MemoryCoordinator::new(Arc::new(TokioClock::new()))), Twin::new(redis.clone())];
        let mut draws = Draws(Rng::from_seed(seed));
        for step in 0..200 {
            let [one, two] = draws.command(&twins);
            let shown = format!("seed {seed}, step {step}: {one:?}");
            let [memory, redis] = &mut twins;
            let (memory, redis) = (memory.ask(one).await, redis.ask(two).await);
            assert_eq!(memory, redis, "{shown}");
            let name = format!("{memory:?}");
            replies.insert(name.split([' ', '{']).next().unwrap().to_owned());
        }
    }
    // Every kind of reply has been seen.
    for kind in ["Fresh", "InFlight", "Done", "Mismatch"] {
        assert!(
            replies.contains(&format!("Begun({kind}")) || replies.contains(&format!("Begun({kind})")),
            "{replies:?}"
        );
    }
}
