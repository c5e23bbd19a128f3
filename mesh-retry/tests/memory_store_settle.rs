//! How a store settles with the processes of a budget, here in memory.
#![allow(clippy::panic, reason = "helpers of tests fail like tests")]

use core::time::Duration;

use mesh_retry::budget::TokenBucketConfig;
use mesh_retry::coordinator::store::{
    MemoryStore, ProcessId, Settle, Settled, Settlement, StateKey, StoreCommand, StoreReply, StoreTime,
};

/// A store, and what is settled where nothing else is said.
struct World {
    store: MemoryStore,
    limits: TokenBucketConfig,
}

impl World {
    fn new(ratio_milli: u32, per_second_milli: u32, burst_milli: u32) -> Self {
        let mut limits = TokenBucketConfig::default();
        (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) =
            (ratio_milli, per_second_milli, burst_milli);
        Self { store: MemoryStore::new(), limits }
    }

    fn command(&self, process: u128, epoch: u64) -> Settle {
        Settle {
            budget: StateKey::new(7),
            limits: self.limits,
            process: ProcessId::new(process),
            epoch,
            cumulative_requests: 0,
            reported_requests: 0,
            want: 0,
            kept: 0,
            returned: 0,
        }
    }

    fn settle(&mut self, millis: u64, settle: Settle) -> Settled {
        let at = StoreTime::from_micros(HOUR + millis * 1_000);
        let reply = self.store.apply(at, &StoreCommand::Settle(settle));
        if let StoreReply::Settled(settled) = reply { settled } else { panic!("{reply:?}") }
    }

    /// Takes all that there is.
    fn drain(&mut self, millis: u64, process: u128, epoch: u64) -> u32 {
        let command = Settle { want: 1_000, ..self.command(process, epoch) };
        self.settle(millis, command).granted
    }
}

const HOUR: u64 = 3_600_000_000;

#[test]
fn a_new_budget_is_full_and_grants_what_is_wanted_as_far_as_it_goes() {
    let mut world = World::new(0, 2_000, 5_500);
    let first = Settle { want: 3, ..world.command(1, 1) };
    let settled = world.settle(0, first);
    assert_eq!((settled.settlement, settled.granted, settled.left_milli), (Settlement::Applied, 3, 2_500));
    assert_eq!((settled.wait, settled.processes), (Some(Duration::ZERO), 1));
    let second = Settle { want: 3, ..world.command(2, 1) };
    let settled = world.settle(0, second);
    assert_eq!((settled.granted, settled.left_milli, settled.processes), (2, 500, 2));
    assert_eq!(settled.wait, Some(Duration::from_millis(250)), "half of one is there, and half a second brings one");
}

#[test]
fn time_brings_what_it_should_and_no_more_than_fits() {
    let mut world = World::new(0, 2_000, 10_000);
    assert_eq!(world.drain(0, 1, 1), 10);
    assert_eq!(world.drain(1_499, 1, 2), 2);
    assert_eq!(world.drain(1_500, 1, 3), 1, "what was left of the last time is not lost");
    assert_eq!(world.drain(50_000, 1, 4), 10);
    assert_eq!(World::new(0, 0, 1_000).settle(0, world.command(1, 1)).wait, Some(Duration::ZERO));
    let mut nothing = World::new(0, 0, 1_000);
    let command = Settle { want: 2, ..nothing.command(1, 1) };
    assert_eq!(nothing.settle(0, command).wait, None);
}

#[test]
fn the_same_epoch_again_is_answered_as_before_and_an_earlier_one_grants_nothing() {
    let mut world = World::new(1_000, 0, 10_000);
    let first = Settle { want: 4, ..world.command(1, 1) };
    assert_eq!(world.settle(0, first).granted, 4);
    let second = Settle { cumulative_requests: 2, kept: 1, returned: 3, want: 1, ..world.command(1, 2) };
    // 6 left, two requests, three back, one out.
    let settled = world.settle(0, second);
    assert_eq!((settled.granted, settled.left_milli), (1, 9_000));
    let again = world.settle(0, second);
    assert_eq!((again.settlement, again.granted, again.left_milli), (Settlement::Repeated, 1, 9_000));
    let late = world.settle(0, first);
    assert_eq!((late.settlement, late.granted, late.left_milli), (Settlement::Stale, 0, 9_000));
    assert_eq!(world.drain(0, 1, 3), 9);
}

#[test]
fn requests_are_credited_once_whatever_a_process_tells() {
    let mut world = World::new(1_000, 0, 100_000);
    assert_eq!(world.drain(0, 1, 1), 100);
    let told = |world: &World, epoch, cumulative, reported| Settle {
        cumulative_requests: cumulative,
        reported_requests: reported,
        ..world.command(1, epoch)
    };
    for (epoch, cumulative, reported, left) in [
        (2, 10, 0, 10),
        (3, 10, 0, 10),
        (4, 15, 12, 13),
        (5, 3, 0, 13),
        (6, 16, 0, 14),
        (7, 20, 30, 14),
        (8, 20, 0, 14),
    ] {
        let command = told(&world, epoch, cumulative, reported);
        let settled = world.settle(0, command);
        assert_eq!(settled.left_milli, left * 1_000, "epoch {epoch}");
    }
}

#[test]
fn a_process_that_is_not_known_is_granted_tokens_but_its_requests_are_not_credited() {
    let mut world = World::new(1_000, 0, 10_000);
    assert_eq!(world.drain(0, 1, 1), 10);
    let stranger = Settle { cumulative_requests: 5, returned: 4, ..world.command(2, 9) };
    assert_eq!(world.settle(0, stranger).left_milli, 0, "nor is anything taken back that it was not granted");
    let known = Settle { cumulative_requests: 7, ..world.command(2, 10) };
    assert_eq!(world.settle(0, known).left_milli, 2_000);
    // After a minute it is forgotten.
    let later = Settle { cumulative_requests: 17, ..world.command(2, 11) };
    assert_eq!(world.settle(60_000, later).left_milli, 2_000);
}

#[test]
fn no_more_comes_back_than_is_believed_to_be_held() {
    let mut world = World::new(0, 0, 10_000);
    let first = Settle { want: 6, ..world.command(1, 1) };
    world.settle(0, first);
    let back = Settle { returned: 9, ..world.command(1, 2) };
    assert_eq!(world.settle(0, back).left_milli, 10_000);
    assert_eq!(world.drain(0, 1, 3), 10);
    let keeps = Settle { kept: 3, ..world.command(1, 4) };
    assert_eq!(world.settle(0, keeps).left_milli, 0);
    let back = Settle { returned: 9, ..world.command(1, 5) };
    assert_eq!(world.settle(0, back).left_milli, 3_000, "seven were spent");
    let again = Settle { returned: 9, ..world.command(1, 6) };
    assert_eq!(world.settle(0, again).left_milli, 3_000);
    // A store that is behind may know of fewer than are held.
    let first = Settle { want: 3, ..world.command(2, 1) };
    assert_eq!(world.settle(0, first).granted, 3);
    let ahead = Settle { kept: 5, returned: 2, ..world.command(2, 2) };
    assert_eq!(world.settle(0, ahead).left_milli, 2_000);
    let back = Settle { returned: 5, ..world.command(2, 3) };
    assert_eq!(world.settle(0, back).left_milli, 3_000);
}

#[test]
fn a_clock_that_goes_back_brings_nothing_twice_and_one_that_was_set_heals() {
    let mut world = World::new(0, 1_000, 100_000);
    assert_eq!(world.drain(100_000, 1, 1), 100);
    assert_eq!(world.drain(102_000, 1, 2), 2);
    assert_eq!(world.drain(101_500, 1, 3), 0, "half a second back");
    assert_eq!(world.drain(103_500, 1, 4), 1, "time counts again from where it was");
    assert_eq!(world.drain(50_000, 1, 5), 0, "set back by a minute");
    assert_eq!(world.drain(55_000, 1, 6), 5, "and it goes on from there");
}

#[test]
fn processes_count_that_have_settled_within_fifteen_seconds() {
    let mut world = World::new(0, 0, 1_000);
    for process in 1..=5 {
        let command = world.command(process, 1);
        assert_eq!(world.settle(0, command).processes, process as u32);
    }
    let command = world.command(1, 2);
    assert_eq!(world.settle(15_000, command).processes, 5);
    let command = world.command(1, 3);
    assert_eq!(world.settle(15_001, command).processes, 1);
    // The clock is set back: who settled in what is the future now does not count.
    let command = world.command(2, 2);
    assert_eq!(world.settle(5_000, command).processes, 4, "those of the start and itself");
}

#[test]
fn budgets_know_nothing_of_each_other_and_lowered_limits_hold_at_once() {
    let mut world = World::new(0, 0, 10_000);
    let other = Settle { budget: StateKey::new(8), want: 10, ..world.command(1, 1) };
    assert_eq!(world.settle(0, other).granted, 10);
    world.limits.burst_milli = 3_000;
    assert_eq!(world.drain(0, 1, 1), 3, "it began with these");
    world.limits.burst_milli = 10_000;
    let mut fuller = World::new(0, 0, 10_000);
    let command = fuller.command(1, 1);
    fuller.settle(0, command);
    fuller.limits.burst_milli = 4_000;
    assert_eq!(fuller.drain(0, 1, 2), 4);
}

#[test]
fn a_budget_that_nobody_uses_is_kept_until_time_has_filled_it() {
    let mut slow = World::new(0, 10, 2_000);
    assert_eq!(slow.drain(0, 1, 1), 2);
    assert_eq!(slow.drain(199_000, 1, 2), 1, "200 s bring two");
    let mut never = World::new(0, 0, 2_000);
    assert_eq!(never.drain(0, 1, 1), 2);
    assert_eq!(never.drain(23 * 3_600_000, 1, 2), 0);
    assert_eq!(never.drain(47 * 3_600_000, 1, 3), 2, "after a day it is a new one");
    let kept = |per_second_milli: u32| World::new(0, per_second_milli, 2_000).command(1, 1).bucket_kept_for();
    assert_eq!((kept(2_000), kept(10), kept(0)), (secs(60), secs(200), secs(24 * 3_600)));
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
