//! How requests share a server: fifo, processor-sharing and delay, limits, speed and what concurrency costs.

#[path = "support/exact.rs"]
mod exact;

use std::time::Duration;

use exact::{Trace, at, backend, constant, fault, ms, number, scenario, with_clients};
use mesh_sim::model::EventKind::{Rejected, Served, Started};
use mesh_sim::model::scenario::{Discipline, FaultKind, ServerGroup};

#[test]
fn fifo_works_on_one_at_a_time_in_the_order_of_arrival() {
    let trace = Trace::of(&scenario(at(&[0, 1, 2, 50]), backend()));
    assert_eq!(
        trace.lines(&[Started, Served]),
        [
            "0ns started r0.1@0",
            "10ms served r0.1@0",
            "10ms started r1.1@0",
            "20ms served r1.1@0",
            "20ms started r2.1@0",
            "30ms served r2.1@0",
            "50ms started r3.1@0",
            "60ms served r3.1@0",
        ]
    );
}

#[test]
fn fifo_works_on_as_many_at_once_as_it_has_workers() {
    let trace = Trace::of(&scenario(at(&[0, 1, 2, 3]), backend().workers(number(2))));
    assert_eq!(
        served(&trace),
        ["10ms served r0.1@0", "11ms served r1.1@0", "20ms served r2.1@0", "21ms served r3.1@0"]
    );
}

#[test]
fn delay_works_on_any_number_at_once_whatever_its_workers() {
    let trace = Trace::of(&scenario(at(&[0, 0, 1, 2]), delay()));
    assert_eq!(
        served(&trace),
        ["10ms served r0.1@0", "10ms served r1.1@0", "11ms served r2.1@0", "12ms served r3.1@0"]
    );
}

#[test]
fn processor_sharing_gives_each_its_share_of_one_server_whatever_its_workers() {
    for workers in [1, 4] {
        // Alone until 5 ms; then both have 5 ms and 10 ms to go at half speed; then the second is alone again.
        let trace = Trace::of(&scenario(at(&[0, 5]), sharing().workers(number(workers))));
        assert_eq!(served(&trace), ["15ms served r0.1@0", "20ms served r1.1@0"]);
    }
    let trace = Trace::of(&scenario(at(&[0, 0, 0]), sharing()));
    assert_eq!(served(&trace), ["30ms served r0.1@0", "30ms served r1.1@0", "30ms served r2.1@0"]);
}

#[test]
fn processor_sharing_lets_a_short_request_overtake_a_long_one() {
    let short = fault(FaultKind::ServiceTime(constant(2)), 1, 1000);
    let trace = Trace::of(&scenario(at(&[0, 2]), sharing()).fault(short));
    // The first has 8 ms to go when the second comes with 2 ms: that one is done after 4 ms, the first after 6 more.
    assert_eq!(served(&trace), ["6ms served r1.1@0", "12ms served r0.1@0"]);
}

#[test]
fn shares_that_are_no_whole_nanoseconds_are_rounded_up_once() {
    let mut group = sharing();
    group.service_time = mesh_sim::model::scenario::Distribution::constant(Duration::from_nanos(1));
    let trace = Trace::of(&scenario(at(&[0, 0, 0]), group));
    assert_eq!(served(&trace), ["3ns served r0.1@0", "3ns served r1.1@0", "3ns served r2.1@0"]);
}

#[test]
fn a_fifo_limit_counts_those_who_wait_and_a_full_queue_rejects_at_once() {
    let trace = Trace::of(&scenario(at(&[0, 1, 2, 3, 10, 11]), backend().queue_limit(2)));
    assert_eq!(trace.lines(&[Rejected]), ["3ms rejected r3.1@0", "11ms rejected r5.1@0"]);
    assert_eq!(trace.ends(), [4, 0, 0, 2, 0]);
    // Each worker has a place of its own beside the queue's.
    let trace = Trace::of(&scenario(at(&[0, 1, 2, 3, 4, 5]), backend().queue_limit(2).workers(number(3))));
    assert_eq!(trace.lines(&[Rejected]), ["5ms rejected r5.1@0"]);
}

#[test]
fn without_a_queue_fifo_takes_in_what_it_can_start_with() {
    let trace = Trace::of(&scenario(at(&[0, 1, 9, 11]), backend().queue_limit(0)));
    assert_eq!(trace.lines(&[Rejected]), ["1ms rejected r1.1@0", "9ms rejected r2.1@0"]);
    assert_eq!(served(&trace), ["10ms served r0.1@0", "21ms served r3.1@0"]);
}

#[test]
fn a_processor_sharing_limit_counts_those_in_service() {
    let trace = Trace::of(&scenario(at(&[0, 0, 1, 21]), sharing().queue_limit(2)));
    assert_eq!(trace.lines(&[Rejected]), ["1ms rejected r2.1@0"]);
    assert_eq!(served(&trace), ["20ms served r0.1@0", "20ms served r1.1@0", "31ms served r3.1@0"]);
}

#[test]
fn without_a_limit_nothing_is_rejected() {
    for group in [backend(), sharing(), delay()] {
        let trace = Trace::of(&scenario(at(&[0; 5000]), group));
        assert_eq!((trace.ends(), trace.run.servers[0].in_flight_max), ([5000, 0, 0, 0, 0], 5000));
    }
}

#[test]
fn service_times_are_divided_by_the_speed() {
    for group in [backend(), sharing(), delay()] {
        for (speed, served_at) in [(2.0, "5ms served r0.1@0"), (0.5, "20ms served r0.1@0")] {
            let mut group = group.clone();
            group.speed = speed;
            assert_eq!(served(&Trace::of(&scenario(at(&[0]), group))), [served_at]);
        }
    }
}

#[test]
fn concurrency_adds_for_each_other_request_in_the_server_when_service_starts() {
    // The second starts while the third waits; the third is alone.
    let trace = Trace::of(&scenario(at(&[0, 1, 2]), crowded(backend())));
    assert_eq!(served(&trace), ["10ms served r0.1@0", "21ms served r1.1@0", "31ms served r2.1@0"]);
    // Without a queue each adds for those who were there before it.
    let trace = Trace::of(&scenario(at(&[0, 0, 0]), crowded(delay())));
    assert_eq!(served(&trace), ["10ms served r0.1@0", "11ms served r1.1@0", "12ms served r2.1@0"]);
    // 10 ms and 11 ms of work, shared from 0: the first is done at 20 ms, and 1 ms is left of the second.
    let trace = Trace::of(&scenario(at(&[0, 0]), crowded(sharing())));
    assert_eq!(served(&trace), ["20ms served r0.1@0", "21ms served r1.1@0"]);
}

#[test]
fn abandoned_requests_crowd_a_server_too() {
    let scenario = scenario(at(&[0, 6]), crowded(delay()));
    let trace = Trace::of(&with_clients(scenario, |clients| clients.timeout(ms(5))));
    assert_eq!(served(&trace), ["10ms served r0.1@0", "17ms served r1.1@0"]);
    assert_eq!(trace.ends(), [0, 0, 2, 0, 0]);
}

#[test]
fn work_goes_on_after_the_last_arrival_and_is_counted() {
    let trace = Trace::of(&scenario(at(&[995, 996]), backend()));
    assert_eq!(served(&trace), ["1.005s served r0.1@0", "1.015s served r1.1@0"]);
    assert_eq!(trace.ends(), [2, 0, 0, 0, 0]);
}

fn served(trace: &Trace) -> Vec<String> {
    trace.lines(&[Served])
}

fn delay() -> ServerGroup {
    backend().discipline(Discipline::Delay)
}

fn sharing() -> ServerGroup {
    backend().discipline(Discipline::ProcessorSharing)
}

/// Each other request in the server adds 1 ms.
fn crowded(mut group: ServerGroup) -> ServerGroup {
    group.service_time_per_concurrent = ms(1);
    group
}
