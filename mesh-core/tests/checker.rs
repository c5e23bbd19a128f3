//! When checks run: one at a time for each instance, a bound on all of them, and everybody in turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_core::health::{Health, ProbeVerdict};
use mesh_core::machine::{Machine, ServiceInput, ServiceMachineConfig};
use mesh_core::service::HealthCheckBuilder;
use mesh_core::time::Instant;
use support::rig::*;
use support::*;

#[test]
fn a_thousand_instances_found_at_once_are_checked_over_a_second_and_not_together() {
    let mut rig = unbounded();
    rig.observe(heard((0..1_000).map(|number| with_check(number, every(30_000))).collect()));
    rig.pass(ms(1_000));
    let firsts: Vec<Instant> = rig.take().probes.iter().map(|(asked, _)| *asked).collect();
    assert_eq!(firsts.len(), 1_000, "each within stagger_max");
    for tenth in 0..10 {
        let share = firsts.iter().filter(|asked| asked.as_nanos() / 100_000_000 == tenth).count();
        assert!((60..=140).contains(&share), "{share} in the tenth {tenth}");
    }
    assert!(firsts.iter().collect::<BTreeSet<_>>().len() > 990, "all at different instants");
}

#[test]
fn the_first_check_comes_within_the_interval_where_that_is_shorter_than_the_stagger() {
    let mut rig = unbounded();
    rig.observe(heard((0..200).map(|number| with_check(number, every(100))).collect()));
    rig.pass(ms(100));
    assert_eq!(rig.take().probed().into_iter().collect::<BTreeSet<_>>().len(), 200);
}

#[test]
fn without_stagger_and_jitter_the_times_are_exact() {
    let mut config = ServiceMachineConfig::default();
    (config.checks.stagger_max, config.checks.jitter_percent) = (Duration::ZERO, 0);
    let mut rig = Rig::new(config);
    rig.observe(heard(all_checked(2)));
    rig.fate(1, Fate::Silence);
    rig.pass(ms(460));
    let said = rig.take();
    assert_eq!(said.probed_at(0), [0, 101, 202, 303, 404].map(at), "an interval after the answer");
    assert_eq!(said.probed_at(1), [0, 150, 300, 450].map(at), "an interval after the timeout");
}

#[test]
fn the_next_check_comes_an_interval_after_the_last_ended_stretched_by_the_jitter() {
    for (percent, longest) in [(10, 110), (50, 150), (100, 200), (900, 200)] {
        let mut config = ServiceMachineConfig::default();
        config.checks.jitter_percent = percent;
        let mut rig = Rig::new(config);
        rig.observe(heard(all_checked(8)));
        rig.pass(ms(20_000));
        let said = rig.take();
        let mut pauses = Vec::new();
        for number in 0..8 {
            let asked = said.probed_at(number);
            pauses.extend(asked.windows(2).map(|pair| pair[1] - (pair[0] + ms(1))));
        }
        let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        assert!(least >= ms(100) && most <= ms(longest), "{least:?} to {most:?} at {percent} %");
        let spread = ms(longest - 100);
        assert!(least < ms(100) + spread / 10 && most > ms(longest) - spread / 10, "{least:?} to {most:?}");
    }
}

#[test]
fn two_machines_with_different_seeds_do_not_check_together() {
    let times = |seed| {
        let mut rig = Rig::seeded(ServiceMachineConfig::default(), seed);
        rig.observe(heard(all_checked(4)));
        rig.pass(ms(2_000));
        rig.take().probes.into_iter().map(|(asked, probe)| (asked, number(&probe.instance))).collect::<Vec<_>>()
    };
    assert_eq!(times(1), times(1));
    let (one, two): (BTreeSet<_>, BTreeSet<_>) = (times(1).into_iter().collect(), times(2).into_iter().collect());
    assert!(one.is_disjoint(&two));
}

#[test]
fn an_answer_that_comes_after_the_timeout_is_ignored() {
    let mut rig = Rig::of(all_checked(1));
    rig.usually(Fate::After(ms(51), ProbeVerdict::Passed));
    rig.pass(ms(3_000));
    let said = rig.take();
    assert_eq!((rig.health(0), said.changes(0)), (Health::Unhealthy, vec![(Health::Unknown, Health::Unhealthy)]));
    // And it brings the next check no nearer.
    let gaps = said.probed_at(0).windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    assert!(gaps.iter().all(|gap| (ms(150)..=ms(160)).contains(gap)), "{gaps:?}");
}

#[test]
fn an_answer_just_in_time_counts() {
    let mut rig = Rig::of(all_checked(1));
    rig.usually(Fate::After(ms(50), ProbeVerdict::Passed));
    rig.pass(ms(3_000));
    assert_eq!(rig.take().changes(0), [(Health::Unknown, Health::Healthy)]);
}

#[test]
fn an_answer_given_twice_counts_once() {
    let mut rig = Rig::of(all_checked(1));
    rig.usually(fails());
    rig.pass(ms(1_200));
    rig.fate(0, Fate::Silence);
    rig.take();
    while rig.said.probes.is_empty() {
        rig.pass(ms(1));
    }
    let id = rig.open[&0].id;
    // Rise is 2.
    rig.reply(id, ProbeVerdict::Passed);
    rig.reply(id, ProbeVerdict::Passed);
    assert_eq!(rig.health(0), Health::Unhealthy);
}

#[test]
fn what_is_due_beyond_the_bound_waits_and_is_asked_in_the_order_it_came_due() {
    let due = due_order(6);
    let mut rig = bounded(2);
    rig.usually(Fate::Silence);
    rig.observe(heard(all_checked(6)));
    rig.until_all_are_due();
    let mut asked = rig.take().probed();
    assert_eq!(asked.len(), 2);
    for turn in 0..6 {
        rig.answer(asked[turn], ProbeVerdict::Passed);
        let next = rig.take().probed();
        assert_eq!(next.len(), usize::from(turn < 4), "one place, one probe");
        asked.extend(next);
    }
    assert_eq!(asked, due);
}

#[test]
fn an_instance_that_leaves_while_it_is_checked_frees_its_place_at_once() {
    let mut rig = bounded(1);
    rig.usually(Fate::Silence);
    rig.observe(heard(all_checked(2)));
    while rig.said.probes.is_empty() {
        rig.pass(ms(1));
    }
    let first = rig.take().probed()[0];
    let other = 1 - first;
    let old = rig.open[&first].id;
    rig.usually(Fate::After(ms(40), ProbeVerdict::Passed));
    rig.fate(other, Fate::After(ms(40), ProbeVerdict::Passed));
    rig.until_all_are_due();
    rig.observe(heard(vec![checked(other)]));
    assert_eq!(rig.take().probed(), [other]);
    // The answer still to come is nobody's, and frees no second place.
    rig.observe(heard(vec![checked(other), checked(7), checked(8)]));
    rig.reply(old, failure());
    rig.pass(ms(39));
    assert!(rig.take().probes.is_empty(), "one place, taken");
    rig.pass(ms(60));
    assert!(!rig.take().probes.is_empty());
}

#[test]
fn an_instance_that_leaves_while_it_waits_is_not_asked() {
    let due = due_order(3);
    for leaves in [1, 2] {
        let mut rig = bounded(1);
        rig.usually(Fate::Silence);
        rig.observe(heard(all_checked(3)));
        rig.until_all_are_due();
        assert_eq!(rig.take().probed(), due[..1]);
        let (left, stays) = (due[leaves], due[3 - leaves]);
        rig.observe(heard((0..3).filter(|number| *number != left).map(checked).collect()));
        rig.answer(due[0], ProbeVerdict::Passed);
        assert_eq!(rig.take().probed(), [stays], "the place goes to whoever still waits");
        rig.answer(stays, ProbeVerdict::Passed);
        assert!(rig.take().probes.is_empty());
    }
}

#[test]
fn when_everybody_has_left_there_is_nothing_to_wake_up_for() {
    for after in [0, 20, 500] {
        let mut rig = bounded(2);
        rig.observe(heard(all_checked(5)));
        rig.pass(ms(after));
        rig.observe(certain(vec![]));
        assert_eq!(rig.machine.poll_timeout(), None, "after {after} ms");
    }
}

#[test]
fn an_instance_that_leaves_and_comes_back_while_it_waited_waits_once() {
    let mut rig = bounded(1);
    rig.usually(Fate::Silence);
    rig.observe(heard(vec![with_check(0, every(30_000)), checked(1)]));
    rig.until_all_are_due();
    rig.pass(ms(1_000));
    for _ in 0..5 {
        rig.observe(heard(vec![with_check(0, every(30_000))]));
        rig.observe(heard(vec![with_check(0, every(30_000)), checked(1)]));
        rig.pass(ms(100));
    }
    rig.take();
    rig.usually(passes());
    rig.pass(ms(10_000));
    let asked = rig.take().probed_at(1);
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= ms(101)), "{asked:?}");
}

#[test]
fn hurrying_one_that_is_asked_or_waits_changes_nothing() {
    let mut rig = bounded(1);
    rig.usually(Fate::Silence);
    rig.observe(heard(all_checked(2)));
    rig.until_all_are_due();
    (0..2).for_each(|number| rig.fail(number, 9));
    let before = rig.take().probed();
    assert_eq!(before.len(), 1);
    for _ in 0..5 {
        rig.tell(ServiceInput::Sweep);
    }
    assert!(rig.take().probes.is_empty());
    rig.answer(before[0], ProbeVerdict::Passed);
    assert_eq!(rig.take().probed(), [1 - before[0]]);
    rig.answer(1 - before[0], ProbeVerdict::Passed);
    assert!(rig.take().probes.is_empty(), "nobody is asked twice");
}

#[test]
fn a_hurried_check_takes_the_place_of_the_next_one() {
    let mut rig = Rig::of(vec![with_check(0, every(10_000))]);
    rig.pass(ms(2_000));
    rig.fail(0, 5);
    rig.take();
    rig.tell(ServiceInput::Sweep);
    rig.pass(ms(9_999));
    assert_eq!(rig.take().probed_at(0).len(), 1);
    rig.pass(ms(1_005));
    assert_eq!(rig.take().probed_at(0).len(), 1);
}

#[test]
fn after_a_long_sleep_everybody_is_checked_once_and_not_for_every_check_missed() {
    let mut rig = Rig::of(all_checked(10));
    rig.pass(ms(2_000));
    rig.take();
    rig.now += Duration::from_secs(3_600);
    rig.pass(ms(90));
    assert_eq!(rig.take().probes.len(), 10);
}

trait Dues {
    fn until_all_are_due(&mut self);
}

impl Dues for Rig {
    /// Lets the first checks of a bounded machine become due; none has timed out by then.
    fn until_all_are_due(&mut self) {
        self.pass(ms(31));
    }
}

/// In which order the first checks of so many instances come due in a bounded machine: all of them draw the same
/// times, and this one makes nobody wait.
fn due_order(count: u16) -> Vec<u16> {
    let mut rig = bounded(100);
    rig.observe(heard(all_checked(count)));
    rig.until_all_are_due();
    rig.take().probed()
}

fn every(interval: u64) -> HealthCheckBuilder {
    quick().interval(ms(interval))
}

/// A machine that makes no check wait.
fn unbounded() -> Rig {
    let mut config = ServiceMachineConfig::default();
    config.checks.in_flight_max = times(10_000);
    Rig::new(config)
}

/// A machine with at most this many checks in flight, the first ones due within 30 ms.
fn bounded(in_flight_max: u32) -> Rig {
    let mut config = ServiceMachineConfig::default();
    (config.checks.in_flight_max, config.checks.stagger_max) = (times(in_flight_max), ms(30));
    Rig::new(config)
}
