//! Peers that keep a key with its instance. Their lookups count no requests, and hash a text of 12 bytes on their way, but
//! for volo's, which is given a hash.

use std::cell::RefCell;
use std::hint::black_box;

use hashring::HashRing;
use maglev::ConsistentHasher;
use mesh_benches::keys;
use mesh_benches::timing::WyRand;
use metainfo::{METAINFO, MetaInfo};
use pingora_load_balancing::selection::consistent::KetamaHashing;
use volo::loadbalance::RequestHash;
use volo::loadbalance::consistent_hash::{ConsistentHashBalance, ConsistentHashOption};

use crate::bench::Bench;
use crate::{pingora, rings, volo as peer};

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    let addresses = rings::addresses(bench.size);
    let ketama = rings::ketama(&addresses);
    lookups(bench, "pingora-ketama/Continuum", |key| ketama.node(key.as_bytes()));
    let ring: HashRing<rings::Point> = rings::hashring(&addresses);
    lookups(bench, "hashring/160", |key| ring.get(&key).copied());
    if bench.size <= rings::MAGLEV_MAX {
        let table = rings::maglev(&addresses);
        lookups(bench, "maglev/65537", |key| table.get(key).copied());
    }
    let balancer = pingora::balancer::<KetamaHashing>(bench.size, |_| 1);
    lookups(bench, "pingora-load-balancing/Ketama", |key| balancer.select(key.as_bytes(), 256));
    volo(bench);
}

/// Measures the lookups of keys drawn at random.
fn lookups<T>(bench: &mut Bench<'_, '_>, subject: &str, look_up: impl Fn(&str) -> T + Sync) {
    bench.run(subject, |thread| {
        let (texts, mut rng, look_up) = (keys::texts(), WyRand::new(thread), &look_up);
        move |ops| {
            for _ in 0..ops {
                drop(black_box(look_up(&texts[keys::index(rng.next_u64())])));
            }
        }
    });
}

/// volo takes the hash of the key from what it calls the meta information of a task.
fn volo(bench: &mut Bench<'_, '_>) {
    let discovery = peer::discovery(bench.size, |_| 1);
    let balancer = ConsistentHashBalance::new(ConsistentHashOption::new(1, rings::POINTS, true));
    bench.run("volo/consistent-hash", |thread| {
        let (hashes, mut rng) = (keys::hashes(), WyRand::new(thread));
        let (balancer, discovery, endpoint) = (&balancer, &discovery, peer::endpoint());
        let mut picks = move |ops| {
            METAINFO.sync_scope(RefCell::new(MetaInfo::new()), || {
                for _ in 0..ops {
                    let hash = RequestHash(hashes[keys::index(rng.next_u64())]);
                    METAINFO.with(|info| info.borrow_mut().insert(hash));
                    black_box(peer::pick(balancer, discovery, &endpoint).expect("all are usable"));
                }
            });
        };
        // It builds its ring at the first pick.
        picks(1);
        picks
    });
}
