//! Reads the variables of Consul's own tools.

use mesh_core::service::ConfigError;

use super::{BasicAuth, ConsulConfig};
use crate::secret::Secret;

pub(super) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<ConsulConfig, ConfigError> {
    let get = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let path = |name: &str| get(name).map(Into::into);
    let mut config = ConsulConfig::default();
    if let Some(address) = get("CONSUL_HTTP_ADDR") {
        config.address = address.parse()?;
    }
    if switch("CONSUL_HTTP_SSL", get("CONSUL_HTTP_SSL"))?.unwrap_or(false) {
        config.address = config.address.with_tls();
    }
    config.token_file = path("CONSUL_HTTP_TOKEN_FILE");
    // As in Consul's tools: the file is asked first.
    config.token = get("CONSUL_HTTP_TOKEN").filter(|_| config.token_file.is_none()).map(Secret::new);
    config.basic_auth = get("CONSUL_HTTP_AUTH").map(|auth| basic_auth(&auth));
    config.tls.ca_file = path("CONSUL_CACERT");
    config.tls.ca_dir = path("CONSUL_CAPATH");
    config.tls.cert_file = path("CONSUL_CLIENT_CERT");
    config.tls.key_file = path("CONSUL_CLIENT_KEY");
    config.tls.server_name = get("CONSUL_TLS_SERVER_NAME");
    config.tls.verify = switch("CONSUL_HTTP_SSL_VERIFY", get("CONSUL_HTTP_SSL_VERIFY"))?.unwrap_or(true);
    config.namespace = get("CONSUL_NAMESPACE");
    config.partition = get("CONSUL_PARTITION");
    config.validate()?;
    Ok(config)
}

/// `user:password`; a user alone has an empty password.
fn basic_auth(text: &str) -> BasicAuth {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    BasicAuth { user: user.to_owned(), password: Secret::new(password) }
}

/// What Go's `strconv.ParseBool` takes.
fn switch(name: &'static str, value: Option<String>) -> Result<Option<bool>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
        _ => Err(ConfigError::new(name, value, "must be true, false, 1, 0, t or f")),
    }
}
