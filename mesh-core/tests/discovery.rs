//! What is served while the registry answers, is silent, or says that there is nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::PickError;
use mesh_core::discovery::Freshness::{self, Doubted, Live, Pending, Recalled, Stale};
use mesh_core::machine::{Machine, ServiceEvent, ServiceInput, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use support::rig::*;
use support::*;

#[test]
fn nothing_is_served_before_the_registry_has_answered() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    for input in [ServiceInput::Lost, ServiceInput::Confirmed, ServiceInput::Lost] {
        rig.pass(ms(1_000));
        rig.tell(input);
        assert_eq!(rig.state(), (vec![], Pending, None));
    }
    assert!(rig.take().events.is_empty());
    rig.observe(heard(fleet_of(1)));
    assert_eq!(rig.state(), (vec![0], Live, Some(rig.now)));
    assert_eq!(rig.changes(), [(Pending, Live)]);
}

#[test]
fn what_is_remembered_is_served_until_the_registry_answers_and_not_afterwards() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.pass(ms(10_000));
    let as_of = rig.now - ms(4_000);
    rig.tell(recalled(2, ms(4_000)));
    assert_eq!(rig.state(), (vec![0, 1], Recalled { as_of }, Some(as_of)));
    assert_eq!(rig.usable(), [0, 1]);
    rig.tell(ServiceInput::Lost);
    rig.tell(ServiceInput::Confirmed);
    assert_eq!(rig.state(), (vec![0, 1], Recalled { as_of }, Some(as_of)), "nobody said that it is still so");
    rig.observe(heard(fleet_of(3)));
    assert_eq!(rig.state(), (vec![0, 1, 2], Live, Some(rig.now)));
    rig.tell(recalled(1, ms(1)));
    assert_eq!(rig.state(), (vec![0, 1, 2], Live, Some(rig.now)), "the registry's word is better than a memory");
    assert_eq!(rig.changes(), [(Pending, Recalled { as_of }), (Recalled { as_of }, Live)]);
}

#[test]
fn an_empty_memory_says_nothing_and_an_empty_registry_is_doubted_against_one() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.tell(recalled(0, ms(1)));
    assert_eq!(rig.state(), (vec![], Pending, None));
    rig.tell(recalled(2, ms(0)));
    let as_of = rig.now;
    rig.observe(unknown());
    assert_eq!(rig.state(), (vec![0, 1], Recalled { as_of }, Some(as_of)), "a registry that restarts knows nobody yet");
    rig.pass(HOLD);
    assert_eq!(rig.state(), (vec![], Live, Some(rig.now)));
}

#[test]
fn a_list_out_of_a_cache_that_is_cut_off_is_not_called_live() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.pass(ms(60_000));
    let aged = |age| heard(fleet_of(2)).aged(age);
    rig.observe(aged(ms(9_000)));
    assert_eq!(rig.state(), (vec![0, 1], Live, Some(rig.now - ms(9_000))));
    rig.observe(aged(ms(30_000)));
    let since = rig.now - ms(30_000);
    assert_eq!(rig.state(), (vec![0, 1], Stale { since }, Some(since)));
    rig.tell(ServiceInput::Confirmed);
    assert_eq!(rig.state(), (vec![0, 1], Live, Some(rig.now)));
}

#[test]
fn a_lost_registry_takes_nothing_away_and_the_list_grows_old() {
    let mut rig = Rig::of(fleet_of(2));
    let (heard_at, served) = (rig.now, Arc::clone(rig.machine.snapshot()));
    rig.take();
    rig.pass(ms(5_000));
    let since = rig.now;
    for _ in 0..3 {
        rig.tell(ServiceInput::Lost);
        rig.pass(Duration::from_secs(3_600));
        assert_eq!(rig.state(), (vec![0, 1], Stale { since }, Some(heard_at)));
    }
    assert!(Arc::ptr_eq(&served, rig.machine.snapshot()) && rig.usable() == [0, 1]);
    assert_eq!(rig.changes(), [(Live, Stale { since })], "told once");
    assert!(rig.take().views.is_empty());
}

#[test]
fn a_word_or_a_confirmation_makes_the_list_fresh_again() {
    for input in [ServiceInput::Confirmed, ServiceInput::Observed(heard(fleet_of(2)))] {
        let mut rig = Rig::of(fleet_of(2));
        rig.pass(ms(5));
        rig.tell(ServiceInput::Lost);
        let since = rig.now;
        rig.pass(ms(5));
        rig.take();
        rig.tell(input.clone());
        assert_eq!(rig.state(), (vec![0, 1], Live, Some(rig.now)));
        rig.tell(input);
        assert_eq!(rig.changes(), [(Stale { since }, Live)]);
        assert!(rig.take().views.is_empty());
    }
}

#[test]
fn an_empty_list_that_was_only_heard_is_doubted_and_then_believed() {
    let mut rig = Rig::of(fleet_of(2));
    rig.pass(ms(1_000));
    rig.take();
    let (heard_at, since) = (at(0), rig.now);
    rig.observe(heard(vec![]));
    assert_eq!(rig.state(), (vec![0, 1], Doubted { since }, Some(heard_at)));
    assert_eq!(rig.machine.poll_timeout(), Some(since + HOLD));
    // Said again or confirmed, it is doubted no longer and no shorter, and the list that is served grows old.
    rig.pass(ms(10_000));
    rig.observe(heard(vec![]));
    rig.pass(ms(10_000));
    rig.tell(ServiceInput::Confirmed);
    rig.pass(ms(9_999));
    assert_eq!(rig.state(), (vec![0, 1], Doubted { since }, Some(heard_at)));
    assert_eq!(rig.usable(), [0, 1]);
    rig.pass(ms(1));
    assert_eq!(rig.state(), (vec![], Live, Some(rig.now)));
    assert_eq!(rig.refusal(), PickError::NoneRegistered);
    assert_eq!(rig.changes(), [(Live, Doubted { since }), (Doubted { since }, Live)]);
    assert_eq!(rig.take().views.len(), 1);
    assert_eq!(rig.machine.poll_timeout(), None);
}

#[test]
fn of_several_doubted_words_the_last_is_believed() {
    let mut rig = Rig::of(fleet_of(1));
    rig.observe(heard(vec![]));
    rig.observe(unknown());
    rig.pass(HOLD);
    assert_eq!(rig.refusal(), PickError::UnknownService);
}

#[test]
fn an_empty_list_is_not_believed_while_the_registry_is_lost() {
    let mut rig = Rig::of(fleet_of(2));
    rig.observe(heard(vec![]));
    rig.pass(ms(1_000));
    rig.tell(ServiceInput::Lost);
    let since = rig.now;
    assert_eq!(rig.machine.poll_timeout(), None);
    rig.pass(HOLD * 10);
    assert_eq!(rig.state(), (vec![0, 1], Stale { since }, Some(at(0))));
    // It is back and says the same: as it may have restarted, that has to stand for a whole hold again.
    rig.tell(ServiceInput::Confirmed);
    let back = rig.now;
    assert_eq!(rig.state(), (vec![0, 1], Doubted { since: back }, Some(at(0))));
    rig.pass(HOLD);
    assert_eq!(rig.state(), (vec![], Live, Some(rig.now)));
}

#[test]
fn a_doubt_begins_anew_when_a_registry_that_was_lost_is_back() {
    let mut rig = Rig::of(fleet_of(1));
    rig.take();
    rig.observe(heard(vec![]));
    let since = rig.now;
    rig.pass(ms(1_000));
    rig.tell(ServiceInput::Lost);
    let lost = rig.now;
    rig.pass(ms(1_000));
    rig.tell(ServiceInput::Confirmed);
    let anew = Doubted { since: rig.now };
    assert_eq!(rig.state(), (vec![0], anew, Some(at(0))));
    let (doubted, stale) = (Doubted { since }, Stale { since: lost });
    assert_eq!(rig.changes(), [(Live, doubted), (doubted, stale), (stale, anew)]);
}

#[test]
fn a_doubt_is_forgotten_when_instances_are_back() {
    for count in [1, 2] {
        let mut rig = Rig::of(fleet_of(2));
        rig.observe(heard(vec![]));
        rig.pass(HOLD - ms(1));
        rig.observe(heard(fleet_of(count)));
        assert_eq!((rig.machine.freshness(), rig.machine.poll_timeout()), (Live, None));
        // Another doubt begins anew.
        rig.pass(ms(1));
        rig.observe(heard(vec![]));
        let since = rig.now;
        rig.pass(HOLD - ms(1));
        assert_eq!(rig.state().1, Doubted { since });
        assert_eq!(rig.usable().len(), usize::from(count));
    }
}

#[test]
fn a_certain_empty_list_is_believed_at_once_even_in_doubt() {
    for doubted in [false, true] {
        let mut rig = Rig::of(fleet_of(2));
        if doubted {
            rig.observe(heard(vec![]));
            rig.pass(ms(1_000));
        }
        rig.take();
        rig.observe(certain(vec![]));
        assert_eq!((rig.state(), rig.take().views.len()), ((vec![], Live, Some(rig.now)), 1));
        assert_eq!(rig.machine.poll_timeout(), None);
    }
}

#[test]
fn an_empty_list_is_not_doubted_where_there_was_nothing_to_lose() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.observe(unknown());
    assert_eq!((rig.machine.freshness(), rig.refusal()), (Live, PickError::UnknownService));
    rig.observe(heard(vec![]));
    assert_eq!((rig.machine.freshness(), rig.refusal()), (Live, PickError::NoneRegistered));
    rig.observe(heard(fleet_of(1)));
    assert_eq!(rig.usable(), [0]);
}

#[test]
fn a_list_that_loses_most_at_once_is_doubted_and_one_that_loses_some_is_not() {
    let mut rig = Rig::of(fleet_of(4));
    rig.observe(heard(fleet_of(2)));
    assert_eq!(rig.state(), (vec![0, 1], Live, Some(rig.now)));
    let mut rig = Rig::of(fleet_of(4));
    let since = rig.now;
    rig.observe(heard(vec![entry(9, RegistryStatus::Passing)]));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Doubted { since }, vec![0, 1, 2, 3, 9]));
    rig.pass(ms(10_001));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![9]));
}

#[test]
fn instances_that_turn_critical_all_at_once_keep_their_status_for_ten_seconds() {
    let mut rig = Rig::of(fleet_of(2));
    let since = rig.now;
    rig.observe(heard(all_of(2, RegistryStatus::Critical)));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Doubted { since }, vec![0, 1]));
    rig.pass(ms(9_999));
    assert_eq!(rig.usable(), [0, 1]);
    rig.pass(ms(2));
    assert_eq!(rig.machine.freshness(), Live);
    assert_eq!(rig.refusal(), PickError::NoneHealthy { registered: 2, unhealthy: 2, drained: 0 });
}

#[test]
fn most_turning_critical_is_doubted_and_some_is_not() {
    let listed = |critical: u16| {
        let status = |number| if number < critical { RegistryStatus::Critical } else { RegistryStatus::Passing };
        heard((0..5).map(|number| entry(number, status(number))).collect())
    };
    let mut rig = Rig::of(fleet_of(5));
    rig.observe(listed(2));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![2, 3, 4]));
    let mut rig = Rig::of(fleet_of(5));
    let since = rig.now;
    rig.observe(listed(3));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Doubted { since }, vec![0, 1, 2, 3, 4]));
    // One check after the other passes again.
    rig.observe(listed(2));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![2, 3, 4]));
}

#[test]
fn who_comes_and_goes_while_critical_ones_are_doubted_is_seen() {
    let mut rig = Rig::of(fleet_of(3));
    let mut list = all_of(3, RegistryStatus::Critical);
    rig.observe(heard(list.clone()));
    list.remove(0);
    list.push(entry(7, RegistryStatus::Passing));
    rig.observe(heard(list));
    assert_eq!(rig.usable(), [0, 1, 2, 7]);
    rig.pass(ms(10_001));
    assert_eq!(rig.usable(), [7]);
}

#[test]
fn a_fleet_taken_out_of_service_is_believed_at_once_and_so_is_a_certain_registry() {
    let mut rig = Rig::of(fleet_of(2));
    rig.observe(heard(all_of(2, RegistryStatus::Maintenance)));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![]));
    let mut rig = Rig::of(fleet_of(2));
    rig.observe(certain(all_of(2, RegistryStatus::Critical)));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![]));
}

#[test]
fn without_a_hold_every_word_is_believed_at_once() {
    let mut config = ServiceMachineConfig::default();
    config.discovery.empty_hold = Duration::ZERO;
    config.discovery.outage_hold = Duration::ZERO;
    let mut rig = Rig::new(config);
    rig.observe(heard(fleet_of(2)));
    rig.observe(heard(all_of(2, RegistryStatus::Critical)));
    assert_eq!((rig.machine.freshness(), rig.usable()), (Live, vec![]));
    rig.observe(heard(vec![]));
    assert_eq!(rig.state(), (vec![], Live, Some(rig.now)));
}

#[test]
fn a_list_that_is_doubted_is_checked_as_before() {
    let mut rig = Rig::of(all_checked(1));
    rig.pass(ms(2_000));
    rig.observe(heard(vec![]));
    rig.take();
    rig.pass(ms(1_000));
    assert!(rig.take().probes.len() >= 8);
    rig.pass(HOLD);
    rig.take();
    rig.pass(ms(1_000));
    assert!(rig.take().probes.is_empty(), "believed, there is nobody left to check");
}

#[test]
fn time_that_goes_back_makes_no_list_older() {
    let mut rig = Rig::of(fleet_of(1));
    rig.pass(ms(5_000));
    rig.tell(ServiceInput::Confirmed);
    rig.machine.handle_input(at(1_000), ServiceInput::Confirmed);
    assert_eq!(rig.machine.confirmed_at(), Some(at(5_000)));
    rig.machine.handle_input(at(1_000), ServiceInput::Lost);
    assert_eq!(rig.machine.freshness(), Stale { since: at(5_000) });
}

trait Discovered {
    fn state(&self) -> (Vec<u16>, Freshness, Option<mesh_core::time::Instant>);
    fn changes(&self) -> Vec<(Freshness, Freshness)>;
}

impl Discovered for Rig {
    /// Who is served, how sure that is, and when it was confirmed.
    fn state(&self) -> (Vec<u16>, Freshness, Option<mesh_core::time::Instant>) {
        let served = self.machine.snapshot().iter().map(|entry| number(entry.instance())).collect();
        (served, self.machine.freshness(), self.machine.confirmed_at())
    }

    fn changes(&self) -> Vec<(Freshness, Freshness)> {
        let change = |event: &ServiceEvent| {
            let ServiceEvent::Freshness { from, to } = event else { return None };
            Some((*from, *to))
        };
        self.said.events.iter().filter_map(change).collect()
    }
}

fn fleet_of(count: u16) -> Vec<Entry> {
    all_of(count, RegistryStatus::Passing)
}

fn all_of(count: u16, status: RegistryStatus) -> Vec<Entry> {
    (0..count).map(|number| entry(number, status)).collect()
}

/// A memory of `count` instances that is `age` old.
fn recalled(count: u16, age: Duration) -> ServiceInput {
    ServiceInput::Recalled { snapshot: Arc::new(Snapshot::new(fleet_of(count))), age }
}

/// A registry that forgot the name.
fn unknown() -> Resolution {
    Resolution::heard(Arc::new(Snapshot::default()), false)
}

/// The default of `empty_hold`.
const HOLD: Duration = Duration::from_secs(30);
