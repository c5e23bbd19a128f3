//! What the fuzz target and its stable twin do with any bytes: a reply or push of a server's.

use ::redis::{PushInfo, Value};
use mesh_core::service::Host;

use super::cluster::Topology;
use super::error::RedisError;
use super::push::{Keys, Push};
use super::sentinel::address_of;
use super::url::Node;

/// What came of a server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replayed {
    /// It is none.
    Nothing,
    /// A push that names so many keys.
    Keys(usize),
    /// A push that means all keys.
    All,
    /// A push of keys that could not be understood, and means all.
    Odd,
    /// A push about something else.
    Foreign,
    /// An error.
    Error(RedisError),
    /// A cluster of so many primaries.
    Cluster(usize),
    /// Where a master is.
    Master,
    /// A reply of another kind.
    Reply,
}

/// Reads `bytes` as a message of a server's, and that as everything that a server is asked for.
///
/// # Panics
/// Where a promise does not hold: an error that shows more than its code, a push that names no key, a slot without its
/// node.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
#[must_use]
pub fn replay(bytes: &[u8]) -> Replayed {
    let Ok(value) = ::redis::parse_redis_value(bytes) else { return Replayed::Nothing };
    if let Value::Push { kind, data } = value {
        return match Push::decode(PushInfo { kind, data }) {
            Push::Invalidated(Keys::Some(keys)) if keys.is_empty() => panic!("a push that names no key"),
            Push::Invalidated(Keys::Some(keys)) => Replayed::Keys(keys.len()),
            Push::Invalidated(Keys::All) => Replayed::All,
            Push::Odd => Replayed::Odd,
            Push::Foreign => Replayed::Foreign,
        };
    }
    let asked = Node { host: Host::loopback(), port: 7000 };
    if let Some(topology) = Topology::of(&value, &asked) {
        let served = (0..=u16::MAX).filter_map(|slot| topology.owner(slot)).max();
        if served.is_none_or(|owner| owner + 1 > topology.nodes().len()) {
            panic!("a slot without its node");
        }
        return Replayed::Cluster(topology.nodes().len());
    }
    if address_of(&value).is_some() {
        return Replayed::Master;
    }
    match RedisError::check(value) {
        Err(error) => {
            let shown = format!("{error} {}", error.name());
            if shown.len() > 128 || shown.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
                panic!("an error shows more than its code: {shown:?}");
            }
            Replayed::Error(error)
        }
        Ok(_) => Replayed::Reply,
    }
}
