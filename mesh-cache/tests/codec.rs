//! Values as JSON: what is refused before it can cost anything, and that all else comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;

use mesh_cache::codec::*;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[test]
fn a_value_comes_back() {
    let codec = JsonCodec::new(7);
    let value = Instance { id: "api-1".to_owned(), port: 80, tags: vec!["a,b".to_owned()] };
    let bytes = codec.encode(&value).unwrap();
    assert_eq!(codec.decode(&bytes), Ok(value));
    assert_eq!(Codec::<Instance>::schema(&codec), 7);
}

#[test]
fn sixty_kib_of_empty_objects_cost_nothing_where_they_cost_ten_mib_unchecked() {
    let hostile = list("{}", 20_480);
    assert_eq!(hostile.len(), 61_441);
    let codec = JsonCodec::new(1);
    let counted = allocation_counter::measure(|| {
        let refused = Codec::<Vec<Fat>>::decode(&codec, &hostile);
        assert_eq!(refused, Err(CodecError::TooManyElements { elements_max: 8_192 }));
    });
    assert_eq!(counted.bytes_total, 0);
    let mut careless = codec;
    careless.elements_max = usize::MAX;
    let counted = allocation_counter::measure(|| assert!(decode::<Vec<Fat>>(&careless, &hostile).is_ok()));
    assert!(counted.bytes_max > 7 << 20, "{} bytes: the check is needed no more", counted.bytes_max);
}

#[test]
fn the_tersest_list_that_is_let_through_costs_no_more_than_its_elements() {
    let allowed = list("{}", 4_096);
    let counted = allocation_counter::measure(|| {
        assert_eq!(decode::<Vec<Fat>>(&JsonCodec::new(1), &allowed).unwrap().len(), 4_096);
    });
    // A growing list holds its old and its new half for a moment.
    assert!(counted.bytes_max <= 4_096 * 216 * 3 / 2, "{} bytes", counted.bytes_max);
    assert!(decode::<Vec<Fat>>(&JsonCodec::new(1), &list("{}", 4_097)).is_err());
}

#[test]
fn no_text_within_the_limits_costs_more_than_its_elements_as_the_largest_of_all_nodes() {
    let chain = format!("{}0{}", "{\"\":".repeat(62), "}".repeat(62));
    for part in ["{}", "[]", "0", "\"\"", "null", "{\"\":0}", "[[],{\"\":0}]", "\"\\u0061\"", &chain] {
        for count in [100, 130, 2_000, 4_096, 8_191] {
            let text = list(part, count);
            let counted = allocation_counter::measure(|| drop(decode::<Value>(&JsonCodec::new(1), &text)));
            // A map with one key takes a whole node of a B-tree, some 640 bytes.
            assert!(counted.bytes_max <= 8_192 * 800, "{count} of {part}: {} bytes", counted.bytes_max);
        }
    }
}

#[test]
fn a_list_of_things_without_size_ends_soon() {
    let nulls = list("null", 12_000);
    assert_eq!(nulls.len(), 60_001);
    assert!(matches!(decode::<Vec<()>>(&JsonCodec::new(1), &nulls), Err(CodecError::TooManyElements { .. })));
}

#[test]
fn what_is_nested_too_deep_is_refused_on_both_ways() {
    let codec = JsonCodec::new(1);
    let refused = CodecError::TooDeep { depth_max: 64 };
    let (good, deep) = (nested(64), nested(65));
    assert!(decode::<Value>(&codec, good.to_string().as_bytes()).is_ok());
    assert_eq!(decode::<Value>(&codec, deep.to_string().as_bytes()), Err(refused));
    assert!(codec.encode(&good).is_ok());
    assert_eq!(codec.encode(&deep), Err(refused));
    let bomb = vec![b'['; 60_000];
    assert_eq!(decode::<Value>(&codec, &bomb), Err(refused));
    assert_eq!(decode::<Value>(&codec, "{\"a\":".repeat(65).as_bytes()), Err(refused));
}

#[test]
fn a_value_that_is_deeper_than_the_stack_is_refused_while_it_is_written() {
    assert_eq!(JsonCodec::new(1).encode(&Endless), Err(CodecError::TooDeep { depth_max: 64 }));
}

#[test]
fn commas_and_brackets_in_strings_count_for_nothing() {
    let mut codec = JsonCodec::new(1);
    codec.elements_max = 2;
    for text in [r#"[",,,[[[{{{",""]"#, r#"["\",[{",""]"#, r#"["\\",""]"#, r#"["\\\",{",""]"#, r#"["\u005c",""]"#] {
        assert!(decode::<Vec<String>>(&codec, text.as_bytes()).is_ok(), "{text}");
    }
    for text in [r#"["\\",",",""]"#, r#"["\"","",""]"#, r#"["","",["#, r#"["",{},"#] {
        let refused = Err(CodecError::TooManyElements { elements_max: 2 });
        assert_eq!(decode::<Value>(&codec, text.as_bytes()), refused, "{text}");
    }
}

#[test]
fn a_field_that_is_there_twice_is_refused_and_a_key_of_a_map_counts_once() {
    let codec = JsonCodec::new(1);
    let twice = br#"{"id":"a","port":1,"tags":[],"port":2}"#;
    assert!(matches!(decode::<Instance>(&codec, twice), Err(CodecError::Mismatched { line: 1, .. })));
    let map = decode::<BTreeMap<String, u8>>(&codec, br#"{"a":1,"a":2}"#).unwrap();
    assert_eq!(map, BTreeMap::from([("a".to_owned(), 2)]));
    let flood = format!("{{{}}}", vec!["\"a\":0"; 8_193].join(","));
    let refused = decode::<BTreeMap<String, u8>>(&codec, flood.as_bytes());
    assert_eq!(refused, Err(CodecError::TooManyElements { elements_max: 8_192 }));
}

#[test]
fn numbers_beyond_every_range_are_errors() {
    let codec = JsonCodec::new(1);
    for text in ["1e400", "-1e400", &"9".repeat(400), "1e99999999999999999999"] {
        assert!(decode::<f64>(&codec, text.as_bytes()).is_err(), "{text}");
        assert!(decode::<Value>(&codec, text.as_bytes()).is_err(), "{text}");
    }
    for text in ["18446744073709551616", "-1", "1.5", "1e2"] {
        assert!(matches!(decode::<u64>(&codec, text.as_bytes()), Err(CodecError::Mismatched { .. })), "{text}");
    }
    for edge in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324] {
        assert!(codec.encode(&edge).is_ok(), "{edge}");
    }
    let tiny = decode::<f64>(&codec, format!("0.{}1", "0".repeat(60_000)).as_bytes());
    assert_eq!(tiny, Ok(0.0));
}

#[test]
fn what_is_no_json_is_malformed_and_not_repeated() {
    let codec = JsonCodec::new(1);
    for text in ["", "secret", "{\"secret\":", "[1,]", "[\"secret\\", "\u{feff}[]", "[] []", "]]]]}}[", "\"\u{1}\""] {
        let error = decode::<Value>(&codec, text.as_bytes()).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{text}: {error:?}");
    }
    let error = decode::<u8>(&codec, b"\"secret\"").unwrap_err();
    assert!(matches!(error, CodecError::Mismatched { .. }));
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn a_text_as_long_as_allowed_is_read_and_one_byte_more_is_not() {
    let codec = JsonCodec::new(1);
    let text = |length: usize| "x".repeat(length - 2);
    let (allowed, more) = (text(65_536), text(65_537));
    let bytes = codec.encode(&allowed).unwrap();
    assert_eq!((bytes.len(), decode::<String>(&codec, &bytes)), (65_536, Ok(allowed)));
    let refused = CodecError::TooManyBytes { bytes_max: 65_536 };
    assert_eq!(codec.encode(&more), Err(refused));
    assert_eq!(decode::<String>(&codec, format!("\"{more}\"").as_bytes()), Err(refused));
}

#[test]
fn a_value_that_is_too_large_is_given_up_while_it_is_written() {
    let large = vec!["x".repeat(1_000); 10_000];
    let counted = allocation_counter::measure(|| {
        assert_eq!(JsonCodec::new(1).encode(&large), Err(CodecError::TooManyBytes { bytes_max: 65_536 }));
    });
    assert!(counted.bytes_max <= 3 * 65_536, "{} bytes", counted.bytes_max);
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let codec = JsonCodec::new(1);
    assert_eq!(codec.encode(&f64::NAN), Err(CodecError::OneWay));
    assert_eq!(codec.encode(&OneWay { written: 1 }), Err(CodecError::OneWay));
    let keys = BTreeMap::from([(vec![1_u8], 2_u8)]);
    assert_eq!(codec.encode(&keys), Err(CodecError::Unwritable));
    let many: Vec<u8> = vec![0; 8_193];
    assert_eq!(codec.encode(&many), Err(CodecError::TooManyElements { elements_max: 8_192 }));
}

#[test]
fn a_codec_that_panics_has_failed_and_no_more() {
    let codec: &dyn Codec<u8> = &Panicking;
    assert_eq!(decode_guarded(codec, b"1"), Err(CodecError::Panicked));
    assert_eq!(encode_guarded(codec, &1), Err(CodecError::Panicked));
    let json = JsonCodec::new(1);
    assert_eq!(decode_guarded::<u8, _>(&json, b"1"), Ok(1));
    assert_eq!(encode_guarded(&json, &1), Ok(b"1".to_vec()));
    assert_eq!(decode_guarded::<u8, _>(&json, b"x"), Err(CodecError::Malformed { line: 1, column: 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_back_and_has_as_many_elements_as_are_counted(value in values()) {
        let mut codec = JsonCodec::new(1);
        codec.elements_max = elements(&value);
        let bytes = codec.encode(&value).unwrap();
        prop_assert_eq!(decode::<Value>(&codec, &bytes), Ok(value.clone()));
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(decode::<Value>(&codec, &pretty), Ok(value.clone()));
        if let Some(fewer) = codec.elements_max.checked_sub(1) {
            codec.elements_max = fewer;
            let refused = CodecError::TooManyElements { elements_max: fewer };
            prop_assert_eq!(codec.encode(&value), Err(refused));
            prop_assert_eq!(decode::<Value>(&codec, &bytes), Err(refused));
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(
        text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'['), Just(b'}'), any::<u8>()], 0..200),
    ) {
        let _ = decode::<Value>(&JsonCodec::new(1), &text);
    }
}

/// The structural elements of a value, by its shape and not by its text.
fn elements(value: &Value) -> usize {
    let of = |parts: usize, inner: usize| 1 + parts.saturating_sub(1) + inner;
    match value {
        Value::Array(parts) => of(parts.len(), parts.iter().map(elements).sum()),
        Value::Object(parts) => of(parts.len(), parts.values().map(elements).sum()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let text = "[a,\\[{\\]}\"\\\\\\n]{0,6}";
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from)]
        .boxed()
        .prop_union(text.prop_map(Value::from).boxed());
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(text, inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

fn decode<V: Serialize + serde::de::DeserializeOwned>(codec: &JsonCodec, bytes: &[u8]) -> Result<V, CodecError> {
    codec.decode(bytes)
}

fn list(part: &str, count: usize) -> Vec<u8> {
    format!("[{}]", vec![part; count].join(",")).into_bytes()
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |inner, _| json!([inner]))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Instance {
    id: String,
    port: u16,
    tags: Vec<String>,
}

/// A struct of 216 bytes that two bytes become.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Fat {
    names: [Option<Box<str>>; 13],
    port: u64,
}

/// Written under one name and read under another.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OneWay {
    #[serde(rename(serialize = "wrote", deserialize = "written"))]
    written: u8,
}

/// A list that holds itself.
#[derive(Debug, PartialEq, Deserialize)]
struct Endless;

impl Serialize for Endless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Self])
    }
}

#[derive(Debug)]
struct Panicking;

impl Codec<u8> for Panicking {
    fn encode(&self, _: &u8) -> Result<Vec<u8>, CodecError> {
        panic!("in a codec")
    }

    fn decode(&self, _: &[u8]) -> Result<u8, CodecError> {
        panic!("in a codec")
    }

    fn schema(&self) -> u32 {
        1
    }
}
