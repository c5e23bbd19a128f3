//! What operations come to: results that are too long, cannot be written or read, are somebody else's; and who sees them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod operations_world;
mod support;

use mesh::OperationError;
use mesh::mesh_cache::codec::{CodecError, JsonCodec};
use mesh::mesh_cache::seal::{Sealer, UnsealError};
use mesh::mesh_retry::coordinator::store::RESULT_BYTES_MAX;
use mesh::operations::{Failed, KeepError, OperationConfig, OperationEnd, ReadError, StoreLost, Unfinished};

use operations_world::{Fleet, Process, RECEIPT, REQUEST, Raw, finish, is_taken_over, sealer};
use support::logs::Logs;

#[tokio::test(start_paused = true)]
async fn a_result_may_be_as_long_as_a_store_keeps_sealed_and_the_claim_outlives_one_that_is_longer() {
    let fleet = Fleet::new();
    let process = fleet.process_of(OperationConfig::default(), sealer(7), Raw).await;
    let longest = "x".repeat(RESULT_BYTES_MAX - SEALED);
    let claim = process.claim("17").await;
    let Unfinished { claim, reason, .. } = claim.finish(&format!("{longest}x")).await.unwrap_err();
    assert_eq!(reason, KeepError::TooLong { bytes: RESULT_BYTES_MAX + 1, bytes_max: RESULT_BYTES_MAX });
    assert!(process.ended().is_empty(), "the operation goes on");
    assert_eq!(claim.finish(&longest).await.unwrap(), OperationEnd::Kept);
    assert_eq!(process.told("17").await, longest);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_kept_is_returned_and_the_next_one_takes_over() {
    let fleet = Fleet::new();
    let process = fleet.process_of(OperationConfig::default(), Sealer::open_hints(), Raw).await;
    let long = "x".repeat(RESULT_BYTES_MAX);
    for (result, why) in [
        ("unwritable", KeepError::Codec(CodecError::Unwritable)),
        ("panic", KeepError::Codec(CodecError::Panicked)),
        (&long, KeepError::TooLong { bytes: RESULT_BYTES_MAX + HINT, bytes_max: RESULT_BYTES_MAX }),
    ] {
        let carried = process.charges.run(result, REQUEST, async |_| Ok::<_, Failed<&str>>(result.to_owned())).await;
        let carried = carried.unwrap();
        assert_eq!((&*carried.value, carried.replayed, carried.end), (result, false, OperationEnd::HandedOver));
        assert_eq!((carried.is_kept(), carried.not_kept), (false, Some(why)));
        let claim = process.claim(result).await;
        assert!(is_taken_over(&claim), "{claim:?}");
        let Unfinished { claim, .. } = claim.finish(&result.to_owned()).await.unwrap_err();
        assert_eq!(claim.finish(&RECEIPT.to_owned()).await.unwrap(), OperationEnd::Kept);
        assert_eq!(process.told(result).await, RECEIPT);
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_key_sealed_or_nobody_is_neither_believed_nor_carried_out_again() {
    let fleet = Fleet::new();
    let own = of(&fleet, sealer(7), 1).await;
    finish(own.claim("17").await).await;
    let unsealed = of(&fleet, Sealer::open_hints(), 1).await;
    finish(unsealed.claim("18").await).await;
    for (process, key, why) in [
        (of(&fleet, sealer(8), 1).await, "17", UnsealError::Forged { key_id: 1 }),
        (unsealed, "17", UnsealError::NoKey { key_id: 1 }),
        (of(&fleet, sealer(7), 1).await, "18", UnsealError::Unsealed),
    ] {
        assert_eq!(unreadable(&process, key).await, ReadError::Seal(why));
        let refused = process.charges.run(key, REQUEST, async |_| -> Result<String, Failed<&str>> { panic!("again") });
        assert!(matches!(refused.await.unwrap_err().refused(), Some(OperationError::Unreadable { .. })));
    }
    assert_eq!(own.told("17").await, RECEIPT);
    let migrating = of(&fleet, sealer(7).accept_hints(), 1).await;
    assert_eq!((migrating.told("17").await, migrating.told("18").await), (RECEIPT.to_owned(), RECEIPT.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_result_of_another_schema_is_never_given_to_the_codec_sealed_or_not() {
    let fleet = Fleet::new();
    for (key, sealer) in [("17", sealer(7)), ("18", Sealer::open_hints())] {
        let (old, new) = (of(&fleet, sealer.clone(), 1).await, of(&fleet, sealer, 2).await);
        finish(old.claim(key).await).await;
        assert_eq!(unreadable(&new, key).await, ReadError::Schema { written: 1, read: 2 });
        assert_eq!(old.told(key).await, RECEIPT);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_the_codec_does_not_read_are_an_error_and_no_panic() {
    let fleet = Fleet::new();
    let process = fleet.process_of(anyway(), Sealer::open_hints(), Raw).await;
    let claim = process.claim("17").await;
    claim.finish(&"unreadable".to_owned()).await.unwrap();
    assert_eq!(unreadable(&process, "17").await, ReadError::Codec(CodecError::Panicked));
    let json = of(&fleet, Sealer::open_hints(), 1).await;
    assert_eq!(unreadable(&json, "17").await, ReadError::Codec(CodecError::Malformed { line: 1, column: 1 }));
    let mut hint = json.link.told();
    hint.truncate(HINT - 4 + 3);
    *hint.get_mut(HINT - 5).unwrap() = 3;
    json.link.replay(hint);
    assert_eq!(unreadable(&json, "17").await, ReadError::Empty);
    json.link.replay(b"garbage".to_vec());
    assert!(matches!(unreadable(&json, "17").await, ReadError::Seal(UnsealError::NotAnEnvelope)));
}

#[tokio::test(start_paused = true)]
async fn a_store_cannot_tell_one_operations_result_as_anothers() {
    let fleet = Fleet::new();
    let process = of(&fleet, sealer(7), 1).await;
    finish(process.claim("17").await).await;
    process.told("17").await;
    let seventeen = process.link.told();
    finish(process.claim("18").await).await;
    process.link.replay(seventeen);
    let forged = ReadError::Seal(UnsealError::Forged { key_id: 1 });
    assert_eq!(unreadable(&process, "18").await, forged, "another key");
    let refunds = process.mesh.operations::<String>("refunds", JsonCodec::new(1)).open().unwrap();
    let mesh::Begun::Run(claim) = refunds.begin("17", REQUEST).await.unwrap() else { panic!("it is another kind") };
    finish(claim).await;
    let error = refunds.begin("17", REQUEST).await.unwrap_err();
    assert!(matches!(error, OperationError::Unreadable { reason, .. } if reason == forged), "another kind");
    fleet.forget();
    let mesh::Begun::Run(claim) = process.charges.begin("17", "999 EUR").await.unwrap() else { panic!("forgotten") };
    finish(claim).await;
    let error = process.charges.begin("17", "999 EUR").await.unwrap_err();
    assert!(matches!(error, OperationError::Unreadable { reason, .. } if reason == forged), "another request");
}

#[tokio::test(start_paused = true)]
async fn neither_keys_nor_requests_nor_results_nor_tokens_are_shown_or_logged() {
    let (logs, _guard) = Logs::listen_to(tracing::Level::TRACE);
    let fleet = Fleet::new();
    let process = of(&fleet, sealer(7), 1).await;
    let stranger = of(&fleet, sealer(8), 1).await;
    let mut shown = String::new();
    let claim = process.claim("secret-key").await;
    shown += &format!("{claim:?} {:?} {:?}", claim.ownership(), process.charges);
    let long = "long-result".repeat(RESULT_BYTES_MAX);
    let unfinished = claim.finish(&long).await.unwrap_err();
    shown += &format!("{unfinished} {unfinished:?}");
    finish(unfinished.claim).await;
    shown += &format!("{:?}", stranger.begin("secret-key").await.unwrap_err());
    let carried = process.charges.run("secret-key", REQUEST, async |_| Ok::<_, Failed<&str>>(String::new())).await;
    shown += &format!("{carried:?} {:?}", process.mesh.operations::<String>("charges", JsonCodec::new(1)));
    shown += &format!("{:?}", process.begin("secret-key").await.unwrap());
    let mismatch = process.charges.begin("secret-key", "other request").await.unwrap_err();
    shown += &format!("{mismatch} {mismatch:?} {:?}", process.notes.all());
    let text = logs.text();
    assert!(text.contains("an operation was begun") && text.contains("cannot be read"), "{text}");
    let mut secrets =
        ["secret-key", REQUEST, "4111", "long-result", RECEIPT, "other request"].map(str::to_owned).to_vec();
    let owners = [process.link.owners(), stranger.link.owners()].concat();
    assert!(owners.len() >= 5, "{}", owners.len());
    secrets.extend(owners.iter().flat_map(|owner| spellings(owner.bits())));
    let (shown, text) = (shown.to_lowercase(), text.to_lowercase());
    for secret in secrets.iter().map(|secret| secret.to_lowercase()) {
        assert!(!shown.contains(&secret), "{secret} is in {shown}");
        assert!(!text.contains(&secret), "{secret} is in {text}");
    }
}

/// How a token might be written: as a number or the two words that were drawn for it, in decimal or hexadecimal digits.
fn spellings(bits: u128) -> Vec<String> {
    let words = [bits, bits >> 64, bits & u128::from(u64::MAX)];
    words.iter().flat_map(|word| [format!("{word}"), format!("{word:x}")]).collect()
}

/// A process that would carry out whatever the store says nothing of.
async fn of(fleet: &Fleet, sealer: Sealer, schema: u32) -> Process {
    fleet.process_of(anyway(), sealer, JsonCodec::new(schema)).await
}

fn anyway() -> OperationConfig {
    let mut config = OperationConfig::default();
    config.store_lost = StoreLost::RunAnyway;
    config
}

/// Why the result of the operation `key` is not told.
async fn unreadable(process: &Process, key: &str) -> ReadError {
    let refused = process.begin(key).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    let OperationError::Unreadable { reason, .. } = refused else { panic!("{refused}") };
    reason
}

/// What an envelope without a seal adds to a result: its head, and the schema.
const HINT: usize = 71 + 4;
/// What a sealed one adds: nonce and tag besides.
const SEALED: usize = HINT + 24 + 16;
