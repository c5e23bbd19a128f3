//! The hash policies as configurations spell them, and what is said of values that cannot be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use balance_hash_support::*;
use mesh_core::balance::Strategy;
use mesh_core::balance::policy::{HashStrategy, RingKind};
use support::*;

#[test]
fn every_hash_policy_comes_back_from_its_text() {
    for strategy in hash_strategies() {
        let text = serde_json::to_string(&strategy).unwrap();
        assert_eq!(read(&text).unwrap(), strategy, "{text}");
        assert!(strategy.validate().is_ok());
    }
}

#[test]
fn texts_name_a_policy_or_its_parameters() {
    assert_eq!(read(r#""ring-hash""#).unwrap(), ring(RingKind::Fixed));
    assert_eq!(read(r#"{ "ring-hash": { "kind": "ketama" } }"#).unwrap(), ring(RingKind::Ketama));
    assert_eq!(read(r#"{ "maglev": { "size": 1009 } }"#).unwrap(), maglev(1_009));
    let of_rendezvous = read(r#"{ "bounded-load": { "factor": 1.5, "of": "rendezvous" } }"#).unwrap();
    assert_eq!(of_rendezvous, bounded(1.5, HashStrategy::Rendezvous));
    let of_maglev = read(r#"{ "bounded-load": { "of": { "maglev": { "size": 7 } } } }"#).unwrap();
    assert_eq!(of_maglev, bounded(1.25, HashStrategy::Maglev(maglev_config(7))));
}

#[test]
fn texts_that_name_what_does_not_exist_are_refused_with_what_does() {
    for (text, expected) in [
        (
            r#"{ "ring-hash": { "kind": "chord" } }"#,
            "unknown variant `chord`, expected one of `fixed`, `ketama`, `xds`",
        ),
        (r#"{ "ring-hash": { "vnodes": 5 } }"#, "unknown field `vnodes`, expected one of `kind`, `points`"),
        (r#"{ "maglev": { "size": -7 } }"#, "invalid value: integer `-7`, expected u32"),
        (r#"{ "bounded-load": { "of": "random" } }"#, "unknown variant `random`, expected one of `ring-hash`"),
        (r#"{ "rendezvous": { "seed": 1 } }"#, "unknown field `seed`"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn values_out_of_range_are_refused_each_with_its_rule() {
    for size in [0, 1, 4, 65_536, 5_000_010, 5_000_077, u32::MAX] {
        assert_eq!(problems(&maglev(size)), [format!("size {size} must be a prime from 2 to 5000011")]);
    }
    assert!(maglev(2).validate().is_ok() && maglev(5_000_011).validate().is_ok());

    let mut config = ring_config(RingKind::Fixed);
    (config.points, config.ring_min, config.ring_max) = (0, 5, 4);
    assert_eq!(
        problems(&Strategy::RingHash(config.clone())),
        ["points 0 must be 1 to 1000", "ring_min 5 must be 1 to ring_max"]
    );
    (config.points, config.ring_min, config.ring_max) = (1_001, 1, 8_388_609);
    assert_eq!(
        problems(&Strategy::RingHash(config.clone())),
        ["points 1001 must be 1 to 1000", "ring_max 8388609 must be 1 to 8388608"]
    );
    let of = HashStrategy::RingHash(config);
    assert_eq!(problems(&bounded(1.0, of)).len(), 2, "those of what it bounds too");

    for factor in [0.999, 100.1, -1.0, f64::NAN, f64::INFINITY] {
        let expected = format!("factor {factor} must be a number from 1 to 100");
        assert_eq!(problems(&bounded(factor, HashStrategy::Rendezvous)), [expected]);
    }
}

#[test]
fn values_that_were_never_checked_still_make_a_balancer() {
    let mut config = ring_config(RingKind::Xds);
    (config.points, config.ring_min, config.ring_max) = (0, 0, 0);
    let mut strategies = vec![Strategy::RingHash(config.clone()), maglev(0), maglev(9)];
    config.kind = RingKind::Fixed;
    strategies.push(Strategy::RingHash(config));
    strategies.extend([0.0, f64::NAN].map(|factor| bounded(factor, HashStrategy::Rendezvous)));
    for strategy in strategies {
        assert!(strategy.validate().is_err());
        assert!(fleet(strategy, members(3)).owners(100).iter().all(|&owner| owner < 3));
    }
}

/// `field value rule` of every problem.
fn problems(strategy: &Strategy) -> Vec<String> {
    let error = strategy.validate().unwrap_err();
    let text = error.problems().iter().map(|it| format!("{} {} {}", it.field(), it.value(), it.rule()));
    text.collect()
}

fn read(text: &str) -> Result<Strategy, serde_json::Error> {
    serde_json::from_str(text)
}
