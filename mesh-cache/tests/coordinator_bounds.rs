//! How long what processes share lives on a real Redis, whatever is asked for, and what is too far ahead to be anybody's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::time::Duration;

use mesh_cache::coordinator_store::{CoordinatorStore as _, RedisCoordinator};
use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fingerprint, Finish, OwnerToken, Probe, Probed, Renew, Settle, StateKey, StoreCommand, StoreReply,
    TakeSlots, Vote, Voted,
};
use mesh_testkit::RedisServer;

use coordinator_support::{KEY, ME, OTHER, SOON, connected, first, name, settle};

struct Bench {
    server: RedisServer,
    store: RedisCoordinator,
}

impl Bench {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let store = connected(&server.url(), SOON).await;
        Self { server, store }
    }

    async fn ask(&self, command: StoreCommand) -> StoreReply {
        self.store.apply(command).await.unwrap()
    }

    async fn redis(&self, words: &[&str]) -> i64 {
        let reply = self.server.command(words).await.unwrap().accepted().unwrap();
        reply.integer().unwrap_or_default()
    }

    /// The server's clock, in microseconds.
    async fn now(&self) -> u64 {
        settle(&self.store, Settle { budget: OTHER_KEY, ..first() }).await.unwrap().at.as_micros()
    }

    /// Whether the key of `part` lives for `life`, from a moment ago.
    async fn assert_lives(&self, part: &str, life: Duration) {
        let left = self.redis(&["PTTL", &name(part)]).await;
        let most = i64::try_from(life.as_millis()).unwrap();
        assert!((most - A_MOMENT..=most).contains(&left), "{part} lives for {left} ms, {most} were due");
    }
}

#[tokio::test]
async fn a_budget_lives_as_long_as_it_takes_to_fill_and_its_processes_for_a_minute() {
    let bench = Bench::start().await;
    for (per_second_milli, life) in [(0, DAY), (1, Duration::from_secs(10_000)), (100, 100 * SECOND), (10_000, MINUTE)]
    {
        bench.redis(&["FLUSHALL"]).await;
        let mut one = first();
        one.limits.per_second_milli = per_second_milli;
        settle(&bench.store, one).await.unwrap();
        bench.assert_lives("rb", life).await;
        bench.assert_lives(&format!("p:{ME}"), MINUTE).await;
        bench.assert_lives("hb", MINUTE).await;
    }
}

#[tokio::test]
async fn a_process_counts_for_a_quarter_of_a_minute() {
    let bench = Bench::start().await;
    for (seconds, processes) in [(5, 2), (16, 1), (59, 1)] {
        bench.redis(&["FLUSHALL"]).await;
        let seen = (bench.now().await - seconds * 1_000_000).to_string();
        bench.redis(&["ZADD", &name("hb"), &seen, "somebody"]).await;
        let settled = settle(&bench.store, first()).await.unwrap();
        assert_eq!(settled.processes, processes, "seen {seconds} s ago");
    }
}

#[tokio::test]
async fn a_counter_lives_for_a_minute() {
    let bench = Bench::start().await;
    bench.ask(StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 1 })).await;
    bench.assert_lives("sl", MINUTE).await;
}

#[tokio::test]
async fn an_operation_lives_for_its_lease_of_an_hour_and_thirty_days_at_most() {
    let bench = Bench::start().await;
    let (owner, fingerprint) = (OwnerToken::new(5), Fingerprint::new(7));
    for (asked, lease, kept) in [(MINUTE, MINUTE, MINUTE), (40 * DAY, HOUR, 30 * DAY)] {
        bench.redis(&["FLUSHALL"]).await;
        let begin = Begin { key: KEY, fingerprint, owner, lease: asked, keep: asked };
        let begun = bench.ask(StoreCommand::Begin(begin)).await;
        let StoreReply::Begun(Begun::Fresh { fence }) = begun else { panic!("{begun:?}") };
        bench.assert_lives("id", lease + kept).await;
        let other = Begin { owner: OwnerToken::new(6), ..begin };
        let begun = bench.ask(StoreCommand::Begin(other)).await;
        let StoreReply::Begun(Begun::InFlight { lease_left }) = begun else { panic!("{begun:?}") };
        assert!(lease_left <= lease && lease_left > lease / 2, "{lease_left:?} of {asked:?} are left");
        for (renewed, lease) in [(asked, lease), (2 * SECOND, 2 * SECOND)] {
            bench.ask(StoreCommand::Renew(Renew { key: KEY, owner, fence, lease: renewed })).await;
            bench.assert_lives("id", lease + kept).await;
        }
        bench.ask(StoreCommand::Finish(Finish { key: KEY, owner, fence, result: vec![], keep: asked })).await;
        bench.assert_lives("id", kept).await;
    }
}

#[tokio::test]
async fn a_vote_counts_for_an_hour_at_most_and_who_asks_for_more_has_that() {
    let bench = Bench::start().await;
    for (live_for, life) in [(MINUTE, MINUTE), (HOUR, HOUR), (40 * DAY, HOUR)] {
        bench.redis(&["FLUSHALL"]).await;
        for (voter, live) in [(ME, 1), (OTHER, 2)] {
            let reply = bench.ask(StoreCommand::Vote(Vote { subject: KEY, voter, open: true, live_for })).await;
            assert_eq!(reply, StoreReply::Voted(Voted { live, open: live }), "{live_for:?}");
        }
        bench.assert_lives("vl", life).await;
        bench.assert_lives("vo", life).await;
    }
    for (minutes, live) in [(59, 2), (61, 1)] {
        bench.redis(&["FLUSHALL"]).await;
        let ends = (bench.now().await + minutes * 60_000_000).to_string();
        bench.redis(&["ZADD", &name("vl"), &ends, "somebody"]).await;
        let vote = Vote { subject: KEY, voter: ME, open: false, live_for: MINUTE };
        let reply = bench.ask(StoreCommand::Vote(vote)).await;
        assert_eq!(reply, StoreReply::Voted(Voted { live, open: 0 }), "one that ends in {minutes} min");
    }
}

#[tokio::test]
async fn a_turn_to_try_lasts_an_hour_at_most_and_one_that_is_longer_is_nobodys() {
    let bench = Bench::start().await;
    for (lease, life) in [(MINUTE, MINUTE), (HOUR, HOUR), (40 * DAY, HOUR)] {
        bench.redis(&["FLUSHALL"]).await;
        let mine = bench.ask(StoreCommand::Probe(Probe { subject: KEY, holder: ME, lease })).await;
        assert_eq!(mine, StoreReply::Probed(Probed::Mine));
        bench.assert_lives("pt", life).await;
        let others = bench.ask(StoreCommand::Probe(Probe { subject: KEY, holder: OTHER, lease })).await;
        let StoreReply::Probed(Probed::Others { lease_left }) = others else { panic!("{others:?}") };
        assert!(lease_left <= life && lease_left > life / 2, "{lease_left:?}");
    }
    for (millis, is_mine) in [("3540000", false), ("3660000", true)] {
        bench.redis(&["SET", &name("pt"), &OTHER.to_string(), "PX", millis]).await;
        let reply = bench.ask(StoreCommand::Probe(Probe { subject: KEY, holder: ME, lease: MINUTE })).await;
        assert_eq!(reply == StoreReply::Probed(Probed::Mine), is_mine, "{reply:?} where one lasts {millis} ms");
    }
}

const OTHER_KEY: StateKey = StateKey::new(0xDEF);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How much of a life may have passed by the time it is looked at, in milliseconds.
const A_MOMENT: i64 = 20_000;
