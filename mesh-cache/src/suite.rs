//! What the fuzz targets and their stable twins do with any bytes: read them as whoever must not believe them does.

use std::sync::Arc;

use mesh_core::port::Entropy;

use crate::codec::{Codec as _, JsonCodec};
use crate::disk::{DiskConfig, format};
use crate::seal::{Header, KeyRing, Limits, Nonce, Nonces, Place, SealKey, Sealer, Trust, UnsealError};

/// The time at which the suites read, in microseconds of the tier's clock.
pub const NOW_MICROS: u64 = 1_800_000_000_000_000;

/// The place of the suites.
pub const PLACE: Place<'static> = Place { namespace: "mesh", key: "mesh:v1:{fuzz}:e", schema: 1 };

/// A sealer whose key everybody knows, so that a corpus may hold envelopes that are sealed.
///
/// # Panics
/// Never: its key is one.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
#[must_use]
pub fn sealer() -> Sealer {
    match SealKey::new(1, &[0x5E; SealKey::BYTES]) {
        Ok(key) => Sealer::with_keys(KeyRing::new(key)),
        Err(error) => panic!("{error}"),
    }
}

/// A nonce for a suite.
#[must_use]
pub fn nonce() -> Nonce {
    Nonces::new(Arc::new(Same(0x6E6F_6E63_6500_0001))).draw()
}

/// Entropy that gives the same word for ever.
#[derive(Clone, Copy, Debug)]
pub struct Same(pub u64);

impl Entropy for Same {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// Reads `bytes` as an envelope: without a key, with one, and with one while hints are read too. Returns the names of
/// the three outcomes.
///
/// # Panics
/// Where a promise does not hold: more is given than is allowed, without a key something is called sealed, or what
/// was read is not read again.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
#[must_use]
pub fn envelope(bytes: &[u8]) -> [&'static str; 3] {
    let limits = Limits::default();
    [Sealer::open_hints(), sealer(), sealer().accept_hints()].map(|reader| {
        let opened = match reader.unseal(&PLACE, bytes, NOW_MICROS, &limits) {
            Ok(opened) => opened,
            Err(error) => return named(error),
        };
        if opened.payload.len() > limits.value_bytes_max || bytes.len() > limits.envelope_bytes_max() {
            panic!("{} bytes of an envelope of {}", opened.payload.len(), bytes.len());
        }
        if opened.trust == Trust::Sealed && !reader.seals() {
            panic!("sealed, and nobody could tell");
        }
        let again = again(&opened.header, &opened.payload);
        match reader.accept_hints().unseal(&PLACE, &again, NOW_MICROS, &limits) {
            Ok(second) if (&second.header, &second.payload) == (&opened.header, &opened.payload) => "opened",
            other => panic!("{opened:?} became {other:?}"),
        }
    })
}

/// Reads `bytes` as JSON of any shape, and writes it again. Returns the name of the outcome.
///
/// # Panics
/// Where a promise does not hold: what was read cannot be written, or would not be read again.
#[expect(clippy::panic, reason = "a test suite reports by panicking")]
#[must_use]
pub fn json(bytes: &[u8]) -> &'static str {
    let mut codec = JsonCodec::new(1);
    let value: serde_json::Value = match codec.decode(bytes) {
        Ok(value) => value,
        Err(error) => return error.name(),
    };
    // Escapes and exponents may be written longer than they came.
    codec.bytes_max = usize::MAX;
    match codec.encode(&value) {
        Ok(_) => "decoded",
        Err(error) => panic!("what was read cannot be written: {error}"),
    }
}

/// Reads `bytes` as the file of a snapshot, as they are and with their checksum put right, which no change by chance would
/// do. Returns the names of the outcomes: without a key as they are; then put right, without a key, with one, and with
/// one while what is not sealed is read too.
///
/// # Panics
/// Where a promise does not hold: more is given than is allowed, or what was read is not read again.
#[must_use]
pub fn disk_file(bytes: &[u8]) -> [&'static str; 4] {
    let mut right = bytes.to_vec();
    format::put_right(&mut right);
    [
        snapshot(bytes, &Sealer::open_hints()),
        snapshot(&right, &Sealer::open_hints()),
        snapshot(&right, &sealer()),
        snapshot(&right, &sealer().accept_hints()),
    ]
}

#[expect(clippy::panic, reason = "a test suite reports by panicking")]
fn snapshot(bytes: &[u8], reader: &Sealer) -> &'static str {
    let (config, now_ms) = (DiskConfig::new(PLACE.namespace, PLACE.schema), NOW_MICROS / 1_000);
    let loaded = match format::decode(bytes.to_vec(), now_ms, reader, &config) {
        Ok(loaded) => loaded,
        Err(error) => return error.name(),
    };
    if loaded.entries.len() > config.entries_max || (loaded.trust == Trust::Sealed && !reader.seals()) {
        panic!("{} entries, {:?}", loaded.entries.len(), loaded.trust);
    }
    let again = format::encode(&loaded.entries, now_ms, nonce(), reader, &config);
    match again.map(|bytes| format::decode(bytes, now_ms, reader, &config)) {
        Ok(Ok(second)) if second.entries == loaded.entries => "loaded",
        other => panic!("{loaded:?} became {other:?}"),
    }
}

#[expect(clippy::panic, reason = "a test suite reports by panicking")]
fn again(header: &Header, payload: &[u8]) -> Vec<u8> {
    match Sealer::open_hints().seal(&PLACE, header, payload, nonce()) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{header:?} was read and cannot be written: {error}"),
    }
}

fn named(error: UnsealError) -> &'static str {
    let _ = error.to_string();
    error.name()
}
