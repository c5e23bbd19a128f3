//! What a link tells of changed keys: in order, of which connection, and never nothing where something was lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod redis_support;

use std::time::Duration;

use mesh_cache::redis::{Epoch, Keys, LinkEvent, LinkEvents, Script};
use redis::Value;
use redis_support::{FakeRedis, bulk, get, link_to, push, ready_within, tracking, until, why};

const SOON: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn tracking_and_scripts_are_set_up_on_every_connection_before_it_is_up() {
    let fake = FakeRedis::new();
    let script = Script::new("return 1");
    let link = link_to(&fake, tracking(), std::slice::from_ref(&script));
    for _ in 0..3 {
        ready_within(&link, SOON).await;
        let expected =
            ["HELLO 3", "CLIENT TRACKING ON BCAST PREFIX mesh:", "SCRIPT LOAD return 1", "PING"].map(str::to_owned);
        assert_eq!(fake.last().commands(), expected);
        fake.last().close();
        until("the link is down", || why(&link) != "up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_changes_of_ones_own_they_are_not_asked_for() {
    let fake = FakeRedis::new();
    let mut config = tracking();
    config.tracking_own = false;
    let link = link_to(&fake, config, &[]);
    ready_within(&link, SOON).await;
    assert_eq!(fake.last().commands()[1], "CLIENT TRACKING ON BCAST PREFIX mesh: NOLOOP");
}

#[tokio::test(start_paused = true)]
async fn without_tracking_there_is_no_connection() {
    let refused = |words: &[String]| (words[0] == "CLIENT").then(|| b"-NOPERM no permissions\r\n".to_vec());
    let fake = FakeRedis::answering(refused);
    let link = link_to(&fake, tracking(), &[]);
    until("an attempt has failed", || link.stats().link.connect_failures > 0).await;
    assert_eq!(why(&link), "handshake-refused");
}

#[tokio::test(start_paused = true)]
async fn a_push_is_here_before_the_reply_that_follows_it_and_after_the_one_before() {
    let fake = FakeRedis::answering(|words| match words {
        [get, key] if get == "GET" && key == "pushed-first" => Some([push(Some(&["mesh:a"])), bulk("old")].concat()),
        [get, key] if get == "GET" && key == "pushed-last" => Some([bulk("old"), push(Some(&["mesh:b"]))].concat()),
        _ => None,
    });
    let link = link_to(&fake, tracking(), &[]);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    assert_eq!(events.try_next(), Some(LinkEvent::Up { epoch: Epoch::new(1) }));
    assert_eq!(get(&link, "pushed-first").await, Ok(Value::BulkString(b"old".to_vec())));
    assert_eq!(events.try_next(), Some(named(1, &["mesh:a"])), "whoever has the reply finds the push");
    assert_eq!(get(&link, "pushed-last").await, Ok(Value::BulkString(b"old".to_vec())));
    assert_eq!(soon(&mut events).await, Some(named(1, &["mesh:b"])));
}

#[tokio::test(start_paused = true)]
async fn events_carry_the_epoch_of_their_connection() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, tracking(), &[]);
    let mut events = link.events();
    let mut seen = Vec::new();
    for round in 1..4 {
        assert_eq!(ready_within(&link, SOON).await, round);
        fake.last().write(push(Some(&["mesh:a", "mesh:b"])));
        fake.last().write(push(None));
        until("both have come", || link.stats().invalidations == round * 2).await;
        fake.last().close();
        until("the link is down", || why(&link) != "up").await;
        while let Some(event) = events.try_next() {
            seen.push(event);
        }
        let epoch = Epoch::new(round);
        let all = LinkEvent::Invalidated { epoch, keys: Keys::All };
        let expected = [LinkEvent::Up { epoch }, named(round, &["mesh:a", "mesh:b"]), all, LinkEvent::Down { epoch }];
        assert_eq!(std::mem::take(&mut seen), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_during_the_handshake_is_no_event_since_everything_is_out_of_date_anyway() {
    let fake = FakeRedis::answering(|words| {
        (words[0] == "CLIENT").then(|| [b"+OK\r\n".to_vec(), push(Some(&["mesh:a"]))].concat())
    });
    let link = link_to(&fake, tracking(), &[]);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    assert_eq!(events.try_next(), Some(LinkEvent::Up { epoch: Epoch::new(1) }));
    assert_eq!((events.try_next(), link.stats().invalidations), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_means_everything_and_is_counted() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, tracking(), &[]);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    events.try_next();
    let odd: [&[u8]; 5] = [b":7\r\n", b"*0\r\n", b"*1\r\n:7\r\n", b"*2\r\n$1\r\na\r\n_\r\n", b"$6\r\nmesh:a\r\n"];
    for (count, data) in (1..).zip(odd) {
        fake.last().write([b">2\r\n$10\r\ninvalidate\r\n", data].concat());
        let all = LinkEvent::Invalidated { epoch: Epoch::new(1), keys: Keys::All };
        assert_eq!(soon(&mut events).await, Some(all), "{:?}", String::from_utf8_lossy(data));
        assert_eq!(link.stats().odd_pushes, count);
    }
    fake.last().write(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    until("it is counted", || link.stats().foreign_pushes == 1).await;
    assert_eq!(events.try_next(), None);
    assert!(get(&link, "a").await.is_ok(), "and the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_far_behind_is_told_to_forget_everything() {
    let fake = FakeRedis::new();
    let mut config = tracking();
    config.events_max = 4.try_into().unwrap();
    let link = link_to(&fake, config, &[]);
    let (mut slow, mut fast) = (link.events(), link.events());
    ready_within(&link, SOON).await;
    let epoch = Epoch::new(1);
    assert_eq!(soon(&mut fast).await, Some(LinkEvent::Up { epoch }));
    for number in 0..4 {
        fake.last().write(push(Some(&[&format!("mesh:{number}")])));
        assert_eq!(soon(&mut fast).await, Some(named(1, &[&format!("mesh:{number}")])), "who keeps up hears all");
    }
    // An Up and three pushes fitted; the fourth did not.
    assert_eq!(slow.try_next(), Some(LinkEvent::Down { epoch }));
    assert_eq!(slow.try_next(), Some(LinkEvent::Up { epoch }));
    assert_eq!((slow.try_next(), link.stats().overflows), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn keys_that_take_too_much_memory_mean_everything_as_well() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, tracking(), &[]);
    let mut events = link.events();
    ready_within(&link, SOON).await;
    let long = "mesh:".to_owned() + &"k".repeat(600_000);
    fake.last().write(push(Some(&[&long])));
    fake.last().write(push(Some(&[&long])));
    until("both have come", || link.stats().invalidations == 2).await;
    let epoch = Epoch::new(1);
    assert_eq!(events.try_next(), Some(LinkEvent::Down { epoch }));
    assert_eq!((events.try_next(), events.try_next()), (Some(LinkEvent::Up { epoch }), None));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_hears_first_whether_the_link_is_up() {
    let fake = FakeRedis::new();
    let link = link_to(&fake, tracking(), &[]);
    assert_eq!(link.events().try_next(), None);
    ready_within(&link, SOON).await;
    assert_eq!(link.events().try_next(), Some(LinkEvent::Up { epoch: Epoch::new(1) }));
}

fn named(epoch: u64, keys: &[&str]) -> LinkEvent {
    let keys = keys.iter().map(|key| bytes::Bytes::copy_from_slice(key.as_bytes())).collect();
    LinkEvent::Invalidated { epoch: Epoch::new(epoch), keys: Keys::Some(keys) }
}

/// The next event, if it comes within a second.
async fn soon(events: &mut LinkEvents) -> Option<LinkEvent> {
    tokio::time::timeout(Duration::from_secs(1), events.next()).await.ok().flatten()
}
