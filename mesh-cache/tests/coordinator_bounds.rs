//! How long what processes share lives on a real Redis, whatever is asked for, and what is too far ahead to be anybody's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;
mod redis_support;

use std::time::Duration;

use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fingerprint, Finish, OwnerToken, Probe, Probed, Renew, Settle, StateKey, StoreCommand, StoreReply,
    TakeSlots, Vote, Voted,
};

use coordinator_support::{Bench, KEY, ME, OTHER, first, name, settle};
use redis_support::Stopwatch;

impl Bench {
    /// The server's clock, in microseconds.
    async fn now(&self) -> u64 {
        settle(&self.store, Settle { budget: OTHER_KEY, ..first() }).await.unwrap().at.as_micros()
    }

    /// Whether the key of `part` lives for `life` from a time since `asked`.
    async fn assert_lives(&self, part: &str, life: Duration, asked: &Stopwatch) {
        let left = self.redis(&["PTTL", &name(part)]).await.integer().unwrap();
        let left = Duration::from_millis(left.try_into().unwrap_or_else(|_| panic!("{part} lives for ever: {left}")));
        assert_left(left, life, asked, part);
    }
}

/// Whether `left` is what can be left of `life`, which began since `asked`.
fn assert_left(left: Duration, life: Duration, asked: &Stopwatch, of: &str) {
    let least = life.saturating_sub(asked.elapsed() + CLOCKS_DIFFER);
    assert!((least..=life).contains(&left), "{left:?} are left of {of}, of {life:?}, and {least:?} at least were due");
}

#[tokio::test]
async fn a_budget_lives_as_long_as_it_takes_to_fill_and_its_processes_for_a_minute() {
    let bench = Bench::start().await;
    for (per_second_milli, life) in [(0, DAY), (1, Duration::from_secs(10_000)), (100, 100 * SECOND), (10_000, MINUTE)]
    {
        bench.redis(&["FLUSHALL"]).await;
        let mut one = first();
        one.limits.per_second_milli = per_second_milli;
        let asked = Stopwatch::start();
        settle(&bench.store, one).await.unwrap();
        bench.assert_lives("rb", life, &asked).await;
        bench.assert_lives(&format!("p:{ME}"), MINUTE, &asked).await;
        bench.assert_lives("hb", MINUTE, &asked).await;
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
    let asked = Stopwatch::start();
    bench.ask(StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 1 })).await;
    bench.assert_lives("sl", MINUTE, &asked).await;
}

#[tokio::test]
async fn an_operation_lives_for_its_lease_of_an_hour_and_thirty_days_at_most() {
    let bench = Bench::start().await;
    let (owner, fingerprint) = (OwnerToken::new(5), Fingerprint::new(7));
    for (asked, lease, kept) in [(MINUTE, MINUTE, MINUTE), (40 * DAY, HOUR, 30 * DAY)] {
        bench.redis(&["FLUSHALL"]).await;
        let begin = Begin { key: KEY, fingerprint, owner, lease: asked, keep: asked };
        let since = Stopwatch::start();
        let begun = bench.ask(StoreCommand::Begin(begin)).await;
        let StoreReply::Begun(Begun::Fresh { fence }) = begun else { panic!("{begun:?}") };
        bench.assert_lives("id", lease + kept, &since).await;
        let other = Begin { owner: OwnerToken::new(6), ..begin };
        let begun = bench.ask(StoreCommand::Begin(other)).await;
        let StoreReply::Begun(Begun::InFlight { lease_left }) = begun else { panic!("{begun:?}") };
        assert_left(lease_left, lease, &since, "the lease");
        for (renewed, lease) in [(asked, lease), (2 * SECOND, 2 * SECOND)] {
            let since = Stopwatch::start();
            bench.ask(StoreCommand::Renew(Renew { key: KEY, owner, fence, lease: renewed })).await;
            bench.assert_lives("id", lease + kept, &since).await;
        }
        let since = Stopwatch::start();
        bench.ask(StoreCommand::Finish(Finish { key: KEY, owner, fence, result: vec![], keep: asked })).await;
        bench.assert_lives("id", kept, &since).await;
    }
}

#[tokio::test]
async fn a_vote_counts_for_an_hour_at_most_and_who_asks_for_more_has_that() {
    let bench = Bench::start().await;
    for (live_for, life) in [(MINUTE, MINUTE), (HOUR, HOUR), (40 * DAY, HOUR)] {
        bench.redis(&["FLUSHALL"]).await;
        let asked = Stopwatch::start();
        for (voter, live) in [(ME, 1), (OTHER, 2)] {
            let reply = bench.ask(StoreCommand::Vote(Vote { subject: KEY, voter, open: true, live_for })).await;
            assert_eq!(reply, StoreReply::Voted(Voted { live, open: live }), "{live_for:?}");
        }
        bench.assert_lives("vl", life, &asked).await;
        bench.assert_lives("vo", life, &asked).await;
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
        let asked = Stopwatch::start();
        let mine = bench.ask(StoreCommand::Probe(Probe { subject: KEY, holder: ME, lease })).await;
        assert_eq!(mine, StoreReply::Probed(Probed::Mine));
        bench.assert_lives("pt", life, &asked).await;
        let others = bench.ask(StoreCommand::Probe(Probe { subject: KEY, holder: OTHER, lease })).await;
        let StoreReply::Probed(Probed::Others { lease_left }) = others else { panic!("{others:?}") };
        assert_left(lease_left, life, &asked, "the turn");
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

/// How much the server's clock may be set while a test looks, with what is lost to whole milliseconds.
const CLOCKS_DIFFER: Duration = Duration::from_millis(100);
