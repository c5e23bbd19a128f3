//! Envelopes between a writer and a reader that need not trust what lies between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::Version;
use mesh_cache::seal::*;
use mesh_cache::suite::Same;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000_000;
const PLACE: Place<'static> = Place { namespace: "mesh", key: "mesh:v1:{k}:e", schema: 3 };

#[test]
fn a_sealed_value_comes_back_with_all_that_was_said_of_it() {
    let opened = open(&ring(), &PLACE, &sealed()).unwrap();
    assert_eq!(opened, Opened { header: header(), payload: b"hello".to_vec(), trust: Trust::Sealed });
}

#[test]
fn a_hint_comes_back_as_a_hint() {
    let opened = open(&Sealer::open_hints(), &PLACE, &hint()).unwrap();
    assert_eq!(opened, Opened { header: header(), payload: b"hello".to_vec(), trust: Trust::Hint });
}

#[test]
fn an_envelope_is_what_another_implementation_makes_of_the_layout() {
    // Made with libsodium through PyNaCl 1.6.2, from the table in the documentation of the module.
    let expected = "4d534831010000000900060a24181e4000000000000000000200000000000000630000000000001388\
        00000000000493e0000000000f73140000000000000005dc00020000000000000001ffffffffffffffff00000005010203\
        040506070801020304050607080102030405060708f6bbcdcfb2606b69f722b285dc889952a2a90cd4f1";
    let counted: [u8; 32] = core::array::from_fn(|at| u8::try_from(at).unwrap());
    let sealer = Sealer::with_keys(KeyRing::new(SealKey::new(9, &counted).unwrap()));
    let nonce = Nonces::new(Arc::new(Same(0x0102_0304_0506_0708))).draw();
    assert_eq!(hex(&sealer.seal(&PLACE, &header(), b"hello", nonce).unwrap()), expected);
}

#[test]
fn a_script_finds_kind_and_version_where_the_offsets_say() {
    let bytes = sealed();
    let number = |at: usize| u64::from_be_bytes(*bytes[at..].first_chunk().unwrap());
    assert_eq!((&bytes[..4], bytes[KIND_OFFSET]), (&MAGIC[..], 1));
    assert_eq!(u32::from_be_bytes(*bytes[KEY_ID_OFFSET..].first_chunk().unwrap()), 1);
    assert_eq!(number(WRITTEN_AT_OFFSET), NOW);
    assert_eq!((number(VERSION_OFFSET), number(VERSION_INDEX_OFFSET)), (2, 99));
    assert_eq!((number(LIFETIMES_OFFSET), number(AGE_OFFSET)), (5_000, 1_500));
    assert_eq!(u16::from_be_bytes(*bytes[MARKS_OFFSET..].first_chunk().unwrap()), 2);
}

#[test]
fn every_bit_that_is_flipped_breaks_the_seal() {
    let readers = [Sealer::open_hints(), ring(), ring().accept_hints(), two_keys(), two_keys().accept_hints()];
    let bytes = sealed();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for reader in &readers {
            assert!(open(reader, &PLACE, &flipped).is_err(), "bit {bit} does not matter to {reader:?}");
        }
    }
}

#[test]
fn a_flipped_bit_of_what_the_seal_covers_is_called_forged() {
    let bytes = sealed();
    let numbers = WRITTEN_AT_OFFSET..MARKS_OFFSET;
    let tail = bytes.len() - 24 - 5 - 16..bytes.len();
    for at in numbers.chain(tail) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x80;
        assert_eq!(open(&ring(), &PLACE, &changed), Err(UnsealError::Forged { key_id: 1 }), "byte {at}");
    }
}

#[test]
fn an_envelope_that_is_cut_off_anywhere_or_goes_on_is_refused() {
    for (bytes, reader) in [(sealed(), ring()), (hint(), Sealer::open_hints())] {
        for length in 0..bytes.len() {
            let refused = open(&reader, &PLACE, &bytes[..length]);
            assert_eq!(refused, Err(UnsealError::Truncated { bytes: length }));
        }
        let longer = [&bytes[..], b"more"].concat();
        assert_eq!(open(&reader, &PLACE, &longer), Err(UnsealError::TrailingBytes { bytes: 4 }));
    }
}

#[test]
fn a_value_that_was_moved_to_another_place_is_forged() {
    let moved = [
        Place { namespace: "mesh2", ..PLACE },
        Place { key: "mesh:v1:{other}:e", ..PLACE },
        Place { schema: 4, ..PLACE },
        // The same letters, parted elsewhere.
        Place { namespace: "meshm", key: "esh:v1:{k}:e", ..PLACE },
        Place { namespace: "", key: "meshmesh:v1:{k}:e", ..PLACE },
    ];
    for place in moved {
        assert_eq!(open(&ring(), &place, &sealed()), Err(UnsealError::Forged { key_id: 1 }), "{place:?}");
    }
}

#[test]
fn what_an_old_key_sealed_is_read_until_the_key_is_dropped() {
    let old = sealed();
    let rotated = Sealer::with_keys(KeyRing::new(key(2, 0x22)).accept(key(1, 0x11)).unwrap());
    assert_eq!(open(&rotated, &PLACE, &old).unwrap().payload, b"hello");
    let new = seal(&rotated, &header(), b"hello");
    assert_eq!(open(&ring(), &PLACE, &new), Err(UnsealError::UnknownKey { key_id: 2 }), "the new key is sealed with");
    let done = Sealer::with_keys(KeyRing::new(key(2, 0x22)));
    assert_eq!(open(&done, &PLACE, &old), Err(UnsealError::UnknownKey { key_id: 1 }));
    assert_eq!(open(&done, &PLACE, &new).unwrap().trust, Trust::Sealed);
}

#[test]
fn another_key_of_the_same_id_opens_nothing() {
    let other = Sealer::with_keys(KeyRing::new(key(1, 0x33)));
    assert_eq!(open(&other, &PLACE, &sealed()), Err(UnsealError::Forged { key_id: 1 }));
}

#[test]
fn who_has_no_key_reads_hints_only_and_who_has_one_seals_only() {
    assert_eq!(open(&Sealer::open_hints(), &PLACE, &sealed()), Err(UnsealError::NoKey { key_id: 1 }));
    assert_eq!(open(&ring(), &PLACE, &hint()), Err(UnsealError::Unsealed));
    let lenient = ring().accept_hints();
    assert_eq!(open(&lenient, &PLACE, &hint()).unwrap().trust, Trust::Hint);
    assert_eq!(open(&lenient, &PLACE, &sealed()).unwrap().trust, Trust::Sealed);
    assert!(ring().seals() && lenient.seals() && !Sealer::open_hints().seals());
}

#[test]
fn a_seal_that_was_torn_off_leaves_a_hint_at_best() {
    let mut torn = sealed();
    torn[KIND_OFFSET] = 0;
    assert_eq!(open(&ring().accept_hints(), &PLACE, &torn), Err(UnsealError::HintWithKey { key_id: 1 }));
    torn[KEY_ID_OFFSET..WRITTEN_AT_OFFSET].fill(0);
    torn.truncate(torn.len() - 24 - 16);
    assert_eq!(open(&ring().accept_hints(), &PLACE, &torn).unwrap().trust, Trust::Hint);
    assert_eq!(open(&ring(), &PLACE, &torn), Err(UnsealError::Unsealed));
}

#[test]
fn a_value_is_read_until_it_is_too_old_to_the_microsecond() {
    let limits = Limits::default();
    let last = NOW + 3 * 24 * 60 * 60 * 1_000_000;
    assert!(ring().unseal(&PLACE, &sealed(), last, &limits).is_ok());
    let age = limits.age_max + Duration::from_micros(1);
    let replayed = ring().unseal(&PLACE, &sealed(), last + 1, &limits);
    assert_eq!(replayed, Err(UnsealError::Replayed { age, age_max: limits.age_max }));
    assert!(matches!(ring().unseal(&PLACE, &sealed(), u64::MAX, &limits), Err(UnsealError::Replayed { .. })));
}

#[test]
fn a_value_from_the_future_is_read_as_far_as_clocks_differ() {
    let limits = Limits::default();
    assert!(ring().unseal(&PLACE, &sealed(), NOW - 1_000_000, &limits).is_ok());
    let ahead = Duration::from_micros(1_000_001);
    let refused = ring().unseal(&PLACE, &sealed(), NOW - 1_000_001, &limits);
    assert_eq!(refused, Err(UnsealError::FromTheFuture { ahead, skew_max: limits.future_skew_max }));
    assert!(matches!(ring().unseal(&PLACE, &sealed(), 0, &limits), Err(UnsealError::FromTheFuture { .. })));
}

#[test]
fn a_value_as_large_as_allowed_is_read_and_one_byte_more_is_not() {
    let (limits, reader) = (Limits::default(), ring());
    let allowed = seal(&reader, &header(), &vec![b'x'; 65_536]);
    assert_eq!(open(&reader, &PLACE, &allowed).unwrap().payload.len(), 65_536);
    let more = seal(&reader, &header(), &vec![b'x'; 65_537]);
    let refused = Err(UnsealError::TooLarge { bytes: 65_537, value_bytes_max: 65_536 });
    assert_eq!(open(&reader, &PLACE, &more), refused);
    assert!(allowed.len() <= limits.envelope_bytes_max());
}

#[test]
fn the_largest_envelope_is_as_large_as_the_limits_say() {
    let largest = Header { marks: vec![7; MARKS_MAX], ..header() };
    let bytes = seal(&ring(), &largest, &vec![b'x'; 65_536]);
    assert_eq!(bytes.len(), Limits::default().envelope_bytes_max());
    assert!(open(&ring(), &PLACE, &bytes).is_ok());
}

#[test]
fn what_is_too_large_or_lies_about_its_size_costs_no_memory() {
    let (place, limits, ring) = (PLACE, Limits::default(), ring());
    let huge = vec![b'x'; 1 << 20];
    let refused = Err(UnsealError::TooLarge { bytes: 1 << 20, value_bytes_max: 65_536 });
    assert_eq!(open(&ring, &place, &huge), refused, "whatever else is wrong with it");
    let mut lying = hint();
    let length_at = lying.len() - 5 - 4;
    lying[length_at..length_at + 4].fill(0xFF);
    let mut marked = hint();
    marked[MARKS_OFFSET..MARKS_OFFSET + 2].fill(0xFF);
    for (bytes, marks) in [(&huge, 0), (&lying, 2), (&marked, 0)] {
        let counted = allocation_counter::measure(|| assert!(ring.unseal(&place, bytes, NOW, &limits).is_err()));
        assert!(counted.bytes_max <= marks * 16, "{} bytes", counted.bytes_max);
    }
}

#[test]
fn more_marks_than_fit_are_refused_by_writer_and_reader() {
    let many = Header { marks: vec![1; 33], ..header() };
    let refused = ring().seal(&PLACE, &many, b"hello", nonces().draw());
    assert_eq!(refused, Err(SealError::TooManyMarks { marks: 33 }));
    let mut bytes = hint();
    bytes[MARKS_OFFSET + 1] = 33;
    assert_eq!(open(&Sealer::open_hints(), &PLACE, &bytes), Err(UnsealError::TooManyMarks { marks: 33 }));
}

#[test]
fn a_value_never_looks_younger_than_it_is() {
    let odd = Header { fresh_for: Duration::from_micros(1_999), age: Duration::from_nanos(1_000_001), ..header() };
    let read = open(&ring(), &PLACE, &seal(&ring(), &odd, b"")).unwrap().header;
    assert_eq!((read.fresh_for, read.age), (Duration::from_millis(1), Duration::from_millis(2)));
    let ages = Duration::from_secs(u64::MAX / 2);
    let endless = Header { fresh_for: ages, age: ages, ..header() };
    let read = open(&ring(), &PLACE, &seal(&ring(), &endless, b"")).unwrap().header;
    assert_eq!((read.fresh_for, read.age), (Duration::from_millis(u64::MAX), Duration::from_millis(u64::MAX)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sealed_is_opened_again(
        numbers in proptest::array::uniform7(any::<u64>()),
        marks in proptest::collection::vec(any::<u64>(), 0..=MARKS_MAX),
        payload in proptest::collection::vec(any::<u8>(), 0..2_000),
        (namespace, key, schema) in ("\\PC{0,20}", "\\PC{0,80}", any::<u32>()),
        with_key: bool,
    ) {
        let [written_at_micros, epoch, index, fresh, stale, on_error, age] = numbers;
        let [fresh_for, stale_for, stale_on_error_for, age] = [fresh, stale, on_error, age].map(Duration::from_millis);
        let version = Version { epoch, index };
        let header = Header { written_at_micros, version, fresh_for, stale_for, stale_on_error_for, age, marks };
        let place = Place { namespace: &namespace, key: &key, schema };
        let sealer = if with_key { ring() } else { Sealer::open_hints() };
        let bytes = sealer.seal(&place, &header, &payload, nonces().draw()).unwrap();
        let opened = sealer.unseal(&place, &bytes, written_at_micros, &Limits::default()).unwrap();
        let trust = if with_key { Trust::Sealed } else { Trust::Hint };
        prop_assert_eq!(opened, Opened { header, payload, trust });
    }

    #[test]
    fn a_sealed_value_with_bytes_changed_is_refused_whoever_reads_it(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..6),
    ) {
        let (good, mut bytes) = (sealed(), sealed());
        for (at, change) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        prop_assume!(bytes != good);
        prop_assert!(open(&ring(), &PLACE, &bytes).is_err());
        let hinted = open(&ring().accept_hints(), &PLACE, &bytes);
        prop_assert!(hinted.is_err() || hinted.unwrap().trust == Trust::Hint);
    }
}

fn key(id: u32, byte: u8) -> SealKey {
    SealKey::new(id, &[byte; SealKey::BYTES]).unwrap()
}

fn ring() -> Sealer {
    Sealer::with_keys(KeyRing::new(key(1, 0x11)))
}

/// A reader that knows each id a flipped bit may make of 1, so that a wrong key is tried and not only missed.
fn two_keys() -> Sealer {
    Sealer::with_keys(KeyRing::new(key(1, 0x11)).accept(key(0, 0x22)).unwrap().accept(key(3, 0x22)).unwrap())
}

fn header() -> Header {
    Header {
        written_at_micros: NOW,
        version: Version { epoch: 2, index: 99 },
        fresh_for: Duration::from_secs(5),
        stale_for: Duration::from_secs(300),
        stale_on_error_for: Duration::from_secs(259_200),
        age: Duration::from_millis(1_500),
        marks: vec![1, u64::MAX],
    }
}

fn nonces() -> Nonces {
    Nonces::new(Arc::new(Same(0x0807_0605_0403_0201)))
}

fn seal(sealer: &Sealer, header: &Header, payload: &[u8]) -> Vec<u8> {
    sealer.seal(&PLACE, header, payload, nonces().draw()).unwrap()
}

fn sealed() -> Vec<u8> {
    seal(&ring(), &header(), b"hello")
}

fn hint() -> Vec<u8> {
    seal(&Sealer::open_hints(), &header(), b"hello")
}

fn open(sealer: &Sealer, place: &Place<'_>, bytes: &[u8]) -> Result<Opened, UnsealError> {
    sealer.unseal(place, bytes, NOW, &Limits::default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
