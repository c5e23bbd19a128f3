//! What a service, a zone and an instance are called, and which names are none.
//!
//! The rules are stricter than Consul's, which takes any text: a name goes into URLs, logs, metrics and DNS.

use alloc::borrow::Cow;

use super::host::Host;
use super::text::{is_word, text_newtype};
use super::weight::Port;

text_newtype! {
    /// The name of a service: 1 to 128 ASCII letters, digits, `-`, `_` and `.`, the first a letter or digit.
    ServiceName, "service", service_name
}

text_newtype! {
    /// The name of a zone: 1 to 64 ASCII letters, digits, `.`, `_` and `-`.
    Zone, "zone", zone
}

text_newtype! {
    /// What an instance is called within its [`Scope`]: 1 to 512 ASCII letters, digits and `. _ : @ ~ -`.
    InstanceId, "id", instance_id
}

text_newtype! {
    /// Within what an [`InstanceId`] is unique: for Consul datacenter and node, since each agent has ids of its
    /// own; empty for a registry with one namespace. At most 512 bytes without control characters.
    Scope, "scope", scope
}

impl InstanceId {
    /// The id of an instance that was given none: `name-host-port`, unique as long as two instances of a
    /// service do not share an address. At most 388 bytes, so always valid.
    #[must_use]
    pub fn derived(service: &ServiceName, host: &Host, port: Port) -> Self {
        Self(format!("{service}-{host}-{port}").into())
    }
}

impl Scope {
    /// The scope of a registry with one namespace.
    #[must_use]
    pub fn local() -> Self {
        Self::default()
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self("".into())
    }
}

/// The identity of an instance in a registry, the same for as long as it is registered there.
///
/// Ordered by scope, then id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    scope: Scope,
    id: InstanceId,
}

impl InstanceKey {
    /// The instance called `id` within `scope`.
    #[must_use]
    pub const fn new(scope: Scope, id: InstanceId) -> Self {
        Self { scope, id }
    }

    /// The instance called `id` in a registry with one namespace.
    #[must_use]
    pub fn local(id: InstanceId) -> Self {
        Self::new(Scope::local(), id)
    }

    /// Within what the id is unique.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What it is called there.
    #[must_use]
    pub const fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl core::fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.scope.as_str() {
            "" => write!(f, "{}", self.id),
            scope => write!(f, "{scope}/{}", self.id),
        }
    }
}

fn service_name(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if starts_well && is_word(text, 128, b"-_.") {
        Ok(text.into())
    } else {
        Err("must be 1 to 128 letters, digits, '-', '_' and '.', the first a letter or digit")
    }
}

fn zone(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_word(text, 64, b"._-") { Ok(text.into()) } else { Err("must be 1 to 64 letters, digits, '.', '_' and '-'") }
}

fn instance_id(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_word(text, 512, b"._:@~-") {
        Ok(text.into())
    } else {
        Err("must be 1 to 512 letters, digits, '.', '_', ':', '@', '~' and '-'")
    }
}

fn scope(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if text.len() <= 512 && !text.contains(char::is_control) {
        Ok(text.into())
    } else {
        Err("must be at most 512 bytes without control characters")
    }
}
