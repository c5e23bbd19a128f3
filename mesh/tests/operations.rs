//! Operations that are carried out once by a fleet, on paused time: who begins one, waits for it, ends it or leaves it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod operations_world;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::operations::{Failed, Hold, OperationConfig, OperationEnd, Ownership, Right, StoreLost};
use mesh::{Begun, OperationError, ServiceMesh};

use operations_world::{Fleet, Mode, Process, RECEIPT, REQUEST, finish, holds, is_first, is_taken_over};
use support::{ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn an_operation_is_carried_out_once_and_its_result_told_in_every_process() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let charged = Arc::new(AtomicU32::new(0));
    let charge = |process: &Process, key: &'static str| {
        let (charges, charged) = (process.charges.clone(), Arc::clone(&charged));
        let work = async move |owner: Ownership| {
            assert!(matches!(owner.right(), Right::First { .. }) && owner.hold() == Hold::Held);
            charged.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Failed<&str>>(RECEIPT.to_owned())
        };
        // What is spawned must be Send.
        async move { tokio::spawn(async move { charges.run(key, REQUEST, work).await }).await.unwrap().unwrap() }
    };
    let first = charge(&one, "17").await;
    assert_eq!((&*first.value, first.replayed, first.end, first.is_kept()), (RECEIPT, false, OperationEnd::Kept, true));
    for process in [&other, &one] {
        let again = charge(process, "17").await;
        assert_eq!((&*again.value, again.replayed, again.is_kept()), (RECEIPT, true, true));
        assert!(
            matches!(process.charges.begin(b"17", REQUEST.as_bytes()).await, Ok(Begun::Done(_))),
            "a text is its bytes"
        );
    }
    assert_eq!(charged.load(Ordering::Relaxed), 1);
    charge(&other, "18").await;
    assert_eq!(charged.load(Ordering::Relaxed), 2, "another key is another operation");
    assert_eq!(one.begun(), ["charges: first", "charges: done", "charges: done"]);
    assert_eq!((one.ended(), other.ended()), (vec!["charges: kept".to_owned()], vec!["charges: kept".to_owned()]));
    let refunds = one.mesh.operations::<String>("refunds", JsonCodec::new(1)).open().unwrap();
    assert!(matches!(refunds.begin("17", REQUEST).await, Ok(Begun::Run(_))), "another kind has keys of its own");
}

#[tokio::test(start_paused = true)]
async fn fleets_that_share_a_store_have_operations_of_their_own() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    finish(process.claim("17").await).await;
    let mut config = fleet.lab.config.clone();
    config.memory.namespace = "other".to_owned();
    let mesh = fleet.lab.builder().config(config).coordinator(process.link.clone()).build().await.unwrap();
    let charges = mesh.operations::<String>("charges", JsonCodec::new(1)).open().unwrap();
    let Ok(Begun::Run(claim)) = charges.begin("17", REQUEST).await else { panic!("it is another fleet's") };
    assert!(is_first(&claim));
}

#[tokio::test(start_paused = true)]
async fn a_result_is_told_for_as_long_as_it_is_kept() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    finish(process.claim("17").await).await;
    pass(OperationConfig::default().keep - secs(1)).await;
    assert_eq!(process.told("17").await, RECEIPT);
    pass(secs(1)).await;
    assert!(is_first(&process.claim("17").await));
}

#[tokio::test(start_paused = true)]
async fn who_begins_meanwhile_waits_and_is_told_the_result() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    let waiting = other.begin_behind("17").await;
    // Longer than a lease: the owner is alive, and it is renewed.
    pass(secs(25)).await;
    assert!(holds(&claim) && !waiting.is_finished() && other.begun().is_empty());
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    let (took, told) = fleet.time(waiting).await;
    assert!(matches!(told.unwrap(), Ok(Begun::Done(result)) if result == RECEIPT));
    assert!(took <= OperationConfig::default().ask_every, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_told_that_somebody_is_at_it() {
    let fleet = Fleet::new();
    let mut config = OperationConfig::default();
    config.wait_max = secs(3);
    let (one, other) = (fleet.process().await, fleet.process_with(config).await);
    let claim = one.claim("17").await;
    let (took, refused) = fleet.time(other.begin("17")).await;
    let Err(error @ OperationError::InFlight { lease_left, .. }) = refused else { panic!("{refused:?}") };
    assert!(error.is_transient() && lease_left > Duration::ZERO && lease_left <= config.lease, "{error}");
    assert!(took >= secs(3) && took < ms(3_100), "{took:?}");
    assert_eq!(other.begun(), ["charges: in-flight"]);
    config.wait_max = Duration::ZERO;
    let hasty = fleet.process_with(config).await;
    let (took, refused) = fleet.time(hasty.begin("17")).await;
    assert!(matches!(refused, Err(OperationError::InFlight { .. })) && took < ms(1), "{took:?}: {refused:?}");
    assert_eq!(finish(claim).await, OperationEnd::Kept);
}

#[tokio::test(start_paused = true)]
async fn another_operation_under_the_same_key_is_refused_at_once_and_changes_nothing() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    for finished in [false, true] {
        let refused = other.charges.begin("17", "999 EUR").await.unwrap_err();
        assert!(matches!(refused, OperationError::Mismatch { .. }) && !refused.is_transient(), "{finished}: {refused}");
        let refused = other.charges.run("17", "", async |_| Ok::<_, Failed<&str>>(String::new())).await.unwrap_err();
        assert!(matches!(refused.refused(), Some(OperationError::Mismatch { .. })), "{finished}: {refused}");
    }
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    assert!(matches!(other.charges.begin("17", "999 EUR").await, Err(OperationError::Mismatch { .. })));
    assert_eq!(other.told("17").await, RECEIPT);
    assert_eq!(other.begun()[0], "charges: mismatch");
}

#[tokio::test(start_paused = true)]
async fn after_what_was_certainly_not_carried_out_the_next_is_the_first_with_a_greater_fence() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    let fence = claim.fence().unwrap();
    assert_eq!(claim.abandon().await, OperationEnd::Forgotten);
    let error = other.charges.run("17", REQUEST, async |owner| {
        assert!(matches!(owner.right(), Right::First { .. }) && owner.fence().unwrap() > fence);
        Err(Failed::NotCarriedOut("no connection"))
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.to_string(), "no connection (the operation: forgotten)");
    assert_eq!(error.into_failed(), Some("no connection"));
    assert!(is_first(&one.claim("17").await));
    assert_eq!(
        (&one.ended()[..1], &other.ended()[..]),
        (&["charges: forgotten".to_owned()][..], &["charges: forgotten".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_left_with_an_unknown_outcome_is_taken_over_at_once_by_somebody_who_is_told() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let mut fence = None;
    for (way, leave) in WAYS.iter().enumerate() {
        let key = "17";
        let charges = one.charges.clone();
        let left = tokio::spawn(leave_by(charges, *leave));
        if matches!(leave, Leave::Cancelled) {
            settle().await;
            left.abort();
        }
        let _ = left.await;
        settle().await;
        let (took, claim) = fleet.time(other.claim(key)).await;
        assert!(is_taken_over(&claim), "{leave:?}: {claim:?}");
        assert!(took < ms(1), "{leave:?} was waited for: {took:?}");
        assert!(claim.fence() > fence, "{leave:?}");
        assert_eq!(one.ended()[way], "charges: handed-over", "{leave:?}");
        fence = claim.fence();
        assert_eq!(claim.hand_over().await, OperationEnd::HandedOver);
    }
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Dropped,
    Told,
    Failed,
    Panicked,
    Cancelled,
}

const WAYS: [Leave; 5] = [Leave::Dropped, Leave::Told, Leave::Failed, Leave::Panicked, Leave::Cancelled];

async fn leave_by(charges: mesh::Operations<String>, leave: Leave) {
    match leave {
        Leave::Dropped => drop(charges.begin("17", REQUEST).await.unwrap()),
        Leave::Told => {
            let Ok(Begun::Run(claim)) = charges.begin("17", REQUEST).await else { panic!("nobody is at it") };
            assert_eq!(claim.hand_over().await, OperationEnd::HandedOver);
        }
        Leave::Failed | Leave::Panicked | Leave::Cancelled => {
            let work = async |_| match leave {
                Leave::Panicked => panic!("on purpose"),
                Leave::Cancelled => std::future::pending().await,
                Leave::Dropped | Leave::Told | Leave::Failed => Ok(Err("timed out")?),
            };
            let error = charges.run("17", REQUEST, work).await.unwrap_err();
            assert_eq!(error.to_string(), "timed out (the operation: handed-over)");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_took_over_and_did_nothing_does_not_make_the_next_one_the_first() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    drop(process.claim("17").await);
    settle().await;
    let error = process.charges.run("17", REQUEST, async |_| Err(Failed::NotCarriedOut("refused"))).await.unwrap_err();
    assert_eq!(error.to_string(), "refused (the operation: handed-over)");
    let claim = process.claim("17").await;
    assert!(is_taken_over(&claim), "nobody knows what the first one did");
    // Who has found out that the first did nothing says so.
    assert_eq!(claim.abandon().await, OperationEnd::Forgotten);
    assert!(is_first(&process.claim("17").await));
}

#[tokio::test(start_paused = true)]
async fn a_begin_that_is_dropped_is_called_off_wherever_it_is() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    // The store has carried it out, and its answer is under way.
    one.link.set(Mode::Slow(ms(50)));
    let begin = one.begin_behind("17").await;
    begin.abort();
    pass(ms(120)).await;
    one.link.set(Mode::Up);
    assert_eq!(one.begun(), ["charges: called-off"]);
    let claim = other.claim("17").await;
    assert!(is_first(&claim), "{claim:?}");
    // Somebody else is waited for.
    let begin = one.begin_behind("17").await;
    begin.abort();
    settle().await;
    assert_eq!(one.begun()[1..], ["charges: called-off"]);
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    assert_eq!(one.told("17").await, RECEIPT);
    assert!(one.ended().is_empty(), "it never was its: {:?}", one.ended());
}

#[tokio::test(start_paused = true)]
async fn a_right_that_nobody_fetched_is_given_back_as_what_it_was() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    for taken_over in [false, true] {
        let mut begin = Box::pin(one.begin("17"));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(begin.as_mut().poll(context).is_ready()));
        assert!(!polled.await, "the store was asked, and no more");
        settle().await;
        assert_eq!(one.begun().last().unwrap(), if taken_over { "charges: taken-over" } else { "charges: first" });
        drop(begin);
        settle().await;
        let (took, claim) = fleet.time(other.claim("17")).await;
        assert_eq!((is_taken_over(&claim), took < ms(1)), (taken_over, true), "{claim:?} after {took:?}");
        drop(claim);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_begin_whose_answer_is_lost_costs_the_next_one_a_lease_dropped_or_carried_out_without_the_store() {
    let fleet = Fleet::new();
    let mut anyway = OperationConfig::default();
    anyway.store_lost = StoreLost::RunAnyway;
    let (one, other) = (fleet.process_with(anyway).await, fleet.process().await);
    for key in ["dropped", "carried out"] {
        one.link.set(Mode::Deaf);
        let began = fleet.lab.now();
        if key == "dropped" {
            one.begin_behind(key).await.abort();
        } else {
            assert_eq!(finish(one.claim(key).await).await, OperationEnd::Unprotected);
        }
        // What is asked last is given up.
        pass(ms(600)).await;
        one.link.set(Mode::Up);
        let claim = other.claim(key).await;
        let took = fleet.lab.now().since(began);
        assert!(is_taken_over(&claim) && took >= OperationConfig::default().lease, "{key}: {claim:?} after {took:?}");
    }
    assert_eq!(one.begun(), ["charges: called-off", "charges: unprotected"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_though_nobody_waits_for_it() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    one.link.set(Mode::Slow(ms(50)));
    let finishing = tokio::spawn(finish(claim));
    settle().await;
    finishing.abort();
    pass(ms(60)).await;
    assert_eq!(other.told("17").await, RECEIPT);
    assert_eq!(one.ended(), ["charges: kept"]);
}

#[tokio::test(start_paused = true)]
async fn names_and_numbers_that_break_a_rule_are_refused_as_is_a_mesh_without_a_store() {
    let fleet = Fleet::new();
    let mesh = fleet.process().await.mesh;
    let open = |mesh: &ServiceMesh, name: &str, config| {
        mesh.operations::<String>(name, JsonCodec::new(1)).config(config).open().map(|_| ()).map_err(|e| e.to_string())
    };
    let mut config = OperationConfig::default();
    config.lease = ms(1);
    let refused = open(&mesh, "charges", config).unwrap_err();
    assert_eq!(refused, "lease: 1ms is not allowed: must be 100ms to 1h");
    for name in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
        let refused = open(&mesh, name, OperationConfig::default()).unwrap_err();
        assert!(refused.starts_with("operations.name: ") && refused.contains("must be 1 to 64"), "{refused}");
    }
    assert_eq!(open(&mesh, &"a".repeat(64), OperationConfig::default()), Ok(()));
    let alone = ServiceMesh::builder().build().await.unwrap();
    let refused = open(&alone, "charges", OperationConfig::default()).unwrap_err();
    assert!(refused.starts_with("operations: charges is not allowed: must come with a store"), "{refused}");
}
