//! The threshold against a naive model that looks at the whole history, for every short history there is.

mod support;

use mesh_core::health::Threshold;
use support::rig::times;

#[test]
fn a_threshold_does_what_the_whole_history_says() {
    for (rise, fall) in (1..=4_u32).flat_map(|rise| (1..=4_u32).map(move |fall| (rise, fall))) {
        for bits in 0..1_u32 << LONGEST {
            let history: Vec<bool> = (0..LONGEST).map(|at| bits >> at & 1 == 1).collect();
            agree(rise, fall, &history);
        }
    }
}

#[test]
fn before_the_first_answer_there_is_no_verdict() {
    let threshold = Threshold::new(times(1), times(1));
    assert_eq!((threshold.verdict(), threshold.is_counting()), (None, false));
}

#[test]
fn a_long_run_against_a_huge_threshold_counts_without_end() {
    let mut threshold = Threshold::new(times(1), times(u32::MAX));
    assert_eq!(threshold.record(true), Some(true));
    assert!((0..100_000).all(|_| threshold.record(false).is_none()));
    assert_eq!((threshold.verdict(), threshold.is_counting()), (Some(true), true));
}

#[test]
fn an_answer_that_decides_needs_no_other_and_begins_every_count_anew() {
    let mut threshold = Threshold::new(times(3), times(3));
    assert_eq!(threshold.decide(false), Some(false), "the first answer");
    assert_eq!(threshold.decide(false), None, "no change");
    assert_eq!((threshold.record(true), threshold.record(true)), (None, None));
    assert_eq!((threshold.decide(false), threshold.is_counting()), (None, false));
    assert_eq!((threshold.record(true), threshold.record(true), threshold.record(true)), (None, None, Some(true)));
    assert_eq!((threshold.record(false), threshold.decide(false)), (None, Some(false)));
    assert!(!threshold.is_counting());
}

fn agree(rise: u32, fall: u32, history: &[bool]) {
    let mut threshold = Threshold::new(times(rise), times(fall));
    let mut verdict = None;
    for seen in 1..=history.len() {
        let expected = naive(rise, fall, verdict, &history[..seen]);
        let changed = threshold.record(history[seen - 1]);
        assert_eq!(changed, Some(expected).filter(|_| verdict != Some(expected)), "{rise} {fall} {history:?}");
        verdict = Some(expected);
        assert_eq!(threshold.verdict(), verdict, "{rise} {fall} {:?}", &history[..seen]);
        assert_eq!(threshold.is_counting(), history[seen - 1] != expected, "{rise} {fall} {:?}", &history[..seen]);
    }
}

/// The verdict after `history`, given the one before its last answer: the first answer decides, and then as many
/// equal ones at the end as it takes.
fn naive(rise: u32, fall: u32, before: Option<bool>, history: &[bool]) -> bool {
    let last = history[history.len() - 1];
    let run = history.iter().rev().take_while(|answer| **answer == last).count();
    let needed = if last { rise } else { fall };
    match before {
        Some(before) if run < needed as usize => before,
        _ => last,
    }
}

/// Long enough for every run and what interrupts it.
const LONGEST: usize = 11;
