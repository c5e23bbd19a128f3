//! What every store that processes share must do, as one list of cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]
#![allow(clippy::print_stdout, reason = "what is printed last is the case that failed")]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod idempotency;
mod owners;
pub(crate) mod settle;
mod sharing;
mod slots;
mod votes;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_cache::mesh_retry::coordinator::store::{
    Abandoned, Begun, Finished, OwnerToken, Probed, ProcessId, Renewed, Settle, Settled, Slots, StateKey, StoreCommand,
    StoreReply, Voted,
};

pub(crate) type Case = (&'static str, fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>);

/// Lists cases by the names of their functions.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        pub(crate) const CASES: &[super::Case] = &[$((stringify!($case), |bench| Box::pin($case(bench)))),+];
    };
}
pub(crate) use cases;

/// Plays all cases on `store`.
pub(crate) async fn conforms(store: Arc<dyn CoordinatorStore>) {
    for cases in [settle::CASES, sharing::CASES, slots::CASES, idempotency::CASES, owners::CASES, votes::CASES] {
        for (name, case) in cases {
            println!("{name}");
            case(Bench(Arc::clone(&store))).await;
        }
    }
}

/// A store, and names that nobody has used before.
#[derive(Clone, Debug)]
pub(crate) struct Bench(pub(crate) Arc<dyn CoordinatorStore>);

impl Bench {
    pub(crate) fn key(&self) -> StateKey {
        StateKey::new(next())
    }

    pub(crate) fn process(&self) -> ProcessId {
        ProcessId::new(next())
    }

    pub(crate) fn owner(&self) -> OwnerToken {
        OwnerToken::new(next())
    }

    pub(crate) async fn ask(&self, command: StoreCommand) -> StoreReply {
        let shown = format!("{command:?}");
        self.0.apply(command).await.unwrap_or_else(|failure| panic!("{shown:.300}: {failure}"))
    }

    pub(crate) async fn settle(&self, settle: Settle) -> Settled {
        let reply = self.ask(StoreCommand::Settle(settle)).await;
        let StoreReply::Settled(settled) = reply else { panic!("{reply:?}") };
        settled
    }

    pub(crate) async fn slots(&self, command: StoreCommand) -> Slots {
        let reply = self.ask(command).await;
        let StoreReply::Slots(slots) = reply else { panic!("{reply:?}") };
        slots
    }

    pub(crate) async fn begun(&self, command: StoreCommand) -> Begun {
        let reply = self.ask(command).await;
        let StoreReply::Begun(begun) = reply else { panic!("{reply:?}") };
        begun
    }

    pub(crate) async fn renewed(&self, command: StoreCommand) -> Renewed {
        let reply = self.ask(command).await;
        let StoreReply::Renewed(renewed) = reply else { panic!("{reply:?}") };
        renewed
    }

    pub(crate) async fn finished(&self, command: StoreCommand) -> Finished {
        let reply = self.ask(command).await;
        let StoreReply::Finished(finished) = reply else { panic!("{reply:?}") };
        finished
    }

    pub(crate) async fn abandoned(&self, command: StoreCommand) -> Abandoned {
        let reply = self.ask(command).await;
        let StoreReply::Abandoned(abandoned) = reply else { panic!("{reply:?}") };
        abandoned
    }

    pub(crate) async fn voted(&self, command: StoreCommand) -> Voted {
        let reply = self.ask(command).await;
        let StoreReply::Voted(voted) = reply else { panic!("{reply:?}") };
        voted
    }

    pub(crate) async fn probed(&self, command: StoreCommand) -> Probed {
        let reply = self.ask(command).await;
        let StoreReply::Probed(probed) = reply else { panic!("{reply:?}") };
        probed
    }
}

/// Asks again and again until `wanted` holds of a reply, for at most ten seconds.
pub(crate) async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    for _ in 0..2_000 {
        let reply = ask().await;
        if wanted(&reply) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: the last reply is {:?}", ask().await)
}

pub(crate) async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Spread over the slots of a cluster by the hash that is its name.
fn next() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    u128::from(next) << 64 | u128::from(next.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
