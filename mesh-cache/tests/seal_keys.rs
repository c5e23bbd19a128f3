//! What envelopes are sealed with: keys, and nonces that never repeat.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_cache::codec::JsonCodec;
use mesh_cache::seal::*;
use mesh_cache::suite::Same;
use mesh_cache::{Cache, Environment, Found, Key, Marks, MemoryTier};
use mesh_core::port::Entropy;

const PLACE: Place<'static> = Place { namespace: "mesh", key: "mesh:v1:{k}:e", schema: 3 };

#[test]
fn nonces_differ_within_a_process_even_where_entropy_does_not() {
    let nonces = Nonces::new(Arc::new(Same(u64::MAX)));
    let seen: BTreeSet<Vec<u8>> = (0..1_000).map(|_| nonce_of(&nonces)).collect();
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn whoever_seals_with_one_key_in_a_process_draws_from_one_source() {
    let key = key(1, 0x11);
    let next = Sealer::with_keys(KeyRing::new(key.clone()).accept(self::key(2, 0x22)).unwrap());
    let same: Arc<dyn Entropy> = Arc::new(Same(7));
    let first = Sealer::with_keys(KeyRing::new(key));
    let sources = [first.nonces(&same), first.clone().accept_hints().nonces(&same), next.nonces(&same)];
    let seen: BTreeSet<Vec<u8>> = (0..300).map(|count| nonce_of(&sources[count % 3])).collect();
    assert_eq!(seen.len(), 300);
    // Without a key nothing is sealed, and a name is still drawn for each.
    let (one, other) = (Sealer::open_hints().nonces(&same), Sealer::open_hints().nonces(&same));
    assert_eq!(nonce_of(&one), nonce_of(&other));
}

#[test]
fn two_caches_and_a_snapshot_under_one_key_never_seal_with_one_nonce() {
    let mut environment = Environment::system();
    environment.entropy = Arc::new(Same(7));
    let (sealer, tier) = (ring(), MemoryTier::new(Arc::clone(&environment.clock)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = BTreeSet::new();
    runtime.block_on(async {
        for name in ["one", "two"] {
            let builder = Cache::<u64>::builder().environment(environment.clone());
            let builder = builder.second_tier("ns", tier.clone(), JsonCodec::new(1)).seal(sealer.clone());
            let cache = builder.build().unwrap();
            let key = Key::new(name).unwrap();
            assert!(cache.publish(&key, Found::new(1_u64)).await.unwrap());
            let fetched = tier.fetch_now(&Marks::new(&key, &[]).shared_in("ns")).unwrap();
            let bytes = fetched.bytes.unwrap();
            let at = bytes.len() - 16 - 1 - 24;
            seen.insert(bytes[at..at + 24].to_vec());
        }
    });
    seen.insert(nonce_of(&sealer.nonces(&environment.entropy)));
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn nonces_differ_between_processes_in_every_word() {
    let (one, other) = (Nonces::new(Arc::new(Counting::from(0))), Nonces::new(Arc::new(Counting::from(1_000))));
    let (one, other) = (nonce_of(&one), nonce_of(&other));
    for word in [0..8, 8..16, 16..24] {
        assert_ne!(one[word.clone()], other[word]);
    }
}

#[test]
fn one_value_sealed_twice_is_sealed_with_two_nonces() {
    let (nonces, ring) = (nonces(), ring());
    let seal = || ring.seal(&PLACE, &Header::default(), b"hello", nonces.draw()).unwrap();
    let (one, other) = (seal(), seal());
    let at = one.len() - 16 - 5;
    assert_ne!(one[at..], other[at..]);
}

#[test]
fn nothing_secret_is_shown() {
    let ring = KeyRing::new(key(1, 0x11)).accept(key(2, 0x22)).unwrap();
    assert_eq!(format!("{:?}", ring.current()), "SealKey(1, [redacted])");
    let opened = open(&Sealer::with_keys(ring.clone()), &sealed(&Sealer::with_keys(ring.clone()))).unwrap();
    let shown = format!("{ring:?} {:?} {opened:?} {:?}", Sealer::with_keys(ring.clone()), nonces().draw());
    for secret in ["17, 17", "11, 11", "0x11", "1111", "hello", "104, 101"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_key_is_read_from_hex_and_from_every_base64() {
    let reference = sealed(&ring());
    let hex = "11".repeat(32);
    let base64 = "ERERERERERERERERERERERERERERERERERERERERERE";
    for text in [hex.clone(), format!("  {hex}\n"), base64.to_owned(), format!("{base64}=")] {
        let sealer = Sealer::with_keys(KeyRing::new(SealKey::parse(1, &text).unwrap()));
        assert!(open(&sealer, &reference).is_ok(), "{text}");
    }
    let parsed = |text: &str| Sealer::with_keys(KeyRing::new(SealKey::parse(1, text).unwrap()));
    let standard = "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8=";
    let url_safe = "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8";
    let bytes = sealed(&parsed(standard));
    let hex = format!("{}FbfF", "FBffbF".repeat(10));
    assert!(open(&parsed(url_safe), &bytes).is_ok() && open(&parsed(&hex), &bytes).is_ok());
}

#[test]
fn what_is_no_key_is_refused_and_not_repeated() {
    let refused = [
        (String::new(), KeyError::Length { id: 7, bytes: 0 }),
        ("ab".repeat(31), KeyError::Length { id: 7, bytes: 62 }),
        ("xy".repeat(32), KeyError::NotHexOrBase64 { id: 7 }),
        ("+f".repeat(32), KeyError::NotHexOrBase64 { id: 7 }),
        ("é".repeat(32), KeyError::NotHexOrBase64 { id: 7 }),
        ("!".repeat(44), KeyError::NotHexOrBase64 { id: 7 }),
        ("A-/".repeat(15)[..43].to_owned(), KeyError::NotHexOrBase64 { id: 7 }),
        // 33 bytes of base64.
        ("ABCD".repeat(11), KeyError::NotHexOrBase64 { id: 7 }),
        ("0".repeat(64), KeyError::Zero { id: 7 }),
    ];
    for (text, error) in refused {
        let found = SealKey::parse(7, &text).unwrap_err();
        assert_eq!(found, error, "{text}");
        assert!(text.is_empty() || !format!("{found} {found:?}").contains(&text));
    }
}

#[test]
fn a_ring_takes_each_id_once_and_eight_keys() {
    let ring = KeyRing::new(key(1, 1));
    assert_eq!(ring.clone().accept(key(1, 2)).unwrap_err(), KeyError::Duplicate { id: 1 });
    let full = (2..=8).fold(ring, |ring, id| ring.accept(key(id, 3)).unwrap());
    assert_eq!(full.accept(key(9, 3)).unwrap_err(), KeyError::RingFull { id: 9 });
}

fn key(id: u32, byte: u8) -> SealKey {
    SealKey::new(id, &[byte; SealKey::BYTES]).unwrap()
}

fn ring() -> Sealer {
    Sealer::with_keys(KeyRing::new(key(1, 0x11)))
}

fn nonces() -> Nonces {
    Nonces::new(Arc::new(Counting::from(40)))
}

fn sealed(sealer: &Sealer) -> Vec<u8> {
    sealer.seal(&PLACE, &Header::default(), b"hello", nonces().draw()).unwrap()
}

fn open(sealer: &Sealer, bytes: &[u8]) -> Result<Opened, UnsealError> {
    sealer.unseal(&PLACE, bytes, 0, &Limits::default())
}

/// The nonce as it stands in an envelope.
fn nonce_of(nonces: &Nonces) -> Vec<u8> {
    let bytes = ring().seal(&PLACE, &Header::default(), b"", nonces.draw()).unwrap();
    bytes[bytes.len() - 40..bytes.len() - 16].to_vec()
}

/// Entropy that counts, and so never gives one word twice.
#[derive(Debug)]
struct Counting(AtomicU64);

impl From<u64> for Counting {
    fn from(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }
}

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
