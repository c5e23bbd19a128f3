//! Where an instance listens, and which addresses nothing of ours is ever sent to.
//!
//! Resolves no names: a DNS name is looked up by whoever dials, who then asks [`is_forbidden_target`] again.

use alloc::borrow::Cow;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::{is_word, text_newtype};

text_newtype! {
    /// The host of an address: an IPv4 or IPv6 literal, or a DNS name.
    ///
    /// Kept in canonical form, so that equal hosts are equal text: IPv6 without brackets and as short as RFC
    /// 5952 has it, names in lower case. Refused are the unspecified addresses (as Consul does: nobody can
    /// connect to them), zone ids, and names that end in a number, which resolvers take for IPv4 in disguise
    /// (`127.1`, `0x7f000001`; the rule is the WHATWG URL standard's).
    Host, "host", host
}

impl Host {
    /// This machine, `127.0.0.1`.
    #[must_use]
    pub fn loopback() -> Self {
        Self(Ipv4Addr::LOCALHOST.to_string().into())
    }

    /// The IP address, when it is a literal.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// As URLs have it, with brackets around IPv6 (RFC 3986, section 3.2.2).
    #[must_use]
    pub fn bracketed(&self) -> Cow<'_, str> {
        if self.0.contains(':') { Cow::Owned(format!("[{self}]")) } else { Cow::Borrowed(self.as_str()) }
    }

    /// `host:port` as URLs have it.
    #[must_use]
    pub fn authority(&self, port: u16) -> String {
        format!("{}:{port}", self.bracketed())
    }

    /// Whether nothing may be aimed at it: see [`is_forbidden_target`]. A DNS name is judged by its text only.
    #[must_use]
    pub fn is_forbidden_target(&self) -> bool {
        match self.ip() {
            Some(ip) => is_forbidden_target(ip),
            None => METADATA_NAMES.contains(&self.as_str()),
        }
    }
}

/// Whether a health check may never be aimed at `ip`, whoever allows it: link-local addresses and those where
/// clouds hand out credentials.
///
/// Whoever resolves a DNS name before dialling asks this about each address that it finds.
#[must_use]
pub fn is_forbidden_target(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == METADATA_ALIBABA,
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_forbidden_target(IpAddr::V4(v4)),
            None => v6.is_unicast_link_local() || v6 == METADATA_AWS_V6,
        },
    }
}

/// The IPv4 address that `v6` stands for: mapped (`::ffff:0:0/96`) or through NAT64 (RFC 6052, `64:ff9b::/96`).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = v6.octets();
    let (prefix, [a, b, c, d]) = octets.split_last_chunk::<4>()?;
    let nat64 = *prefix == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    if nat64 { Some(Ipv4Addr::new(*a, *b, *c, *d)) } else { v6.to_ipv4_mapped() }
}

fn host(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        let unspecified = match ip {
            IpAddr::V4(v4) => v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_unspecified() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_unspecified()),
        };
        return if unspecified {
            Err("must be an address that clients can connect to, not the unspecified one")
        } else {
            Ok(ip.to_string().into())
        };
    }
    let labels_fit =
        text.len() <= NAME_BYTES_MAX && text.split('.').all(|label| is_word(label, LABEL_BYTES_MAX, b"-_"));
    if !labels_fit {
        return Err("must be an IPv4 or IPv6 address without brackets or zone id, or a DNS name of at most 253 bytes");
    }
    if ends_in_number(text) {
        return Err("must not end in a number unless it is a whole IPv4 address");
    }
    Ok(if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() })
}

/// Whether the last label is one that resolvers read as a number, decimal or hexadecimal.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// RFC 1035: a name has at most 253 characters in text form.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035: a label has at most 63.
const LABEL_BYTES_MAX: usize = 63;
/// Alibaba Cloud's metadata service; those of AWS, Azure, GCP and others are link-local.
const METADATA_ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// AWS's metadata service over IPv6, `fd00:ec2::254`.
const METADATA_AWS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// The names under which GCP offers its metadata service.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata"];
