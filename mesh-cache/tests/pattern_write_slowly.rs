//! Writing behind to an origin that is slow: what was written counts, whatever became of the rest of its batch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::pattern::{Change, Sink, WriteBehind, WriteBehindConfig, WriteError, Written};
use mesh_cache::{Found, Key, Version};
use tokio::time::sleep;

use support::shelf::{Shelf, Takes};
use support::{Stopwatch, cache, key, ms, secs};

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_longer_than_the_deadline_is_written_once() {
    let (behind, shelf) = slow(ms(60));
    put(&behind, 100);
    sleep(secs(8)).await;
    let stats = behind.stats();
    assert_eq!((stats.written, stats.failures, stats.queued), (100, 0, 0));
    assert_eq!((shelf.tries(), shelf.log().len()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_on_a_slow_origin_writes_what_its_time_allows_and_counts_it() {
    let (behind, shelf) = slow(ms(60));
    put(&behind, 100);
    let flushed = behind.shut_down(ms(3_030)).await;
    assert_eq!(flushed.written, 50);
    assert_eq!(shelf.log().len() as u64, flushed.written, "nothing is counted that was not written");
    let left: Vec<Key> = (flushed.written..100).map(|number| key(&format!("k/{number:03}"))).collect();
    assert_eq!(flushed.left, left, "and what is left is all that was not");
    let (behind, shelf) = slow(ms(60));
    put(&behind, 100);
    let flushed = behind.shut_down(secs(60)).await;
    assert_eq!((flushed.written, flushed.left, shelf.tries()), (100, vec![], 100));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_the_sink_hung_or_panicked_is_not_written_again() {
    for takes in [Takes::Hangs, Takes::Panics] {
        let (behind, shelf) = slow(ms(60));
        put(&behind, 100);
        // Long enough for 40; the one after them has begun.
        sleep(ms(2_430)).await;
        shelf.takes(takes);
        sleep(secs(6)).await;
        let stats = behind.stats();
        assert_eq!((shelf.log().len(), stats.written, stats.queued), (41, 41, 59), "{takes:?}");
        assert!(stats.failures > 0, "{takes:?}");
        shelf.takes(Takes::Everything);
        let flushed = behind.shut_down(secs(60)).await;
        assert_eq!((flushed.left, shelf.log().len()), (vec![], 100), "{takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_fails_now_and_then_is_not_waited_for_ever_longer() {
    let (behind, shelf) = slow(ms(1));
    let began = Stopwatch::default();
    put(&behind, 100);
    while behind.stats().queued > 0 {
        // Each time some are written, and then one is not.
        shelf.takes(Takes::Nothing);
        sleep(ms(2)).await;
        shelf.takes(Takes::Everything);
        sleep(ms(10)).await;
        assert!(began.elapsed() < secs(30), "{:?}", behind.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_writes_all_or_nothing_and_is_too_slow_for_it_is_given_less() {
    for tells in [true, false] {
        let bulk = Bulk::new(ms(60), tells);
        let behind = WriteBehind::new(cache(), bulk.clone(), WriteBehindConfig::default()).unwrap();
        put(&behind, 100);
        let flushed = behind.shut_down(secs(60)).await;
        assert_eq!((flushed.written, flushed.left, behind.stats().written), (100, vec![], 100));
        assert_eq!(bulk.batches(), [50, 50], "what was dropped half-way was not written");
        assert_eq!(behind.stats().failures, 1);
        let version = behind.cache().get("k/099").unwrap().version();
        assert_eq!(version.index, if tells { 50 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn batches_grow_again_when_the_origin_is_quick_again() {
    let bulk = Bulk::new(ms(400), false);
    let behind = WriteBehind::new(cache(), bulk.clone(), WriteBehindConfig::default()).unwrap();
    put(&behind, 100);
    let began = Stopwatch::default();
    while behind.flush().await.is_err() {
        assert!(began.elapsed() < secs(90), "{:?}", behind.stats());
    }
    assert!(bulk.batches().iter().all(|count| *count <= 12), "{:?}", bulk.batches());
    let failures = behind.stats().failures;
    bulk.takes_time(ms(1));
    for _ in 0..3 {
        put(&behind, 100);
        behind.flush().await.unwrap();
    }
    assert_eq!((bulk.batches().last(), behind.stats().failures), (Some(&100), failures));
}

#[tokio::test(start_paused = true)]
async fn who_tells_of_more_than_it_was_given_has_written_no_more() {
    let behind = WriteBehind::new(cache(), Boaster, WriteBehindConfig::default()).unwrap();
    put(&behind, 100);
    behind.flush().await.unwrap();
    assert_eq!((behind.stats().written, behind.stats().queued, behind.stats().failures), (100, 0, 0));
}

/// Writes a batch as a whole, in a time for each key, or not at all.
#[derive(Clone)]
struct Bulk {
    state: Arc<Mutex<(Duration, Vec<usize>)>>,
    tells: bool,
}

impl Bulk {
    fn new(time: Duration, tells: bool) -> Self {
        Self { state: Arc::new(Mutex::new((time, Vec::new()))), tells }
    }

    fn takes_time(&self, time: Duration) {
        self.state.lock().unwrap().0 = time;
    }

    /// How many each that was written had.
    fn batches(&self) -> Vec<usize> {
        self.state.lock().unwrap().1.clone()
    }
}

impl Sink<u64> for Bulk {
    async fn write(&self, _: &Key, _: &u64) -> Result<Version, WriteError> {
        panic!("it writes all at once")
    }

    async fn remove(&self, _: &Key) -> Result<(), WriteError> {
        panic!("it writes all at once")
    }

    async fn write_all(&self, changes: &[Change<u64>], written: &Written) -> Result<(), WriteError> {
        let time = self.state.lock().unwrap().0;
        sleep(time * u32::try_from(changes.len()).unwrap()).await;
        self.state.lock().unwrap().1.push(changes.len());
        for index in 1..=changes.len() as u64 {
            if self.tells {
                written.tell(Version { epoch: 0, index });
            }
        }
        Ok(())
    }
}

/// Tells of much more than it was given, and hangs.
struct Boaster;

impl Sink<u64> for Boaster {
    async fn write(&self, _: &Key, _: &u64) -> Result<Version, WriteError> {
        Ok(Version::NONE)
    }

    async fn remove(&self, _: &Key) -> Result<(), WriteError> {
        Ok(())
    }

    async fn write_all(&self, changes: &[Change<u64>], written: &Written) -> Result<(), WriteError> {
        for _ in 0..3 * changes.len() {
            written.tell(Version::NONE);
        }
        std::future::pending().await
    }
}

fn slow(time: Duration) -> (WriteBehind<u64>, Shelf) {
    let shelf = Shelf::new();
    shelf.takes_time(time);
    (WriteBehind::new(cache(), shelf.clone(), WriteBehindConfig::default()).unwrap(), shelf)
}

fn put(behind: &WriteBehind<u64>, count: u64) {
    for number in 0..count {
        behind.put(&key(&format!("k/{number:03}")), Found::new(number)).unwrap();
    }
}
