//! Evidence of the instances of a service, on paused time: each is a subject of its own, at its address, from the first
//! attempt at it until it has left; and how all of it is configured.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
mod votes_world;

use std::num::NonZeroU32;

use mesh::mesh_cache::coordinator_store::MemoryCoordinator;
use mesh::mesh_retry::coordinator::store::StoreCommand;
use mesh::mesh_retry::coordinator::votes::VotesConfig;
use mesh::{BuildError, MeshConfig, ServiceMesh};

use support::registry::Hearing;
use support::{api, eventually, healthy, ms, pass, port, secs, settle};
use votes_world::{
    ALONE, BREAKER, EVIDENCE, Fleet, LOWERED, Process, RIGHTS, VOTES, breaker, instance_subject, service_subject, tasks,
};

#[tokio::test(start_paused = true)]
async fn an_instance_that_others_find_down_opens_after_few_failures_and_no_other_does() {
    let fleet = Fleet::of_instances(3).await;
    let processes = fleet.processes(3).await;
    let [first, second, third] = &processes[..] else { panic!() };
    // All know all instances.
    rounds(&processes, 3, &[]).await;
    for process in [first, second] {
        rounds(std::slice::from_ref(process), 60, &[2]).await;
        assert_eq!(process.notes.of(BREAKER), ["api-2: closed to open by failures-in-row"]);
    }
    pass(secs(5)).await;
    assert_eq!(third.notes.of(EVIDENCE), ["api-2: quorum by store"]);
    rounds(std::slice::from_ref(third), 3 * (LOWERED - 1), &[1, 2]).await;
    assert!(third.notes.of(BREAKER).is_empty());
    rounds(std::slice::from_ref(third), 3 * 3, &[1, 2]).await;
    assert_eq!(third.notes.of(BREAKER), ["api-2: closed to open by evidence"]);
    let subjects = fleet.store.subjects();
    let mut expected = [1, 2, 3].map(|number| instance_subject(number, port(number)));
    expected.sort_unstable();
    assert_eq!(subjects, expected);
}

#[tokio::test(start_paused = true)]
async fn one_process_tries_an_instance_and_the_others_pass_it_over() {
    let fleet = Fleet::of_instances(2).await;
    let processes = fleet.processes(4).await;
    for process in &processes {
        rounds(std::slice::from_ref(process), 2 * ALONE, &[2]).await;
        assert_eq!(process.last(BREAKER), "api-2: closed to open by failures-in-row");
    }
    pass(secs(5)).await;
    fleet.callee.takes_at(2, secs(1_000));
    let mut hangs = [0; 4];
    for _ in 0..160 {
        for (process, hangs) in processes.iter().zip(&mut hangs) {
            match tokio::time::timeout(ms(1), process.call(|_| true)).await {
                Ok(is_well) => assert!(is_well, "there was always another to pick"),
                // Another call of the same process finds its place taken, and this one's end is not known.
                Err(_) => *hangs += 1,
            }
        }
        pass(ms(50)).await;
    }
    let rights: Vec<_> = processes.iter().map(|process| process.notes.of(RIGHTS).first().cloned()).collect();
    assert_eq!(rights.iter().filter(|right| right.as_deref() == Some("api-2: shared")).count(), 1, "{rights:?}");
    assert_eq!(hangs.iter().filter(|hangs| **hangs > 0).count(), 1, "one process alone tried: {hangs:?}");
}

#[tokio::test(start_paused = true)]
async fn where_it_is_anothers_turn_a_call_is_told_when_to_come_again() {
    use mesh::mesh_retry::call::GiveUpReason;
    use mesh::{CallError, CallPolicy, RetryPolicy};

    let fleet = Fleet::of_instances(1).await;
    let processes = fleet.processes(2).await;
    for process in &processes {
        process.fail(ALONE).await;
    }
    pass(secs(5)).await;
    let [first, second] = &processes[..] else { panic!() };
    fleet.callee.takes(secs(1_000));
    for process in [first, second, first, second] {
        let _ = tokio::time::timeout(ms(50), process.call(|_| true)).await;
        settle().await;
    }
    assert_eq!((first.last(RIGHTS), second.last(RIGHTS)), ("api-1: shared".into(), "api-1: others".into()));
    let policy = CallPolicy::new(RetryPolicy::never()).unwrap();
    let error = second.mesh.call("api", &policy, |_| async { Ok::<(), &str>(()) }).await.unwrap_err();
    let CallError::GaveUp { reason: GiveUpReason::Shut(shut), .. } = error else { panic!("{error}") };
    let waits = shut.opens_at.unwrap().since(fleet.lab.now());
    assert!(ms(0) < waits && waits <= ms(250), "an eighth of the other's lease at most, and it is {waits:?}");
    assert_eq!((shut.value, shut.limit), (1, 1), "it is one of the shut");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_voted_on_from_its_first_attempt_until_it_has_left() {
    let fleet = Fleet::of_instances(2).await;
    let process = fleet.process(1).await;
    let nobody = tasks();
    assert!(fleet.store.subjects().is_empty());
    process.call(|_| true).await;
    settle().await;
    assert_eq!((tasks() - nobody, fleet.store.subjects().len()), (1, 1));
    rounds(std::slice::from_ref(&process), 4, &[]).await;
    settle().await;
    assert_eq!((tasks() - nobody, fleet.store.subjects().len()), (2, 1));
    // The counters of one are freed with those of the other.
    fleet.lab.registry.lose(&api(2)).await;
    eventually("it is gone", async || healthy(&process.mesh, "api").await == [1]).await;
    settle().await;
    assert_eq!(tasks() - nobody, 1, "nobody votes on it");
    fleet.store.commands();
    pass(secs(30)).await;
    assert_eq!(fleet.store.subjects(), [instance_subject(1, port(1))]);
    fleet.lab.registry.put(&api(2)).await;
    eventually("it is back", async || healthy(&process.mesh, "api").await == [1, 2]).await;
    rounds(std::slice::from_ref(&process), 4, &[]).await;
    settle().await;
    assert_eq!((tasks() - nobody, fleet.store.subjects()), (2, vec![instance_subject(2, port(2))]));
    assert!(process.mesh.shutdown(secs(1)).await.is_clean());
    drop(process);
    settle().await;
    assert_eq!((tasks(), fleet.store.holders()), (0, 1), "no task is left, nor a connection");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_has_left_lets_go_of_its_probe_and_comes_back_elsewhere_as_another() {
    let fleet = Fleet::of_instances(1).await;
    let processes = fleet.processes(2).await;
    for process in &processes {
        process.fail(ALONE).await;
    }
    pass(secs(5)).await;
    assert!(processes.iter().all(|process| process.last(EVIDENCE) == "api-1: quorum by store"));
    fleet.callee.takes(secs(1_000));
    for _ in 0..2 {
        let _ = tokio::time::timeout(ms(50), processes[0].call(|_| true)).await;
        settle().await;
    }
    assert_eq!(processes[0].last(RIGHTS), "api-1: shared");
    fleet.store.commands();
    // As a process that is started anew elsewhere registers.
    let elsewhere =
        mesh::ServiceConfig::builder("api", "127.0.0.1", port(9)).id("api-1").without_check().build().unwrap();
    fleet.lab.registry.put(&elsewhere).await;
    settle().await;
    let released = |command: &_| matches!(command, StoreCommand::ReleaseProbe(_));
    assert_eq!(fleet.store.commands().iter().filter(|command| released(command)).count(), 1);
    fleet.callee.takes(ms(0));
    for process in &processes {
        process.fail(ALONE - 1).await;
        assert!(process.call(|_| true).await, "it is another, and no quorum finds it down");
    }
    settle().await;
    assert_eq!(fleet.store.subjects(), [instance_subject(1, port(9))]);
}

#[tokio::test(start_paused = true)]
async fn of_no_more_instances_than_is_said_votes_are_cast_and_the_others_have_breakers_of_their_own() {
    let fleet = Fleet::of_instances(3).await.with(|config| config.calls.instance_votes_max = NonZeroU32::MIN);
    let process = fleet.process(1).await;
    let nobody = tasks();
    rounds(std::slice::from_ref(&process), 3 * ALONE, &[1, 2, 3]).await;
    settle().await;
    assert_eq!((tasks() - nobody, fleet.store.subjects().len()), (1, 1));
    let mut opened = process.notes.of(BREAKER);
    opened.sort();
    assert_eq!(opened, [1, 2, 3].map(|number| format!("api-{number}: closed to open by failures-in-row")));
    // Whose place is free another takes.
    let first = fleet.store.clone();
    pass(secs(5)).await;
    let voted = first.subjects();
    let number = (1..=3).find(|number| voted == [instance_subject(*number, port(*number))]).unwrap();
    fleet.lab.registry.lose(&api(number)).await;
    fleet.lab.registry.put(&api(7)).await;
    eventually("one went and one came", async || healthy(&process.mesh, "api").await.contains(&7)).await;
    settle().await;
    let vote = |command| if let StoreCommand::Vote(vote) = command { Some(vote) } else { None };
    let last = fleet.store.commands().into_iter().filter_map(vote).next_back().unwrap();
    let taken_back = (instance_subject(number, port(number)), false, ms(1));
    assert_eq!((last.subject, last.open, last.live_for), taken_back, "no vote is left of it");
    rounds(std::slice::from_ref(&process), 6, &[1, 2, 3]).await;
    settle().await;
    assert_eq!(fleet.store.subjects(), [instance_subject(7, port(7))]);
}

#[tokio::test(start_paused = true)]
async fn a_process_has_one_vote_on_a_subject_that_it_follows_anew() {
    let fleet = Fleet::of_service().await;
    let process = fleet.process(1).await;
    let alive = tasks();
    for _ in 0..3 {
        // What follows the service panics, and whoever calls begins anew.
        fleet.lab.registry.watches_are(Hearing::Broken);
        settle().await;
        fleet.lab.registry.watches_are(Hearing::Clear);
        eventually("it is followed again", async || healthy(&process.mesh, "api").await == [1]).await;
        pass(ms(10)).await;
    }
    assert_eq!(process.notes.of(VOTES), ["0 of 1"; 4]);
    assert_eq!((fleet.store.subjects(), tasks()), (vec![service_subject()], alive));
}

#[tokio::test(start_paused = true)]
async fn votes_want_a_breaker_and_a_store_and_numbers_that_keep_their_rules() {
    let config = |change: fn(&mut MeshConfig)| {
        let mut config = MeshConfig::default();
        change(&mut config);
        config
    };
    let on = Some(VotesConfig::default());
    let refused = |built: Result<ServiceMesh, BuildError>| built.err().unwrap().to_string();
    let with_store = |config| {
        let store = MemoryCoordinator::new(std::sync::Arc::new(mesh::TokioClock::new()));
        ServiceMesh::builder().config(config).coordinator(store).build()
    };
    for (field, breaker_field, change) in [
        (
            "calls.votes: on ",
            "calls.breaker",
            (|config| config.calls.votes = Some(VotesConfig::default())) as fn(&mut MeshConfig),
        ),
        ("calls.instance_votes: on ", "calls.instance_breaker", |config| {
            config.calls.instance_votes = Some(VotesConfig::default());
        }),
    ] {
        let text = refused(with_store(config(change)).await);
        assert!(text.contains(field) && text.contains(breaker_field), "{text}");
    }
    let mut both = config(|config| {
        (config.calls.breaker, config.calls.instance_breaker) = (Some(breaker()), Some(breaker()));
    });
    for votes in [(on, None), (None, on)] {
        (both.calls.votes, both.calls.instance_votes) = votes;
        let text = refused(ServiceMesh::builder().config(both.clone()).build().await);
        let field = if votes.0.is_some() { "calls.votes: " } else { "calls.instance_votes: " };
        assert!(text.starts_with(field) && text.contains("ServiceMeshBuilder::coordinator"), "{text}");
        let mesh = with_store(both.clone()).await.unwrap();
        assert!(mesh.shutdown(secs(1)).await.is_clean());
    }
    both.calls.instance_votes_max = NonZeroU32::new(4_097).unwrap();
    let text = refused(with_store(both.clone()).await);
    assert!(text.contains("calls.instance_votes_max: 4097"), "{text}");
    both.calls.instance_votes_max = NonZeroU32::new(4_096).unwrap();
    assert!(with_store(both.clone()).await.is_ok());
    both.calls.instance_votes.as_mut().unwrap().open_min = 1;
    let text = refused(with_store(both.clone()).await);
    assert!(text.contains("calls.instance_votes") && text.contains("open_min"), "{text}");
    both.calls.votes = on;
    both.calls.votes.as_mut().unwrap().heartbeat = ms(1);
    let text = refused(with_store(both).await);
    assert!(text.contains("calls.votes") && text.contains("heartbeat"), "{text}");
}

#[test]
fn votes_and_the_zone_are_read_from_a_file() {
    let text = "zone = \"eu-1a\"\n[calls]\ninstance_votes_max = 10\n[calls.votes]\nlowered_to = 2\n\
                [calls.instance_votes]\nheartbeat = \"2s\"";
    let read: MeshConfig = toml::from_str(text).unwrap();
    assert_eq!(read.zone.unwrap().as_str(), "eu-1a");
    let (votes, instances) = (read.calls.votes.unwrap(), read.calls.instance_votes.unwrap());
    assert_eq!((votes.lowered_to.get(), instances.heartbeat), (2, secs(2)));
    assert_eq!(read.calls.instance_votes_max.get(), 10);
    let off: MeshConfig = toml::from_str("[calls]\nvotes = \"off\"\ninstance_votes = \"off\"").unwrap();
    assert_eq!(off, MeshConfig::default());
    assert!(toml::from_str::<MeshConfig>("zone = \"no zone\"").is_err());
}

/// Has each process make so many calls, which fail at the instances `down`.
async fn rounds(processes: &[Process], calls: u32, down: &[u16]) {
    for process in processes {
        for _ in 0..calls {
            process.call(|number| !down.contains(&number)).await;
        }
    }
    settle().await;
}
