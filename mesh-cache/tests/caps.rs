//! How much is kept, and what goes for what: the caps hold after every operation, and it is SIEVE that chooses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod sieve_model;
mod support;

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use mesh_cache::{Cache, Found, Freshness, Loaded, Scope};
use proptest::collection::vec;
use proptest::prelude::*;

use sieve_model::{Model, Op, branch, name, ops, tag};
use support::origin::{Origin, Says};
use support::{HandClock, builder, cache_with, config, environment_with, key, ms, pass, secs, settle};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_is_kept_is_what_a_naive_model_keeps(ops in vec(ops(), 1..160), entries_max in 1_u32..9, share in 1_u64..9) {
        let overhead = overhead();
        // Of nine values at their heaviest, as many as `share` fit.
        let bytes_max = (overhead + 400) * share;
        let cache = capped(entries_max, bytes_max);
        let mut model = Model::new(entries_max as usize, bytes_max);
        for (op, serial) in ops.iter().zip(1_u64..) {
            match *op {
                Op::Put { number, weight } => {
                    let value = serial * 1_000 + weight;
                    let found = Found::new(value).tag(tag(value));
                    prop_assert_eq!(cache.insert(&key(&name(number)), found), model.put(number, value, overhead + weight));
                }
                Op::Read(number) => {
                    let value = cache.get(&name(number)).and_then(|hit| hit.value().copied());
                    prop_assert_eq!(value, model.read(number));
                }
                Op::Invalidate(number) => {
                    let gone = cache.invalidate_here(&Scope::Key(key(&name(number))));
                    prop_assert_eq!(gone, model.remove(|other, _| other == number));
                }
                Op::InvalidateBranch(number) => {
                    let gone = cache.invalidate_here(&Scope::Prefix(branch(number)));
                    prop_assert_eq!(gone, model.remove(|other, _| branch(other) == branch(number)));
                }
                Op::InvalidateTag(number) => {
                    let gone = cache.invalidate_here(&Scope::Tag(tag(number)));
                    prop_assert_eq!(gone, model.remove(|_, value| tag(value) == tag(number)));
                }
                Op::InvalidateAll => prop_assert_eq!(cache.invalidate_here(&Scope::All), model.remove(|_, _| true)),
            }
            let stats = cache.stats();
            prop_assert!(stats.entries <= u64::from(entries_max) && stats.bytes <= bytes_max, "{:?}", stats);
            prop_assert_eq!((stats.entries, stats.bytes, stats.evicted), model.stats());
        }
        for number in 0..NUMBERS {
            let value = cache.get(&name(number)).and_then(|hit| hit.value().copied());
            prop_assert_eq!(value, model.read(number));
        }
    }

    #[test]
    fn whatever_can_be_read_was_put_last_and_is_within_its_time(steps in vec((ops(), 0_u64..8), 1..120)) {
        let clock = Arc::new(HandClock::default());
        let mut config = config();
        config.entries_max = NonZeroU32::new(6).unwrap();
        let environment = environment_with(Arc::clone(&clock) as Arc<_>, 1);
        let cache = builder().config(config).environment(environment).build().unwrap();
        // Value and the second at which it was put, for each number.
        let mut last = [None; NUMBERS as usize];
        let mut now = 0;
        for ((op, wait), serial) in steps.into_iter().zip(1_u64..) {
            clock.advance(secs(wait));
            now += wait;
            let forget = |last: &mut [Option<(Option<u64>, u64)>], goes: &dyn Fn(u64) -> bool| {
                last.iter_mut().zip(0..).filter(|(_, number)| goes(*number)).for_each(|(slot, _)| *slot = None);
            };
            match op {
                Op::Put { number, weight } => {
                    let value = (weight % 3 != 0).then_some(serial);
                    let loaded = value.map_or(Loaded::Absent, |value| Found::new(value).tag(tag(value)).into());
                    cache.insert(&key(&name(number)), loaded);
                    last[number as usize] = Some((value, now));
                }
                Op::Read(_) => {}
                Op::Invalidate(number) => {
                    cache.invalidate_here(&Scope::Key(key(&name(number))));
                    forget(&mut last, &|other| other == number);
                }
                Op::InvalidateBranch(number) => {
                    cache.invalidate_here(&Scope::Prefix(branch(number)));
                    forget(&mut last, &|other| branch(other) == branch(number));
                }
                Op::InvalidateTag(number) => {
                    cache.invalidate_here(&Scope::Tag(tag(number)));
                    // An absence has no tags.
                    let has_it = |last: &Option<(Option<u64>, u64)>| {
                        last.and_then(|(value, _)| value).is_some_and(|value| tag(value) == tag(number))
                    };
                    last.iter_mut().filter(|last| has_it(last)).for_each(|last| *last = None);
                }
                Op::InvalidateAll => {
                    cache.invalidate_here(&Scope::All);
                    forget(&mut last, &|_| true);
                }
            }
            for number in 0..NUMBERS {
                let Some(hit) = cache.get(&name(number)) else { continue };
                let Some((value, put_at)) = last[number as usize] else { panic!("{number} was resurrected") };
                let freshness = match (value, now - put_at) {
                    (None, 0..3) | (Some(_), 0..10) => Freshness::Fresh,
                    (Some(_), 10..30) => Freshness::Stale,
                    late => panic!("{late:?} is past its time"),
                };
                prop_assert_eq!((hit.value().copied(), hit.freshness()), (value, freshness));
                prop_assert_eq!(hit.age(), secs(now - put_at));
            }
            prop_assert!(cache.stats().entries <= 6);
        }
    }
}

#[test]
fn what_is_read_survives_a_scan_of_what_is_not() {
    let cache = cache_with(|config| config.entries_max = NonZeroU32::new(100).unwrap());
    for number in 0..10 {
        cache.insert(&key(&format!("hot/{number}")), Found::new(number));
    }
    for number in 0..10_000_u64 {
        let hot = number % 10;
        assert_eq!(cache.get(&format!("hot/{hot}")).unwrap().value(), Some(&hot), "after {number} others");
        cache.insert(&key(&format!("scan/{number}")), Found::new(number));
    }
    assert_eq!((cache.stats().entries, cache.stats().evicted), (100, 9_910));
}

#[test]
fn what_is_heavier_than_everything_may_be_takes_nothing_with_it() {
    let cache = capped(100, (overhead() + 400) * 2);
    cache.insert(&key("a"), Found::new(1));
    cache.insert(&key("heavy"), Found::new(1));
    assert!(!cache.insert(&key("heavy"), Found::new(9_999_999)), "its weight is its value");
    assert!(cache.get("heavy").is_none(), "what it was to replace is not true any more");
    assert!(cache.get("a").is_some());
    assert_eq!((cache.stats().evicted, cache.stats().refused), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_again_does_not_go_for_the_number_of_entries() {
    let cache = cache_with(|config| config.entries_max = NonZeroU32::new(2).unwrap());
    let origin = Origin::new(Says::Value(1));
    for name in ["a", "b"] {
        cache.get_or_load(&key(name), origin.loader()).await.unwrap();
    }
    origin.says(Says::Fails);
    pass(secs(10)).await;
    cache.get_or_load(&key("a"), origin.loader()).await.unwrap();
    settle().await;
    assert_eq!(cache.get("a").unwrap().freshness(), Freshness::StaleOnError);
    for number in 0..50 {
        // Nobody reads it, either.
        assert!(cache.insert(&key(&format!("other/{number}")), Found::new(1)));
    }
    assert_eq!(cache.get("a").unwrap().freshness(), Freshness::StaleOnError, "it is served on");
    assert!(cache.get("b").is_none(), "nobody has failed to renew it");
    pass(secs(60)).await;
    for number in 0..2 {
        assert!(cache.insert(&key(&format!("another/{number}")), Found::new(1)));
    }
    assert_eq!((cache.stats().entries, cache.stats().refused), (2, 0), "dead it takes nobody's place");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_may_go_what_comes_is_served_and_not_kept() {
    let cache = cache_with(|config| config.entries_max = NonZeroU32::MIN);
    let origin = Origin::new(Says::Value(1));
    cache.get_or_load(&key("a"), origin.loader()).await.unwrap();
    origin.says(Says::Fails);
    pass(secs(10)).await;
    cache.renew(&key("a"), origin.loader());
    settle().await;
    origin.says(Says::Value(2));
    let served = cache.get_or_load(&key("b"), origin.loader()).await.unwrap();
    assert_eq!((served.value.as_deref(), served.freshness, served.generation), (Some(&2), Freshness::Fresh, 0));
    assert!(cache.get("b").is_none());
    assert_eq!((cache.get("a").unwrap().value(), cache.stats().refused), (Some(&1), 1));
}

#[tokio::test(start_paused = true)]
async fn for_their_weight_even_what_cannot_be_had_again_goes() {
    let cache = capped(10, overhead() + 400);
    let origin = Origin::new(Says::Value(300));
    cache.get_or_load(&key("a/0"), origin.loader()).await.unwrap();
    origin.says(Says::Fails);
    pass(secs(10)).await;
    cache.renew(&key("a/0"), origin.loader());
    settle().await;
    pass(ms(1)).await;
    assert!(cache.insert(&key("a/1"), Found::new(300)));
    assert!(cache.get("a/0").is_none());
    assert_eq!((cache.stats().evicted, cache.stats().entries), (1, 1));
}

#[test]
fn text_and_bytes_weigh_what_they_are_though_nobody_says_so() {
    fn weight<V: Send + Sync + 'static>(value: V) -> u64 {
        let cache = Cache::builder().build().unwrap();
        assert!(cache.insert(&key("k"), Found::new(value)));
        cache.stats().bytes
    }
    let text = "x".repeat(10_000);
    let empty = weight(());
    let heavy = [
        weight(text.clone()),
        weight(text.clone().into_bytes()),
        weight(text.clone().into_boxed_str()),
        weight(text.clone().into_bytes().into_boxed_slice()),
        weight::<Arc<str>>(text.clone().into()),
        weight::<Arc<[u8]>>(text.clone().into_bytes().into()),
        weight(vec![text.clone(), String::new()]),
    ];
    for bytes in heavy {
        assert!((10_008..10_100).contains(&(bytes - empty)), "{heavy:?}");
    }
    let mut config = config();
    config.bytes_max = NonZeroU64::new(100_000).unwrap();
    let cache: Cache<String> = Cache::builder().config(config).build().unwrap();
    for number in 0..100 {
        cache.insert(&key(&name(number)), Found::new(text.clone()));
    }
    assert_eq!((cache.stats().entries, cache.stats().bytes <= 100_000), (9, true));
}

/// How many keys the models know.
const NUMBERS: u64 = 9;

/// A cache in which a value weighs its last three digits, and those over a million what they are.
fn capped(entries_max: u32, bytes_max: u64) -> Cache<u64> {
    let mut config = config();
    config.entries_max = NonZeroU32::new(entries_max).unwrap();
    config.bytes_max = NonZeroU64::new(bytes_max).unwrap();
    let weigh = |_: &_, value: &u64| if *value > 1_000_000 { *value } else { value % 1_000 };
    builder().config(config).weigh(weigh).build().unwrap()
}

/// What an entry of the models weighs besides its value.
fn overhead() -> u64 {
    let cache = capped(1, 1_000_000);
    cache.insert(&key(&name(0)), Found::new(0));
    cache.stats().bytes
}
