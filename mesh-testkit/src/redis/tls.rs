//! An authority of its own for each server, with a certificate for both sides.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Writes into `directory` an authority and what it signed, for a server on `ip` and for a client.
///
/// # Errors
/// Where no key can be made or a file cannot be written.
pub(super) fn write(directory: &Path, ip: Ipv4Addr) -> Result<(), Box<dyn std::error::Error>> {
    // One name for all would let a foreign one pass for the right one with a wrong signature.
    let mut params = named(&format!("mesh-testkit authority of {ip}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(directory.join(CA), authority.pem())?;

    let mut server = named("mesh-testkit server");
    server.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(ip))];
    // A server is a client as well where it follows another one.
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut client = named("mesh-testkit client");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (params, (certificate, key)) in [(server, SERVER), (client, CLIENT)] {
        let pair = KeyPair::generate()?;
        fs::write(directory.join(certificate), params.signed_by(&pair, &authority)?.pem())?;
        fs::write(directory.join(key), pair.serialize_pem())?;
    }
    Ok(())
}

/// The names differ: one that is also its issuer's would be taken for self-signed.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(super) const CA: &str = "ca.pem";
/// The server's certificate and key.
pub(super) const SERVER: (&str, &str) = ("server.pem", "server-key.pem");
/// The client's certificate and key.
pub(super) const CLIENT: (&str, &str) = ("client.pem", "client-key.pem");
