//! What a hit costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use mesh_cache::mesh_core::time::Instant;
use mesh_cache::pattern::ReadThrough;
use mesh_cache::{Found, Loaded};

use support::shelf::Shelf;
use support::{cache, key};

#[test]
fn a_hit_allocates_nothing() {
    let cache = cache();
    for number in 0..500 {
        cache.insert(&key(&format!("k/{number}")), Found::new(number));
    }
    cache.insert(&key("absent"), Loaded::Absent);
    // A thread's first read sets up what it borrows with.
    drop(cache.get("k/0"));
    let info = measure(|| {
        for name in ["k/0", "k/499", "absent"] {
            let hit = cache.get(name).unwrap();
            assert!(hit.value().is_some() || name == "absent");
        }
        assert!(cache.get_at("k/7", Instant::ZERO).is_some());
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_hit_through_a_loader_allocates_nothing() {
    let (cache, k) = (cache(), key("k"));
    cache.insert(&k, Found::new(7));
    let through = ReadThrough::new(cache.clone(), Shelf::new());
    let mut served = None;
    let info = measure(|| {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(cached)) = pin!(through.get(&k)).poll(&mut context) else { panic!("a hit waits") };
        let load = || std::future::ready(Ok::<_, std::io::Error>(Found::new(8)));
        let Poll::Ready(Ok(_)) = pin!(cache.get_or_load(&k, load)).poll(&mut context) else { panic!("a hit waits") };
        served = Some(cached);
    });
    assert_eq!((info.count_total, served.unwrap().value.as_deref()), (0, Some(&7)), "{info:?}");
}

#[test]
fn a_miss_allocates_nothing() {
    let cache = cache();
    drop(cache.get("k"));
    let info = measure(|| assert!(cache.get("k").is_none()));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_borrowed_value_is_what_it_was_whatever_becomes_of_the_entry() {
    let cache = cache();
    cache.insert(&key("k"), Found::new(1));
    let hit = cache.get("k").unwrap();
    cache.insert(&key("k"), Found::new(2));
    cache.invalidate_here(&mesh_cache::Scope::All);
    assert_eq!((hit.value(), cache.get("k").is_none()), (Some(&1), true));
}
