//! What happens to messages: latency, loss and partitions, of servers and of clients.

#[path = "support/exact.rs"]
mod exact;

use std::time::Duration;

use exact::{
    Trace, aimed, all, at, backend, backends, constant, fault, ms, network, partition, scenario, with_clients,
};
use mesh_sim::model::EventKind::{Accepted, Lost, Picked, Replied, Served};
use mesh_sim::model::scenario::{
    Arrivals, CancelMode, Direction, Discipline, Distribution, FaultKind, Scenario, Target,
};

#[test]
fn every_message_takes_the_latency() {
    let trace = Trace::of(&scenario(at(&[0]), backend()).network(network(5)));
    assert_eq!(
        trace.lines(&[Picked, Accepted, Served, Replied]),
        ["0ns picked r0.1@0", "5ms accepted r0.1@0", "15ms served r0.1@0", "20ms replied r0.1@0"]
    );
    assert_eq!((trace.run.latency_ms.mean, trace.run.wait_ms.mean), (Some(20.0), Some(0.0)));
}

#[test]
fn refusals_errors_and_rejections_take_the_latency_too() {
    for (kind, limit) in [
        (FaultKind::Crash, None),
        (FaultKind::Errors { rate: 1.0, latency: Duration::ZERO }, None),
        (FaultKind::Slowdown { factor: 1.0 }, Some(0)),
    ] {
        let mut group = backend();
        group.queue_limit = limit;
        let mut scenario = scenario(at(&[0, 1]), group).network(network(5));
        scenario = scenario.fault(fault(kind, 0, 100));
        let trace = Trace::of(&scenario);
        let failed: Vec<_> = trace.lines(&[mesh_sim::model::EventKind::Failed]);
        assert_eq!(failed.last().map(String::as_str), Some("11ms failed r1.1@0"));
    }
}

#[test]
fn two_messages_of_one_request_draw_their_own_latency() {
    let mut scenario = scenario(at(&[0; 1000]), backend().discipline(Discipline::Delay));
    scenario.network.latency = Distribution::Uniform { min: ms(0), max: ms(8) };
    let trace = Trace::of(&scenario);
    let times = |kind| {
        let mut times = vec![0.0; 1000];
        for (at, event) in trace.select(&[kind]) {
            times[event.request as usize] = at.as_nanos() as f64 / 1e6;
        }
        times
    };
    let (there, served, back) = (times(Accepted), times(Served), times(Replied));
    let back: Vec<_> = back.iter().zip(&served).map(|(back, served)| back - served).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / 1000.0;
    // The mean of 1,000 has a standard error of 8 / sqrt(12,000) = 0.073 ms.
    assert!((mean(&there) - 4.0).abs() < 0.3 && (mean(&back) - 4.0).abs() < 0.3);
    let products: Vec<_> = there.iter().zip(&back).map(|(there, back)| (there - 4.0) * (back - 4.0)).collect();
    // Of independent draws it is 0, and its standard error 8² / 12 / sqrt(1,000) = 0.17; of equal ones 5.3.
    assert!(mean(&products).abs() < 0.7, "{}", mean(&products));
}

#[test]
fn latency_is_added_each_way_to_messages_sent_while_it_is_so() {
    let slow = fault(FaultKind::Latency { add: ms(3) }, 12, 100);
    let trace = Trace::of(&scenario(at(&[0, 20, 95, 200]), backend()).network(network(5)).fault(slow));
    assert_eq!(
        trace.lines(&[Accepted, Replied]),
        [
            "5ms accepted r0.1@0",
            // Its answer is sent at 15 ms.
            "23ms replied r0.1@0",
            "28ms accepted r1.1@0",
            "46ms replied r1.1@0",
            // Sent within, answered after.
            "103ms accepted r2.1@0",
            "118ms replied r2.1@0",
            "205ms accepted r3.1@0",
            "220ms replied r3.1@0",
        ]
    );
}

#[test]
fn latency_of_clients_and_of_a_server_add_up_and_of_two_of_one_server_the_later_counts() {
    let slow = |target, add| aimed(target, FaultKind::Latency { add: ms(add) }, 0, 100);
    let both = scenario(at(&[10]), backend()).fault(slow(all(), 3)).fault(slow(Target::Clients, 4));
    assert_eq!(Trace::of(&both).lines(&[Accepted, Replied]), ["17ms accepted r0.1@0", "34ms replied r0.1@0"]);
    let one = |from, add| fault(FaultKind::Latency { add: ms(add) }, from, 100);
    let twice = scenario(at(&[10]), backend()).fault(one(5, 3)).fault(one(0, 4));
    assert_eq!(Trace::of(&twice).lines(&[Accepted, Replied]), ["13ms accepted r0.1@0", "26ms replied r0.1@0"]);
}

#[test]
fn a_lost_message_is_never_seen_again() {
    let loss = fault(FaultKind::Loss { rate: 1.0 }, 0, 5);
    // The request of the first and the answer of the second.
    let trace = Trace::of(&patient(scenario(at(&[0, 5]), backend()).fault(loss.clone())));
    assert_eq!(trace.lines(&[Lost, Replied]), ["0ns lost r0.1@0", "15ms replied r1.1@0"]);
    let mut loss = loss;
    loss.at = ms(10);
    let trace = Trace::of(&patient(scenario(at(&[0, 5]), backend()).fault(loss)));
    assert_eq!(
        trace.lines(&[Lost, Served, Replied]),
        ["10ms served r0.1@0", "10ms lost r0.1@0", "20ms served r1.1@0", "20ms replied r1.1@0"]
    );
    assert_eq!(trace.ends(), [1, 0, 1, 0, 0]);
}

#[test]
fn losses_of_the_network_and_of_faults_come_together() {
    let mut scenario = scenario(Arrivals::Uniform { rate: 10_000.0 }, backend().discipline(Discipline::Delay));
    scenario.network.loss = 0.1;
    // 10,000 requests of which 0.9² come through: 8,100, and a standard deviation of 39.
    let through = Trace::of(&patient(scenario.clone())).run.requests.succeeded;
    assert!((7944..=8256).contains(&through), "{through}");
    scenario = scenario.fault(fault(FaultKind::Loss { rate: 0.2 }, 0, 2000));
    scenario = scenario.fault(aimed(Target::Clients, FaultKind::Loss { rate: 0.25 }, 0, 2000));
    // One way 0.9 × 0.8 × 0.75 = 0.54: 2,916, and a standard deviation of 45.
    let trace = Trace::of(&patient(scenario));
    let through = trace.run.requests.succeeded;
    assert!((2736..=3096).contains(&through), "{through}");
    let there = trace.count(Accepted);
    assert!((5200..=5600).contains(&there), "{there}");
}

#[test]
fn a_partition_takes_the_messages_of_its_direction_as_the_servers_see_it() {
    let story = |direction| {
        let cut = fault(partition(direction), 5, 30);
        Trace::of(&patient(scenario(at(&[0, 6, 40]), backend()).fault(cut))).lines(&[Served, Lost, Replied])
    };
    // The first is in service when it begins.
    assert_eq!(
        story(Direction::In),
        ["6ms lost r1.1@0", "10ms served r0.1@0", "10ms replied r0.1@0", "50ms served r2.1@0", "50ms replied r2.1@0"]
    );
    assert_eq!(
        story(Direction::Out),
        [
            "10ms served r0.1@0",
            "10ms lost r0.1@0",
            "20ms served r1.1@0",
            "20ms lost r1.1@0",
            "50ms served r2.1@0",
            "50ms replied r2.1@0"
        ]
    );
    assert_eq!(
        story(Direction::Both),
        ["6ms lost r1.1@0", "10ms served r0.1@0", "10ms lost r0.1@0", "50ms served r2.1@0", "50ms replied r2.1@0"]
    );
}

#[test]
fn the_clients_see_a_direction_the_other_way_round() {
    let story = |direction| {
        let cut = aimed(Target::Clients, partition(direction), 5, 30);
        Trace::of(&patient(scenario(at(&[0, 6]), backend()).fault(cut))).lines(&[Served, Lost, Replied])
    };
    assert_eq!(story(Direction::Out), ["6ms lost r1.1@0", "10ms served r0.1@0", "10ms replied r0.1@0"]);
    assert_eq!(
        story(Direction::In),
        ["10ms served r0.1@0", "10ms lost r0.1@0", "20ms served r1.1@0", "20ms lost r1.1@0"]
    );
    assert_eq!(story(Direction::Both), ["6ms lost r1.1@0", "10ms served r0.1@0", "10ms lost r0.1@0"]);
}

#[test]
fn a_partition_takes_what_is_sent_while_it_is_so_and_not_what_is_on_the_way() {
    let cut = fault(partition(Direction::Both), 3, 12);
    let trace = Trace::of(&patient(scenario(at(&[0, 3, 12]), backend()).network(network(5)).fault(cut)));
    assert_eq!(
        trace.lines(&[Lost, Accepted, Replied]),
        [
            "3ms lost r1.1@0",
            "5ms accepted r0.1@0",
            "17ms accepted r2.1@0",
            "20ms replied r0.1@0",
            "32ms replied r2.1@0"
        ]
    );
}

#[test]
fn the_later_partition_of_one_server_wins() {
    let (both, out) = (fault(partition(Direction::Both), 0, 100), fault(partition(Direction::Out), 20, 50));
    let mut group = backend();
    group.service_time = constant(0);
    let trace = Trace::of(&patient(scenario(at(&[10, 30, 60]), group).fault(both).fault(out)));
    assert_eq!(
        trace.lines(&[Served, Lost]),
        ["10ms lost r0.1@0", "30ms served r1.1@0", "30ms lost r1.1@0", "60ms lost r2.1@0"]
    );
}

#[test]
fn a_partition_of_one_server_leaves_the_others_alone() {
    let cut = aimed(exact::server(1), partition(Direction::Both), 0, 1000);
    let trace = Trace::of(&patient(scenario(at(&[0, 0, 0]), backends(3)).fault(cut)));
    assert_eq!(trace.lines(&[Lost]), ["0ns lost r2.1@1"]);
    assert_eq!(trace.ends(), [2, 0, 1, 0, 0]);
}

#[test]
fn a_cancellation_is_a_message_that_takes_its_time_and_may_be_lost() {
    let scenario = scenario(at(&[0, 1]), backend()).network(network(2));
    let scenario = with_clients(scenario, |mut clients| {
        clients.cancel = CancelMode::Running;
        clients.timeout(ms(6))
    });
    let kinds = [mesh_sim::model::EventKind::Cancelled, Lost, Served];
    // Abandoned at 6 ms and 7 ms; the server hears of it 2 ms later.
    assert_eq!(Trace::of(&scenario).lines(&kinds), ["8ms cancelled r0.1@0", "9ms cancelled r1.1@0"]);
    let cut = fault(partition(Direction::In), 5, 1000);
    assert_eq!(Trace::of(&scenario.fault(cut)).lines(&kinds), ["12ms served r0.1@0", "22ms served r1.1@0"]);
}

/// Whose clients wait for 100 ms.
fn patient(scenario: Scenario) -> Scenario {
    with_clients(scenario, |clients| clients.timeout(ms(100)))
}
