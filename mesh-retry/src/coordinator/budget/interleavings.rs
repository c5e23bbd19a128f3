//! What calls and the machine share without a lock, under every order in which they may come (loom): `scripts/loom`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::{FleetBudget, FleetBudgetConfig, Wake};
use crate::Instant;
use crate::budget::{After, Answer, Budget, End, Extra, Paid, TokenBucketConfig};

#[derive(Debug, Default)]
struct Woken(Arc<AtomicU32>);

impl Wake for Woken {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A budget whose lease answers, with `tokens` until 1 s, and how often it woke its driver.
fn leased(tokens: u32) -> (Arc<FleetBudget>, Arc<AtomicU32>) {
    let mut config = FleetBudgetConfig::default();
    config.limits = TokenBucketConfig { ratio_milli: 1_000, per_second_milli: 0, burst_milli: 10_000 };
    let woken = Arc::new(AtomicU32::new(0));
    let budget = FleetBudget::new(&config, Box::new(Woken(Arc::clone(&woken))));
    budget.grant(at(0), tokens, at(1_000));
    (Arc::new(budget), woken)
}

fn retry(budget: &FleetBudget) -> Answer {
    budget.withdraw(at(10), Extra::retry(After::Transient))
}

/// A retry that is paid, and what with.
fn pays(budget: &FleetBudget) -> Option<Paid> {
    let paid = retry(budget).paid();
    assert!(paid.is_some());
    paid
}

/// Its attempt was not made.
fn gives_back(budget: &FleetBudget, paid: Option<Paid>) {
    budget.ended(at(20), End::NotMade, paid);
}

/// Runs what a call does on another thread beside what this one does, and returns what both got.
fn both<T: 'static, U>(
    budget: &Arc<FleetBudget>,
    other: impl FnOnce(&FleetBudget) -> T + 'static,
    this: impl FnOnce(&FleetBudget) -> U,
) -> (T, U) {
    let shared = Arc::clone(budget);
    let running = thread::spawn(move || other(&shared));
    let mine = this(budget);
    (running.join().unwrap(), mine)
}

#[test]
fn of_one_token_two_calls_get_one() {
    loom::model(|| {
        let (budget, _) = leased(1);
        let (theirs, mine) = both(&budget, |b| retry(b).is_granted(), |b| retry(b).is_granted());
        assert!(theirs ^ mine, "{theirs} {mine}");
    });
}

#[test]
fn a_token_that_is_taken_back_was_not_spent_and_none_is_lost() {
    loom::model(|| {
        let (budget, _) = leased(2);
        let (spent, back) = both(&budget, |b| u32::from(retry(b).is_granted()), |b| b.take_back());
        assert_eq!(spent + back, 2);
        assert!(!retry(&budget).is_granted());
    });
}

#[test]
fn a_lease_that_is_prolonged_meanwhile_keeps_what_was_not_spent() {
    loom::model(|| {
        let (budget, _) = leased(1);
        let (spent, over) = both(&budget, |b| u32::from(retry(b).is_granted()), |b| b.grant(at(20), 3, at(2_000)));
        assert_eq!((spent, over), (1, 0));
        assert_eq!(budget.tokens(), 3);
    });
}

#[test]
fn of_a_lease_that_is_over_each_token_goes_back_once() {
    loom::model(|| {
        let (budget, _) = leased(2);
        let (spent, over) = both(&budget, |b| u32::from(retry(b).is_granted()), |b| b.grant(at(1_500), 3, at(2_000)));
        // The other's time is before the end of the lease, and so it pays with a token of either.
        assert_eq!(spent + over + budget.tokens(), 5);
    });
}

#[test]
fn a_token_that_is_given_back_is_one_more_whoever_pays_meanwhile() {
    loom::model(|| {
        let (budget, _) = leased(2);
        let paid = pays(&budget);
        let (spent, ()) = both(&budget, |b| u32::from(retry(b).is_granted()), move |b| gives_back(b, paid));
        assert_eq!((spent, budget.tokens()), (1, 1), "nobody is denied for it, and none is lost");
    });
}

#[test]
fn of_two_tokens_that_are_given_back_at_once_none_is_lost() {
    loom::model(|| {
        let (budget, _) = leased(2);
        let (one, two) = (pays(&budget), pays(&budget));
        both(&budget, move |b| gives_back(b, one), move |b| gives_back(b, two));
        assert_eq!(budget.tokens(), 2);
    });
}

#[test]
fn a_token_that_is_given_back_while_all_are_taken_goes_with_them_or_nowhere() {
    loom::model(|| {
        let (budget, _) = leased(2);
        let paid = pays(&budget);
        let ((), back) = both(&budget, move |b| gives_back(b, paid), |b| b.take_back());
        assert!((1..=2).contains(&back), "{back}");
        assert_eq!(budget.tokens(), 0, "what is over takes nothing");
    });
}

#[test]
fn a_token_that_is_given_back_while_the_share_takes_over_changes_neither_word_nor_share() {
    loom::model(|| {
        let (budget, _) = leased(1);
        let paid = pays(&budget);
        let ((), back) = both(&budget, move |b| gives_back(b, paid), |b| b.go_alone());
        assert!(back <= 1 && budget.tokens() == 0, "{back}");
        assert_eq!(budget.share().level_milli(), 1_000, "it holds its tenth of ten");
    });
}

#[test]
fn a_token_that_is_given_back_while_the_lease_is_prolonged_is_kept_and_one_of_a_lease_that_is_over_is_not() {
    for (now, kept) in [(20, 1), (1_500, 0)] {
        loom::model(move || {
            let (budget, _) = leased(1);
            let paid = pays(&budget);
            let ended = move |b: &FleetBudget| b.ended(at(now), End::NotMade, paid);
            let ((), over) = both(&budget, ended, |b| b.grant(at(now), 3, at(2_000)));
            assert_eq!((over, budget.tokens()), (0, 3 + kept));
        });
    }
}

#[test]
fn a_token_of_a_lease_that_is_over_never_comes_to_the_next_one_though_its_caller_is_late() {
    loom::model(|| {
        let (budget, _) = leased(1);
        let paid = pays(&budget);
        let ((), over) = both(&budget, move |b| gives_back(b, paid), |b| b.grant(at(1_500), 3, at(2_500)));
        assert!(over <= 1, "it goes back to the store, or nowhere");
        assert_eq!(budget.tokens(), 3);
    });
}

#[test]
fn nor_where_another_pays_with_the_next_one_meanwhile() {
    loom::model(|| {
        let (budget, _) = leased(1);
        let paid = pays(&budget);
        let shared = Arc::clone(&budget);
        let granting = thread::spawn(move || shared.grant(at(1_500), 3, at(2_500)));
        let spends = |b: &FleetBudget| u32::from(b.withdraw(at(1_500), Extra::retry(After::Transient)).is_granted());
        let (spent, ()) = both(&budget, spends, move |b| gives_back(b, paid));
        assert!(granting.join().unwrap() <= 1);
        assert_eq!(spent + budget.tokens(), 3);
    });
}

#[test]
fn what_the_share_is_given_back_is_not_lost_beside_a_deposit_and_does_not_overflow_it() {
    loom::model(|| {
        let (budget, _) = leased(0);
        budget.go_alone();
        let paid = pays(&budget);
        both(&budget, |b| b.deposit(at(0)), move |b| gives_back(b, paid));
        assert_eq!((budget.share().level_milli(), budget.tokens()), (1_000, 0));
    });
}

#[test]
fn each_first_attempt_counts_in_one_place_while_the_share_takes_over() {
    loom::model(|| {
        let (budget, _) = leased(0);
        both(
            &budget,
            |b| {
                b.deposit(at(0));
                b.deposit(at(0));
            },
            |b| b.go_alone(),
        );
        assert_eq!(budget.requests() + budget.share().deposits(), 2);
    });
}

#[test]
fn of_a_share_of_one_retry_two_calls_get_one_and_a_deposit_meanwhile_is_not_lost() {
    loom::model(|| {
        // A tenth of ten, which is one, is all it holds; a deposit brings one.
        let (budget, _) = leased(0);
        budget.go_alone();
        let (theirs, mine) = both(
            &budget,
            |b| u32::from(retry(b).is_granted()),
            |b| {
                b.deposit(at(0));
                u32::from(retry(b).is_granted())
            },
        );
        let rest = u32::from(retry(&budget).is_granted());
        // What comes while the share is full does not fit.
        assert!((1..=2).contains(&(theirs + mine + rest)), "{theirs} {mine} {rest}");
        assert!(theirs == 1 || mine == 1);
        assert_eq!(budget.share().level_milli(), 0);
    });
}

#[test]
fn whoever_waits_is_seen_by_the_machine_or_wakes_it() {
    loom::model(|| {
        let (budget, woken) = leased(0);
        let (_, seen) = both(
            &budget,
            |b| assert_eq!(retry(b), Answer::Later),
            |b| {
                assert_eq!(retry(b), Answer::Later);
                b.take_wake();
                b.deferred()
            },
        );
        // Whoever was not counted by then has found the flag down and woken the driver again.
        let is_woken_again = budget.take_wake();
        assert!(seen == 2 || is_woken_again, "{seen} were seen");
        assert!((1..=2).contains(&woken.load(Ordering::SeqCst)));
    });
}
