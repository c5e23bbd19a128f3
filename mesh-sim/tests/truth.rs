//! The cheapest of the truths hold; all of them are `mesh-sim truth`, which continuous integration runs.

use mesh_sim::truth;

#[test]
fn ten_clients_contend_as_they_did_in_the_published_experiment() {
    holds("AWS full jitter N=10 ", 2);
}

#[test]
fn two_choices_send_a_black_hole_less_than_its_share() {
    holds("black hole p2c-least-loaded", 1);
}

#[test]
fn backoff_with_jitter_recovers_from_a_spike() {
    holds("collapse, backoff and jitter", 1);
}

#[track_caller]
fn holds(name: &str, count: usize) {
    let rows = truth::only(name);
    assert_eq!(rows.len(), count, "{rows:#?}");
    for row in rows {
        assert!(row.holds(), "{row:#?}");
    }
}
