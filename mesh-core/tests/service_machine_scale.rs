//! Ten thousand instances: what one word costs, counted in allocations, and rounds of checks at full size.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_core::health::{Health, ProbeVerdict};
use mesh_core::machine::{Machine, ServiceInput, ServiceMachineConfig};
use mesh_core::port::Resolution;
use support::rig::*;
use support::*;

#[test]
fn ten_thousand_instances_are_checked_in_a_round_without_a_view_for_each() {
    let mut rig = fleet_of(LARGE);
    rig.take();
    rig.pass(ms(32_000));
    let said = rig.take();
    assert!((0..LARGE).all(|number| rig.health(number) == Health::Healthy));
    assert!(said.probes.len() >= usize::from(LARGE));
    assert!(said.views.is_empty(), "no pick could tell the difference");
}

#[test]
fn ten_thousand_instances_that_fall_silent_together_end_in_few_views() {
    let mut config = ServiceMachineConfig::default();
    config.checks.in_flight_max = times(u32::from(LARGE));
    let mut rig = Rig::new(config);
    rig.usually(Fate::Silence);
    rig.observe(entries(0..LARGE));
    rig.take();
    // A driver that was late: every check is due, then every timeout.
    for millis in [2_000, 4_000] {
        rig.look_at(millis);
    }
    assert_eq!(rig.machine.view().census().unhealthy, u32::from(LARGE));
    assert_eq!(rig.take().views.len(), 1);
}

#[test]
fn an_answer_that_changes_nothing_costs_the_same_in_every_fleet() {
    let cost = |count| {
        let mut rig = fleet_of(count);
        rig.usually(Fate::Silence);
        rig.pass(ms(40));
        let number = *rig.open.keys().next().unwrap();
        allocations(|| rig.answer(number, ProbeVerdict::Passed))
    };
    let (small, large) = (cost(SMALL), cost(LARGE));
    assert!(large <= 2 * small.max(16), "{small} allocations at {SMALL}, {large} at {LARGE}");
}

#[test]
fn a_flip_costs_no_more_than_in_proportion_to_the_fleet() {
    let cost = |count| {
        let mut rig = fleet_of(count);
        rig.usually(Fate::Silence);
        rig.pass(ms(40));
        let number = *rig.open.keys().next().unwrap();
        let flip = allocations(|| rig.answer(number, failure()));
        assert_eq!((rig.health(number), rig.take().views.len()), (Health::Unhealthy, 2));
        flip
    };
    at_most_in_proportion("a flip", cost(SMALL), cost(LARGE));
}

#[test]
fn a_list_costs_no_more_than_in_proportion_to_its_length() {
    let cost = |count: u16| {
        let mut rig = fleet_of(count);
        let (same, less) = (entries(0..count), entries(1..count));
        let unchanged = allocations(|| rig.observe(same));
        let shorter = allocations(|| rig.observe(less));
        (unchanged, shorter)
    };
    let (small, large) = (cost(SMALL), cost(LARGE));
    at_most_in_proportion("an unchanged list", small.0, large.0);
    at_most_in_proportion("a list with one less", small.1, large.1);
}

#[test]
fn a_fleet_that_leaves_while_it_waits_to_be_checked_costs_no_more_than_in_proportion() {
    let cost = |count: u16| {
        let mut rig = fleet_of(count);
        rig.usually(Fate::Silence);
        // Nearly all of them are due, and 64 are in flight.
        rig.look_at(1_001);
        assert_eq!(rig.take().probes.len(), 64);
        let nobody = certain(vec![]);
        let cost = allocations(|| rig.observe(nobody));
        assert_eq!(rig.machine.poll_timeout(), None);
        cost
    };
    at_most_in_proportion("a departure", cost(SMALL), cost(LARGE));
}

#[test]
fn a_sweep_of_a_fleet_without_failures_allocates_nothing() {
    let mut rig = fleet_of(LARGE);
    assert_eq!(allocations(|| rig.tell(ServiceInput::Sweep)), 0);
}

trait Scale {
    fn look_at(&mut self, millis: u64);
}

impl Scale for Rig {
    /// Does all that is due by then in one step.
    fn look_at(&mut self, millis: u64) {
        self.now = at(millis);
        self.machine.handle_timeout(self.now);
        self.listen();
    }
}

/// A fleet with a check every 30 s, of which at most 64 are in flight.
fn fleet_of(count: u16) -> Rig {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.observe(entries(0..count));
    rig
}

fn entries(numbers: std::ops::Range<u16>) -> Resolution {
    heard(numbers.map(|number| with_check(number, quick().interval(ms(30_000)))).collect())
}

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

/// Ten times the fleet, at most twelve times the work; a quadratic cost would be a hundred times.
fn at_most_in_proportion(what: &str, small: u64, large: u64) {
    let factor = u64::from(LARGE / SMALL);
    assert!(large <= small * (factor + 2), "{what}: {small} allocations at {SMALL}, {large} at {LARGE}");
}

const SMALL: u16 = 1_000;
const LARGE: u16 = 10_000;
