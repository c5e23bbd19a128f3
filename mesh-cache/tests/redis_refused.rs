//! Entries in a real Redis that nobody can read: what takes them away, and what may replace them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_cache::redis::{RedisConfig, RedisTier};
use mesh_cache::seal::{Header, Nonces, Place, Sealer, VERSION_INDEX_OFFSET};
use mesh_cache::second::{SecondTier as _, Store, Stored};
use mesh_cache::{Environment, Key, Marks, Version};
use mesh_testkit::RedisServer;

#[tokio::test]
async fn what_could_not_be_read_is_replaced_whatever_its_version_and_nothing_else_is() {
    let server = RedisServer::start().await;
    let tier = start(&server.url()).await;
    let (claimed, kept) = (bytes(u64::MAX), bytes(3));
    assert_eq!(store(&tier, u64::MAX, &claimed, None).await, Stored::Yes);
    assert_eq!(store(&tier, 3, &kept, None).await, Stored::Older);
    let head = VERSION_INDEX_OFFSET + 8;
    assert_eq!(store(&tier, 3, &kept, Some(&bytes(7)[..head])).await, Stored::Older, "it is another that was refused");
    assert_eq!(store(&tier, 3, &kept, Some(&claimed[..head])).await, Stored::Yes);
    assert_eq!(tier.fetch(&marks()).await.unwrap().bytes.unwrap(), kept);
    assert_eq!(store(&tier, 2, &bytes(2), Some(&claimed[..head])).await, Stored::Older, "it has been replaced");
}

#[tokio::test]
async fn what_is_taken_away_is_gone_and_tells_nobody() {
    let server = RedisServer::start().await;
    let tier = start(&server.url()).await;
    store(&tier, 1, b"garbage", None).await;
    tier.discard(marks().own()).await.unwrap();
    let fetched = tier.fetch(&marks()).await.unwrap();
    assert_eq!((fetched.bytes, fetched.watermarks.iter().flatten().count()), (None, 0));
    tier.discard(marks().own()).await.unwrap();
}

async fn start(url: &str) -> RedisTier {
    let tier = RedisTier::start("mesh", RedisConfig::at(url).unwrap(), &Environment::system()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), tier.client().ready()).await.unwrap().unwrap();
    tier
}

async fn store(tier: &RedisTier, index: u64, bytes: &[u8], replaces: Option<&[u8]>) -> Stored {
    let begun_micros = tier.fetch(&marks()).await.unwrap().now_micros;
    let (own, as_of_micros, version) = (marks().own(), begun_micros, Version { epoch: 1, index });
    let keep_for = Duration::from_secs(60);
    tier.store(Store { own, bytes, begun_micros, as_of_micros, version, keep_for, replaces }).await.unwrap()
}

fn bytes(index: u64) -> Vec<u8> {
    let header = Header { version: Version { epoch: 1, index }, ..Header::default() };
    let nonce = Nonces::new(Environment::system().entropy).draw();
    Sealer::open_hints().seal(&Place { namespace: "test", key: "k", schema: 1 }, &header, b"1", nonce).unwrap()
}

fn marks() -> Marks {
    Marks::new(&Key::new("k").unwrap(), &[])
}
