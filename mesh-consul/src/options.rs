//! How a service is asked for: how fresh, where, and which of its instances.

use std::time::Duration;

use mesh_core::service::ConfigError;

use crate::request::{Request, go_duration};

/// How a service is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueryOptions {
    /// How fresh the answer must be.
    pub consistency: Consistency,
    /// Datacenters in order of preference: the first that has an instance that is not critical counts. Empty for
    /// the agent's own.
    pub datacenters: Vec<String>,
    /// Tags that an instance must have, all of them.
    pub tags: Vec<String>,
    /// An expression of Consul's filter language, such as `Service.Meta.version == "2"`.
    pub filter: Option<String>,
    /// Sorted by the distance from this node; `_agent` for the agent's own.
    pub near: Option<String>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise 1.11 and later).
    pub partition: Option<String>,
    /// The peer that the service is imported from (1.13 and later).
    pub peer: Option<String>,
    /// The service's name is that of a prepared query, which is executed every so often: it cannot block.
    pub prepared_query: bool,
    /// Has the server leave out what does not pass. Saves bandwidth where much is critical; then "all critical" looks
    /// like "none", and with `near` 1.8.7 gets the order wrong, which is refused.
    pub passing_only: bool,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Consistency {
    /// Any server answers, also without a leader: survives an election without an error. What is older than the
    /// bound on the last contact is asked of the leader. The default here, unlike in Consul.
    #[default]
    Stale,
    /// The leader answers: Consul's default.
    Leader,
    /// The leader answers after it asked a quorum whether it still is.
    Consistent,
    /// The agent's cache answers, also while no server can be reached. Many processes of one machine share one query of
    /// the agent's; after an outage 1.8.7 is slow to catch up.
    Cached,
}

impl QueryOptions {
    /// Checks what depends on one another.
    ///
    /// # Errors
    /// The field, its value and the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.near.is_some() && self.passing_only {
            let rule = "must be false with near: Consul 1.8 returns a wrong order (filter on this side)";
            return Err(ConfigError::new("passing_only", true, rule));
        }
        if self.prepared_query && self.filter.is_some() {
            let rule = "must be absent with prepared_query, which has its own";
            return Err(ConfigError::new("filter", self.filter.as_deref().unwrap_or_default(), rule));
        }
        for (field, text) in [
            ("namespace", &self.namespace),
            ("partition", &self.partition),
            ("peer", &self.peer),
            ("near", &self.near),
            ("filter", &self.filter),
        ] {
            if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                return Err(ConfigError::new(field, "", "must not be empty; leave it out instead"));
            }
        }
        if self.datacenters.iter().chain(&self.tags).any(|text| text.trim().is_empty()) {
            return Err(ConfigError::new("datacenters, tags", "", "must hold no empty text"));
        }
        Ok(())
    }

    /// The request for the instances of `service` in `datacenter`, or in the agent's own.
    pub(crate) fn request(&self, service: &str, datacenter: Option<&str>, consistency: Consistency) -> Request {
        let mut request = if self.prepared_query {
            Request::get("execute prepared query", &["query", service, "execute"])
        } else {
            Request::get("read health", &["health", "service", service])
        };
        request = match consistency {
            Consistency::Stale => request.flag("stale"),
            Consistency::Leader => request,
            Consistency::Consistent => request.flag("consistent"),
            Consistency::Cached => request.flag("cached"),
        };
        let tags = self.tags.iter().map(|tag| ("tag", tag));
        let scope = [
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("peer", &self.peer),
            ("near", &self.near),
            ("filter", &self.filter),
        ];
        let scope = scope.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
        for (name, value) in tags.chain(scope) {
            request = request.param(name, value);
        }
        if let Some(datacenter) = datacenter {
            request = request.param("dc", datacenter);
        }
        if self.passing_only { request.param("passing", "true") } else { request }
    }
}

/// Has `request` wait until the index exceeds `index`, for at most `wait`.
pub(crate) fn blocking(request: Request, index: u64, wait: Duration) -> Request {
    request.param("index", &index.to_string()).param("wait", &go_duration(wait))
}
