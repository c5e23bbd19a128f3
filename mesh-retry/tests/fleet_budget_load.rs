//! What a fleet that shares a budget gets done, and how often it asks the store for it.

use core::time::Duration;

use mesh_retry::Rng;
use mesh_retry::budget::TokenBucketConfig;
use mesh_retry::coordinator::budget::suite::{Counts, Fleet};
use mesh_retry::coordinator::budget::{FleetBudgetConfig, FleetState};

fn config(ratio_milli: u32, per_second: u32, burst: u32) -> FleetBudgetConfig {
    let mut limits = TokenBucketConfig::default();
    (limits.ratio_milli, limits.per_second_milli, limits.burst_milli) =
        (ratio_milli, per_second * 1_000, burst * 1_000);
    let mut config = FleetBudgetConfig::default();
    config.limits = limits;
    config
}

/// For so many seconds, process `p` has `rate(p)` thousandths of a failing call in each millisecond.
fn load(fleet: &mut Fleet, rng: &mut Rng, seconds: u32, processes: usize, rate: impl Fn(usize) -> u64) -> Counts {
    let before = fleet.counts();
    for _ in 0..seconds * 1_000 {
        for process in 0..processes {
            if rng.below(1_000_000) < 1_000 * rate(process) / 1_000 {
                fleet.fail(process);
            }
        }
        fleet.advance(Duration::from_millis(1));
    }
    since(&before, &fleet.counts())
}

fn since(before: &Counts, after: &Counts) -> Counts {
    let mut counts = *after;
    counts.requests -= before.requests;
    counts.retries -= before.retries;
    counts.alone -= before.alone;
    counts.denied -= before.denied;
    counts.silent -= before.silent;
    counts.settled -= before.settled;
    counts.returned -= before.returned;
    counts
}

#[test]
fn under_even_overload_the_budget_is_used_up_with_few_settlements() {
    // 100 processes want 1,000 retries a second where there are 200.
    let mut fleet = Fleet::new(&config(0, 200, 400), 100, 1);
    let mut rng = Rng::from_seed(1);
    load(&mut fleet, &mut rng, 5, 100, |_| 10_000);
    let counts = load(&mut fleet, &mut rng, 10, 100, |_| 10_000);
    println!("even overload: {counts:?}");
    assert_eq!(counts.alone, 0);
    assert!((1_900..=2_400).contains(&counts.retries), "{} retries in 10 s", counts.retries);
    assert!(counts.settled <= 2_000, "{} settlements in 10 s", counts.settled);
    let each: Vec<u64> = (0..100).map(|process| fleet.retries_of(process)).collect();
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    assert!(*least >= 10 && *most <= 80, "of {} each, {least} to {most}", each.iter().sum::<u64>() / 100);
}

#[test]
fn one_hot_process_gets_what_the_idle_ones_leave_with_few_settlements() {
    let mut fleet = Fleet::new(&config(0, 200, 400), 100, 2);
    let mut rng = Rng::from_seed(2);
    let rate = |process| if process == 0 { 500_000 } else { 200 };
    load(&mut fleet, &mut rng, 5, 100, rate);
    let (hot, before) = (fleet.retries_of(0), fleet.counts());
    let counts = load(&mut fleet, &mut rng, 20, 100, rate);
    println!("one hot: {counts:?}");
    let others = fleet.counts().retries - before.retries - (fleet.retries_of(0) - hot);
    assert!((3_700..=4_400).contains(&counts.retries), "{} retries in 20 s", counts.retries);
    assert!(others >= 250, "the others got {others} of about 396");
    assert!(counts.settled <= 60 * 20, "{} settlements in 20 s", counts.settled);
}

#[test]
fn a_process_that_becomes_hot_gets_the_others_share_within_a_second() {
    let mut fleet = Fleet::new(&config(0, 200, 400), 100, 3);
    let mut rng = Rng::from_seed(3);
    load(&mut fleet, &mut rng, 10, 100, |_| 10_000);
    // All but one have no failures any more.
    let hot = |process| if process == 7 { 500_000 } else { 0 };
    load(&mut fleet, &mut rng, 1, 100, hot);
    let before = fleet.retries_of(7);
    load(&mut fleet, &mut rng, 2, 100, hot);
    let got = fleet.retries_of(7) - before;
    assert!(got >= 360, "{got} of 400 in two seconds");
}

#[test]
fn under_light_load_every_retry_is_granted() {
    let mut fleet = Fleet::new(&config(0, 200, 400), 100, 4);
    let counts = load(&mut fleet, &mut Rng::from_seed(4), 20, 100, |_| 500);
    println!("light: {counts:?}");
    assert!(counts.denied == 0 && counts.silent <= counts.requests / 100, "{counts:?}");
    assert!(counts.retries + counts.silent + 10 >= counts.requests, "{counts:?}");
    assert!(counts.settled <= 110 * 20, "{} settlements in 20 s", counts.settled);
}

#[test]
fn what_requests_bring_is_granted_to_the_last() {
    // A tenth of the calls, where half of all calls fail.
    let mut fleet = Fleet::new(&config(100, 0, 10), 50, 5);
    let mut rng = Rng::from_seed(5);
    for _ in 0..30_000 {
        let process = rng.below(50) as usize;
        if rng.below(2) == 0 {
            fleet.fail(process)
        } else {
            fleet.succeed(process)
        }
        fleet.advance(Duration::from_millis(2));
    }
    let counts = fleet.counts();
    println!("ratio: {counts:?}");
    // Shares pay some of the first; what is on its way at the end is a few hundredths.
    assert!((2_900..=3_070).contains(&counts.retries), "{} retries of {}", counts.retries, counts.requests);
}

#[test]
fn an_idle_fleet_settles_seldom_and_one_that_only_succeeds_once_a_second_at_most() {
    let mut fleet = Fleet::new(&config(200, 1, 100), 100, 6);
    fleet.advance(Duration::from_secs(60));
    assert_eq!(fleet.counts().settled, 0, "who does nothing says nothing");
    let before = fleet.counts();
    for _ in 0..200 {
        (0..100).for_each(|process| fleet.succeed(process));
        fleet.advance(Duration::from_millis(50));
    }
    let busy = since(&before, &fleet.counts());
    assert!((900..=1_100).contains(&busy.settled), "{} settlements of 100 processes in 10 s", busy.settled);
    fleet.advance(Duration::from_secs(5));
    let before = fleet.counts();
    fleet.advance(Duration::from_secs(40));
    assert_eq!(since(&before, &fleet.counts()).settled, 800, "one in five seconds, as long as they were just busy");
    fleet.advance(Duration::from_secs(30));
    let before = fleet.counts();
    fleet.advance(Duration::from_secs(60));
    assert_eq!(since(&before, &fleet.counts()).settled, 0);
    assert!((0..100).all(|process| fleet.state(process) == FleetState::Leased));
}
