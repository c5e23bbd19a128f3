//! Selectors: what matches, which are equal, and the table that numbers them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;

use mesh_core::route::{RouteId, Routes, Selector};
use mesh_core::service::{ConfigError, Instance, InstanceBuilder};
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::RngSeed;

#[test]
fn every_instance_matches_the_selector_without_conditions() {
    assert!(Selector::any().matches(&built(api())));
    assert!(Selector::any().is_any());
    assert_eq!(Selector::any().to_string(), "any");
}

#[test]
fn all_tags_asked_for_must_be_there_and_none_left_out() {
    let selector = Selector::any().tag("a").unwrap().tag("b").unwrap().without_tag("c").unwrap();
    assert!(selector.matches(&built(api().tag("a").tag("b").tag("d"))));
    assert!(!selector.matches(&built(api().tag("a"))));
    assert!(!selector.matches(&built(api().tag("a").tag("b").tag("c"))));
    assert!(!selector.is_any());
}

#[test]
fn metadata_must_be_equal() {
    let selector = Selector::any().meta("team", "blue").unwrap();
    assert!(selector.matches(&built(api().meta("team", "blue").meta("other", "x"))));
    assert!(!selector.matches(&built(api().meta("team", "Blue"))));
    assert!(!selector.matches(&built(api())));
}

#[test]
fn a_zone_is_metadata() {
    let selector = Selector::any().zone("a").unwrap();
    assert!(selector.matches(&built(api().zone("a"))));
    assert!(!selector.matches(&built(api().zone("b"))));
    assert!(!selector.matches(&built(api())));
    assert_eq!(selector, Selector::any().meta("zone", "a").unwrap());
}

#[test]
fn versions_are_compared_as_numbers() {
    let selector = Selector::any().version(">=1.2, <2").unwrap();
    for (version, matches) in [("1.2", true), ("v1.10.3", true), ("1.1.9", false), ("2", false), ("1.3.0-rc.1", false)]
    {
        assert_eq!(selector.matches(&built(api().version(version))), matches, "{version}");
    }
    assert!(!selector.matches(&built(api())));
    assert!(!selector.matches(&built(api().meta("version", "blue"))));
    assert!(Selector::any().version("*").unwrap().matches(&built(api().version("7"))));
    assert!(!Selector::any().version("*").unwrap().matches(&built(api())));
}

#[test]
fn the_order_of_the_conditions_makes_no_difference() {
    let one = Selector::any().tag("a").unwrap().tag("b").unwrap().version(">=1.2, <2").unwrap().zone("z").unwrap();
    let other = Selector::any().zone("z").unwrap().version("<2").unwrap().version(">=1.2").unwrap();
    let other = other.version("<2,>=1.2").unwrap().tag("b").unwrap().tag("a").unwrap().tag("b").unwrap();
    assert_eq!(one, other);
    assert_eq!(one.cmp(&other), std::cmp::Ordering::Equal);
    assert_eq!(one.to_string(), "tag=a,tag=b,meta.zone=z,version=<2, >=1.2");
}

#[test]
fn conditions_that_contradict_each_other_are_refused() {
    let both = "selector tag: a is not allowed: is both asked for and to be left out";
    assert_eq!(said(Selector::any().tag("a").unwrap().without_tag("a")), both);
    assert_eq!(said(Selector::any().without_tag("a").unwrap().tag("a")), both);
    let zones = "selector meta: zone=b is not allowed: another value is asked for";
    assert_eq!(said(Selector::any().zone("a").unwrap().zone("b")), zones);
    assert!(Selector::any().zone("a").unwrap().zone("a").is_ok());
}

#[test]
fn conditions_that_no_instance_can_meet_are_refused() {
    assert!(said(Selector::any().tag("")).starts_with("tag: "));
    assert!(said(Selector::any().meta("a.b", "v")).starts_with("meta key: "));
    assert!(said(Selector::any().zone("a b")).starts_with("zone: "));
    for requirement in ["", "junk", ">=", "1.2 || 2", "\n"] {
        assert!(said(Selector::any().version(requirement)).starts_with("selector version: "), "{requirement}");
    }
}

#[test]
fn a_requirement_has_at_most_32_comparisons() {
    let mut selector = Selector::any();
    for number in 0..32 {
        selector = selector.version(&format!("<{}", number + 10)).unwrap();
    }
    assert!(said(selector.clone().version("<9")).ends_with("must be at most 32 comparisons"));
    assert!(selector.version("<10").is_ok());
}

#[test]
fn a_selector_shown_in_a_log_holds_no_control_characters() {
    let selector = Selector::any().without_tag("a\u{202e}").unwrap().meta("k", "v\u{2028}").unwrap();
    assert_eq!(selector.to_string(), "tag!=a\\u{202e},meta.k=v\\u{2028}");
}

#[test]
fn equal_selectors_share_an_id() {
    let mut routes = Routes::default();
    assert_eq!(routes.intern(Selector::any()), Ok(RouteId::ALL));
    let canary = routes.intern(Selector::any().tag("canary").unwrap()).unwrap();
    let again = routes.intern(Selector::any().tag("canary").unwrap().tag("canary").unwrap()).unwrap();
    let zone = routes.intern(Selector::any().zone("a").unwrap()).unwrap();
    assert_eq!((canary.index(), again, zone.index()), (1, canary, 2));
    assert_eq!(routes.get(canary).unwrap().to_string(), "tag=canary");
    assert_eq!(routes.get(RouteId::ALL), Some(&Selector::any()));
    assert_eq!(routes.id_of(&Selector::any().zone("a").unwrap()), Some(zone));
    assert_eq!(routes.id_of(&Selector::any().zone("b").unwrap()), None);
    let ids = routes.iter().map(|(id, _)| id.index()).collect::<Vec<_>>();
    assert_eq!((ids, routes.count()), (vec![0, 1, 2], 3));
}

#[test]
fn a_full_table_refuses_new_selectors_and_still_knows_its_own() {
    let mut routes = Routes::new(NonZeroU32::new(2).unwrap());
    let canary = Selector::any().tag("canary").unwrap();
    let id = routes.intern(canary.clone()).unwrap();
    let full = routes.intern(Selector::any().tag("other").unwrap()).unwrap_err();
    assert_eq!(full.routes_max.get(), 2);
    assert!(full.to_string().contains("its 2 selectors"), "{full}");
    assert_eq!((routes.intern(canary), routes.count()), (Ok(id), 2));
}

#[test]
fn the_default_table_holds_64_selectors() {
    let mut routes = Routes::default();
    let interned = (0..100).map_while(|number| routes.intern(Selector::any().tag(format!("t{number}")).unwrap()).ok());
    assert_eq!(interned.count(), 63);
    assert_eq!(routes.count(), Routes::ROUTES_MAX as usize);
}

#[test]
fn an_id_of_another_table_names_nothing() {
    let id = Routes::default().intern(Selector::any().tag("a").unwrap()).unwrap();
    assert_eq!(Routes::default().get(id), None);
}

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn a_selector_matches_when_each_of_its_conditions_does(
        with in some_tags(), without in some_tags(), zone in "[xy]?", has in some_tags(), lives in "[xy]?",
    ) {
        let instance = has.iter().fold(api(), |builder, tag| builder.tag(*tag));
        let instance = built(if lives.is_empty() { instance } else { instance.zone(lives.as_str()) });
        let selector = with.iter().try_fold(Selector::any(), |selector, tag| selector.tag(*tag)).unwrap();
        let selector = without.iter().try_fold(selector, |selector, tag| selector.without_tag(*tag));
        prop_assert_eq!(selector.is_ok(), !with.iter().any(|tag| without.contains(tag)));
        let Ok(selector) = selector else { return Ok(()) };
        let selector = if zone.is_empty() { selector } else { selector.zone(zone.as_str()).unwrap() };
        let expected = with.iter().all(|tag| has.contains(tag))
            && !without.iter().any(|tag| has.contains(tag))
            && (zone.is_empty() || zone == lives);
        prop_assert_eq!(selector.matches(&instance), expected);
    }

    #[test]
    fn selectors_are_equal_exactly_when_they_share_an_id(one in some_tags(), other in some_tags()) {
        let build = |tags: Vec<&'static str>| tags.into_iter().rev().try_fold(Selector::any(), Selector::tag).unwrap();
        let (one, other) = (build(one), build(other));
        let mut routes = Routes::default();
        let ids = (routes.intern(one.clone()).unwrap(), routes.intern(other.clone()).unwrap());
        prop_assert_eq!(ids.0 == ids.1, one == other);
        prop_assert_eq!(one.cmp(&other).is_eq(), one == other);
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}

fn some_tags() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(vec!["a", "b", "c", "d"], 0..=4)
}

fn api() -> InstanceBuilder {
    Instance::builder("api", "10.0.0.7", 80)
}

fn built(builder: InstanceBuilder) -> Instance {
    builder.build().unwrap()
}

fn said(result: Result<Selector, ConfigError>) -> String {
    result.expect_err("a refusal").to_string()
}
