//! Two processes over one second tier: what one loads the other uses, what one invalidates the other drops, and what
//! cannot be heard is not called fresh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::{Cache, Cached, Environment, Found, Freshness, Key, MemoryTier, Prefix, Scope, Source, Tag};

use support::origin::{Origin, Says};
use support::tiers::Frail;
use support::{environment, key, ms, pass, secs, settle, sharing};

const KEY: &str = "discovery/dc1/api";

#[tokio::test(start_paused = true)]
async fn what_one_process_loads_another_uses() {
    let World { a, b, .. } = World::new().await;
    let [at_a, at_b] = [Origin::new(Says::Tagged(1, tag())), Origin::new(Says::Fails)];
    assert_eq!(a.load(&at_a).await.source, Source::Origin);
    settle().await;
    let served = b.load(&at_b).await;
    assert_eq!(shown(&served), (Some(1), Freshness::Fresh, 0));
    assert_eq!((served.source, at_b.loads(), b.0.stats().tier_hits), (Source::SecondTier, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_process_invalidates_the_other_drops() {
    let scopes =
        [Scope::Key(key(KEY)), Scope::Prefix(Prefix::new("discovery/dc1/").unwrap()), Scope::Tag(tag()), Scope::All];
    for scope in scopes {
        let World { a, b, .. } = World::new().await;
        let origin = Origin::new(Says::Tagged(1, tag()));
        a.load(&origin).await;
        settle().await;
        b.load(&origin).await;
        assert_eq!((origin.loads(), b.seen()), (1, Some(1)));
        origin.says(Says::Tagged(2, tag()));
        a.0.invalidate(&scope).await.unwrap();
        settle().await;
        assert_eq!((a.seen(), b.seen()), (None, None), "{scope:?}");
        // And the second tier believes it no more.
        assert_eq!(shown(&b.load(&origin).await), (Some(2), Freshness::Fresh, 0), "{scope:?}");
        settle().await;
        assert_eq!((a.load(&origin).await.source, origin.loads()), (Source::SecondTier, 2), "{scope:?}");
        assert_eq!((a.0.stats().invalidations, b.0.stats().invalidations), (2, 1), "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_heard_nothing_is_fresh_and_everything_is_served() {
    let World { a, tier, .. } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    a.load(&origin).await;
    let other = key("other");
    a.0.insert(&other, Found::new(5));
    assert!(a.0.is_hearing());
    pass(ms(500)).await;
    tier.set_away(true);
    settle().await;
    assert!(!a.0.is_hearing());
    for name in [KEY, "other"] {
        assert_eq!(a.0.get(name).unwrap().freshness(), Freshness::Unheard);
    }
    assert_eq!(shown(&a.load(&origin).await), (Some(1), Freshness::Unheard, 500));
    settle().await;
    assert_eq!(origin.loads(), 1, "half a second is not worth a renewal");
    pass(ms(500)).await;
    assert_eq!(a.load(&origin).await.freshness, Freshness::Unheard);
    settle().await;
    assert_eq!(shown(&a.load(&origin).await), (Some(1), Freshness::Unheard, 0), "renewed, and still unheard");
    assert_eq!((origin.loads(), a.0.stats().deafened), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn heard_again_an_entry_is_fresh_once_it_is_renewed() {
    let World { a, tier, .. } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    a.load(&origin).await;
    tier.set_away(true);
    settle().await;
    tier.set_away(false);
    settle().await;
    assert!(a.0.is_hearing());
    assert_eq!(a.0.get(KEY).unwrap().freshness(), Freshness::Unheard, "what came in between was not heard");
    pass(secs(1)).await;
    a.load(&origin).await;
    settle().await;
    let served = a.load(&origin).await;
    assert_eq!(
        (served.freshness, served.source),
        (Freshness::Fresh, Source::SecondTier),
        "the tier knows that it is good"
    );
    assert_eq!((shown(&served).2, origin.loads()), (1_000, 1), "and how old it is");
}

#[tokio::test(start_paused = true)]
async fn a_load_over_a_connection_that_broke_meanwhile_is_unheard() {
    let World { a, tier, .. } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    origin.takes(ms(100));
    a.0.renew(&key(KEY), origin.loader());
    pass(ms(50)).await;
    tier.set_away(true);
    tier.set_away(false);
    pass(ms(50)).await;
    assert_eq!(a.0.get(KEY).unwrap().freshness(), Freshness::Unheard);
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_second_tier_is_as_old_as_it_was_there() {
    let (tier, environment_of_a) = (memory_tier(), environment(1));
    let a = Process::new(&tier, environment_of_a).await;
    let origin = Origin::new(Says::Aged(1, secs(2)));
    a.load(&origin).await;
    pass(secs(4)).await;
    // A process that begins now, as its clock does.
    let b = Process::new(&tier, environment(2)).await;
    assert_eq!(shown(&b.load(&origin).await), (Some(1), Freshness::Fresh, 6_000));
    pass(ms(3_999)).await;
    assert_eq!(b.0.get(KEY).unwrap().freshness(), Freshness::Fresh);
    pass(ms(2)).await;
    assert_eq!(b.0.get(KEY).unwrap().freshness(), Freshness::Stale);
    assert_eq!(origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_there_is_used_only_when_the_origin_fails() {
    let World { a, b, tier } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    a.load(&origin).await;
    pass(ms(10_001)).await;
    let at_b = Origin::new(Says::Value(2));
    assert_eq!(shown(&b.load(&at_b).await), (Some(2), Freshness::Fresh, 0));
    at_b.says(Says::Fails);
    let c = Process::new(&tier, environment(3)).await;
    b.0.invalidate_here(&Scope::All);
    pass(secs(10)).await;
    let served = c.load(&at_b).await;
    assert_eq!(shown(&served), (Some(2), Freshness::StaleOnError, 10_000), "b has shared what it loaded");
    assert_eq!((served.source, c.0.stats().load_errors), (Source::SecondTier, 1));
    pass(ms(100)).await;
    at_b.says(Says::Value(3));
    c.load(&at_b).await;
    settle().await;
    assert_eq!(shown(&c.load(&at_b).await), (Some(3), Freshness::Fresh, 0));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_for_an_origin_grows_older_while_that_fails() {
    let World { a, b, .. } = World::new().await;
    a.load(&Origin::new(Says::Value(1))).await;
    pass(secs(11)).await;
    let at_b = Origin::new(Says::Fails);
    at_b.takes(secs(3));
    assert_eq!(shown(&b.load(&at_b).await), (Some(1), Freshness::StaleOnError, 14_000));
}

#[tokio::test(start_paused = true)]
async fn what_is_published_everybody_has() {
    let World { a, b, .. } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    for process in [&a, &b] {
        process.load(&origin).await;
        settle().await;
    }
    assert!(a.0.publish(&key(KEY), Found::new(2)).await.unwrap());
    settle().await;
    assert_eq!((a.seen(), b.seen()), (Some(2), None));
    let served = b.load(&origin).await;
    assert_eq!((shown(&served), served.source), ((Some(2), Freshness::Fresh, 0), Source::SecondTier));
    assert_eq!(a.0.get(KEY).unwrap().source(), Source::Inserted);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_gives_way_to_what_others_change_meanwhile() {
    let frail = Frail::new(memory_tier());
    let (a, b) = (sharing(frail.clone(), environment(1)), Process::new(&frail.tier, environment(2)).await);
    settle().await;
    frail.answers_after(ms(50));
    let publishing = {
        let a = a.clone();
        tokio::spawn(async move { a.publish(&key(KEY), Found::new(1)).await })
    };
    pass(ms(20)).await;
    b.0.publish(&key(KEY), Found::new(2)).await.unwrap();
    pass(ms(30)).await;
    assert!(!publishing.await.unwrap().unwrap(), "it is not kept");
    assert!(a.get(KEY).is_none(), "the news overtook the answer");
    let served = a.get_or_load(&key(KEY), Origin::new(Says::Fails).loader()).await.unwrap();
    assert_eq!(shown(&served), (Some(2), Freshness::Fresh, 80), "30 ms there, and 50 ms on its way");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_not_content_with_what_is_there_already() {
    let World { a, b, .. } = World::new().await;
    let origin = Origin::new(Says::Value(1));
    a.load(&origin).await;
    pass(secs(5)).await;
    origin.says(Says::Value(2));
    a.0.renew(&key(KEY), origin.loader());
    settle().await;
    assert_eq!((a.seen(), origin.loads()), (Some(2), 2), "the second tier has no more than a has");
    b.load(&origin).await;
    pass(secs(5)).await;
    // What another process has renewed meanwhile is worth having.
    origin.says(Says::Value(3));
    b.0.renew(&key(KEY), origin.loader());
    settle().await;
    a.0.renew(&key(KEY), origin.loader());
    settle().await;
    assert_eq!((a.seen(), b.seen(), origin.loads()), (Some(3), Some(3), 3));
}

/// A tier's time runs ahead of its clock by a few microseconds, to give each change one of its own.
fn millis(age: Duration) -> u128 {
    (age + Duration::from_micros(500)).as_millis()
}

/// Two processes and what they share.
struct World {
    a: Process,
    b: Process,
    tier: MemoryTier,
}

struct Process(Cache<u64>);

impl World {
    async fn new() -> Self {
        let tier = memory_tier();
        let a = Process::new(&tier, environment(1)).await;
        let b = Process::new(&tier, environment(2)).await;
        Self { a, b, tier }
    }
}

impl Process {
    /// A process that hears.
    async fn new(tier: &MemoryTier, environment: Environment) -> Self {
        let process = Self(sharing(tier.another(), environment));
        settle().await;
        process
    }

    async fn load(&self, origin: &Origin) -> Cached<u64> {
        let key: Key = key(KEY);
        self.0.get_or_load(&key, origin.loader()).await.unwrap()
    }

    fn seen(&self) -> Option<u64> {
        self.0.get(KEY).and_then(|hit| hit.value().copied())
    }
}

fn memory_tier() -> MemoryTier {
    MemoryTier::new(Arc::clone(&environment(0).clock))
}

fn tag() -> Tag {
    Tag::new("node:db-7").unwrap()
}

fn shown(cached: &Cached<u64>) -> (Option<u64>, Freshness, u128) {
    (cached.value.as_deref().copied(), cached.freshness, millis(cached.age))
}
