//! Operations that are carried out once, when owners die, links are cut and the store is away or forgets; on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod operations_world;
mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;

use mesh::mesh_cache::codec::JsonCodec;
use mesh::mesh_cache::coordinator_store::CoordinatorStore as _;
use mesh::mesh_core::recorder::{Measurement, Recorder};
use mesh::mesh_retry::coordinator::store::{
    Begin, Begun as Told, Fingerprint, OwnerToken, StateKey, StoreCommand, StoreReply,
};
use mesh::operations::{Failed, Hold, OperationConfig, OperationEnd, Operations, Right, StoreLost};
use mesh::{Begun, OperationError, ServiceMesh};
use tokio::runtime::Builder;
use tokio::time::timeout;

use operations_world::{Fleet, Mode, RECEIPT, REQUEST, finish, holds, is_first, is_taken_over};
use support::logs::Logs;
use support::{PATIENCE, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_is_taken_over_from_after_its_lease_and_not_before() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    let fence = claim.fence();
    pass(secs(20)).await;
    drop(one.mesh);
    settle().await;
    assert_eq!((claim.ownership().hold(), claim.lost().await), (Hold::Unattended, Hold::Unattended));
    let lease = OperationConfig::default().lease;
    let (took, taken) = fleet.time(other.claim("17")).await;
    assert!(is_taken_over(&taken) && taken.fence() > fence, "{taken:?}");
    // The last renewal was up to a third of a lease before; and what is left of it is asked for at most a second late.
    assert!(took >= lease * 2 / 3 - ms(10) && took <= lease + secs(1), "{took:?}");
    assert_eq!(finish(claim).await, OperationEnd::Unknown, "there is nobody to tell the store");
    assert!(matches!(one.charges.begin("18", REQUEST).await, Err(OperationError::ShutDown)));
    assert_eq!(finish(taken).await, OperationEnd::Kept);
    assert_eq!(other.told("17").await, RECEIPT);
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_is_cut_off_is_told_that_it_lapsed_and_that_it_was_taken_away() {
    let (logs, _guard) = Logs::listen();
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("secret-key").await;
    one.link.set(Mode::Silent);
    let lost = claim.ownership().clone();
    let (took, hold) = fleet.time(lost.lost()).await;
    assert_eq!(hold, Hold::Lapsed);
    assert!(took <= OperationConfig::default().lease + ms(10), "{took:?}: not later than the store thinks");
    assert!(one.link.pending() <= 1, "who is not answered is not asked by many at once");
    assert!(logs.text().contains("somebody may take over"), "{}", logs.text());
    let (took, taken) = fleet.time(other.claim("secret-key")).await;
    assert!(is_taken_over(&taken) && took < secs(1), "{taken:?} after {took:?}");
    assert_eq!(finish(taken).await, OperationEnd::Kept);
    one.link.set(Mode::Up);
    pass(secs(3)).await;
    assert_eq!((claim.ownership().hold(), one.ended()), (Hold::TakenAway, vec!["charges: taken-away".to_owned()]));
    assert_eq!(claim.finish(&"another receipt".to_owned()).await.unwrap(), OperationEnd::Fenced);
    assert_eq!((lost.hold(), one.told("secret-key").await), (Hold::TakenAway, RECEIPT.to_owned()));
    let text = logs.text();
    assert!(text.contains("was taken over from its owner") && text.contains("operation=\"charges\""), "{text}");
    for secret in ["secret-key", REQUEST, RECEIPT] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_is_slow_and_finishes_too_late_is_told_that_nothing_was_kept() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    one.link.set(Mode::Refusing);
    pass(secs(11)).await;
    let taken = other.claim("17").await;
    // Between two renewals, so that it is the finish that is refused.
    one.link.set(Mode::Up);
    assert_eq!(claim.ownership().hold(), Hold::Lapsed);
    let mine = claim.ownership().clone();
    assert_eq!(finish(claim).await, OperationEnd::Fenced);
    assert_eq!((mine.hold(), one.ended()), (Hold::Ended, vec!["charges: fenced".to_owned()]));
    assert_eq!(taken.finish(&"the other".to_owned()).await.unwrap(), OperationEnd::Kept);
    assert_eq!(one.told("17").await, "the other");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lapsed_and_nobody_wanted_is_held_again() {
    let fleet = Fleet::new();
    let process = fleet.process().await;
    let claim = process.claim("17").await;
    process.link.set(Mode::Silent);
    assert_eq!(claim.lost().await, Hold::Lapsed);
    process.link.set(Mode::Up);
    pass(secs(3)).await;
    assert!(holds(&claim), "{claim:?}");
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    assert_eq!(process.told("17").await, RECEIPT);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgets_fences_the_owner_and_lets_the_next_be_the_first_with_a_greater_fence() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let (held, late) = (one.claim("17").await, one.claim("18").await);
    let fence = held.fence();
    pass(ms(1)).await;
    fleet.forget();
    assert_eq!(finish(late).await, OperationEnd::Fenced);
    assert_eq!(held.lost().await, Hold::TakenAway, "the next renewal tells");
    let again = other.claim("17").await;
    assert!(is_first(&again) && again.fence() > fence, "{again:?} after {fence:?}");
    assert_eq!(held.hand_over().await, OperationEnd::Fenced);
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_is_carried_out_unless_that_is_wanted() {
    let fleet = Fleet::new();
    for mode in [Mode::Silent, Mode::Refusing, Mode::Panicking] {
        let process = fleet.process().await;
        process.link.set(mode);
        let (took, refused) = fleet.time(process.begin("17")).await;
        let Err(error @ OperationError::StoreLost { .. }) = refused else { panic!("{mode:?}: {refused:?}") };
        assert!(error.is_transient() && took >= secs(2) && took < secs(4), "{mode:?}: {error} after {took:?}");
        assert_eq!(process.begun(), ["charges: store-lost"]);

        let process = fleet.process_with(anyway()).await;
        process.link.set(mode);
        let claim = process.claim("17").await;
        assert_eq!((claim.right(), claim.fence()), (Right::Unprotected, None), "{mode:?}");
        let never = tokio::time::timeout(secs(100), claim.lost()).await;
        assert!(never.is_err() && holds(&claim), "there is nothing to lose");
        assert_eq!(finish(claim).await, OperationEnd::Unprotected);
        let carried = process.charges.run("17", REQUEST, async |_| Ok::<_, Failed<&str>>(RECEIPT.to_owned())).await;
        let carried = carried.unwrap();
        assert_eq!((&*carried.value, carried.end, carried.is_kept()), (RECEIPT, OperationEnd::Unprotected, false));
        assert_eq!((&*process.begun()[0], &*process.ended()[0]), ("charges: unprotected", "charges: unprotected"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_is_known_to_be_at_is_not_run_without_a_store_either() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process_with(anyway()).await);
    let claim = one.claim("17").await;
    let waiting = other.begin_behind("17").await;
    other.link.set(Mode::Silent);
    assert!(matches!(waiting.await.unwrap(), Err(OperationError::StoreLost { .. })));
    assert_eq!(finish(claim).await, OperationEnd::Kept);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_room_says_so_and_not_that_somebody_else_is_at_it() {
    let fleet = Fleet::new();
    let process = fleet.process_with(anyway()).await;
    let claim = process.claim("17").await;
    let others = Begin {
        key: StateKey::new(0),
        fingerprint: Fingerprint::new(0),
        owner: OwnerToken::new(0),
        lease: secs(1),
        keep: secs(60),
    };
    for key in 0..4_095 {
        let other = StoreCommand::Begin(Begin { key: StateKey::new(key), ..others });
        let begun = process.link.apply(other).await.unwrap();
        assert!(matches!(begun, StoreReply::Begun(Told::Fresh { .. })), "{key}: {begun:?}");
    }
    let (took, refused) = fleet.time(process.begin("18")).await;
    let Err(error @ OperationError::StoreFull { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.is_transient() && took < ms(1), "{error} after {took:?}");
    assert_eq!(process.begun().last().unwrap(), "charges: store-full");
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    assert_eq!(process.told("17").await, RECEIPT, "what is there is told");
    pass(secs(61)).await;
    assert!(is_first(&process.claim("18").await), "the others are forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_store_does_not_answer_is_unknown_and_the_result_is_returned_all_the_same() {
    let fleet = Fleet::new();
    let mut config = OperationConfig::default();
    config.end_within = secs(3);
    let (one, other) = (fleet.process_with(config).await, fleet.process().await);
    for (key, mode) in [("17", Mode::Silent), ("18", Mode::Deaf)] {
        let link = one.link.clone();
        let work = async |_| {
            link.set(mode);
            Ok::<_, Failed<&str>>(RECEIPT.to_owned())
        };
        let (took, carried) = fleet.time(one.charges.run(key, REQUEST, work)).await;
        let carried = carried.unwrap();
        assert_eq!(
            (&*carried.value, carried.end, carried.replayed),
            (RECEIPT, OperationEnd::Unknown, false),
            "{mode:?}"
        );
        assert!(took >= secs(3) && took < secs(5), "{mode:?}: {took:?}");
        one.link.set(Mode::Up);
    }
    assert!(is_taken_over(&other.claim("17").await), "the store never heard of the end");
    assert_eq!(other.told("18").await, RECEIPT, "it was its answer that was lost");
    assert_eq!(one.ended(), ["charges: unknown", "charges: unknown"]);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_cost_nothing_but_time() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    one.link.set(Mode::Deaf);
    let begin = one.begin_behind("17").await;
    pass(ms(600)).await;
    one.link.set(Mode::Up);
    let Ok(Begun::Run(claim)) = begin.await.unwrap() else { panic!("it is its own") };
    assert!(is_first(&claim), "its own token is known: {claim:?}");
    one.link.set(Mode::Deaf);
    let finishing = tokio::spawn(finish(claim));
    pass(ms(600)).await;
    one.link.set(Mode::Up);
    assert_eq!(finishing.await.unwrap(), OperationEnd::Kept);
    assert_eq!(other.told("17").await, RECEIPT);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_operations_and_their_ends() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let (finished, dropped) = (one.claim("17").await, one.claim("18").await);
    one.link.set(Mode::Slow(ms(300)));
    let ending = tokio::spawn(async move {
        tokio::time::sleep(secs(1)).await;
        drop(dropped);
        finish(finished).await
    });
    let (took, report) = fleet.time(one.mesh.shutdown(secs(5))).await;
    assert!(report.is_clean() && took >= ms(1_300) && took < secs(2), "{report:?} after {took:?}");
    assert_eq!(ending.await.unwrap(), OperationEnd::Kept);
    assert_eq!(other.told("17").await, RECEIPT);
    let (took, taken) = fleet.time(other.claim("18")).await;
    assert!(is_taken_over(&taken) && took < ms(1), "{taken:?} after {took:?}");
    drop(taken);
    assert!(other.mesh.shutdown(secs(5)).await.is_clean());
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_a_shutdown_is_unattended_and_taken_over_after_its_lease() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process().await, fleet.process().await);
    let claim = one.claim("17").await;
    let theirs = other.claim("18").await;
    let waiting = one.begin_behind("18").await;
    let (took, report) = fleet.time(one.mesh.shutdown(secs(2))).await;
    assert_eq!((report.operations_left, report.is_clean()), (2, false));
    assert!(took >= secs(2) && took < ms(2_100), "{took:?}");
    assert!(matches!(waiting.await.unwrap(), Err(OperationError::ShutDown)));
    let refused = one.begin("19").await;
    assert!(matches!(&refused, Err(error @ OperationError::ShutDown) if !error.is_transient()), "{refused:?}");
    assert_eq!(claim.lost().await, Hold::Unattended);
    drop(claim);
    let (took, taken) = fleet.time(other.claim("17")).await;
    assert!(is_taken_over(&taken) && took > secs(6), "its owner may be at it yet: {took:?}");
    assert_eq!(finish(theirs).await, OperationEnd::Kept);
}

#[tokio::test(start_paused = true)]
async fn a_handle_or_a_claim_that_is_kept_keeps_no_connection_of_a_mesh_that_is_gone() {
    let fleet = Fleet::new();
    for is_shut_down in [true, false] {
        let process = fleet.process().await;
        let (claim, left) = (process.claim("17").await, process.begin_behind("17").await);
        let operations_world::Process { mesh, charges, link, .. } = process;
        if is_shut_down {
            mesh.shutdown(secs(0)).await;
        }
        drop(mesh);
        settle().await;
        assert!(left.is_finished());
        assert_eq!(link.holders(), 1, "shut down: {is_shut_down}");
        assert!(matches!(charges.begin("18", REQUEST).await, Err(OperationError::ShutDown)));
        assert_eq!(finish(claim).await, OperationEnd::Unknown);
        pass(OperationConfig::default().lease).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_changes_nothing_for_whoever_begins() {
    let (logs, _guard) = Logs::listen();
    let fleet = Fleet::new();
    let (_mesh, charges) = recorded_by(&fleet, Broken).await;
    let Ok(Begun::Run(claim)) = charges.begin("17", REQUEST).await else { panic!("nobody is at it") };
    // Longer than a lease.
    pass(secs(25)).await;
    assert!(holds(&claim), "it is renewed: {claim:?}");
    assert_eq!(finish(claim).await, OperationEnd::Kept);
    assert!(matches!(charges.begin("17", REQUEST).await, Ok(Begun::Done(result)) if result == RECEIPT));
    assert!(matches!(charges.begin("17", "999 EUR").await, Err(OperationError::Mismatch { .. })));
    let text = logs.text();
    assert_eq!(text.matches("the recorder panicked").count(), 4, "three begins and an end: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_takes_its_time_keeps_nobody_waiting() {
    let fleet = Fleet::new();
    let (go_on, told) = channel();
    let (_mesh, charges) = recorded_by(&fleet, Slow(Mutex::new(told))).await;
    let begun = timeout(PATIENCE, charges.begin("17", REQUEST)).await.unwrap();
    let Ok(Begun::Run(claim)) = begun else { panic!("nobody is at it: {begun:?}") };
    go_on.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, finish(claim)).await.unwrap(), OperationEnd::Kept);
    go_on.send(()).unwrap();
    let again = timeout(PATIENCE, charges.begin("17", REQUEST)).await.unwrap();
    assert!(matches!(again, Ok(Begun::Done(_))), "{again:?}");
    go_on.send(()).unwrap();
    let refused = timeout(PATIENCE, charges.begin("17", "999 EUR")).await.unwrap();
    assert!(matches!(refused, Err(OperationError::Mismatch { .. })), "{refused:?}");
    go_on.send(()).unwrap();
}

#[test]
fn a_begin_whose_runtime_ended_does_not_say_that_the_mesh_was_shut_down() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (lasting, brief) = (runtime(), runtime());
    let process = lasting.block_on(async { Fleet::new().process().await });
    process.link.set(Mode::Silent);
    let begin_there = || {
        let mut begin = Box::pin(process.begin("17"));
        let begins = std::future::poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_pending()));
        assert!(brief.block_on(begins), "the store is silent");
        begin
    };
    let (left, late) = (begin_there(), begin_there());
    drop(brief);
    let refused = lasting.block_on(left);
    let Err(error @ OperationError::Unattended { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.is_transient(), "{error}");
    process.link.set(Mode::Up);
    let begun = lasting.block_on(process.begin("17"));
    assert!(matches!(begun, Ok(Begun::Run(_))), "the mesh goes on: {begun:?}");
    lasting.block_on(process.mesh.shutdown(secs(0)));
    let refused = lasting.block_on(late);
    assert!(matches!(refused, Err(OperationError::ShutDown)), "{refused:?}");
}

/// Operations of a mesh of their own that `recorder` is told of.
async fn recorded_by(fleet: &Fleet, recorder: impl Recorder + 'static) -> (ServiceMesh, Operations<String>) {
    let link = fleet.process().await.link;
    let mesh = fleet.lab.builder().recorder(recorder).coordinator(link).build().await.unwrap();
    let charges = mesh.operations("charges", JsonCodec::new(1)).open().unwrap();
    (mesh, charges)
}

/// A recorder whose code is broken where it is told of operations.
#[derive(Debug)]
struct Broken;

impl Recorder for Broken {
    fn record(&self, measurement: &Measurement<'_>) {
        assert!(!is_of_operations(measurement), "a recorder of somebody's own");
    }
}

/// A recorder that returns from what it is told of operations when it is sent word.
#[derive(Debug)]
struct Slow(Mutex<Receiver<()>>);

impl Recorder for Slow {
    fn record(&self, measurement: &Measurement<'_>) {
        if is_of_operations(measurement) {
            // Longer than anybody waits; a sender that is gone is word enough.
            let _ = self.0.lock().unwrap().recv_timeout(PATIENCE * 2);
        }
    }
}

const fn is_of_operations(measurement: &Measurement<'_>) -> bool {
    matches!(measurement, Measurement::OperationBegan { .. } | Measurement::OperationEnded { .. })
}

/// Carries out what the store says nothing of.
fn anyway() -> OperationConfig {
    let mut config = OperationConfig::default();
    config.store_lost = StoreLost::RunAnyway;
    config
}
