//! Requests are counted as long as they last and not a moment longer, however they end; and of one that nobody
//! waited for nothing is learnt but that there was no answer so far.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh::{Attempt, CallPolicy, Lease, Outcome, ServiceMesh, Strategy};

use support::{Lab, api, eventually, every, healthy, in_flight, ms, pass, retries, secs, settle};

#[tokio::test(start_paused = true)]
async fn a_lease_is_counted_until_it_is_dropped() {
    let (_lab, mesh) = world().await;
    let leases = [lease(&mesh).await, lease(&mesh).await, lease(&mesh).await];
    assert_eq!(in_flight(&mesh, "api").await, 3);
    drop(leases);
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_lease_is_counted_no_more_and_its_outcome_is_learnt() {
    let (lab, mesh) = world().await;
    for (outcome, failures) in [
        (Outcome::Failure, 1),
        (Outcome::TimedOut, 2),
        (Outcome::Cancelled, 2),
        (Outcome::Overloaded { retry_after: None }, 2),
        (Outcome::Success, 0),
    ] {
        let lease = lease(&mesh).await;
        lease.finish(outcome);
        assert_eq!(in_flight(&mesh, "api").await, 0);
        let [probe] = every(&mesh, "api").await.try_into().unwrap();
        assert_eq!(probe.endpoint().failures_in_row(), failures, "{outcome:?}");
    }
    let [probe] = every(&mesh, "api").await.try_into().unwrap();
    assert!(probe.endpoint().held(lab.now()) > 0);
}

#[tokio::test(start_paused = true)]
async fn releasing_is_finishing_by_its_old_name() {
    let (_lab, mesh) = world().await;
    mesh.release_service_instance(lease(&mesh).await, Outcome::Failure);
    assert_eq!(in_flight(&mesh, "api").await, 0);
    let [probe] = every(&mesh, "api").await.try_into().unwrap();
    assert_eq!(probe.endpoint().failures_in_row(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_thread_holds_back_and_then_picks_no_more_is_told_within_the_window() {
    let mut lab = Lab::new();
    lab.config.service.count_window = ms(50);
    let mesh = lab.mesh_with(1).await;
    // Time begins at 0, so that nothing is older than the window yet.
    let held = [lease(&mesh).await, lease(&mesh).await, lease(&mesh).await];
    let endpoint = held[0].endpoint();
    assert_eq!(endpoint.in_flight(), 0, "they are held back");
    pass(ms(60)).await;
    assert_eq!(endpoint.in_flight(), 3);
}

#[tokio::test(start_paused = true)]
async fn peak_ewma_learns_how_long_a_request_was_waited_for_that_nobody_wants_any_more() {
    let mut lab = Lab::new();
    lab.config.service.strategy = Strategy::from_name("peak-ewma").unwrap();
    let mesh = lab.mesh_with(1).await;
    let policy = CallPolicy::default();
    let call = mesh.call("api", &policy, |_| async { core::future::pending::<Result<(), std::io::Error>>().await });
    assert!(tokio::time::timeout(ms(700), call).await.is_err());
    let stats = mesh.balancer_stats("api").await.unwrap();
    let latency = stats.endpoints[0].latency.unwrap();
    assert!(latency > ms(690) && latency <= ms(700), "{latency:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_may_end_on_another_thread_or_task() {
    let (_lab, mesh) = world().await;
    let [to_thread, to_task, to_table] = [lease(&mesh).await, lease(&mesh).await, lease(&mesh).await];
    std::thread::spawn(move || to_thread.finish(Outcome::Success)).join().unwrap();
    tokio::spawn(async move { drop(to_task) }).await.unwrap();
    let table = vec![Some(to_table)];
    assert_eq!(in_flight(&mesh, "api").await, 1);
    tokio::task::spawn_blocking(move || drop(table)).await.unwrap();
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_outlives_its_instance_and_its_mesh() {
    let (lab, mesh) = world().await;
    let (first, second) = (lease(&mesh).await, lease(&mesh).await);
    lab.registry.lose(&api(1)).await;
    settle().await;
    assert_eq!(first.endpoint().in_flight(), 2);
    first.finish(Outcome::Success);
    assert_eq!(second.endpoint().in_flight(), 1);
    drop(mesh);
    settle().await;
    assert_eq!(second.instance().id().as_str(), "api-1");
    second.finish(Outcome::Failure);
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_its_instance_left_never_touches_its_successor() {
    let (lab, mesh) = world().await;
    let old = [lease(&mesh).await, lease(&mesh).await];
    lab.registry.lose(&api(1)).await;
    settle().await;
    lab.registry.put(&api(1)).await;
    settle().await;
    assert_eq!(in_flight(&mesh, "api").await, 0, "the same name, another instance");
    for lease in old {
        lease.finish(Outcome::Failure);
    }
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_count_survives_updates_of_its_instance() {
    let (lab, mesh) = world().await;
    let held = lease(&mesh).await;
    for weight in [7, 3, 0, 2] {
        lab.registry.put(&support::instance_of("api", 1).weight(weight).tag("new").build().unwrap()).await;
        settle().await;
        if weight > 0 {
            assert_eq!(in_flight(&mesh, "api").await, 1);
        }
    }
    drop(held);
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_the_middle_of_an_attempt_gives_its_count_back() {
    let (_lab, mesh) = world().await;
    {
        let policy = CallPolicy::default();
        let mut call = std::pin::pin!(mesh.call("api", &policy, hang));
        assert!(tokio::time::timeout(ms(30), &mut call).await.is_err());
        assert_eq!(in_flight(&mesh, "api").await, 1);
    }
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_for_a_retry_holds_nothing() {
    let (lab, mesh) = world().await;
    {
        let policy = CallPolicy::new(retries(3)).unwrap();
        let mut call = std::pin::pin!(mesh.call("api", &policy, fail));
        assert!(tokio::time::timeout(ms(50), &mut call).await.is_err());
        assert_eq!(in_flight(&mesh, "api").await, 0);
    }
    assert_eq!(in_flight(&mesh, "api").await, 0);
    assert_eq!(lab.notes.of("mesh.client.attempt.duration"), ["failure"], "no attempt is made in the background");
    pass(secs(10)).await;
    assert_eq!(lab.notes.of("mesh.client.attempt.duration").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_for_the_registry_leaves_nothing() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    lab.registry.watches_are(support::registry::Hearing::Silent);
    let policy = CallPolicy::default();
    assert!(tokio::time::timeout(ms(50), mesh.call("api", &policy, hang)).await.is_err());
    lab.registry.watches_are(support::registry::Hearing::Clear);
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_around_a_call_gives_its_count_back() {
    let (_lab, mesh) = world().await;
    for _ in 0..20 {
        let policy = CallPolicy::default();
        assert!(tokio::time::timeout(ms(5), mesh.call("api", &policy, hang)).await.is_err());
    }
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_aborted_gives_its_counts_back() {
    let (_lab, mesh) = world().await;
    let task = tokio::spawn({
        let mesh = mesh.clone();
        async move {
            let _held = lease(&mesh).await;
            mesh.call("api", &CallPolicy::default(), hang).await
        }
    });
    eventually("both are in flight", async || in_flight(&mesh, "api").await == 2).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_panics_gives_its_count_back() {
    let (_lab, mesh) = world().await;
    for at_once in [true, false] {
        let task = tokio::spawn({
            let mesh = mesh.clone();
            async move { mesh.call("api", &CallPolicy::default(), |_| panics(at_once)).await }
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_untouched(&mesh).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_gives_the_count_back() {
    let (_lab, mesh) = world().await;
    let task = tokio::spawn({
        let mesh = mesh.clone();
        async move {
            let policy = CallPolicy::default().classify(|_: &Result<(), &str>| panic!("as the test wants it"));
            mesh.call("api", &policy, fail).await
        }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_untouched(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_dropped_before_the_next_begins() {
    let (_lab, mesh) = world().await;
    let mut retry = retries(3);
    retry.attempt_timeout = Some(ms(10));
    let running = Arc::new(());
    let mut most = 0;
    let policy = CallPolicy::new(retry).unwrap();
    let call = mesh.call("api", &policy, |instance| {
        most = most.max(Arc::strong_count(&running));
        let token = Arc::clone(&running);
        async move {
            let _running = token;
            hang(instance).await
        }
    });
    call.await.unwrap_err();
    assert_eq!((most, Arc::strong_count(&running)), (1, 1));
    assert_eq!(in_flight(&mesh, "api").await, 0);
}

#[tokio::test(start_paused = true)]
async fn counts_return_to_zero_after_every_mixture_of_endings() {
    let lab = Lab::new();
    let mesh = lab.mesh_with(4).await;
    let mut tasks = Vec::new();
    for number in 0..200_u64 {
        let mesh = mesh.clone();
        tasks.push(tokio::spawn(async move {
            let mut retry = retries(1 + (number % 3) as u32);
            retry.attempt_timeout = (number % 4 == 0).then_some(ms(3));
            let policy = CallPolicy::new(retry).unwrap();
            let call = mesh.call("api", &policy, |_| async move {
                tokio::time::sleep(Duration::from_millis(number % 11)).await;
                assert_ne!(number % 13, 0, "as the test wants it");
                if number % 5 == 0 { Err("no") } else { Ok(()) }
            });
            let _ = tokio::time::timeout(ms(1 + number % 17), call).await;
        }));
    }
    pass(ms(4)).await;
    assert!(in_flight(&mesh, "api").await > 0);
    for (number, task) in tasks.iter().enumerate() {
        if number % 7 == 0 {
            task.abort();
        }
    }
    for task in tasks {
        let _ = task.await;
    }
    assert_eq!(in_flight(&mesh, "api").await, 0);
    assert_eq!(healthy(&mesh, "api").await, [1, 2, 3, 4]);
}

/// A mesh with one instance of `api`.
async fn world() -> (Lab, ServiceMesh) {
    let lab = Lab::new();
    let mesh = lab.mesh_with(1).await;
    (lab, mesh)
}

async fn lease(mesh: &ServiceMesh) -> Lease {
    mesh.get_service_instance("api").await.unwrap()
}

/// Asserts that nothing is in flight and that nothing was learnt.
async fn assert_untouched(mesh: &ServiceMesh) {
    let [probe] = every(mesh, "api").await.try_into().unwrap();
    let endpoint = probe.endpoint();
    let seen = (endpoint.in_flight() - 1, endpoint.failures_in_row(), endpoint.held(probe.started()));
    assert_eq!(seen, (0, 0, 0), "in flight, failures in a row, failures held");
}

async fn hang(_: Attempt) -> Result<(), &'static str> {
    std::future::pending().await
}

async fn fail(_: Attempt) -> Result<(), &'static str> {
    Err("no")
}

/// Panics before there is a future, or in it.
fn panics(at_once: bool) -> impl Future<Output = Result<(), &'static str>> {
    assert!(!at_once, "as the test wants it");
    async {
        tokio::task::yield_now().await;
        panic!("as the test wants it")
    }
}
