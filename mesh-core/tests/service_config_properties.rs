//! What holds for all text and all configurations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use mesh_core::service::{
    CheckPath, ConfigError, HealthCheck, Host, Instance, InstanceId, Meta, Problem, Scope, ServiceConfig, ServiceName,
    Tag, Tags, Version, Zone, escape, escape_to,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(same_every_time())]

    #[test]
    fn what_parses_reads_the_same_when_it_is_shown_again(text in any_text()) {
        round_trips::<ServiceName>(&text)?;
        round_trips::<InstanceId>(&text)?;
        round_trips::<Scope>(&text)?;
        round_trips::<Host>(&text)?;
        round_trips::<Zone>(&text)?;
        round_trips::<Version>(&text)?;
        round_trips::<Tag>(&text)?;
        round_trips::<CheckPath>(&text)?;
    }

    #[test]
    fn what_parses_holds_no_control_characters(text in any_text()) {
        let names = shown::<ServiceName>(&text) + &shown::<InstanceId>(&text) + &shown::<Scope>(&text);
        let places = shown::<Host>(&text) + &shown::<Zone>(&text) + &shown::<CheckPath>(&text);
        let others = shown::<Tag>(&text) + &shown::<Version>(&text);
        prop_assert!(!(names + &places + &others).contains(char::is_control));
    }

    #[test]
    fn errors_are_bounded_and_hold_no_control_characters(text in any_text()) {
        let (tag, version) = (text.parse::<Tag>().err(), text.parse::<Version>().err());
        let meta = [Meta::default().insert(&text, &text).err(), Meta::default().insert("key", &text).err()];
        for error in [tag, version].into_iter().chain(meta).flatten() {
            let error = error.to_string();
            prop_assert!(!error.contains(char::is_control));
            prop_assert!(error.chars().count() <= Problem::VALUE_CHARS_MAX + 200, "{error}");
        }
    }

    #[test]
    fn escaped_text_is_bounded_and_printable(text in any_text(), chars_max in 0_usize..300) {
        let cut = escape_to(&text, chars_max).to_string();
        prop_assert!(cut.chars().count() <= chars_max + 1);
        for shown in [&cut, &escape(&text).to_string()] {
            prop_assert!(!shown.contains(is_invisible));
        }
        prop_assert!(escape(&text).to_string().starts_with(cut.trim_end_matches('…')) || chars_max > 256);
    }

    #[test]
    fn an_authority_names_its_host_and_port(host in host(), port in 1_u16..) {
        let authority = host.authority(port);
        let (shown, number) = authority.rsplit_once(':').unwrap();
        prop_assert_eq!(number.parse::<u16>().unwrap(), port);
        prop_assert_eq!(shown.trim_start_matches('[').trim_end_matches(']'), host.as_str());
        prop_assert_eq!(host.ip().is_some(), authority.parse::<std::net::SocketAddr>().is_ok());
    }

    #[test]
    fn sets_and_maps_keep_their_bounds_whatever_they_are_given(texts in vec("[a-f]{1,3}", 0..200)) {
        let (mut tags, mut meta) = (Tags::default(), Meta::default());
        for text in &texts {
            let fits = tags.contains(text) || tags.len() < 64;
            prop_assert_eq!(tags.insert(text.parse().unwrap()).is_ok(), fits);
            prop_assert_eq!(meta.insert(text, text).is_ok(), fits);
            prop_assert_eq!(tags.len(), meta.len());
        }
        prop_assert!(tags.len() <= Tags::COUNT_MAX && meta.len() <= Meta::PAIRS_MAX);
    }

    #[test]
    fn a_check_that_is_built_keeps_its_rules(interval in millis(), timeout in millis(), after in 0_u64..120) {
        let after = Duration::from_secs(after);
        let own = Instance::builder("api", "10.0.0.7", 80).build().unwrap();
        let builder = HealthCheck::tcp().interval(interval).timeout(timeout).deregister_after(Some(after));
        let fits = (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&interval)
            && !timeout.is_zero() && timeout <= interval && after >= Duration::from_secs(60);
        prop_assert_eq!(builder.build(&own).is_ok(), fits);
    }

    #[test]
    fn configurations_read_the_same_when_they_are_written(config in config()) {
        let written = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<ServiceConfig>(&written).unwrap(), config);
    }

    #[test]
    fn zone_and_version_are_what_the_metadata_says(zone in any_text(), version in any_text()) {
        let builder = Instance::builder("api", "10.0.0.7", 80).meta("zone", &zone).meta("version", &version);
        if let Ok(instance) = builder.build() {
            prop_assert_eq!(instance.zone().cloned(), zone.parse().ok());
            prop_assert_eq!(instance.version().cloned(), version.parse().ok());
        }
    }
}

fn same_every_time() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
}

fn round_trips<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err = ConfigError> + Display + Debug + PartialEq,
{
    if let Ok(parsed) = text.parse::<T>() {
        prop_assert_eq!(parsed.to_string().parse::<T>().unwrap(), parsed);
    }
    Ok(())
}

fn shown<T: FromStr + Display>(text: &str) -> String {
    text.parse::<T>().map(|parsed| parsed.to_string()).unwrap_or_default()
}

fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of every kind: arbitrary, wild, and close to what is valid.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\PC\\pC]{0,300}",
        "[A-Za-z0-9._:@~/%?#-]{1,40}",
        "v?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-[a-z0-9.]{1,5})?(\\+[a-z]{1,3})?",
        any::<std::net::IpAddr>().prop_map(|ip| ip.to_string()),
        "/[a-z%0-9]{0,8}[\r\n ]?[a-z?]{0,8}",
    ]
}

fn millis() -> impl Strategy<Value = Duration> {
    prop_oneof![0_u64..3000, 86_399_990_u64..86_400_010].prop_map(Duration::from_millis)
}

fn host() -> impl Strategy<Value = Host> {
    let text = prop_oneof!["[A-Z]{1,9}\\.example", any::<std::net::IpAddr>().prop_map(|ip| ip.to_string())];
    text.prop_filter_map("unspecified", |text| text.parse().ok())
}

fn config() -> impl Strategy<Value = ServiceConfig> {
    let check = prop_oneof![
        Just(None),
        (1_u64..86_400, 1_u16..).prop_map(|(seconds, port)| {
            Some(HealthCheck::http("/x").interval(Duration::from_secs(seconds)).port(port))
        }),
    ];
    let parts = (
        "[a-z][a-z0-9.]{0,20}",
        host(),
        1_u16..,
        0_u16..,
        vec("[a-zé]{1,20}", 0..9),
        vec(("[a-z]{1,9}", "[^\\p{Cc}]{0,20}"), 0..9),
        check,
    );
    parts.prop_filter_map("a forbidden target", |(name, host, port, weight, tags, meta, check)| {
        let builder = ServiceConfig::builder(name, host, port).weight(weight);
        let builder = tags.into_iter().fold(builder, |builder, tag| builder.tag(tag));
        let builder = meta.into_iter().fold(builder, |builder, (key, value)| builder.meta(key, value));
        match check {
            Some(check) => builder.check(check),
            None => builder.without_check(),
        }
        .build()
        .ok()
    })
}
