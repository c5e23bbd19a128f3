//! The JSON of a registration.
//!
//! Nothing is sent that was not asked for: an agent refuses a whole registration for one field that it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::service::{CheckKind, CheckRunner, ConfigError, HealthCheck, Instance, ServiceConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::TtlStatus;
use crate::request::go_duration;

/// What is sent to `/v1/agent/service/register`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Registration<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    address: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<&'a str, &'a str>,
    weights: WireWeights,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<WireCheck>,
}

/// The weights of an instance in Consul's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WireWeights {
    pub(crate) passing: u32,
    #[serde(default)]
    pub(crate) warning: u32,
}

/// Not to be shown: the values of headers are secrets.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireCheck {
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    header: BTreeMap<String, Vec<String>>,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    grpc: Option<String>,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "Option::is_none")]
    grpc_use_tls: Option<bool>,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_before_passing: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_before_critical: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl<'a> Registration<'a> {
    /// What registers `config` on behalf of `owner`.
    ///
    /// # Errors
    /// What Consul could not keep.
    pub(crate) fn of(config: &'a ServiceConfig, owner: Option<&'a str>) -> Result<Self, ConfigError> {
        let instance = config.instance();
        if matches!(instance.id().as_str(), "." | "..") {
            return Err(ConfigError::new("id", instance.id(), "must not be a path's dots for Consul"));
        }
        if config.check().is_some_and(|check| check.run_by() == CheckRunner::Mesh) {
            let rule = "must be registry with Consul: whoever calls the service would not hear of the check";
            return Err(ConfigError::new("check.run_by", "mesh", rule));
        }
        if let Some(field) = config.check().and_then(|check| check.needs_mesh()) {
            let rule = "must be left out with Consul: its agent runs the check, and has no such thing";
            return Err(ConfigError::new("check", field, rule));
        }
        let mut meta: BTreeMap<&str, &str> = instance.meta().iter().collect();
        if let Some(owner) = owner {
            if meta.len() >= mesh_core::service::Meta::PAIRS_MAX && !meta.contains_key(META_OWNER) {
                return Err(ConfigError::new("meta", META_OWNER, "must leave room for the owner: at most 63 pairs"));
            }
            meta.insert(META_OWNER, owner);
        }
        Ok(Self {
            id: instance.id().as_str(),
            name: instance.service().as_str(),
            tags: instance.tags().iter().map(|tag| tag.as_str()).collect(),
            address: instance.host().as_str(),
            port: instance.port(),
            meta,
            weights: WireWeights::of(instance),
            check: config.check().map(|check| WireCheck::whole(check, instance)),
        })
    }

    /// The same, whose TTL check begins with what the service says of itself: one that is not ready is not seen to pass
    /// until its first heartbeat.
    pub(crate) fn saying(mut self, status: TtlStatus) -> Self {
        // A drained one begins as critical whatever it says.
        if let Some(check) = self.check.as_mut().filter(|check| check.ttl.is_some() && check.status == Some(PASSING)) {
            check.status = Some(match status {
                TtlStatus::Passing => PASSING,
                TtlStatus::Warning => "warning",
                TtlStatus::Critical => CRITICAL,
            });
        }
        self
    }

    /// The body.
    ///
    /// # Errors
    /// None that is known: every key is text.
    pub(crate) fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// What the check's notes say, by which an inspection tells whether it is this one.
    pub(crate) fn check_notes(&self) -> Option<&str> {
        self.check.as_ref().and_then(|check| check.notes.as_deref())
    }

    /// Whether `found` is what this would register.
    pub(crate) fn matches(&self, found: &AgentService) -> bool {
        let mut tags = found.tags.clone().unwrap_or_default();
        tags.sort_unstable();
        let meta = found.meta.clone().unwrap_or_default();
        found.service == self.name
            && found.address.eq_ignore_ascii_case(self.address)
            && found.port == i64::from(self.port)
            && tags.iter().map(String::as_str).eq(self.tags.iter().copied())
            && meta
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .eq(self.meta.iter().map(|(k, v)| (*k, *v)))
            && found.weights == Some(self.weights)
    }
}

impl WireWeights {
    /// Consul takes no passing weight of 0: such an instance is put into maintenance instead.
    fn of(instance: &Instance) -> Self {
        let weights = instance.weights();
        Self { passing: u32::from(weights.passing.get()).max(1), warning: u32::from(weights.warning.get()) }
    }
}

impl WireCheck {
    fn whole(check: &HealthCheck, instance: &Instance) -> Self {
        let mut wire = Self::definition(check, instance);
        // Consul shows no definition of a check, so what was asked for is known again by this. Everybody may read it, so
        // it tells nothing of secrets, by which guesses could be tried; another secret alone is not noticed.
        let shown = Self { header: without_secrets(&wire.header), ..Self::definition(check, instance) };
        wire.notes = serde_json::to_vec(&shown).ok().map(|json| fingerprint(&json));
        // An instance registers when it is ready; one that must first prove it would be missed for up to an interval.
        // A drained one must not be seen before it is put into maintenance.
        wire.status = Some(if instance.weights().passing.is_drained() { CRITICAL } else { PASSING });
        wire
    }

    fn definition(check: &HealthCheck, instance: &Instance) -> Self {
        let (host, port) = check.address(instance);
        let authority = host.authority(port);
        let after = check.deregister_after().map(go_duration);
        let periodic = |wire: Self| Self {
            interval: Some(go_duration(check.interval())),
            // Always said: Consul's own default is 10 s, whatever the interval.
            timeout: Some(go_duration(check.timeout())),
            success_before_passing: Some(check.rise().get()).filter(|count| *count > 1),
            failures_before_critical: Some(check.fall().get()).filter(|count| *count > 1),
            ..wire
        };
        let wire = Self { deregister_critical_service_after: after, ..Self::default() };
        match check.kind() {
            CheckKind::Http(http) => {
                let host = http.host_header().map(|host| ("Host".to_owned(), vec![host.to_string()]));
                let headers = http.headers();
                let headers = headers.map(|(name, value)| (name.to_string(), vec![value.reveal().to_owned()]));
                let scheme = if http.tls() { "https" } else { "http" };
                periodic(Self {
                    http: Some(format!("{scheme}://{authority}{}", http.path())),
                    method: Some(http.method().as_str()),
                    header: host.into_iter().chain(headers).collect(),
                    ..wire
                })
            }
            CheckKind::Tcp => periodic(Self { tcp: Some(authority), ..wire }),
            CheckKind::Grpc(grpc) => {
                let service = grpc.service().map(|service| format!("/{service}")).unwrap_or_default();
                let tls = grpc.tls().then_some(true);
                periodic(Self { grpc: Some(authority + &service), grpc_use_tls: tls, ..wire })
            }
            CheckKind::Ttl => Self { ttl: Some(go_duration(check.interval())), ..wire },
            CheckKind::Alias(other) => Self { alias_service: Some(other.to_string()), ..wire },
            // Refused before: no agent runs it.
            CheckKind::Own => wire,
        }
    }
}

/// What an agent holds of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentService {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) service: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    address: String,
    #[serde(default)]
    weights: Option<WireWeights>,
}

/// What an agent holds of a check.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentCheck {
    #[serde(rename = "CheckID")]
    pub(crate) check_id: String,
    #[serde(default)]
    pub(crate) notes: String,
}

/// `headers` with what they say hidden, but for the host.
fn without_secrets(headers: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let hidden = |values: &Vec<String>| values.iter().map(|_| String::new()).collect();
    let shown = |(name, values): (&String, &Vec<String>)| {
        (name.clone(), if name == "Host" { values.clone() } else { hidden(values) })
    };
    headers.iter().map(shown).collect()
}

/// How long a check that the service feeds itself lives without food.
pub(crate) fn ttl(check: &HealthCheck) -> Option<Duration> {
    matches!(check.kind(), CheckKind::Ttl).then(|| check.interval())
}

/// What tells the definition `json` of a check from others: the same in every process and version, and short.
fn fingerprint(json: &[u8]) -> String {
    Sha256::digest(json).iter().take(8).fold("mesh check ".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The key of an instance's metadata that says whose it is.
pub(crate) const META_OWNER: &str = "mesh_owner";

const PASSING: &str = "passing";
const CRITICAL: &str = "critical";

#[cfg(test)]
mod tests {
    use super::*;

    fn json(check: mesh_core::service::HealthCheckBuilder) -> (String, String) {
        let config = ServiceConfig::builder("web", "127.0.0.1", 80).check(check).build().unwrap();
        let wire = Registration::of(&config, None).unwrap();
        (String::from_utf8(wire.json().unwrap()).unwrap(), wire.check_notes().unwrap().to_owned())
    }

    #[test]
    fn the_agent_is_told_the_headers_and_the_notes_tell_nobody_what_they_say() {
        let check = || HealthCheck::http("/").host_header("api.example");
        let (sent, notes) = json(check().header("Authorization", "hunter2"));
        assert!(sent.contains(r#""Header":{"Host":["api.example"],"authorization":["hunter2"]}"#), "{sent}");
        assert_eq!(notes, json(check().header("authorization", "hunter3")).1);
        for other in
            [check(), check().header("x-other", "hunter2"), HealthCheck::http("/").header("authorization", "x")]
        {
            assert_ne!(notes, json(other).1);
        }
    }
}
