//! What the environment may say, and what it may not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::path::PathBuf;

use mesh_consul::mesh_core::service::ConfigError;
use mesh_consul::{Address, ClientError, Consul, ConsulConfig, QueryOptions};

#[test]
fn nothing_said_is_the_agent_of_this_machine() {
    assert_eq!(vars(&[]).expect("valid"), ConsulConfig::default());
    assert_eq!(ConsulConfig::default().address.to_string(), "http://127.0.0.1:8500");
    assert_eq!(vars(&[("CONSUL_HTTP_ADDR", " ")]).expect("valid"), ConsulConfig::default());
}

#[test]
fn every_variable_of_consuls_own_tools_is_read() {
    let config = vars(&[
        ("CONSUL_HTTP_ADDR", "consul.example:8501"),
        ("CONSUL_HTTP_TOKEN", "s3cr3t"),
        ("CONSUL_HTTP_AUTH", "user:pass:word"),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_SSL_VERIFY", "0"),
        ("CONSUL_CACERT", "/ca.pem"),
        ("CONSUL_CAPATH", "/cas"),
        ("CONSUL_CLIENT_CERT", "/c.pem"),
        ("CONSUL_CLIENT_KEY", "/k.pem"),
        ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
        ("CONSUL_NAMESPACE", "team"),
        ("CONSUL_PARTITION", "part"),
    ])
    .expect("valid");
    assert_eq!(config.address.to_string(), "https://consul.example:8501");
    let auth = config.basic_auth.clone().expect("given");
    assert_eq!(auth.user, "user");
    assert!(config.token.is_some() && !format!("{config:?}").contains("s3cr3t"));
    assert!(!format!("{config:?}").contains("pass:word"));
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!((config.tls.ca_file, config.tls.ca_dir), (path("/ca.pem"), path("/cas")));
    assert_eq!((config.tls.cert_file, config.tls.key_file), (path("/c.pem"), path("/k.pem")));
    assert_eq!((config.tls.server_name.as_deref(), config.tls.verify), (Some("server.dc1.consul"), false));
    assert_eq!((config.namespace.as_deref(), config.partition.as_deref()), (Some("team"), Some("part")));
    let file = vars(&[("CONSUL_HTTP_TOKEN_FILE", "/t"), ("CONSUL_HTTP_TOKEN", "s3cr3t")]).expect("valid");
    assert_eq!((file.token_file, file.token), (path("/t"), None));
}

#[test]
fn an_address_is_any_of_the_forms_that_consul_takes() {
    for (text, shown) in [
        ("10.0.0.1:8500", "http://10.0.0.1:8500"),
        ("http://10.0.0.1:8500/", "http://10.0.0.1:8500"),
        ("https://[::1]:8501", "https://[::1]:8501"),
        ("https://proxy.example/consul/", "https://proxy.example/consul"),
        ("unix:///run/consul.sock", "unix:///run/consul.sock"),
    ] {
        assert_eq!(text.parse::<Address>().expect("valid").to_string(), shown);
    }
    for text in ["", "http://", "ftp://a", "unix://relative", "a b:1", "http://a?b=c", "http://a:1#x", "http://a:99999"]
    {
        let refused = text.parse::<Address>().expect_err(text);
        assert_eq!(refused.problems()[0].field(), "address", "{text}");
    }
    let refused = "http://user:s3cr3t@host:1".parse::<Address>().expect_err("a password");
    assert!(!refused.to_string().contains("s3cr3t"), "{refused}");
}

#[test]
fn what_is_wrong_is_named() {
    for (said, field) in [
        (&[("CONSUL_HTTP_SSL", "yes")] as &[(&str, &str)], "CONSUL_HTTP_SSL"),
        (&[("CONSUL_HTTP_SSL_VERIFY", "2")], "CONSUL_HTTP_SSL_VERIFY"),
        (&[("CONSUL_CLIENT_CERT", "/c.pem")], "tls.key_file"),
        (&[("CONSUL_CLIENT_KEY", "/k.pem")], "tls.cert_file"),
        (&[("CONSUL_NAMESPACE", "a/b")], "namespace"),
    ] {
        assert_eq!(vars(said).expect_err("refused").problems()[0].field(), field);
    }
}

#[test]
fn numbers_and_options_keep_to_their_rules() {
    let mut config = ConsulConfig::default();
    config.watch.wait = std::time::Duration::from_millis(10);
    assert_eq!(config.validate().expect_err("too short").problems()[0].field(), "watch.wait");
    let mut config = ConsulConfig::default();
    config.watch.retry_max = std::time::Duration::from_millis(1);
    assert_eq!(config.validate().expect_err("below retry").problems()[0].field(), "watch.retry_max");
    let mut options = QueryOptions::default();
    (options.near, options.passing_only) = (Some("_agent".to_owned()), true);
    assert_eq!(options.validate().expect_err("a wrong order").problems()[0].field(), "passing_only");
    let mut options = QueryOptions::default();
    (options.prepared_query, options.filter) = (true, Some("x".to_owned()));
    assert_eq!(options.validate().expect_err("two filters").problems()[0].field(), "filter");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mut config = ConsulConfig::at("https://127.0.0.1:1").expect("valid");
    config.tls.ca_file = Some("/nowhere/ca.pem".into());
    let error = Consul::new(config).expect_err("no such file");
    assert!(error.to_string().contains("tls.ca_file") && error.to_string().contains("/nowhere/ca.pem"), "{error}");
    let mut config = ConsulConfig::default();
    config.token_file = Some("/nowhere/token".into());
    assert!(matches!(Consul::new(config), Err(ClientError::TokenFile { .. })));
}

fn vars(said: &[(&str, &str)]) -> Result<ConsulConfig, ConfigError> {
    let said: Vec<(String, String)> = said.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    ConsulConfig::from_vars(|name| said.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
}
