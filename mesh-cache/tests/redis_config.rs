//! How a Redis is described: URLs, fields, and what is refused, with the value that is at fault and without secrets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_cache::redis::{RedisClient, RedisConfig, RedisLink, RedisMode, RedisUrl};
use mesh_cache::{Environment, Secret};
use proptest::prelude::*;

#[test]
fn urls_say_where_redis_is() {
    for (text, shown) in [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3"),
        ("redis://[::1]:7000", "redis://[::1]:7000"),
        ("redis://[::1]", "redis://[::1]:6379"),
        ("rediss://Redis.Example/1", "rediss://redis.example:6379/1"),
        ("redis://user:pa%3Ass@h:1", "redis://h:1"),
        ("redis://:p@ss@h:1", "redis://h:1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("redis-sentinel://a,b:7,[::1]/mymaster", "redis-sentinel://a:26379,b:7,[::1]:26379/mymaster"),
        ("rediss-sentinel://:pw@a/my.master-1/4", "rediss-sentinel://a:26379/my.master-1/4"),
        ("redis-cluster://a:7000,b:7001", "redis-cluster://a:7000,b:7001"),
        ("rediss-cluster://u:p@a", "rediss-cluster://a:6379"),
    ] {
        let url: RedisUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(url.to_string(), shown, "{text}");
        let again: RedisUrl = shown.parse().unwrap();
        assert_eq!((again.mode, again.tls, again.database), (url.mode, url.tls, url.database));
    }
    let url: RedisUrl = "redis://bob:p%40ss%2Fword@h".parse().unwrap();
    assert_eq!((url.user.as_deref(), url.password), (Some("bob"), Some(Secret::new("p@ss/word"))));
    let url: RedisUrl = "redis://:@h".parse().unwrap();
    assert_eq!((url.user, url.password), (None, None));
    assert!(matches!(RedisConfig::default().url.mode, RedisMode::Server(_)));
}

#[test]
fn what_is_no_url_is_refused_with_its_rule_and_without_its_password() {
    for text in [
        "",
        "localhost:6379",
        "http://hunter2@h",
        "redis:/h",
        "redis://",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:+1",
        "redis://0.0.0.0",
        "redis://a,b",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/65536",
        "redis://h?insecure=true",
        "rediss://:hunter2@h#insecure",
        "redis://:hunter2",
        "redis://bob:hunter2:x",
        "redis://bob:%FF@h",
        "redis://[::1",
        "redis://[::1]7000",
        "redis-sentinel://a",
        "redis-sentinel://a/",
        "redis-sentinel://a/two words",
        "redis-sentinel:///name",
        "redis-cluster://a/1",
        "redis-other://a",
        "redisss://a",
        "unix://relative",
        "unix:///path?x=1",
        "unix:///path#insecure",
    ] {
        let error = text.parse::<RedisUrl>().map(|url| url.to_string()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert!(problem.field() == "url" && problem.rule().starts_with("must "), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let many = format!("redis-cluster://{}", vec!["a"; 65].join(","));
    assert!(many.parse::<RedisUrl>().is_err());
}

#[test]
fn plain_text_leaves_this_machine_only_where_that_is_allowed() {
    for (url, refused) in [
        ("redis://127.0.0.1", false),
        ("redis://127.8.9.10", false),
        ("redis://localhost", false),
        ("redis://[::1]", false),
        ("redis://[::ffff:127.0.0.1]", false),
        ("unix:///run/redis.sock", false),
        ("rediss://10.0.0.1", false),
        ("rediss-cluster://10.0.0.1", false),
        ("redis://10.0.0.1", true),
        ("redis://localhost.example", true),
        ("redis://[::ffff:10.0.0.1]", true),
        ("redis-sentinel://127.0.0.1,10.0.0.1/m", true),
        ("redis-cluster://127.0.0.1,db", true),
    ] {
        let mut config = RedisConfig::at(url).unwrap();
        assert_eq!(config.validate().is_err(), refused, "{url}");
        config.allow_plain_text = true;
        config.validate().unwrap();
    }
}

#[test]
fn a_field_that_breaks_its_rule_is_named() {
    let refused = |change: fn(&mut RedisConfig)| {
        let mut config = RedisConfig::at("rediss://:pw@h").unwrap();
        change(&mut config);
        config.validate().map_err(|error| error.problems()[0].field())
    };
    assert_eq!(refused(|_| {}), Ok(()));
    assert_eq!(refused(|c| c.link.ping_period = Duration::ZERO), Err("link.ping_period"));
    assert_eq!(refused(|c| c.link.ping_deadline = Duration::from_secs(2)), Err("link.ping_deadline"));
    assert_eq!(refused(|c| c.link.connect_deadline = Duration::MAX), Err("link.connect_deadline"));
    assert_eq!(refused(|c| c.link.retry = Duration::ZERO), Err("link.retry"));
    assert_eq!(refused(|c| c.link.retry_max = Duration::from_millis(1)), Err("link.retry_max"));
    assert_eq!(refused(|c| c.link.stable_after = Duration::ZERO), Err("link.stable_after"));
    assert_eq!(refused(|c| c.link.timeout_counts_from = Duration::MAX), Err("link.timeout_counts_from"));
    assert_eq!(refused(|c| c.read_deadline = Duration::ZERO), Err("read_deadline"));
    assert_eq!(refused(|c| c.write_deadline = Duration::MAX), Err("write_deadline"));
    assert_eq!(refused(|c| c.sentinel.deadline = Duration::ZERO), Err("sentinel.deadline"));
    assert_eq!(refused(|c| c.cluster_refresh = Duration::ZERO), Err("cluster_refresh"));
    assert_eq!(refused(|c| c.in_flight_max = std::num::NonZeroUsize::MAX), Err("in_flight_max"));
    assert_eq!(refused(|c| c.events_max = std::num::NonZeroUsize::MAX), Err("events_max"));
    assert_eq!(refused(|c| c.password = Some(Secret::new("other"))), Err("password"));
    assert_eq!(refused(|c| c.sentinel.user = Some("bob".into())), Err("sentinel.password"));
    assert_eq!(refused(|c| c.tracking_prefix = Some(String::new())), Err("tracking_prefix"));
    assert_eq!(refused(|c| c.tracking_prefix = Some("two words".into())), Err("tracking_prefix"));
    assert_eq!(refused(|c| c.tls.cert_file = Some("a".into())), Err("tls.key_file"));
    assert_eq!(refused(|c| c.tls.key_file = Some("a".into())), Err("tls.cert_file"));
    let plain = |c: &mut RedisConfig| {
        c.url = "redis://localhost".parse().unwrap();
        c.tls.ca_file = Some("a".into());
    };
    assert_eq!(refused(plain), Err("tls"));
    let user = |c: &mut RedisConfig| {
        c.url = "redis://bob@localhost".parse().unwrap();
    };
    assert_eq!(refused(user), Err("password"));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let refused = |change: &dyn Fn(&mut RedisConfig)| {
        let mut config = RedisConfig::at("rediss://127.0.0.1").unwrap();
        change(&mut config);
        RedisLink::start(config, &Environment::system(), &[]).map(drop).unwrap_err().problems()[0].field()
    };
    assert_eq!(refused(&|c| c.tls.ca_file = Some(directory.path().join("none.pem"))), "tls.ca_file");
    assert_eq!(refused(&|c| c.tls.ca_file = Some(empty.clone())), "tls.ca_file");
}

#[tokio::test]
async fn a_link_is_no_cluster() {
    let config = || RedisConfig::at("redis-cluster://127.0.0.1").unwrap();
    assert!(RedisLink::start(config(), &Environment::system(), &[]).is_err());
    assert!(matches!(RedisClient::start(config(), &Environment::system(), &[]), Ok(RedisClient::Cluster(_))));
    assert!(matches!(
        RedisClient::start(RedisConfig::default(), &Environment::system(), &[]),
        Ok(RedisClient::Link(_))
    ));
}

#[test]
fn a_configuration_is_read_with_its_units_and_without_unknown_fields() {
    let text = r#"{
        "url": "rediss://bob:hunter2@redis.example/1", "tracking_prefix": "mesh:v1:", "in_flight_max": 8,
        "read_deadline": "25ms", "link": {"ping_period": "2s", "timeouts_max": 5}, "tls": {"ca_file": "/ca.pem"}
    }"#;
    let config: RedisConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    assert_eq!((config.read_deadline, config.link.ping_period), (Duration::from_millis(25), Duration::from_secs(2)));
    assert_eq!((config.in_flight_max.get(), config.link.timeouts_max.get(), config.user()), (8, 5, Some("bob")));
    assert!(!format!("{config:?}").contains("hunter2"));
    for wrong in
        [r#"{"insecure": true}"#, r#"{"read_deadline": 5}"#, r#"{"in_flight_max": 0}"#, r#"{"tls": {"verify": false}}"#]
    {
        assert!(serde_json::from_str::<RedisConfig>(wrong).is_err(), "{wrong}");
    }
    let error = serde_json::from_str::<RedisConfig>(r#"{"url": "redis://:hunter2@h/x"}"#).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_parser_and_what_is_shown_means_the_same(
        text in r"(redis|rediss|unix|redis-sentinel|redis-cluster)?(://)?[a-z:@/\[\],.%?#0-9=-]{0,30}",
    ) {
        if let Ok(url) = text.parse::<RedisUrl>() {
            let again: RedisUrl = url.to_string().parse().unwrap();
            prop_assert_eq!((again.mode, again.tls, again.database), (url.mode, url.tls, url.database));
        }
    }
}
