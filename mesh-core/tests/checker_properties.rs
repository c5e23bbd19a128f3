//! What holds of checks in any world: the bound, one at a time for each instance, and a turn for everybody.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::health::ProbeVerdict;
use mesh_core::machine::{ServiceInput, ServiceMachineConfig};
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::rig::*;
use support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bound_holds_and_everybody_gets_a_turn(seed: u64, count in 1..40_u16, in_flight_max in 1..6_u32) {
        let mut rng = Rng::from_seed(seed);
        let mut rig = machine(in_flight_max, seed);
        let delays = delays(&mut rig, &mut rng, count);
        rig.observe(heard(all_checked(count)));
        rig.pass(RUN);
        let probes = probes(rig.take(), &delays);
        prop_assert!(most_in_flight(&probes) <= in_flight_max as usize);
        // Whoever is due waits for those before it in the line, each at most a timeout.
        let line = TIMEOUT * (u32::from(count).div_ceil(in_flight_max));
        for number in 0..count {
            let own: Vec<_> = probes.iter().filter(|probe| probe.number == number).collect();
            prop_assert!(own.first().is_some_and(|first| first.asked <= Instant::ZERO + INTERVAL + line));
            for pair in own.windows(2) {
                let pause = pair[1].asked.as_nanos().checked_sub(pair[0].ended.as_nanos());
                let pause = pause.map(Duration::from_nanos);
                prop_assert!(pause.is_some_and(|pause| pause >= INTERVAL && pause <= INTERVAL * 11 / 10 + line));
            }
            let last = own.last().unwrap().ended;
            prop_assert!(Instant::ZERO + RUN <= last + INTERVAL * 11 / 10 + line, "{number} is forgotten");
        }
    }

    #[test]
    fn in_any_history_the_bound_holds_and_nobody_is_asked_twice_at_a_time(
        seed: u64, in_flight_max in 1..4_u32, acts in prop::collection::vec((0..60_u64, act()), 0..60),
    ) {
        let mut rng = Rng::from_seed(seed);
        let mut rig = machine(in_flight_max, seed);
        let mut open = Open::new(in_flight_max);
        for (pause, act) in acts {
            let until = rig.now + ms(pause);
            while rig.step(until) {
                open.look(&mut rig)?;
            }
            rig.now = until;
            match act {
                Act::List(numbers) => {
                    rig.observe(certain(numbers.iter().map(|number| checked(*number)).collect()));
                    open.retain(&numbers);
                }
                Act::Fail(number) => rig.fail(number, 5),
                Act::Sweep => rig.tell(ServiceInput::Sweep),
                Act::Answer(verdict) if !open.is_empty() => open.answer(&mut rig, rng.next_u64(), verdict),
                Act::Answer(_) => {}
            }
            open.look(&mut rig)?;
        }
        // Time alone brings a turn to whoever is left, however the places were lost.
        rig.take();
        rig.pass(ms(1_000));
        let (probed, left) = (rig.take().probed(), rig.machine.snapshot().len());
        prop_assert_eq!(probed.iter().collect::<std::collections::BTreeSet<_>>().len(), left);
    }
}

/// What may happen to a checker.
#[derive(Clone, Debug)]
enum Act {
    List(Vec<u16>),
    Fail(u16),
    Sweep,
    Answer(ProbeVerdict),
}

fn act() -> impl Strategy<Value = Act> {
    let verdict = prop_oneof![Just(ProbeVerdict::Passed), Just(ProbeVerdict::Warned), Just(failure())];
    let numbers = prop::sample::subsequence((0..4_u16).collect::<Vec<_>>(), 0..=4);
    prop_oneof![
        2 => numbers.prop_map(Act::List),
        2 => (0..4_u16).prop_map(Act::Fail),
        2 => Just(Act::Sweep),
        4 => verdict.prop_map(Act::Answer),
    ]
}

/// The probes that are in flight, by instance: those that were asked for and not answered, timed out or dropped.
struct Open {
    in_flight_max: u32,
    probes: BTreeMap<u16, (Instant, mesh_core::health::ProbeId)>,
}

impl Open {
    fn new(in_flight_max: u32) -> Self {
        Self { in_flight_max, probes: BTreeMap::new() }
    }

    /// Takes in what was asked for since the last look.
    fn look(&mut self, rig: &mut Rig) -> Result<(), TestCaseError> {
        self.probes.retain(|_, (asked, _)| *asked + TIMEOUT > rig.now);
        for (asked, probe) in rig.take().probes {
            let before = self.probes.insert(number(&probe.instance), (asked, probe.id));
            prop_assert_eq!(before, None, "it is asked already");
        }
        prop_assert!(self.probes.len() <= self.in_flight_max as usize, "{} in flight", self.probes.len());
        Ok(())
    }

    /// Only these are listed any more.
    fn retain(&mut self, numbers: &[u16]) {
        self.probes.retain(|number, _| numbers.contains(number));
    }

    fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    fn answer(&mut self, rig: &mut Rig, entropy: u64, verdict: ProbeVerdict) {
        let index = mesh_core::rng::scale(entropy, self.probes.len() as u64) as usize;
        let number = *self.probes.keys().nth(index).unwrap();
        let (_, id) = self.probes.remove(&number).unwrap();
        rig.reply(id, verdict);
    }
}

/// A probe with the time at which its place was free again.
struct Flight {
    number: u16,
    asked: Instant,
    ended: Instant,
}

fn machine(in_flight_max: u32, seed: u64) -> Rig {
    let mut config = ServiceMachineConfig::default();
    config.checks.in_flight_max = times(in_flight_max);
    let mut rig = Rig::seeded(config, seed);
    rig.usually(Fate::Silence);
    rig
}

/// Gives each instance a delay of its own: none, short, longer than the timeout, or for ever.
fn delays(rig: &mut Rig, rng: &mut Rng, count: u16) -> Vec<Duration> {
    let mut delay_of = |number| {
        let delay = [ms(0), ms(1), rng.up_to(TIMEOUT), TIMEOUT + ms(30), RUN][rng.below(5) as usize];
        let verdict = if rng.below(2) == 0 { ProbeVerdict::Passed } else { failure() };
        rig.fate(number, Fate::After(delay, verdict));
        delay
    };
    (0..count).map(&mut delay_of).collect()
}

fn probes(said: Said, delays: &[Duration]) -> Vec<Flight> {
    let flight = |(asked, probe): (Instant, mesh_core::health::Probe)| {
        let number = number(&probe.instance);
        Flight { number, asked, ended: asked + delays[usize::from(number)].min(TIMEOUT) }
    };
    said.probes.into_iter().map(flight).collect()
}

fn most_in_flight(probes: &[Flight]) -> usize {
    // Of an end and a beginning at the same time the end comes first.
    let ends = probes.iter().map(|probe| (probe.ended, 0_u8));
    let mut changes: Vec<_> = ends.chain(probes.iter().map(|probe| (probe.asked, 1))).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0_isize, 0);
    for (_, begins) in changes {
        now += if begins == 1 { 1 } else { -1 };
        most = most.max(now);
    }
    most.unsigned_abs()
}

/// As [`checked`] has it.
const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(50);
const RUN: Duration = Duration::from_secs(5);
