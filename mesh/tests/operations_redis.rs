//! Operations that meshes carry out once through a real Redis: told again, and while it is killed, frozen and poisoned.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::redis::RedisConfig;
use mesh::mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh::operations::{Failed, Hold, OperationConfig, OperationEnd, ReadError, Right, StoreLost};
use mesh::{Begun, Claim, OperationError, Operations, ServiceMesh};
use mesh_testkit::RedisServer;
use mesh_testkit::redis::Reply;
use tokio::time::timeout;

use support::recorder::Notes;
use support::{PATIENCE, eventually, ms, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_meshes_carry_an_operation_out_once_and_redis_knows_neither_key_nor_result() {
    let server = RedisServer::start().await;
    let (one, other) = (Process::start(&server, config(), 7).await, Process::start(&server, config(), 7).await);
    // All at once: one of them carries it out, and all are told its result.
    let callers: Vec<_> = (0..20_u32)
        .map(|caller| {
            let charges = if caller % 2 == 0 { one.charges.clone() } else { other.charges.clone() };
            tokio::spawn(async move {
                let work = async |_| Ok::<_, Failed<&str>>(format!("receipt of {caller}"));
                charges.run("order-17", REQUEST, work).await.unwrap()
            })
        })
        .collect();
    let mut carried = Vec::new();
    for caller in callers {
        carried.push(caller.await.unwrap());
    }
    assert_eq!(carried.iter().filter(|carried| !carried.replayed).count(), 1, "{carried:?}");
    assert!(
        carried.iter().all(|one| one.is_kept() && one.value == carried[0].value && one.value.starts_with("receipt"))
    );
    let mismatch = other.charges.begin("order-17", "999 EUR").await;
    assert!(matches!(mismatch, Err(OperationError::Mismatch { .. })), "{mismatch:?}");
    let (key, kept) = server_has(&server).await;
    for secret in ["order-17", "charges", REQUEST, "receipt"] {
        assert!(!key.contains(secret) && !kept.contains(secret), "{secret} is in {key}: {kept}");
    }
    let lives = server.command(&["PTTL", &key]).await.unwrap().integer().unwrap();
    assert!((86_300_000..=86_400_000).contains(&lives), "about a day, in ms: {lives}");
    let stranger = Process::start(&server, anyway(), 8).await;
    let refused = stranger.charges.begin("order-17", REQUEST).await;
    assert!(matches!(refused, Err(OperationError::Unreadable { reason: ReadError::Seal(_), .. })), "{refused:?}");
    assert!(one.mesh.shutdown(secs(5)).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_handed_over_at_once_and_a_process_that_dies_is_taken_over_from() {
    let server = RedisServer::start().await;
    // Nobody waits for the end of this lease: who is let in before was handed it.
    let mut long = config();
    long.lease = long.wait_max * 10;
    let (one, other) = (Process::start(&server, long, 7).await, Process::start(&server, config(), 7).await);
    let claim = one.claim("17").await;
    let first = claim.fence();
    assert!(matches!(claim.right(), Right::First { .. }));
    drop(claim);
    let taken = other.claim("17").await;
    assert!(matches!(taken.right(), Right::TakenOver { .. }) && taken.fence() > first, "{taken:?}");
    let second = taken.fence();
    drop(other.mesh);
    assert_eq!(lost(&taken).await, Hold::Unattended);
    let last = one.claim("17").await;
    assert!(matches!(last.right(), Right::TakenOver { .. }) && last.fence() > second, "{last:?}");
    assert_eq!(last.abandon().await, OperationEnd::Forgotten);
    assert!(matches!(one.claim("17").await.right(), Right::First { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_share_a_connection_and_a_handle_that_is_kept_does_not_keep_it() {
    let server = RedisServer::start().await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let clients = async || {
        let reply = server.command(&["CLIENT", "LIST"]).await.unwrap();
        // But for those who ask.
        reply.text().unwrap().lines().filter(|client| !client.contains("cmd=client")).count()
    };
    let tasks = alive();
    assert_eq!(clients().await, 0);
    let process = Process::start(&server, config(), 7).await;
    let connected = clients().await;
    assert!(connected > 0);
    let kinds = ["refunds", "refunds", "payouts"];
    let kinds = kinds.map(|kind| process.mesh.operations::<String>(kind, JsonCodec::new(1)).open().unwrap());
    for (nth, kind) in kinds.iter().chain([&process.charges]).enumerate() {
        let begun = kind.begin(format!("{nth}"), REQUEST).await;
        let Ok(Begun::Run(claim)) = begun else { panic!("{nth}: {begun:?}") };
        assert_eq!(claim.finish(&receipt()).await.unwrap(), OperationEnd::Kept);
    }
    assert_eq!(clients().await, connected);
    let claim = process.claim("17").await;
    process.mesh.shutdown(ms(0)).await;
    drop(process.mesh);
    eventually("no connection is left, nor a task", async || (clients().await, alive()) == (0, tasks)).await;
    assert!(matches!(process.charges.begin("18", REQUEST).await, Err(OperationError::ShutDown)));
    assert_eq!(claim.ownership().hold(), Hold::Unattended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_and_comes_back_empty_fences_the_owner_and_says_so() {
    let mut server = RedisServer::start().await;
    let process = Process::start(&server, config(), 7).await;
    let (claim, late, brief) = (process.claim("17").await, process.claim("18").await, process.claim("19").await);
    let fence = claim.fence();
    server.kill();
    assert_eq!(brief.finish(&receipt()).await.unwrap(), OperationEnd::Unknown, "nobody knows what a dead store knew");
    assert_eq!(lost(&claim).await, Hold::Lapsed);
    let refused = process.charges.begin("20", REQUEST).await;
    assert!(matches!(refused, Err(OperationError::StoreLost { .. })), "{refused:?}");
    server.start_again().await;
    eventually("the owner hears of it", async || claim.ownership().hold() == Hold::TakenAway).await;
    eventually("the other one too", async || late.ownership().hold() == Hold::TakenAway).await;
    assert_eq!(claim.finish(&receipt()).await.unwrap(), OperationEnd::Fenced);
    let again = process.claim("17").await;
    assert!(
        matches!(again.right(), Right::First { .. }) && again.fence() > fence,
        "the store has forgotten: {again:?}"
    );
    assert_eq!(again.finish(&receipt()).await.unwrap(), OperationEnd::Kept);
    assert_eq!(late.abandon().await, OperationEnd::Fenced);
    // Recorders are told behind the owner's back.
    let ends = || process.notes.of("mesh.operation.duration");
    let taken_away = || ends().iter().filter(|end| *end == "charges: taken-away").count();
    eventually("it is told of both", async || taken_away() >= 2).await;
    assert_eq!(taken_away(), 2, "{:?}", ends());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_remembers_gives_the_owner_his_lease_back() {
    let mut server = RedisServer::builder().append_only().setting("appendfsync", "always").start().await;
    let process = Process::start(&server, config(), 7).await;
    let claim = process.claim("17").await;
    server.kill();
    assert_eq!(lost(&claim).await, Hold::Lapsed);
    server.start_again().await;
    eventually("it is held again", async || claim.ownership().hold() == Hold::Held).await;
    assert_eq!(claim.finish(&receipt()).await.unwrap(), OperationEnd::Kept);
    assert_eq!(process.told("17").await, receipt());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_leases_lapse_and_nothing_is_begun_but_what_runs_anyway() {
    let server = RedisServer::start().await;
    let process = Process::start(&server, config(), 7).await;
    let reckless = Process::start(&server, anyway(), 7).await;
    let claim = process.claim("17").await;
    server.freeze();
    assert_eq!(lost(&claim).await, Hold::Lapsed);
    let refused = process.charges.begin("18", REQUEST).await;
    assert!(matches!(refused, Err(OperationError::StoreLost { .. })), "{refused:?}");
    let unprotected = reckless.claim("19").await;
    assert_eq!(unprotected.right(), Right::Unprotected);
    assert_eq!(unprotected.finish(&receipt()).await.unwrap(), OperationEnd::Unprotected);
    server.thaw();
    eventually("it is held again", async || claim.ownership().hold() == Hold::Held).await;
    assert_eq!(claim.finish(&receipt()).await.unwrap(), OperationEnd::Kept);
    assert_eq!(reckless.told("17").await, receipt());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_somebody_poisoned_is_an_error_and_not_carried_out_again() {
    let server = RedisServer::start().await;
    let process = Process::start(&server, anyway(), 7).await;
    let claim = process.claim("17").await;
    assert_eq!(claim.finish(&receipt()).await.unwrap(), OperationEnd::Kept);
    let (key, _) = server_has(&server).await;
    for poison in [&["HSET", &*key, "r", "garbage"][..], &["HDEL", &key, "r"]] {
        server.command(poison).await.unwrap();
        let refused = process.charges.begin("17", REQUEST).await;
        let Err(OperationError::Unreadable { reason, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(reason, ReadError::Store, "{poison:?}");
    }
    let unreadable = ["charges: unreadable".to_owned(), "charges: unreadable".to_owned()];
    let begun = || process.notes.of("mesh.operation.begin.duration");
    eventually("it is told of both", async || begun().ends_with(&unreadable)).await;
}

/// The only key of an operation that is there, and all that is in it.
async fn server_has(server: &RedisServer) -> (String, String) {
    let keys = server.command(&["KEYS", "mesh:v1:*:id"]).await.unwrap();
    let [key] = keys.items() else { panic!("{keys:?}") };
    let key = key.text().unwrap().to_owned();
    let kept = server.command(&["HGETALL", &key]).await.unwrap();
    let kept = kept.items().iter().map(|word| {
        let Reply::Bulk(Some(bytes)) = word else { panic!("{word:?}") };
        String::from_utf8_lossy(bytes).into_owned()
    });
    (key, kept.collect::<Vec<_>>().join(" "))
}

/// A process that charges cards.
#[derive(Debug)]
struct Process {
    mesh: ServiceMesh,
    charges: Operations<String>,
    notes: Notes,
}

impl Process {
    /// One that seals with the key `number`.
    async fn start(server: &RedisServer, config: OperationConfig, number: u8) -> Self {
        let mut redis = RedisConfig::at(&server.url()).unwrap();
        redis.link.retry_max = ms(200);
        let notes = Notes::default();
        let sealer = Sealer::with_keys(KeyRing::new(SealKey::new(1, &[number; 32]).unwrap()));
        let builder = ServiceMesh::builder().redis_config(redis).seal(sealer).recorder(notes.clone());
        let mesh = builder.build().await.unwrap();
        let charges = mesh.operations("charges", JsonCodec::new(1)).config(config).open().unwrap();
        let process = Self { mesh, charges, notes };
        let connects = async || match process.charges.begin("nothing", REQUEST).await {
            Ok(Begun::Run(claim)) => claim.abandon().await == OperationEnd::Forgotten,
            Ok(Begun::Done(_)) | Err(_) => false,
        };
        eventually("it is connected", connects).await;
        process
    }

    /// Begins, and is to carry it out.
    async fn claim(&self, key: &str) -> Claim<String> {
        match self.charges.begin(key, REQUEST).await.unwrap() {
            Begun::Run(claim) => claim,
            Begun::Done(result) => panic!("it was carried out before: {result}"),
        }
    }

    async fn told(&self, key: &str) -> String {
        match self.charges.begin(key, REQUEST).await.unwrap() {
            Begun::Done(result) => result,
            Begun::Run(claim) => panic!("it is to be carried out: {claim:?}"),
        }
    }
}

/// How `claim` is lost.
async fn lost(claim: &Claim<String>) -> Hold {
    timeout(PATIENCE, claim.lost()).await.unwrap()
}

/// Soon enough for a test, slow enough for a busy machine.
fn config() -> OperationConfig {
    let mut config = OperationConfig::default();
    (config.lease, config.end_within) = (secs(3), secs(2));
    config
}

/// Carries out what the store says nothing of.
fn anyway() -> OperationConfig {
    let mut config = config();
    config.store_lost = StoreLost::RunAnyway;
    config
}

fn receipt() -> String {
    "receipt 17".to_owned()
}

const REQUEST: &str = "100 EUR from 4111-1111";
