//! What the headers of an answer say.
//!
//! Reads; decides nothing. An odd header counts as one that is not there.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::index::Index;

/// A successful answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the headers say of it.
    pub meta: Meta,
    /// The body as it came, decompressed.
    pub body: Bytes,
}

/// What the headers say of a successful answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// `X-Consul-Index`: what a blocking query may wait on.
    pub index: Option<Index>,
    /// `X-Consul-Knownleader`: whether the server that answered knows a leader; true where it is not said, as in
    /// answers that no server is asked for.
    pub known_leader: bool,
    /// `X-Consul-Lastcontact`: how long ago that server heard from the leader.
    pub last_contact: Duration,
    /// `X-Consul-ContentHash`: what an agent's own entries are watched by, in the place of an index.
    pub content_hash: Option<String>,
    /// `Age`: how old an answer from the agent's cache is; none where it did not come from there.
    pub age: Option<Duration>,
    /// `X-Consul-Results-Filtered-By-ACLs`: whether the token may not see all of it (Consul 1.11 and later).
    pub filtered_by_acls: bool,
    /// `X-Consul-Translate-Addresses`: whether the agent puts WAN addresses in the place of foreign ones itself.
    pub translates_addresses: bool,
}

impl Meta {
    /// How long ago the answer was true for certain. A server that is out of touch with its leader tells what it heard
    /// last; an agent whose cache answers counts from when it lost its servers.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        self.last_contact.max(self.age.unwrap_or_default())
    }

    /// What `headers` say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
        let hit = text("x-cache").is_some_and(|cache| cache.eq_ignore_ascii_case("hit"));
        Self {
            index: text("x-consul-index").and_then(Index::parse),
            known_leader: text("x-consul-knownleader").is_none_or(|known| known.eq_ignore_ascii_case("true")),
            last_contact: Duration::from_millis(number("x-consul-lastcontact").unwrap_or(0)),
            content_hash: text("x-consul-contenthash").map(str::to_owned),
            age: hit.then(|| Duration::from_secs(number("age").unwrap_or(0))),
            filtered_by_acls: text("x-consul-results-filtered-by-acls")
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
            translates_addresses: text("x-consul-translate-addresses")
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
        }
    }
}

/// How long `Retry-After` asks to wait; only the form in seconds, and at most a day.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}
