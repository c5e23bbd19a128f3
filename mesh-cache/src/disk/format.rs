//! The bytes of a snapshot.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::{DiskReadError, DiskWriteError};
use super::{DiskConfig, Entry, Loaded};
use crate::entry::Version;
use crate::seal::{Cursor, Header, Limits, Nonce, OVERHEAD_BYTES_MAX, Place, SealError, Sealer};

/// What a snapshot has room for beside what was [taken](Room::take) already.
#[derive(Clone, Debug)]
pub struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    pub(super) const fn of(config: &DiskConfig) -> Self {
        Self { entries: config.entries_max, bytes: config.bytes_max.saturating_sub(FRAME_BYTES + COUNT_BYTES) }
    }

    /// Takes the room that an entry needs; `false`, and nothing taken, where there is not enough of it. A smaller one may
    /// still find some.
    #[must_use = "an entry for which there is no room would spoil the whole snapshot"]
    pub fn take(&mut self, key: &str, payload: &[u8]) -> bool {
        let fits = key.len() <= usize::from(u16::MAX) && u32::try_from(payload.len()).is_ok();
        let left = self.bytes.checked_sub(entry_bytes(key, payload)).filter(|_| fits && self.entries > 0);
        if let Some(left) = left {
            (self.entries, self.bytes) = (self.entries - 1, left);
        }
        left.is_some()
    }
}

/// The file that keeps `entries`.
pub(crate) fn encode(
    entries: &[Entry],
    wall_now_ms: u64,
    nonce: Nonce,
    sealer: &Sealer,
    config: &DiskConfig,
) -> Result<Vec<u8>, DiskWriteError> {
    let too_many = DiskWriteError::TooManyEntries { entries: entries.len(), entries_max: config.entries_max };
    let count = u32::try_from(entries.len()).ok().filter(|_| entries.len() <= config.entries_max).ok_or(too_many)?;
    let sizes = entries.iter().map(|entry| entry_bytes(&entry.key, &entry.payload));
    let content_bytes = sizes.fold(COUNT_BYTES, usize::saturating_add);
    let bytes = content_bytes.saturating_add(FRAME_BYTES);
    if bytes > config.bytes_max {
        return Err(DiskWriteError::TooLarge { bytes, bytes_max: config.bytes_max });
    }
    let mut content = Vec::with_capacity(content_bytes);
    content.extend(count.to_be_bytes());
    for entry in entries {
        write(entry, &mut content)?;
    }
    let header = Header { written_at_micros: wall_now_ms.saturating_mul(1_000), ..Header::default() };
    let envelope = sealer.seal(&place(config), &header, &content, nonce)?;
    let mut out = Vec::with_capacity(PREAMBLE_BYTES + envelope.len());
    out.extend(MAGIC);
    out.extend(FORMAT.to_be_bytes());
    out.extend(config.schema.to_be_bytes());
    out.extend(checksum(&out, &envelope));
    out.extend(envelope);
    Ok(out)
}

/// What the file `bytes` keeps.
pub(crate) fn decode(
    bytes: Vec<u8>,
    wall_now_ms: u64,
    sealer: &Sealer,
    config: &DiskConfig,
) -> Result<Loaded, DiskReadError> {
    let envelope = check_preamble(&bytes, config)?;
    let limits = Limits {
        age_max: config.age_max,
        future_skew_max: DiskConfig::FUTURE_SKEW_MAX,
        value_bytes_max: config.bytes_max,
    };
    let now_micros = wall_now_ms.saturating_mul(1_000);
    let opened = sealer.unseal(&place(config), envelope, now_micros, &limits)?;
    // Both are large, and one is done with.
    drop(bytes);
    let entries = read_all(&opened.payload, config.entries_max)?;
    let written_at_ms = opened.header.written_at_micros / 1_000;
    let age = wall_now_ms.checked_sub(written_at_ms).map(Duration::from_millis);
    Ok(Loaded { entries, written_at_ms, age, trust: opened.trust })
}

/// Puts the checksum of a file right, for those who want to see what lies behind it.
#[cfg(feature = "suites")]
pub(crate) fn put_right(bytes: &mut [u8]) {
    let Some((preamble, envelope)) = bytes.split_at_mut_checked(PREAMBLE_BYTES) else { return };
    let (summed, sum) = preamble.split_at_mut(SUMMED_BYTES);
    sum.copy_from_slice(&checksum(summed, envelope));
}

/// The envelope behind a preamble that is right.
fn check_preamble<'a>(bytes: &'a [u8], config: &DiskConfig) -> Result<&'a [u8], DiskReadError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.array() {
        Some(MAGIC) => {}
        Some(_) => return Err(DiskReadError::NotASnapshot),
        None => return Err(DiskReadError::Damaged),
    }
    match cursor.u16().ok_or(DiskReadError::Damaged)? {
        FORMAT => {}
        format => return Err(DiskReadError::UnknownFormat { format }),
    }
    let schema = cursor.u32().ok_or(DiskReadError::Damaged)?;
    let summed = bytes.get(..SUMMED_BYTES).ok_or(DiskReadError::Damaged)?;
    let sum: [u8; SUM_BYTES] = cursor.array().ok_or(DiskReadError::Damaged)?;
    if checksum(summed, cursor.rest()) != sum {
        return Err(DiskReadError::Damaged);
    }
    if schema != config.schema {
        return Err(DiskReadError::OtherSchema { schema });
    }
    Ok(cursor.rest())
}

fn read_all(content: &[u8], entries_max: usize) -> Result<Vec<Entry>, DiskReadError> {
    let mut cursor = Cursor::new(content);
    let count = cursor.u32().ok_or(DiskReadError::Nonsense)?;
    if usize::try_from(count).map_or(true, |count| count > entries_max) {
        return Err(DiskReadError::TooManyEntries { entries: count, entries_max });
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(read(&mut cursor).ok_or(DiskReadError::Nonsense)?);
    }
    if cursor.rest().is_empty() { Ok(entries) } else { Err(DiskReadError::Nonsense) }
}

fn write(entry: &Entry, out: &mut Vec<u8>) -> Result<(), DiskWriteError> {
    let key = entry.key.as_bytes();
    let key_bytes = u16::try_from(key.len()).map_err(|_| DiskWriteError::KeyTooLong { bytes: key.len() })?;
    let too_long = SealError::TooLong { bytes: entry.payload.len() };
    let payload_bytes = u32::try_from(entry.payload.len()).map_err(|_| too_long)?;
    // Rounded up: no entry comes back younger than it was.
    let age_ms = u64::try_from(entry.age.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    out.extend(key_bytes.to_be_bytes());
    out.extend_from_slice(key);
    for number in [entry.version.epoch, entry.version.index, age_ms] {
        out.extend(number.to_be_bytes());
    }
    out.extend(payload_bytes.to_be_bytes());
    out.extend_from_slice(&entry.payload);
    Ok(())
}

fn read(cursor: &mut Cursor<'_>) -> Option<Entry> {
    let key_bytes = cursor.u16()?;
    let key = std::str::from_utf8(cursor.slice(key_bytes.into())?).ok()?.to_owned();
    let version = Version { epoch: cursor.u64()?, index: cursor.u64()? };
    let age = Duration::from_millis(cursor.u64()?);
    let payload_bytes = usize::try_from(cursor.u32()?).ok()?;
    Some(Entry { key, version, age, payload: cursor.slice(payload_bytes)?.to_vec() })
}

/// How long an entry is in the file.
const fn entry_bytes(key: &str, payload: &[u8]) -> usize {
    payload.len().saturating_add(ENTRY_BYTES_MIN + key.len())
}

fn place(config: &DiskConfig) -> Place<'_> {
    Place { namespace: &config.namespace, key: "disk", schema: config.schema }
}

fn checksum(preamble: &[u8], envelope: &[u8]) -> [u8; SUM_BYTES] {
    Sha256::new().chain_update(preamble).chain_update(envelope).finalize().into()
}

const MAGIC: [u8; 4] = *b"MSHD";
const FORMAT: u16 = 1;
/// Magic, format and schema.
const SUMMED_BYTES: usize = 4 + 2 + 4;
const SUM_BYTES: usize = 32;
const PREAMBLE_BYTES: usize = SUMMED_BYTES + SUM_BYTES;
/// What a file has besides its content, at most.
const FRAME_BYTES: usize = PREAMBLE_BYTES + OVERHEAD_BYTES_MAX;
const COUNT_BYTES: usize = 4;
/// The numbers of an entry, without its key and its payload.
const ENTRY_BYTES_MIN: usize = 2 + 3 * 8 + 4;
