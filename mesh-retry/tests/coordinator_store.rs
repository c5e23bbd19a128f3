//! The memory store's slots, operations, votes and probes, command by command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_retry::coordinator::store::{
    Abandon, Abandoned, Begin, Begun, Fence, Fingerprint, Finish, Finished, MemoryStore, OwnerToken, Probe, Probed,
    ProcessId, RESULT_BYTES_MAX, ReleaseProbe, Renew, Renewed, StateKey, StoreCommand, StoreReply, StoreTime,
    TakeSlots, Vote, Voted,
};

/// A store and its clock, in seconds.
struct Store(MemoryStore);

impl Store {
    fn new() -> Self {
        Self(MemoryStore::new())
    }

    fn begin_as(&mut self, at: u64, fingerprint: u128, owner: u128) -> Begun {
        self.begin_key(at, 1, fingerprint, owner)
    }

    fn begin(&mut self, at: u64, owner: u128) -> Begun {
        self.begin_as(at, 7, owner)
    }

    fn begin_key(&mut self, at: u64, key: u128, fingerprint: u128, owner: u128) -> Begun {
        let (fingerprint, owner) = (Fingerprint::new(fingerprint), OwnerToken::new(owner));
        let begin = Begin { key: StateKey::new(key), fingerprint, owner, lease: LEASE, keep: KEEP };
        let StoreReply::Begun(begun) = self.0.apply(secs(at), &StoreCommand::Begin(begin)) else { panic!("a begin") };
        begun
    }

    fn renew(&mut self, at: u64, owner: u128, fence: Fence, lease: Duration) -> Renewed {
        let renew = Renew { key: KEY, owner: OwnerToken::new(owner), fence, lease };
        let StoreReply::Renewed(renewed) = self.0.apply(secs(at), &StoreCommand::Renew(renew)) else {
            panic!("a renewal")
        };
        renewed
    }

    fn finish(&mut self, at: u64, owner: u128, fence: Fence, result: &[u8]) -> Finished {
        let finish = Finish { key: KEY, owner: OwnerToken::new(owner), fence, result: result.to_vec(), keep: KEEP };
        let StoreReply::Finished(finished) = self.0.apply(secs(at), &StoreCommand::Finish(finish)) else {
            panic!("an end")
        };
        finished
    }

    fn abandon(&mut self, at: u64, owner: u128, fence: Fence) -> Abandoned {
        let abandon = Abandon { key: KEY, owner: OwnerToken::new(owner), fence };
        let StoreReply::Abandoned(abandoned) = self.0.apply(secs(at), &StoreCommand::Abandon(abandon)) else {
            panic!("an end")
        };
        abandoned
    }

    fn vote(&mut self, at: u64, voter: u128, open: bool) -> (u32, u32) {
        let vote = Vote { subject: KEY, voter: ProcessId::new(voter), open, live_for: LEASE };
        let StoreReply::Voted(Voted { live, open }) = self.0.apply(secs(at), &StoreCommand::Vote(vote)) else {
            panic!("a vote")
        };
        (live, open)
    }

    fn probe(&mut self, at: u64, holder: u128) -> Probed {
        let probe = Probe { subject: KEY, holder: ProcessId::new(holder), lease: LEASE };
        let StoreReply::Probed(probed) = self.0.apply(secs(at), &StoreCommand::Probe(probe)) else { panic!("a probe") };
        probed
    }

    fn release(&mut self, at: u64, holder: u128) -> Probed {
        let release = ReleaseProbe { subject: KEY, holder: ProcessId::new(holder) };
        let StoreReply::Probed(probed) = self.0.apply(secs(at), &StoreCommand::ReleaseProbe(release)) else {
            panic!("a probe")
        };
        probed
    }

    fn take(&mut self, at: u64, counter: u128, count: u32) -> u64 {
        let take = TakeSlots { counter: StateKey::new(counter), count };
        let StoreReply::Slots(slots) = self.0.apply(secs(at), &StoreCommand::TakeSlots(take)) else { panic!("slots") };
        assert_eq!(slots.at, secs(at));
        slots.first
    }
}

#[test]
fn numbers_of_a_counter_follow_each_other_and_other_counters_do_not_mind() {
    let mut store = Store::new();
    let firsts = [(1, 5), (1, 1), (2, 3), (1, 0), (1, 2)].map(|(counter, count)| store.take(0, counter, count));
    assert_eq!(firsts, [0, 5, 0, 6, 7], "none is one");
}

#[test]
fn a_counter_lives_for_a_minute_after_its_last_use() {
    let mut store = Store::new();
    assert_eq!(
        [store.take(0, 1, 5), store.take(59, 1, 5), store.take(118, 1, 5), store.take(178, 1, 5)],
        [0, 5, 10, 0]
    );
}

#[test]
fn whoever_begins_first_owns_until_the_lease_ends_and_others_are_told_for_how_long() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.begin(104, 2), Begun::InFlight { lease_left: Duration::from_secs(6) });
    assert_eq!(store.renew(104, 1, fence, LEASE), Renewed::Kept);
    assert_eq!(store.begin(113, 2), Begun::InFlight { lease_left: Duration::from_secs(1) });
    let second = taken_over(store.begin(114, 2));
    assert!(second > fence, "{second:?} {fence:?}");
    assert_eq!(store.renew(115, 1, fence, LEASE), Renewed::Fenced);
    assert_eq!(store.finish(115, 1, fence, b"late"), Finished::Fenced);
    assert_eq!(store.abandon(115, 1, fence), Abandoned::Fenced);
    assert_eq!(store.finish(116, 2, second, b"good"), Finished::Kept);
    assert_eq!(store.begin(117, 3), Begun::Done { result: b"good".to_vec() });
}

#[test]
fn the_same_owner_begins_again_as_before_with_a_new_lease() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.begin(108, 1), Begun::Fresh { fence });
    assert_eq!(store.begin(117, 2), Begun::InFlight { lease_left: Duration::from_secs(1) });
    let second = taken_over(store.begin(118, 2));
    assert_eq!(store.begin(119, 2), Begun::TakenOver { fence: second });
    assert_eq!(store.begin(119, 1), Begun::InFlight { lease_left: LEASE }, "and the one before is as anybody");
}

#[test]
fn an_owner_whose_lease_is_over_keeps_what_nobody_took() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.renew(150, 1, fence, LEASE), Renewed::Kept);
    assert_eq!(store.begin(159, 2), Begun::InFlight { lease_left: Duration::from_secs(1) });
    assert_eq!(store.finish(199, 1, fence, b"late"), Finished::Kept);
    assert_eq!(store.begin(199, 2), Begun::Done { result: b"late".to_vec() });
}

#[test]
fn a_result_is_kept_once_and_finishing_again_changes_nothing() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.finish(101, 1, fence, b"one"), Finished::Kept);
    assert_eq!(store.finish(102, 1, fence, b"two"), Finished::Kept);
    assert_eq!(store.finish(102, 2, fence, b"two"), Finished::Fenced);
    assert_eq!(store.finish(102, 1, Fence::new(fence.number() + 1), b"two"), Finished::Fenced);
    assert_eq!(store.renew(102, 1, fence, LEASE), Renewed::Fenced);
    assert_eq!(store.abandon(102, 1, fence), Abandoned::Fenced, "what is done is done");
    assert_eq!(store.begin(103, 1), Begun::Done { result: b"one".to_vec() });
}

#[test]
fn a_result_is_told_for_its_time_and_an_owner_remembered_for_that_after_his_lease() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    store.finish(105, 1, fence, b"one");
    assert_eq!(store.begin(204, 2), Begun::Done { result: b"one".to_vec() });
    let second = fresh(store.begin(205, 2));
    assert!(second > fence);
    taken_over(store.begin(314, 3));
    fresh(store.begin(424, 4));
}

#[test]
fn renewing_keeps_the_memory_of_the_owner_too() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    store.renew(200, 1, fence, LEASE);
    taken_over(store.begin(309, 2));
}

#[test]
fn another_operation_under_the_same_key_is_refused_in_every_phase() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.begin_as(101, 8, 2), Begun::Mismatch);
    assert_eq!(store.begin_as(111, 8, 2), Begun::Mismatch, "though the lease is over");
    assert_eq!(store.begin_as(111, 8, 1), Begun::Mismatch, "though the owner is the same");
    store.finish(111, 1, fence, b"one");
    assert_eq!(store.begin_as(112, 8, 2), Begun::Mismatch);
}

#[test]
fn what_is_abandoned_is_as_if_it_had_not_begun_but_for_the_fence() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.abandon(100, 2, fence), Abandoned::Fenced);
    assert_eq!(store.abandon(100, 1, fence), Abandoned::Forgotten);
    assert_eq!(store.abandon(100, 1, fence), Abandoned::Fenced);
    assert_eq!(store.finish(100, 1, fence, b"late"), Finished::Fenced);
    assert!(fresh(store.begin_as(100, 8, 2)) > fence, "in the same microsecond");
}

#[test]
fn a_lease_of_no_time_hands_the_operation_over() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.renew(100, 1, fence, Duration::ZERO), Renewed::Kept);
    taken_over(store.begin(100, 2));
}

#[test]
fn a_result_that_is_too_long_is_not_kept() {
    let mut store = Store::new();
    let fence = fresh(store.begin(100, 1));
    assert_eq!(store.finish(100, 1, fence, &vec![0; RESULT_BYTES_MAX + 1]), Finished::Fenced);
    assert_eq!(store.finish(100, 1, fence, &vec![0; RESULT_BYTES_MAX]), Finished::Kept);
}

#[test]
fn fences_rise_in_a_store_that_has_lost_everything() {
    let before = fresh(Store::new().begin(100, 1));
    assert!(fresh(Store::new().begin(101, 1)) > before);
    assert!(fresh(Store::new().begin(0, 1)) >= Fence::new(1));
}

#[test]
fn a_clock_that_goes_back_leaves_nobody_more_than_a_whole_lease() {
    let mut store = Store::new();
    fresh(store.begin(100_000, 1));
    assert_eq!(store.probe(100_000, 1), Probed::Mine);
    assert_eq!(store.begin(100, 2), Begun::InFlight { lease_left: LEASE });
    assert_eq!(store.probe(100, 2), Probed::Others { lease_left: LEASE });
    taken_over(store.begin(110, 2));
    assert_eq!(store.probe(110, 2), Probed::Mine);
}

#[test]
fn too_many_operations_make_none_forgotten() {
    let mut store = Store::new();
    let begun = (1..100_000)
        .map(|key| store.begin_key(100, key, 7, key))
        .position(|begun| !matches!(begun, Begun::Fresh { .. }));
    let most = begun.unwrap() as u128;
    assert_eq!(store.begin_key(100, most + 5, 7, 9), Begun::Full);
    assert_eq!(store.begin_key(105, 1, 7, 9), Begun::InFlight { lease_left: LEASE / 2 }, "the first is there");
    fresh(store.begin_key(210, most + 5, 7, 9));
}

#[test]
fn every_process_has_one_vote_which_counts_for_its_time() {
    let mut store = Store::new();
    assert_eq!(
        [store.vote(100, 1, true), store.vote(101, 2, true), store.vote(102, 3, false)],
        [(1, 1), (2, 2), (3, 2)]
    );
    assert_eq!(store.vote(103, 2, false), (3, 1), "the latest counts");
    assert_eq!(store.vote(109, 3, false), (3, 1));
    assert_eq!(store.vote(110, 3, false), (2, 0), "the first has ended");
    assert_eq!(store.vote(200, 4, true), (1, 1));
}

#[test]
fn a_vote_of_a_time_to_come_counts_for_nothing() {
    let mut store = Store::new();
    store.vote(100_000, 1, true);
    store.vote(100_000, 2, true);
    assert_eq!(store.vote(100, 3, false), (1, 0));
    assert_eq!(store.vote(100, 1, true), (2, 1), "until it is cast again");
}

#[test]
fn one_holds_the_probe_until_he_lets_go_or_his_lease_ends() {
    let mut store = Store::new();
    assert_eq!(store.probe(100, 1), Probed::Mine);
    assert_eq!(store.probe(104, 2), Probed::Others { lease_left: Duration::from_secs(6) });
    assert_eq!(store.probe(105, 1), Probed::Mine, "and has it for longer");
    assert_eq!(store.probe(114, 2), Probed::Others { lease_left: Duration::from_secs(1) });
    assert_eq!(store.release(114, 2), Probed::Released, "which changes nothing");
    assert_eq!(store.probe(114, 2), Probed::Others { lease_left: Duration::from_secs(1) });
    assert_eq!(store.probe(115, 2), Probed::Mine);
    assert_eq!(store.release(115, 1), Probed::Released);
    assert_eq!(store.probe(115, 1), Probed::Others { lease_left: LEASE });
    assert_eq!(store.release(115, 2), Probed::Released);
    assert_eq!(store.probe(115, 1), Probed::Mine);
}

fn secs(secs: u64) -> StoreTime {
    StoreTime::from_micros(secs * 1_000_000)
}

fn fresh(begun: Begun) -> Fence {
    let Begun::Fresh { fence } = begun else { panic!("{begun:?}") };
    fence
}

fn taken_over(begun: Begun) -> Fence {
    let Begun::TakenOver { fence } = begun else { panic!("{begun:?}") };
    fence
}

const KEY: StateKey = StateKey::new(1);
const LEASE: Duration = Duration::from_secs(10);
const KEEP: Duration = Duration::from_secs(100);
