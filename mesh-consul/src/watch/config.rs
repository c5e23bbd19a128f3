//! The numbers of a watch.

use std::time::Duration;

use mesh_core::service::ConfigError;

/// How a service is followed. Timings were measured on Consul 1.8.7.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WatchConfig {
    /// How long a blocking query blocks; 55 s, 1 s to 10 min. Consul adds up to a sixteenth. A dropped query holds its
    /// connection at the agent for as long, and a server that froze is noticed no sooner.
    #[serde(with = "mesh_core::text::duration")]
    pub wait: Duration,
    /// How long a read that does not block is waited for, and a blocking one beyond its wait; 10 s. An agent takes
    /// 7.4 s to find out that there is no leader.
    #[serde(with = "mesh_core::text::duration")]
    pub answer_within: Duration,
    /// How long ago a server that answers may have heard from the leader before the leader is asked instead; 10 s.
    #[serde(with = "mesh_core::text::duration")]
    pub last_contact_max: Duration,
    /// The time between two queries while a service changes; 200 ms, after a burst of two. It gathers 300 registrations
    /// into 5 lists, where every change of its own would be 83.
    #[serde(with = "mesh_core::text::duration")]
    pub interval: Duration,
    /// The time between two queries that return at once without a change, once eight in a row did; 1 s. An absent
    /// service's query returns whenever any other service's last instance leaves.
    #[serde(with = "mesh_core::text::duration")]
    pub idle_interval: Duration,
    /// The longest wait after the first failure, doubled with each; 100 ms. The wait is drawn evenly below.
    #[serde(with = "mesh_core::text::duration")]
    pub retry: Duration,
    /// The longest wait after many failures; 10 s.
    #[serde(with = "mesh_core::text::duration")]
    pub retry_max: Duration,
    /// The shortest wait after the token was refused, and half the longest; 10 s.
    #[serde(with = "mesh_core::text::duration")]
    pub denied_retry: Duration,
    /// The wait after a request that was refused as such, or an answer that could not be read; 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub refused_retry: Duration,
    /// The time between two reads of what cannot be watched: prepared queries, and services beyond `watches_max`; 10 s,
    /// up to a tenth longer.
    #[serde(with = "mesh_core::text::duration")]
    pub poll_interval: Duration,
}

impl WatchConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |field, value: Duration, shortest: Duration, rule| {
            if (shortest..=LONGEST).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::new(field, format_args!("{value:?}"), rule))
            }
        };
        range("watch.wait", self.wait, Duration::from_secs(1), "must be 1s to 10min, Consul's own bound")?;
        for (field, value) in [
            ("watch.answer_within", self.answer_within),
            ("watch.last_contact_max", self.last_contact_max),
            ("watch.interval", self.interval),
            ("watch.idle_interval", self.idle_interval),
            ("watch.retry", self.retry),
            ("watch.denied_retry", self.denied_retry),
            ("watch.refused_retry", self.refused_retry),
            ("watch.poll_interval", self.poll_interval),
        ] {
            range(field, value, Duration::from_millis(1), "must be 1ms to 10min")?;
        }
        range("watch.retry_max", self.retry_max, self.retry, "must be at least watch.retry, at most 10min")
    }

    /// How long the answer to a query that blocks is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.wait.saturating_add(self.wait / WAIT_JITTER).saturating_add(self.answer_within)
    }
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(55),
            answer_within: Duration::from_secs(10),
            last_contact_max: Duration::from_secs(10),
            interval: Duration::from_millis(200),
            idle_interval: Duration::from_secs(1),
            retry: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            denied_retry: Duration::from_secs(10),
            refused_retry: Duration::from_secs(30),
            poll_interval: Duration::from_secs(10),
        }
    }
}

/// Consul's `max_query_time`.
const LONGEST: Duration = Duration::from_mins(10);
/// A blocking query lasts up to a sixteenth longer than it was asked to (`blockingQuery` in Consul's `rpc.go`).
const WAIT_JITTER: u32 = 16;
