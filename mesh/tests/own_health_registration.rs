//! The service's own health as its registrations show it, and as a shutdown ends it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh::mesh_core::port::Registry as _;
use mesh::mesh_core::snapshot::RegistryStatus;
use mesh::own_health::{CheckName, OwnCheck, OwnStatus, ProbeKind, Report};
use mesh::registry::MemoryRegistry;

use support::registry::{Answer, unavailable};
use support::{Lab, api, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_registration_shows_what_the_service_says_of_itself() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.register_service(api(1)).await.unwrap();
    assert_eq!(status(&lab).await, RegistryStatus::Unknown, "without checks it says nothing");
    assert_eq!(lab.registry.words(), ["api-1 up"], "lest a predecessor's word stand");
    mesh.health().register_manual(vec![readiness("db")]).unwrap();
    for (report, shown, ready) in [
        (None, RegistryStatus::Critical, false),
        (Some(Report::Pass), RegistryStatus::Passing, true),
        (Some(Report::warn("slow")), RegistryStatus::Warning, true),
        (Some(Report::fail("refused")), RegistryStatus::Critical, false),
        (Some(Report::Pass), RegistryStatus::Passing, true),
    ] {
        if let Some(report) = report {
            mesh.health().report(&name("db"), report).unwrap();
        }
        settle().await;
        assert_eq!((status(&lab).await, mesh.is_ready()), (shown, ready));
    }
    // Said in other words, it is the same.
    mesh.health().report(&name("db"), Report::warn("slow")).unwrap();
    settle().await;
    mesh.health().report(&name("db"), Report::warn("slower")).unwrap();
    settle().await;
    let words = ["up", "down db pending", "up", "degraded db warning", "down db failed", "up", "degraded db warning"];
    assert_eq!(lab.registry.words(), words.map(|word| format!("api-1 {word}")));
}

#[tokio::test(start_paused = true)]
async fn an_instance_begins_with_its_word_and_keeps_it_through_updates_and_losses() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    mesh.health().report(&name("db"), Report::warn("slow")).unwrap();
    let me = mesh.register_service(api(1)).await.unwrap();
    assert_eq!(status(&lab).await, RegistryStatus::Warning);
    me.update(support::instance_of("api", 1).tag("v2").build().unwrap()).await.unwrap();
    assert_eq!(status(&lab).await, RegistryStatus::Warning);
    lab.registry.lose(&api(1)).await;
    support::eventually("it is restored", async || !lab.registry.held("api").await.is_empty()).await;
    settle().await;
    assert_eq!(status(&lab).await, RegistryStatus::Warning);
    lab.registry.register_is(Answer::Never);
    assert!(tokio::time::timeout(ms(1), mesh.register_service(api(2))).await.is_err());
    let said = lab.registry.words().pop();
    assert_eq!(said.as_deref(), Some("api-2 degraded db warning"), "before the registration");
}

#[tokio::test]
async fn a_registry_in_memory_keeps_the_word_when_an_entry_is_replaced() {
    let (registry, one) = (MemoryRegistry::new(), api(1));
    let say = || registry.report_health(one.service(), one.id(), OwnStatus::Degraded, "");
    assert!(!say().await.unwrap(), "there is no such entry");
    registry.register(&one).await.unwrap();
    assert!(say().await.unwrap());
    registry.register(&support::instance_of("api", 1).tag("v2").build().unwrap()).await.unwrap();
    let held = registry.resolve(one.service()).await.unwrap().snapshot;
    assert_eq!(
        held.iter().map(mesh::mesh_core::snapshot::Entry::status).collect::<Vec<_>>(),
        [RegistryStatus::Warning]
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_that_the_registry_did_not_take_is_said_again() {
    for answer in [Answer::No(unavailable()), Answer::Never] {
        let lab = Lab::new();
        let mesh = lab.mesh().await;
        mesh.register_service(api(1)).await.unwrap();
        lab.registry.report_is(answer);
        mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
        pass(ms(2500)).await;
        assert_eq!(status(&lab).await, RegistryStatus::Unknown);
        lab.registry.report_is(Answer::Truly);
        pass(secs(4)).await;
        assert_eq!(status(&lab).await, RegistryStatus::Critical);
        let said = lab.registry.words().len();
        pass(secs(60)).await;
        assert_eq!(lab.registry.words().len(), said, "once it is taken it is not repeated");
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_that_was_not_taken_with_a_restored_entry_is_said_again() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    mesh.register_service(api(1)).await.unwrap();
    settle().await;
    lab.registry.report_is(Answer::No(unavailable()));
    lab.registry.lose(&api(1)).await;
    support::eventually("it is restored", async || !lab.registry.held("api").await.is_empty()).await;
    settle().await;
    assert_eq!(status(&lab).await, RegistryStatus::Unknown);
    lab.registry.report_is(Answer::Truly);
    pass(secs(4)).await;
    assert_eq!(status(&lab).await, RegistryStatus::Critical);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_takes_no_word_holds_no_registration_up_for_long() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    lab.registry.report_is(Answer::Never);
    let began = lab.now();
    mesh.register_service(api(1)).await.unwrap();
    assert!(lab.now().since(began) <= secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_takes_no_word_leaves_an_operation_its_time() {
    let mut lab = Lab::new();
    lab.config.registration.operation_timeout = secs(1);
    let mesh = lab.mesh().await;
    mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    lab.registry.report_is(Answer::Never);
    let began = lab.now();
    mesh.register_service(api(1)).await.unwrap();
    assert!(lab.now().since(began) <= ms(250), "{:?}", lab.now().since(began));
    assert_eq!(lab.registry.journal(), ["register api-1"], "at the first try");
}

#[tokio::test(start_paused = true)]
async fn a_successor_does_not_begin_with_what_its_predecessor_said() {
    let lab = Lab::new();
    let first = lab.mesh().await;
    first.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    first.register_service(api(1)).await.unwrap();
    assert_eq!(status(&lab).await, RegistryStatus::Critical);
    drop(first);
    settle().await;
    let second = lab.mesh().await;
    second.register_service(api(1)).await.unwrap();
    assert_eq!(status(&lab).await, RegistryStatus::Passing);
    // Once it is registered, it says nothing that it does not think.
    let said = lab.registry.words().len();
    lab.registry.lose(&api(1)).await;
    support::eventually("it is restored", async || !lab.registry.held("api").await.is_empty()).await;
    settle().await;
    assert_eq!((status(&lab).await, lab.registry.words().len()), (RegistryStatus::Unknown, said));
}

#[test]
fn a_mesh_that_is_dropped_says_nothing_of_what_it_leaves() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lab = Lab::new();
    let mesh = runtime.block_on(async {
        let mesh = lab.mesh().await;
        mesh.register_service(api(1)).await.unwrap();
        mesh
    });
    let said = lab.registry.words();
    // What it logs at its end takes long, so that the other threads have their time.
    let slowly = || {
        std::thread::park_timeout(ms(300));
        std::io::sink()
    };
    tracing::subscriber::with_default(tracing_subscriber::fmt().with_writer(slowly).finish(), || drop(mesh));
    assert_eq!(lab.registry.words(), said);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_turns_readiness_off_before_anything_else() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    mesh.health().register_manual(vec![readiness("db").valid_for(None)]).unwrap();
    mesh.health().report(&name("db"), Report::Pass).unwrap();
    mesh.register_service(api(1)).await.unwrap();
    let mut answers = mesh.health().watch();
    assert_eq!(answers.borrow_and_update().readiness.status, OwnStatus::Up);
    lab.registry.deregister_is(Answer::Never);
    let mut ending = Box::pin(mesh.shutdown(secs(20)));
    // One step of it, in which no other task has had its turn.
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(ending.as_mut().poll(cx).is_pending())).await);
    assert!(answers.has_changed().unwrap());
    assert_eq!(answers.borrow().readiness.summary(), "draining");
    assert_eq!(lab.registry.journal(), ["register api-1"], "nothing else was done yet");
    assert!(!mesh.is_ready());
    assert_eq!(
        (mesh.health().answer(ProbeKind::Readiness).status, mesh.health().answer(ProbeKind::Liveness).status),
        (503, 200)
    );
    mesh.health().report(&name("db"), Report::Pass).unwrap();
    assert!(!mesh.is_ready(), "whatever the checks say");
    assert!(tokio::time::timeout(secs(1), &mut ending).await.is_err());
    assert_eq!(lab.registry.journal(), ["register api-1", "deregister api-1"]);
    let said = lab.registry.words().len();
    mesh.health().register_manual(vec![readiness("late")]).unwrap();
    pass(secs(5)).await;
    assert_eq!(lab.registry.words().len(), said, "nothing is said of an instance that is being taken away");
    lab.registry.deregister_is(Answer::Truly);
    ending.await;
    assert!(!mesh.is_ready());
}

fn readiness(check: &str) -> OwnCheck {
    OwnCheck::readiness(name(check))
}

fn name(text: &str) -> CheckName {
    text.parse().unwrap()
}

/// What the registry shows of `api-1`.
async fn status(lab: &Lab) -> RegistryStatus {
    let resolution = lab.registry.resolve(&"api".parse().unwrap()).await.unwrap();
    resolution.snapshot.iter().next().unwrap().status()
}
