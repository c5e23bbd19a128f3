//! Slots for retries: how a process gets its numbers, how even the slots of many processes are, and what retries wait for
//! without a store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coordinator_support::{Bell, at, ms, refused, store_time};
use mesh_core::machine::laws::{World, assert_hold};
use mesh_retry::coordinator::slots::{RetrySlots, SlotsConfig, SlotsEvent, SlotsInput, SlotsMachine};
use mesh_retry::coordinator::store::{MemoryStore, Slots, StateKey, StoreCommand, StoreFailure, StoreReply, StoreTime};
use mesh_retry::coordinator::{Sending, StoreAnswer};
use mesh_retry::{Instant, Machine as _, Rng};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A process's slots and their machine.
struct Process {
    config: SlotsConfig,
    slots: Arc<RetrySlots>,
    machine: SlotsMachine,
    bell: Arc<Bell>,
    rng: Rng,
    now: Instant,
}

impl Process {
    fn new(config: SlotsConfig, seed: u64) -> Self {
        let bell = Arc::new(Bell::default());
        let slots = Arc::new(RetrySlots::new(&config, bell.clone()));
        let machine = SlotsMachine::new(config, COUNTER, Arc::clone(&slots), seed, at(1000));
        Self { config, slots, machine, bell, rng: Rng::from_seed(seed), now: at(1000) }
    }

    /// With the block of the machine's first question, from `first` on.
    fn with_block(config: SlotsConfig, first: u64) -> Self {
        let mut process = Self::new(config, 1);
        process.serve(first);
        process
    }

    fn asked(&mut self) -> Option<(Sending, u32)> {
        let send = self.machine.poll_effect()?;
        let StoreCommand::TakeSlots(take) = send.command else { panic!("{send:?}") };
        assert_eq!(take.counter, COUNTER);
        Some((send, take.count))
    }

    fn answer(&mut self, send: &Sending, answer: StoreAnswer) {
        self.machine.handle_input(self.now, SlotsInput::Answered { id: send.id, answer });
    }

    /// Gives the block that is asked for now.
    fn serve(&mut self, first: u64) -> u32 {
        let (send, count) = self.asked().unwrap();
        self.answer(&send, Ok(StoreReply::Slots(Slots { at: StoreTime::default(), first })));
        let Some(SlotsEvent::Refilled { count: told, .. }) = self.machine.poll_event() else { panic!("a block") };
        assert_eq!(told, count);
        count
    }

    /// Lets `store` carry out what is asked for.
    fn serve_by(&mut self, store: &mut MemoryStore) {
        while let Some((send, _)) = self.asked() {
            let reply = store.apply(store_time(self.now), &send.command);
            self.answer(&send, Ok(reply));
        }
    }

    fn take(&mut self) -> Duration {
        self.slots.take(&mut self.rng)
    }

    fn take_some(&mut self, retries: u32) {
        for _ in 0..retries {
            self.take();
        }
    }

    fn slot(&mut self) -> u32 {
        slot_of(self.take(), &self.config)
    }

    /// Tells the machine if a retry rang.
    fn ring(&mut self) -> bool {
        let rung = self.bell.rung() > 0;
        if rung {
            self.machine.handle_input(self.now, SlotsInput::Woken);
        }
        rung
    }

    fn wait(&mut self) -> Duration {
        let due = self.machine.poll_timeout().unwrap().max(self.now);
        let passed = due - self.now;
        self.now = due;
        self.machine.handle_timeout(due);
        passed
    }
}

#[test]
fn without_a_block_a_retry_waits_for_a_random_part_of_all_slots() {
    let mut process = Process::new(SlotsConfig::default(), 1);
    let mut counts = [0; 10];
    (0..10_000).for_each(|_| counts[process.slot() as usize] += 1);
    // Chi-squared with 9 degrees of freedom: 27.9 is passed once in 1,000.
    let chi: f64 = counts.iter().map(|&count| f64::from((count - 1000) * (count - 1000)) / 1000.0).sum();
    assert!(chi < 27.9, "{counts:?}");
    assert_eq!(process.bell.rung(), 1, "by the first of them");
}

#[test]
fn with_a_block_each_retry_has_its_slot_and_a_random_part_of_one() {
    let mut process = Process::with_block(SlotsConfig::default(), 17);
    let slots: Vec<_> = (0..10).map(|_| process.slot()).collect();
    assert_eq!(slots, [7, 0, 3, 6, 9, 2, 5, 8, 1, 4]);
    let mut within: Vec<_> = (0..2000)
        .map(|_| {
            if process.slots.left() == 0 {
                process.ring();
                process.wait();
                process.serve(0);
            }
            (process.take().as_nanos() % 100_000_000) as f64 / 1e8
        })
        .collect();
    within.sort_by(f64::total_cmp);
    // Kolmogorov and Smirnov: 1.95 / sqrt(n) is passed once in 1,000.
    let furthest = within.iter().enumerate().map(|(i, part)| (part - i as f64 / 2000.0).abs()).fold(0.0, f64::max);
    assert!(furthest < 1.95 / 2000_f64.sqrt(), "{furthest}");
}

#[test]
fn a_block_is_replaced_a_second_after_its_first_use_and_at_once_when_it_is_used_up() {
    let mut process = Process::with_block(SlotsConfig::default(), 0);
    assert_eq!((process.slots.left(), process.machine.poll_timeout()), (11, None), "an unused one stays");
    process.now = at(5000);
    process.slot();
    assert!(process.ring());
    process.slot();
    assert!(!process.ring(), "once");
    assert_eq!(process.wait(), ms(1000));
    assert_eq!(process.serve(11), 11);
    process.now += ms(3000);
    process.take_some(10);
    assert!(process.ring());
    assert_eq!((process.asked(), process.slots.left()), (None, 1));
    process.take();
    assert!(process.ring());
    assert_eq!(process.wait(), Duration::ZERO);
    let (send, count) = process.asked().unwrap();
    assert_eq!(count, 21, "as large as what was used");
    process.take();
    assert!(!process.ring() && process.asked().is_none(), "one is under way");
    process.answer(&send, Ok(slots(0)));
    process.take_some(21);
    assert!(process.ring());
    assert_eq!(process.wait(), ms(250), "but no more than four times as often");
}

#[test]
fn blocks_follow_what_is_used_up_to_their_most_and_down_again() {
    let mut process = Process::new(SlotsConfig::default(), 1);
    process.take_some(95);
    assert_eq!(process.serve(0), 11, "it was asked for before");
    let mut sizes = Vec::new();
    for taken in [95, 5_000, 1, 1, 1, 1, 1, 1, 1, 1, 1] {
        process.take_some(taken);
        process.ring();
        process.wait();
        sizes.push(process.serve(0));
    }
    // What was used counts half as much with each block.
    assert_eq!(sizes, [191, 1001, 1001, 1001, 631, 321, 161, 81, 41, 21, 11]);
}

#[test]
fn a_store_that_does_not_answer_is_asked_less_and_less_and_retries_go_on() {
    let mut process = Process::new(SlotsConfig::default(), 1);
    let (first, _) = process.asked().unwrap();
    assert_eq!(process.wait(), ms(500));
    let Some(SlotsEvent::Failed { failure: StoreFailure::Unknown, after, again_at }) = process.machine.poll_event()
    else {
        panic!("it failed")
    };
    assert_eq!(after, ms(500));
    assert!(process.now + ms(500) <= again_at && again_at <= process.now + ms(1000));
    process.answer(&first, Ok(slots(3)));
    assert_eq!((process.slots.left(), process.machine.ignored()), (0, 1), "nobody waits for it");
    process.take();
    assert!(process.ring());
    for doubled in [1, 2, 4, 8, 16, 30, 30, 30] {
        let waited = process.wait();
        let most = Duration::from_secs(doubled);
        assert!(most / 2 <= waited && waited <= most, "{waited:?} of {most:?}");
        let (send, _) = process.asked().unwrap();
        process.answer(&send, Err(StoreFailure::NotDone));
        assert!(matches!(
            process.machine.poll_event(),
            Some(SlotsEvent::Failed { failure: StoreFailure::NotDone, .. })
        ));
        process.take();
        assert!(!process.ring(), "the machine knows");
    }
    process.wait();
    process.serve(4);
    assert_eq!(process.slot(), 4);
    process.ring();
    process.wait();
    let (send, _) = process.asked().unwrap();
    process.answer(&send, Err(StoreFailure::NotDone));
    assert!(process.wait() <= ms(1000), "as if nothing had been");
}

#[test]
fn a_block_that_is_under_way_serves_those_who_find_none_meanwhile() {
    let mut process = Process::new(SlotsConfig::default(), 1);
    process.take();
    assert!(process.ring());
    process.serve(0);
    assert_eq!((process.asked(), process.machine.poll_timeout()), (None, None));
}

#[test]
fn a_configuration_is_checked_field_by_field() {
    let check = |change: fn(&mut SlotsConfig)| {
        let mut config = SlotsConfig::default();
        change(&mut config);
        refused(config.validate())
    };
    assert_eq!(check(|_| {}), None);
    assert_eq!(check(|config| config.slots = NonZeroU32::new(1001).unwrap()), Some("slots"));
    assert_eq!(check(|config| config.width = Duration::ZERO), Some("width"));
    assert_eq!(check(|config| config.refill_after = ms(9)), Some("refill_after"));
    assert_eq!(check(|config| config.block_max = 10), Some("block_max"));
    assert_eq!(check(|config| config.reply_within = ms(0)), Some("reply_within"));
    let config: SlotsConfig = serde_json::from_str(r#"{"slots":20,"width":"50ms"}"#).unwrap();
    assert_eq!((config.slots.get(), config.width), (20, ms(50)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(92), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn processes_that_fail_together_have_slots_as_even_as_their_number_allows(
        slots in 1..40_u32,
        used in proptest::collection::vec(0..100_u32, 1..60),
        each in 1..4_u32,
    ) {
        let (config, mut store) = (config_of(slots), MemoryStore::new());
        let mut fleet: Vec<_> = used.iter().enumerate().map(|(i, _)| Process::new(config, i as u64)).collect();
        // Whatever they did before, each of them asks for another block, and they differ in size.
        for (process, used) in fleet.iter_mut().zip(&used) {
            process.take_some(*used);
            process.serve_by(&mut store);
            process.take();
            process.ring();
        }
        for process in &mut fleet {
            process.wait();
            process.serve_by(&mut store);
        }
        for round in 0..each {
            let mut counts = vec![0_u32; slots as usize];
            fleet.iter_mut().for_each(|process| counts[process.slot() as usize] += 1);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1, "round {round}: {counts:?}");
        }
    }

    #[test]
    fn blocks_that_are_used_up_have_used_all_slots_evenly(slots in 1..40_u32, processes in 1..30_u64) {
        let (config, mut store) = (config_of(slots), MemoryStore::new());
        let mut counts = vec![0_u32; slots as usize];
        for seed in 0..processes {
            let mut process = Process::new(config, seed);
            process.serve_by(&mut store);
            while process.slots.left() > 0 {
                counts[process.slot() as usize] += 1;
            }
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{counts:?}");
    }

    #[test]
    fn the_machine_laws_hold(seed: u64, wakes in proptest::collection::vec((0..60_000_u64, 0..12_u32), 0..20)) {
        let mut wakes = wakes;
        wakes.sort_unstable();
        let script = wakes.iter().map(|(millis, _)| (at(*millis), SlotsInput::Woken)).collect();
        let answer = |send: &Sending, rng: &mut Rng| {
            let answer = match rng.below(5) {
                0 => return None,
                1 => Err(StoreFailure::Unknown),
                2 => Ok(StoreReply::Voted(mesh_retry::coordinator::store::Voted { live: 1, open: 1 })),
                _ => Ok(slots(rng.next_u64())),
            };
            Some((rng.up_to(ms(700)), SlotsInput::Answered { id: send.id, answer }))
        };
        let world = World { script, answer: &answer, until: at(120_000), seed };
        let taken = wakes.first().map_or(0, |(_, taken)| *taken);
        let make = || {
            let process = Process::new(SlotsConfig::default(), seed);
            let mut rng = Rng::from_seed(seed);
            for _ in 0..taken {
                let _ = process.slots.take(&mut rng);
            }
            process.machine
        };
        assert_hold(make, &world);
    }
}

#[test]
fn threads_share_a_block_and_take_each_number_once() {
    let mut config = SlotsConfig::default();
    config.slots = NonZeroU32::new(1000).unwrap();
    let mut process = Process::with_block(config, 0);
    let slots = Arc::clone(&process.slots);
    let taken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|seed| {
                let (slots, mut rng) = (Arc::clone(&slots), Rng::from_seed(seed));
                scope.spawn(move || (0..250).map(|_| slot_of(slots.take(&mut rng), &config)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!((taken.len(), process.slots.left()), (1000, 1));
    assert!(process.ring());
}

fn config_of(slots: u32) -> SlotsConfig {
    let mut config = SlotsConfig::default();
    config.slots = NonZeroU32::new(slots).unwrap();
    config
}

fn slot_of(wait: Duration, config: &SlotsConfig) -> u32 {
    let slot = wait.as_nanos() / config.width.as_nanos();
    assert!(slot < u128::from(config.slots.get()), "{wait:?}");
    slot as u32
}

fn slots(first: u64) -> StoreReply {
    StoreReply::Slots(Slots { at: StoreTime::default(), first })
}

const COUNTER: StateKey = StateKey::new(5);
