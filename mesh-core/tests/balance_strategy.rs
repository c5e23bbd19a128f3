//! Strategies as configurations spell them.

use mesh_core::balance::Strategy;
use mesh_core::balance::policy::P2cConfig;

#[test]
fn a_strategy_is_a_name_or_a_table_of_one_name_and_its_parameters() {
    assert_eq!(read(r#""random""#).unwrap(), Strategy::Random);
    assert_eq!(read(r#"{ "random": {} }"#).unwrap(), Strategy::Random);
    let mut choices = P2cConfig::default();
    choices.choices = 3;
    assert_eq!(read(r#"{ "p2c-least-loaded": { "choices": 3 } }"#).unwrap(), Strategy::P2cLeastLoaded(choices));
}

#[test]
fn two_names_in_one_table_are_refused_and_not_dropped_silently() {
    let error = read(r#"{ "random": {}, "least-loaded": {} }"#).unwrap_err();
    assert!(error.to_string().starts_with("a strategy is a table of one name and its parameters"), "{error}");
}

fn read(text: &str) -> Result<Strategy, serde_json::Error> {
    serde_json::from_str(text)
}
