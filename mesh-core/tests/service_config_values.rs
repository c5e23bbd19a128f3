//! Every rule for names, addresses, numbers, tags and metadata, from both sides of its boundary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::net::IpAddr;

use mesh_core::service::{
    ConfigError, Host, Instance, InstanceId, InstanceKey, Meta, Port, Problem, Scope, ServiceName, Tag, Tags, Version,
    Weight, Zone, escape, escape_to, is_forbidden_target,
};

#[test]
fn service_names_are_words_that_begin_with_a_letter_or_digit() {
    accepts::<ServiceName>(&["a", "7", "api", "api-v1.2_b", "A", &"x".repeat(128)]);
    let refused = ["", "-a", "_a", ".a", "a b", "a/b", "é", "a\n", "a\0", "a:b", &"x".repeat(129)];
    refuses::<ServiceName>("service", &refused);
}

#[test]
fn zones_are_words_of_at_most_64_bytes() {
    accepts::<Zone>(&["a", "eu-west-1a", "rack_7.b", &"z".repeat(64)]);
    refuses::<Zone>("zone", &["", "a b", "a/b", "ü", &"z".repeat(65)]);
}

#[test]
fn instance_ids_are_words_of_at_most_512_bytes() {
    accepts::<InstanceId>(&["-", "api-10.0.0.7-8080", "api-2001:db8::1-80", "a@b~c_d", &"i".repeat(512)]);
    refuses::<InstanceId>("id", &["", "a b", "a/b", "a%20b", "a\t", "é", &"i".repeat(513)]);
}

#[test]
fn scopes_may_be_empty_and_hold_no_control_characters() {
    accepts::<Scope>(&["", "dc1/node-1", &"s".repeat(512)]);
    refuses::<Scope>("scope", &["a\n", &"s".repeat(513)]);
}

#[test]
fn hosts_are_addresses_or_dns_names() {
    let label = "l".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "l".repeat(61));
    assert_eq!(longest.len(), 253);
    let accepted = ["10.0.0.7", "::1", "2001:db8::7", "localhost", "a_b-c.example", "1a.example", "x.0y", &longest];
    accepts::<Host>(&accepted);
    let too_long = format!("{longest}l");
    let label_too_long = format!("{label}l.example");
    refuses::<Host>("host", &["", ".", "a..b", "a.", ".a", "a b", "a/b", "é.example", &label_too_long, &too_long]);
    refuses::<Host>("host", &["[::1]", "fe80::1%eth0", "::1:", "10.0.0.7:80", "a@b", "a\r\nb", "http://a"]);
}

#[test]
fn nobody_can_connect_to_an_unspecified_address() {
    refuses::<Host>("host", &["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"]);
}

#[test]
fn numbers_that_resolvers_take_for_ipv4_are_no_names() {
    refuses::<Host>("host", &["10.0.0", "10.0.0.256", "127.1", "2852039166", "0x7f000001", "a.0X1f", "a.1", "0x"]);
}

#[test]
fn equal_hosts_are_equal_text() {
    for (given, kept) in [("API.Example", "api.example"), ("2001:DB8:0:0::7", "2001:db8::7"), ("::1", "::1")] {
        assert_eq!(host(given).as_str(), kept);
    }
}

#[test]
fn an_authority_has_brackets_around_ipv6_only() {
    assert_eq!(host("::1").authority(80), "[::1]:80");
    assert_eq!(host("10.0.0.7").authority(80), "10.0.0.7:80");
    assert_eq!(host("db.example").authority(80), "db.example:80");
    assert_eq!(host("::1").ip(), Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)));
    assert_eq!(host("db.example").ip(), None);
}

#[test]
fn link_local_and_metadata_addresses_are_forbidden_in_every_spelling() {
    let forbidden = ["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::1", "fd00:ec2::254"];
    let spelt = ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "100.100.100.200"];
    for address in forbidden.iter().chain(&spelt) {
        assert!(is_forbidden_target(address.parse().unwrap()), "{address}");
        assert!(host(address).is_forbidden_target(), "{address}");
    }
    assert!(host("Metadata.google.internal").is_forbidden_target());
    let allowed = ["169.253.255.255", "169.255.0.0", "fec0::1", "127.0.0.1", "::1", "64:ff9b::a00:7", "db.example"];
    for address in allowed {
        assert!(!host(address).is_forbidden_target(), "{address}");
    }
}

#[test]
fn ports_are_1_to_65535() {
    for number in [1_i64, 80, 65_535] {
        assert_eq!(i64::from(Port::try_from(number).unwrap().get()), number);
    }
    for number in [i64::MIN, -1, 0, 65_536, 70_000, i64::MAX] {
        let error = Port::try_from(number).unwrap_err();
        assert_eq!(error.to_string(), format!("port: {number} is not allowed: must be 1 to 65535"));
    }
}

#[test]
fn weights_are_0_to_65535() {
    for number in [0_i64, 1, 65_535] {
        assert_eq!(i64::from(Weight::try_from(number).unwrap().get()), number);
    }
    for number in [i64::MIN, -1, 65_536, 70_000, i64::MAX] {
        let error = Weight::try_from(number).unwrap_err();
        assert_eq!(error.to_string(), format!("weight: {number} is not allowed: must be 0 to 65535"));
    }
    assert!(Weight::try_from(0_u16).unwrap().is_drained());
}

#[test]
fn tags_have_1_to_255_bytes_and_no_white_space_at_the_ends() {
    accepts::<Tag>(&["a", "v 1", "é", "team:blue", &"t".repeat(255)]);
    refuses::<Tag>("tag", &["", " ", " a", "a ", "\u{2003}a", "a\nb", "\u{85}", "a\u{7f}", &"t".repeat(256)]);
    refuses::<Tag>("tag", &[&"é".repeat(128)]);
}

#[test]
fn a_set_holds_64_tags_and_each_once() {
    let mut tags = Tags::default();
    for number in (0..64).rev() {
        tags.insert(tag(&format!("t{number:02}"))).unwrap();
    }
    tags.insert(tag("t07")).unwrap();
    let error = tags.insert(tag("t64")).unwrap_err();
    assert_eq!(error.to_string(), "tags: t64 is not allowed: must be at most 64");
    assert_eq!(tags.len(), 64);
    assert!(tags.contains("t00") && !tags.contains("t64") && !tags.is_empty());
    assert!(tags.iter().is_sorted());
}

#[test]
fn metadata_keys_are_words_without_dots() {
    for key in ["a", "A-b_c", "0", "consul", "Consul-x", "x-consul-", &"k".repeat(128)] {
        Meta::default().insert(key, "").unwrap();
    }
    for key in ["", "a.b", "a b", "a/b", "é", "a\n", &"k".repeat(129)] {
        let error = Meta::default().insert(key, "v").unwrap_err();
        assert_eq!(error.problems()[0].field(), "meta key", "{key:?}");
    }
}

#[test]
fn metadata_keys_that_consul_keeps_for_itself_are_refused() {
    let error = Meta::default().insert("consul-x", "v").unwrap_err();
    let rule = "must not begin with 'consul-', which Consul keeps for itself";
    assert_eq!(error.to_string(), format!("meta key: consul-x is not allowed: {rule}"));
}

#[test]
fn metadata_values_are_measured_in_bytes() {
    let mut meta = Meta::default();
    for value in ["".to_string(), "v".repeat(512), "é".repeat(256), "\u{202e}".into()] {
        meta.insert("key", &value).unwrap();
        assert_eq!(meta.get("key"), Some(value.as_str()));
    }
    for value in ["v".repeat(513), "é".repeat(257), "a\0".into(), "a\r\nb".into(), "\u{9b}".into()] {
        assert_eq!(meta.insert("key", &value).unwrap_err().problems()[0].field(), "meta");
    }
    assert_eq!(meta.get("key"), Some("\u{202e}"));
}

#[test]
fn metadata_holds_64_pairs() {
    let mut meta = Meta::default();
    for number in 0..64 {
        meta.insert(&format!("k{number}"), "v").unwrap();
    }
    meta.insert("k7", "other").unwrap();
    assert_eq!(meta.insert("k64", "v").unwrap_err().to_string(), "meta: k64 is not allowed: must be at most 64 pairs");
    assert_eq!((meta.len(), meta.get("k7"), meta.is_empty()), (64, Some("other"), false));
    assert!(meta.iter().map(|(key, _)| key).is_sorted());
}

#[test]
fn versions_are_read_leniently_and_shown_in_full() {
    let read = [
        ("1", "1.0.0"),
        ("1.4", "1.4.0"),
        ("v1.4.0", "1.4.0"),
        ("V2", "2.0.0"),
        ("1.4-rc.1", "1.4.0-rc.1"),
        ("1+b.7", "1.0.0+b.7"),
        ("1.2.3-a+b", "1.2.3-a+b"),
    ];
    for (given, shown) in read {
        assert_eq!(given.parse::<Version>().unwrap().to_string(), shown);
    }
    let refused = ["", "v", "junk", "1.", "1..2", ".1", "1.2.3.4", "01", "1 ", "-1", "vv1", &"1".repeat(129)];
    refuses::<Version>("version", &refused);
    let just_fits = format!("1.0.0-{}", "a".repeat(122));
    assert_eq!(just_fits.len(), 128);
    accepts::<Version>(&[&just_fits]);
    refuses::<Version>("version", &[&format!("{just_fits}a")]);
    assert!("1.9".parse::<Version>().unwrap() < "1.10".parse().unwrap());
}

#[test]
fn a_key_shows_its_scope_where_it_has_one() {
    let id: InstanceId = "api-1".parse().unwrap();
    let scoped = InstanceKey::new("dc1/node".parse().unwrap(), id.clone());
    assert_eq!(scoped.to_string(), "dc1/node/api-1");
    assert_eq!(InstanceKey::local(id.clone()).to_string(), "api-1");
    assert!(InstanceKey::local(id.clone()) < scoped);
    assert_eq!((scoped.scope().as_str(), scoped.id()), ("dc1/node", &id));
}

#[test]
fn the_longest_name_and_host_still_make_a_valid_id() {
    let label = "l".repeat(63);
    let longest_host = format!("{label}.{label}.{label}.{}", "l".repeat(61));
    let instance = Instance::builder("s".repeat(128), longest_host, 65_535).build().unwrap();
    assert_eq!(instance.id().as_str().parse::<InstanceId>().unwrap(), *instance.id());
}

#[test]
fn an_error_shows_64_characters_of_a_value_and_none_that_controls() {
    let error = ConfigError::new("field", "x".repeat(65), "must be short");
    assert_eq!(error.to_string(), format!("field: {}… is not allowed: must be short", "x".repeat(64)));
    let error = ServiceName::try_from("a\u{1b}[31m\u{202e}").unwrap_err();
    assert_eq!(error.problems()[0].value(), "a\\u{1b}[31m\\u{202e}");
    let error = ServiceName::try_from("").unwrap_err();
    assert!(error.to_string().starts_with("service: \"\" is not allowed"), "{error}");
    assert!(error.problems()[0].rule().starts_with("must be 1 to 128"));
}

#[test]
fn text_on_its_way_to_a_log_keeps_its_letters_and_loses_its_controls() {
    assert_eq!(escape("it's \"fine\" über").to_string(), "it's \"fine\" über");
    assert_eq!(escape("a\r\nb\0\u{7f}\u{85}\u{2028}").to_string(), "a\\r\\nb\\0\\u{7f}\\u{85}\\u{2028}");
    assert_eq!(escape("\\n").to_string(), "\\\\n");
    assert_eq!(escape(&"x".repeat(256)).to_string().len(), 256);
    assert_eq!(escape(&"x".repeat(257)).to_string(), format!("{}…", "x".repeat(256)));
    assert_eq!(escape_to("ab\n", 3).to_string(), "ab…");
    assert_eq!(escape_to("", 0).to_string(), "");
}

#[test]
fn parsed_values_are_taken_where_text_is() {
    let name: ServiceName = "api".parse().unwrap();
    let instance = Instance::builder(&name, host("10.0.0.7"), Port::try_from(80).unwrap()).build().unwrap();
    let owned = "10.0.0.7".to_string();
    let from_text = Instance::builder(name.to_string(), &owned, 80_u16).build().unwrap();
    assert_eq!((from_text, owned.as_str()), (instance.clone(), "10.0.0.7"));
    assert_eq!(instance.service(), &name);
}

fn accepts<T>(texts: &[&str])
where
    T: std::str::FromStr<Err = ConfigError> + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    for text in texts {
        let parsed: T = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(parsed.to_string().parse::<T>().unwrap(), parsed);
    }
}

fn refuses<T: std::str::FromStr<Err = ConfigError> + std::fmt::Debug>(field: &str, texts: &[&str]) {
    for text in texts {
        let error = text.parse::<T>().expect_err(text);
        assert_eq!(error.problems().iter().map(Problem::field).collect::<Vec<_>>(), [field], "{text:?}");
        assert!(!error.to_string().contains(char::is_control), "{text:?}");
    }
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}
