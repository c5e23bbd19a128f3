//! Automatic deregistration: late, only in the registry's stead, never the last ones, and never out of turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_core::machine::{DeregisterId, Deregistration, ServiceEvent, ServiceInput, ServiceMachineConfig};
use mesh_core::rng::Rng;
use mesh_core::service::HealthCheck;
use mesh_core::snapshot::RegistryStatus;
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::rig::*;
use support::*;

#[test]
fn an_instance_that_is_unhealthy_all_the_time_is_deregistered_after_a_minute() {
    let mut rig = Rig::of(all_checked(3));
    rig.fate(1, fails());
    let since = rig.until_unhealthy(1);
    rig.pass(secs(60) - rig.now.since(since) - ms(1));
    assert!(rig.said.deregistrations.is_empty());
    rig.pass(ms(1));
    let said = rig.take();
    assert_eq!(said.deregistrations.iter().map(|(at, _, number)| (*at, *number)).collect::<Vec<_>>(), [(rig.now, 1)]);
    assert!(said.events.contains(&ServiceEvent::Deregistering { key: key(1), since }));
    rig.deregistered(said.deregistrations[0].1, Deregistration::Done);
    let done = ServiceEvent::Deregistered { key: key(1), answer: Deregistration::Done };
    assert_eq!(rig.take().events, [done]);
    rig.observe(heard(vec![checked(0), checked(2)]));
    rig.pass(secs(600));
    assert!(rig.take().deregistrations.is_empty(), "once is enough");
}

#[test]
fn the_time_is_that_of_the_check() {
    let mut rig = Rig::of(vec![checked(0), with_check(1, quick().deregister_after(Some(secs(90))))]);
    rig.fate(1, fails());
    let since = rig.until_unhealthy(1);
    rig.pass(secs(89));
    assert!(rig.said.deregistrations.is_empty());
    rig.pass(secs(2));
    assert_eq!(rig.said.deregistrations[0].0, since + secs(90));
}

#[test]
fn a_recovery_stops_the_clock() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    rig.pass(secs(59));
    rig.fate(0, passes());
    rig.pass(secs(1));
    rig.fate(0, fails());
    let again = rig.until_unhealthy(0);
    rig.pass(secs(59));
    assert!(rig.said.deregistrations.is_empty());
    rig.pass(secs(2));
    assert_eq!(rig.said.deregistrations[0].0, again + secs(60));
}

#[test]
fn a_single_success_is_no_recovery() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    let since = rig.until_unhealthy(0);
    rig.pass(secs(30));
    rig.fate(0, passes());
    rig.pass(ms(105));
    rig.fate(0, fails());
    rig.pass(secs(31));
    assert_eq!(rig.said.deregistrations[0].0, since + secs(60));
}

#[test]
fn only_checks_that_the_registry_left_to_the_mesh_deregister() {
    let mut config = ServiceMachineConfig::default();
    config.check = Some(quick().build_for_any().unwrap());
    let mut rig = Rig::new(config);
    rig.observe(heard(all_checked(2)));
    rig.usually(fails());
    rig.pass(secs(120));
    assert_eq!((rig.usable(), rig.said.deregistered()), (vec![], vec![]), "a check of one's own");

    let mut rig = Rig::of(vec![checked(0), entry(1, RegistryStatus::Critical)]);
    rig.pass(secs(120));
    assert_eq!((rig.usable(), rig.said.deregistered()), (vec![0], vec![]), "the registry's own");

    let mut rig = Rig::of(vec![checked(0), with_check(1, quick().deregister_after(None)), checked(2), checked(3)]);
    rig.fate(0, fails());
    rig.fate(1, fails());
    rig.pass(secs(80));
    assert_eq!(rig.said.deregistered(), [0], "a check that asks for none");
}

#[test]
fn the_last_ones_are_never_deregistered() {
    for keeps in 1..=4 {
        let mut rig = Rig::new(keeping(keeps));
        rig.observe(heard(all_checked(4)));
        rig.fate(0, fails());
        rig.fate(1, fails());
        rig.pass(secs(80));
        assert_eq!(rig.said.deregistered().len(), 2.min(4 - keeps as usize), "{keeps} are kept");
    }
}

#[test]
fn while_most_are_unhealthy_nobody_is_deregistered() {
    let mut rig = Rig::of(all_checked(5));
    for number in 0..3 {
        rig.fate(number, fails());
    }
    rig.pass(secs(600));
    assert!(rig.said.deregistrations.is_empty(), "the checks are the likelier culprit");
    rig.fate(2, passes());
    rig.pass(secs(31));
    let said = rig.take();
    assert!(!said.deregistered().is_empty() && !said.deregistered().contains(&2));
}

#[test]
fn while_the_registry_is_lost_nobody_is_deregistered() {
    let mut rig = Rig::of(all_checked(3));
    rig.fate(0, fails());
    rig.tell(ServiceInput::Lost);
    rig.pass(secs(600));
    assert!(rig.take().deregistrations.is_empty());
    rig.tell(ServiceInput::Confirmed);
    rig.pass(secs(31));
    assert!(rig.take().deregistered().contains(&0));
}

#[test]
fn instances_that_join_let_the_sick_ones_go() {
    let mut rig = Rig::of(all_checked(1));
    rig.fate(0, fails());
    rig.pass(secs(120));
    assert!(rig.said.deregistrations.is_empty());
    rig.observe(heard(all_checked(2)));
    rig.pass(secs(31));
    assert!(rig.said.deregistered().contains(&0));
}

#[test]
fn a_final_refusal_is_not_tried_again_until_the_instance_was_well() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    rig.pass(secs(62));
    let said = rig.take();
    rig.deregistered(said.deregistrations[0].1, Deregistration::Never);
    rig.pass(secs(600));
    assert!(rig.take().deregistrations.is_empty());
    rig.fate(0, passes());
    rig.pass(secs(2));
    rig.fate(0, fails());
    rig.pass(secs(62));
    assert_eq!(rig.take().deregistered(), [0]);
}

#[test]
fn one_that_is_still_listed_half_a_minute_later_is_asked_for_again() {
    for answered in [false, true] {
        let mut rig = Rig::of(all_checked(3));
        rig.fate(0, fails());
        rig.pass(secs(62));
        let said = rig.take();
        assert_eq!(said.deregistered(), [0]);
        let (asked, id, _) = said.deregistrations[0];
        if answered {
            rig.deregistered(id, Deregistration::Done);
        }
        rig.pass(asked + secs(30) - rig.now - ms(1));
        assert!(rig.take().deregistrations.is_empty());
        rig.pass(ms(1));
        assert_eq!(rig.take().deregistered(), [0]);
        rig.deregistered(id, Deregistration::Done);
        assert!(rig.take().events.is_empty(), "the first answer is late");
    }
}

#[test]
fn a_refused_deregistration_is_tried_again_every_half_minute() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    rig.pass(secs(62));
    for _ in 0..3 {
        let said = rig.take();
        assert_eq!(said.deregistered(), [0]);
        rig.deregistered(said.deregistrations[0].1, Deregistration::Again);
        let again = ServiceEvent::Deregistered { key: key(0), answer: Deregistration::Again };
        assert_eq!(rig.said.events, [again]);
        rig.pass(secs(30) - ms(1));
        assert!(rig.said.deregistrations.is_empty());
        rig.pass(ms(1));
    }
    assert_eq!(rig.take().deregistered(), [0]);
}

#[test]
fn one_that_recovers_is_not_tried_again() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    rig.pass(secs(62));
    rig.fate(0, passes());
    rig.pass(secs(2));
    let id = rig.take().deregistrations[0].1;
    rig.deregistered(id, Deregistration::Again);
    rig.pass(secs(120));
    assert!(rig.take().deregistrations.is_empty());
}

#[test]
fn a_refusal_gives_one_that_fell_ill_again_no_less_time() {
    let mut rig = Rig::of(all_checked(2));
    rig.fate(0, fails());
    rig.pass(secs(62));
    rig.fate(0, passes());
    rig.pass(secs(2));
    rig.fate(0, fails());
    let again = rig.until_unhealthy(0);
    let id = rig.take().deregistrations[0].1;
    rig.deregistered(id, Deregistration::Again);
    rig.pass(secs(62));
    assert_eq!(rig.take().deregistrations[0].0, again + secs(60));
}

#[test]
fn while_a_deregistration_is_under_way_its_instance_counts_as_gone_even_if_it_recovers() {
    let mut rig = Rig::new(keeping(3));
    rig.observe(heard(all_checked(4)));
    rig.fate(0, fails());
    rig.fate(1, fails());
    rig.pass(secs(62));
    let said = rig.take();
    let [(asked_at, id, asked)] = said.deregistrations[..] else { panic!("{said:?}") };
    rig.fate(asked, passes());
    rig.pass(asked_at + secs(29) - rig.now);
    assert!(rig.take().deregistrations.is_empty(), "the other one may be one too many");
    rig.deregistered(id, Deregistration::Again);
    rig.pass(secs(31));
    assert_eq!(rig.take().deregistered(), [1 - asked], "now it is known not to be");
}

#[test]
fn answers_for_an_instance_that_left_and_answers_given_twice_are_ignored() {
    for answer in [Deregistration::Done, Deregistration::Again, Deregistration::Never] {
        let mut rig = Rig::of(all_checked(2));
        rig.fate(0, fails());
        rig.pass(secs(62));
        let id = rig.take().deregistrations[0].1;
        rig.observe(certain(vec![checked(1)]));
        rig.observe(certain(all_checked(2)));
        rig.take();
        rig.deregistered(id, answer);
        rig.deregistered(id, answer);
        assert!(rig.take().events.is_empty());
        rig.pass(secs(59));
        assert!(rig.take().deregistrations.is_empty(), "it came back as another instance");
    }
}

#[test]
fn one_that_moved_or_has_another_check_is_not_deregistered_for_what_was() {
    let moved = {
        let instance = mesh_core::service::Instance::builder("api", "127.0.0.1", 10_009);
        left_to_the_mesh(instance.id(key(0).id().clone()).build().unwrap(), slow())
    };
    for after in [moved, with_check(0, slow()), entry(0, RegistryStatus::Passing)] {
        let mut rig = Rig::of(all_checked(2));
        rig.fate(0, fails());
        rig.until_unhealthy(0);
        // A second before it is to go. The new check comes a second later at the latest, and is not answered.
        rig.pass(secs(59));
        rig.usually(Fate::Silence);
        rig.fate(0, Fate::Silence);
        rig.observe(heard(vec![after, checked(1)]));
        rig.pass(secs(9));
        assert!(rig.take().deregistrations.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_last_ones_stay_in_the_registry(seed: u64, keeps in 1..=3_u32, count in 1..=6_u16) {
        let mut rng = Rng::from_seed(seed);
        let mut rig = Rig::new(keeping(keeps));
        let mut registry: BTreeSet<u16> = (0..count).collect();
        let least = registry.len().min(keeps as usize);
        rig.observe(listed(&registry));
        for _ in 0..60 {
            for number in 0..count {
                rig.fate(number, if rng.below(4) == 0 { passes() } else { fails() });
            }
            rig.pass(rng.up_to(secs(25)));
            let asked = rig.take().deregistrations;
            for (_, id, number) in asked {
                let done = rng.below(3) > 0;
                if done {
                    registry.remove(&number);
                }
                rig.deregistered(id, if done { Deregistration::Done } else { Deregistration::Again });
            }
            // The registry may be lost for a while, and shows what was done once it is heard again.
            if rng.below(3) == 0 {
                rig.tell(ServiceInput::Lost);
            } else {
                rig.observe(listed(&registry));
            }
            prop_assert!(registry.len() >= least, "{:?} left of {count}", registry);
        }
    }
}

trait Deregistrations {
    fn until_unhealthy(&mut self, number: u16) -> Instant;
    fn deregistered(&mut self, id: DeregisterId, answer: Deregistration);
}

impl Deregistrations for Rig {
    fn until_unhealthy(&mut self, number: u16) -> Instant {
        while self.health(number) != mesh_core::health::Health::Unhealthy {
            assert!(self.step(Instant::MAX), "it is checked");
        }
        self.now
    }

    fn deregistered(&mut self, id: DeregisterId, answer: Deregistration) {
        self.tell(ServiceInput::Deregistered(id, answer));
    }
}

fn keeping(keeps: u32) -> ServiceMachineConfig {
    let mut config = ServiceMachineConfig::default();
    config.deregister_keeps = times(keeps);
    config
}

fn listed(registry: &BTreeSet<u16>) -> mesh_core::port::Resolution {
    certain(registry.iter().map(|number| with_check(*number, quick().interval(secs(2)))).collect())
}

fn slow() -> mesh_core::service::HealthCheckBuilder {
    HealthCheck::http("/slow").interval(secs(10)).timeout(secs(10))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
