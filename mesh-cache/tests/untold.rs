//! What a second tier could not be told of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::second::{Fetched, Listener, Reach, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark};
use mesh_cache::{Cache, Environment, Found, Key, Mark, Marks, MemoryTier, Scope};
use mesh_core::port::BoxFuture;

/// A tier of which the part that keeps the smallest of all marks is down.
#[derive(Clone, Debug)]
struct HalfDown {
    tier: MemoryTier,
    is_down: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Mark>>>,
}

impl SecondTier for HalfDown {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        self.tier.fetch(marks)
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        self.tier.watermarks(marks)
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        self.tier.store(store)
    }

    fn invalidate(&self, mark: Mark, reach: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        if self.is_down.load(Ordering::SeqCst) || mark.bits() < u64::MAX / 2 {
            return Box::pin(std::future::ready(Err(TierError::new(TierErrorKind::Away, "is away"))));
        }
        self.told.lock().unwrap().push(mark);
        self.tier.invalidate(mark, reach)
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.tier.listen()
    }
}

#[tokio::test(start_paused = true)]
async fn scopes_that_cannot_be_told_keep_none_that_can_be_from_it() {
    let clock = Environment::system().clock;
    let tier =
        HalfDown { tier: MemoryTier::new(clock), is_down: Arc::new(AtomicBool::new(true)), told: Arc::default() };
    let cache: Cache<u32> = Cache::builder().second_tier("ns", tier.clone(), JsonCodec::new(1)).build().unwrap();
    for number in 0..40 {
        let key = Key::new(format!("k/{number}")).unwrap();
        let load = || async { Ok::<_, Infallible>(Found::new(1)) };
        cache.get_or_load(&key, load).await.unwrap();
        cache.invalidate(&Scope::Key(key)).await.unwrap_err();
    }
    assert_eq!(tier.told.lock().unwrap().len(), 0);
    tier.is_down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = tier.told.lock().unwrap().clone();
    assert!((12..=28).contains(&told.len()), "about half of them could be told: {}", told.len());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(tier.told.lock().unwrap().len(), told.len(), "each of them once");
}
