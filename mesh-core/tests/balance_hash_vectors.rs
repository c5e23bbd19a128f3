//! The rings and tables of the peers, point by point: values that Envoy, nginx and pingora print in their own tests, and
//! models written here from their descriptions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod balance_hash_support;
mod support;

use balance_hash_support::*;
use mesh_core::balance::policy::RingKind;
use mesh_core::balance::{Member, Strategy, hash_key, ketama_key};
use support::*;

#[test]
fn keys_are_hashed_as_the_peers_hash_them() {
    assert_eq!(hash_key(b""), 0xEF46_DB37_51D8_E999);
    assert_eq!(hash_key(b"a"), 0xD24E_C4F1_A98C_6E5B);
    assert_eq!(hash_key(b"abc"), 0x44BC_2CF5_AD77_0999);
    // The check value of CRC-32 (IEEE 802.3).
    assert_eq!(ketama_key(b"123456789"), 0xCBF4_3926);
    assert_eq!(ketama_key(b""), 0);
}

/// `test/common/upstream/ring_hash_lb_test.cc`: twelve points of six hosts.
#[test]
fn the_ring_of_envoy_has_envoys_points() {
    let mut config = ring_config(RingKind::Xds);
    config.ring_min = 12;
    let all = (90..=95).map(|port| listening("127.0.0.1", port, 1)).collect();
    let mut fleet = fleet(Strategy::RingHash(config), all);
    for (index, &(place, port)) in ENVOY_RING.iter().enumerate() {
        assert_eq!(fleet.port(place), port, "at a point");
        assert_eq!(fleet.port(place + 1), ENVOY_RING[(index + 1) % 12].1, "just after it");
    }
    assert_eq!((fleet.port(0), fleet.port(u64::MAX)), (94, 94));
}

const ENVOY_RING: [(u64, u16); 12] = [
    (833_437_586_790_550_860, 94),
    (928_266_305_478_181_108, 92),
    (1_033_482_794_131_418_490, 90),
    (3_551_244_743_356_806_947, 95),
    (3_851_675_632_748_031_481, 93),
    (5_583_722_120_771_150_861, 91),
    (6_311_230_543_546_372_928, 91),
    (7_700_377_290_971_790_572, 93),
    (13_144_177_310_400_110_813, 95),
    (13_444_792_449_719_432_967, 92),
    (15_516_499_411_664_133_160, 94),
    (16_117_243_373_044_804_889, 90),
];

#[test]
fn a_retry_goes_on_to_the_next_host_of_the_ring_that_is_another() {
    let mut config = ring_config(RingKind::Xds);
    config.ring_min = 12;
    let all = (90..=95).map(|port| listening("127.0.0.1", port, 1)).collect();
    let mut fleet = fleet(Strategy::RingHash(config), all);
    let mut tried = mesh_core::balance::Tried::new();
    // 5,583,… and 6,311,… are both of 91, which is tried once only.
    let order: Vec<u16> = (0..6)
        .map(|_| {
            let lease = fleet.handle.pick(at(0), &keyed(3_851_675_632_748_031_482, &tried), 1).unwrap();
            tried.insert(lease.endpoint().id());
            lease.instance().port()
        })
        .collect();
    assert_eq!(order, [91, 93, 95, 92, 94, 90]);
}

/// The same file: weights 1, 2 and 3 on a ring of exactly six points, and on one of 6,144 how many of 6,000 keys each
/// host has.
#[test]
fn the_ring_of_envoy_follows_weights_as_envoys_does() {
    let all = || vec![listening("127.0.0.1", 90, 1), listening("127.0.0.1", 91, 2), listening("127.0.0.1", 92, 3)];
    let mut config = ring_config(RingKind::Xds);
    (config.ring_min, config.ring_max) = (6, 6);
    let mut tiny = fleet(Strategy::RingHash(config.clone()), all());
    let points = [
        (928_266_305_478_181_108, 92),
        (4_443_673_547_860_492_590, 92),
        (5_583_722_120_771_150_861, 91),
        (6_311_230_543_546_372_928, 91),
        (13_444_792_449_719_432_967, 92),
        (16_117_243_373_044_804_889, 90),
    ];
    for (place, port) in points {
        assert_eq!(tiny.port(place), port);
    }

    (config.ring_min, config.ring_max) = (6_144, 8_388_608);
    let mut large = fleet(Strategy::RingHash(config), all());
    let mut seen = [0; 3];
    for index in 0..6_000_u64 {
        seen[usize::from(large.port(index * (u64::MAX / 6_000)) - 90)] += 1;
    }
    assert_eq!(seen, [987, 1_932, 3_081]);
}

/// `pingora-ketama`: what nginx chose for these paths.
#[test]
fn the_ring_of_nginx_chooses_as_nginx() {
    let mut two =
        fleet(ring(RingKind::Ketama), vec![listening("127.0.0.1", 7_777, 1), listening("127.0.0.1", 7_778, 1)]);
    let chosen: [(&[u8], u16); 6] = [
        (b"/some/path", 7_778),
        (b"/some/longer/path", 7_777),
        (b"/sad/zaidoon", 7_778),
        (b"/g", 7_777),
        (b"/pingora/team/is/cool/and/this/is/a/long/uri", 7_778),
        (b"/i/am/not/confident/in/this/code", 7_777),
    ];
    for (path, port) in chosen {
        assert_eq!(two.port(ketama_key(path)), port, "{}", String::from_utf8_lossy(path));
    }

    let mut v6 = fleet(ring(RingKind::Ketama), (7_777..=7_779).map(|port| listening("::1", port, 1)).collect());
    assert_eq!(v6.port(ketama_key(b"doghash")), 7_777);
}

/// The same crate: nine hosts of weight 100, a sample of nginx's access log.
#[test]
fn the_ring_of_nginx_gives_points_to_every_unit_of_a_large_weight() {
    let all = (1..=9).map(|last| listening(&format!("10.0.0.{last}"), 443, 100)).collect();
    let mut fleet = fleet(ring(RingKind::Ketama), all);
    let chosen = [
        ("/8f87cfd8005306643b6528b3d4125cf005139a7e", "10.0.0.5"),
        ("/d5caa3e251ad2dd28ba82c3dcb99bff6d368e2a0", "10.0.0.1"),
        ("/a025e91fc9b3fcdc0491d0e4b4b0f09e322e53eb", "10.0.0.6"),
        ("/ebe69b2ea9db3e66a2157021a17f852695eab8be", "10.0.0.4"),
        ("/683a4f8e369c5c3eeb85f0779aced10809bbdbb8", "10.0.0.8"),
        ("/4d9af33ca789f5675e0b3b7db89277d9f07fe487", "10.0.0.9"),
        ("/926ad3a9d1411e8f959f8a99270e534c2fcc60e7", "10.0.0.1"),
        ("/ebaa896e268efc129dfb87e51c06b69c0d3d10b5", "10.0.0.9"),
        ("/815a0974398d76788a4b3da7d0cca31f126d7de4", "10.0.0.9"),
        ("/63c546d9b325c23c3861555b1e605cc203079992", "10.0.0.7"),
        ("/b9d9fabb46dbe2db5f5e0164c98002114c96006e", "10.0.0.2"),
        ("/06c1a1908f37b4cdacd7098b7304ced839f8412b", "10.0.0.3"),
        ("/afc63845c577fb67edb01f2f4faa19415f36420d", "10.0.0.2"),
    ];
    for (path, host) in chosen {
        let tried = mesh_core::balance::Tried::new();
        let lease = fleet.handle.pick(at(0), &keyed(ketama_key(path.as_bytes()), &tried), 1).unwrap();
        assert_eq!(lease.instance().host().as_str(), host, "{path}");
    }
}

#[test]
fn the_points_of_nginx_are_a_chain_of_crcs() {
    let mut fleet = fleet(ring(RingKind::Ketama), vec![listening("10.0.0.1", 80, 1), listening("10.0.0.2", 8_080, 2)]);
    let mut points: Vec<(u32, u16)> = Vec::new();
    for (stem, count, port) in [("10.0.0.1\080", 160, 80), ("10.0.0.2\08080", 320, 8_080)] {
        let mut previous = 0_u32;
        for _ in 0..count {
            let mut bytes = stem.as_bytes().to_vec();
            bytes.extend(previous.to_le_bytes());
            previous = crc32_bit_by_bit(&bytes);
            points.push((previous, port));
        }
    }
    points.sort_unstable();
    for number in 0..2_000 {
        // The high half of a key does not count.
        let key = nth_key(number);
        let next = points.iter().find(|&&(place, _)| place >= key as u32).unwrap_or(&points[0]);
        assert_eq!(fleet.port(key), next.1);
    }
    for &(place, port) in &points {
        assert_eq!(fleet.port(place.into()), port);
    }
}

/// CRC-32 as its definition has it, without a table.
fn crc32_bit_by_bit(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !crc
}

/// `test/extensions/load_balancing_policies/maglev/maglev_lb_test.cc`: the table of seven entries, and that of seventeen
/// with weights 1 and 2.
#[test]
fn the_table_of_maglev_is_envoys() {
    let all = (90..=95).map(|port| listening("127.0.0.1", port, 1)).collect();
    let mut seven = fleet(maglev(7), all);
    let entries: Vec<u16> = (0..21).map(|hash| seven.port(hash)).collect();
    assert_eq!(entries, [92, 94, 90, 91, 95, 90, 93].repeat(3));

    let mut weighted = fleet(maglev(17), vec![listening("127.0.0.1", 90, 1), listening("127.0.0.1", 91, 2)]);
    let entries: Vec<u16> = (0..17).map(|hash| weighted.port(hash) - 90).collect();
    assert_eq!(entries, [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
    let mut even = fleet(maglev(17), vec![listening("127.0.0.1", 90, 5), listening("127.0.0.1", 91, 5)]);
    let entries: Vec<u16> = (0..17).map(|hash| even.port(hash) - 90).collect();
    assert_eq!(entries, [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]);
}

/// The same file: hash 10 goes to 91, its first retry to 90, its second to 95 when 90 will not do either.
#[test]
fn a_retry_mutates_the_hash_as_envoy_does() {
    let all = (90..=95).map(|port| listening("127.0.0.1", port, 1)).collect();
    let mut fleet = fleet(maglev(7), all);
    let mut tried = mesh_core::balance::Tried::new();
    for port in [91, 90, 95] {
        let lease = fleet.handle.pick(at(0), &keyed(10, &tried), 1).unwrap();
        assert_eq!(lease.instance().port(), port);
        tried.insert(lease.endpoint().id());
    }
}

/// Maglev by the paper's listing, with permutations written out in full and weights in whole numbers.
#[test]
fn the_table_of_maglev_is_that_of_the_papers_listing() {
    let weights = [[1, 1, 1, 1, 1], [1, 2, 3, 4, 5], [7, 1, 1, 1, 1], [64, 1, 2, 4, 8]];
    for weights in weights {
        // The order of addresses is not that of the instances' keys: "api-10.0.0.1-…" is before "api-10.0.0.10-…".
        let hosts = ["10.0.0.1", "10.0.0.10", "10.0.0.100", "9.9.9.9", "2001:db8::1"];
        let ports = [80, 81, 82, 83, 84_u16];
        let size = 101_u64;
        let all: Vec<Member> = (0..5).map(|at| listening(hosts[at], ports[at], weights[at])).collect();
        let mut fleet = fleet(maglev(size as u32), all.clone());

        let mut rows: Vec<(String, u16, u64)> =
            all.iter().map(|it| (it.instance.authority(), it.instance.port(), it.weight.get().into())).collect();
        rows.sort();
        let permutation = |address: &str| -> Vec<u64> {
            let offset = hash_key(address.as_bytes()) % size;
            let skip = seeded(address) % (size - 1) + 1;
            (0..size).map(|step| (offset + skip * step) % size).collect()
        };
        let permutations: Vec<Vec<u64>> = rows.iter().map(|row| permutation(&row.0)).collect();
        let greatest = rows.iter().map(|row| row.2).max().unwrap();
        let (mut table, mut taken) = (vec![None; size as usize], [0_u64; 5]);
        'filling: for round in 1.. {
            for row in 0..5 {
                if round * rows[row].2 < taken[row] * greatest {
                    continue;
                }
                let free = permutations[row].iter().find(|&&entry| table[entry as usize].is_none());
                let Some(&free) = free else { break 'filling };
                table[free as usize] = Some(rows[row].1);
                taken[row] += 1;
            }
        }
        for hash in 0..size {
            assert_eq!(Some(fleet.port(hash)), table[hash as usize], "{weights:?}, entry {hash}");
        }
    }
}

/// XXH64 with seed 1 of up to 31 bytes, from the specification (`doc/xxhash_spec.md`).
fn seeded(text: &str) -> u64 {
    const PRIMES: [u64; 5] = [
        0x9E37_79B1_85EB_CA87,
        0xC2B2_AE3D_27D4_EB4F,
        0x1656_67B1_9E37_79F9,
        0x85EB_CA77_C2B2_AE63,
        0x27D4_EB2F_1656_67C5,
    ];
    let mut rest = text.as_bytes();
    assert!(rest.len() < 32);
    let mut hash = 1_u64.wrapping_add(PRIMES[4]).wrapping_add(rest.len() as u64);
    while let Some((lane, after)) = rest.split_first_chunk::<8>() {
        let lane = u64::from_le_bytes(*lane).wrapping_mul(PRIMES[1]).rotate_left(31).wrapping_mul(PRIMES[0]);
        hash = (hash ^ lane).rotate_left(27).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = after;
    }
    if let Some((lane, after)) = rest.split_first_chunk::<4>() {
        let lane = u64::from(u32::from_le_bytes(*lane)).wrapping_mul(PRIMES[0]);
        hash = (hash ^ lane).rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = after;
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte).wrapping_mul(PRIMES[4])).rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}
