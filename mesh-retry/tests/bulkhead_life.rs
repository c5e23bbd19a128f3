//! The life of a bulkhead: who goes in, who waits, who is refused and who is shed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mesh_retry::limit::bulkhead::{
    Bulkhead, BulkheadConfig, BulkheadEffect, BulkheadInput, BulkheadMachine, EntrantId, Left, Order, Pass, Refusal,
};
use mesh_retry::{Instant, Machine as _};

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn id(number: u64) -> EntrantId {
    EntrantId::from_number(number)
}

/// A bulkhead and its queue, and the passes of those inside in the order in which they went in.
struct Driver {
    bulkhead: Arc<Bulkhead>,
    machine: BulkheadMachine,
    inside: Vec<(u64, Pass)>,
}

/// What was answered, without the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Admitted(u64, Duration),
    Refused(u64, Refusal),
}

use Answer::{Admitted, Refused};

impl Driver {
    fn new(config: BulkheadConfig) -> Self {
        let bulkhead = Arc::new(Bulkhead::new(config));
        let machine = BulkheadMachine::new(Arc::clone(&bulkhead));
        Self { bulkhead, machine, inside: Vec::new() }
    }

    /// With so many places, and as many to wait.
    fn of(places: u32, change: impl Fn(&mut BulkheadConfig)) -> Self {
        let mut config = BulkheadConfig::default();
        (config.concurrent_max, config.waiting_max) = (NonZeroU32::new(places).unwrap(), 10);
        change(&mut config);
        Self::new(config)
    }

    fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            answers.push(match effect {
                BulkheadEffect::Admit { id, waited, pass } => {
                    self.inside.push((id.number(), pass));
                    Admitted(id.number(), waited)
                }
                BulkheadEffect::Refuse { id, refusal } => Refused(id.number(), refusal),
            });
        }
        answers
    }

    fn enter(&mut self, now: Instant, number: u64, deadline: Option<Instant>) -> Vec<Answer> {
        self.machine.handle_input(now, BulkheadInput::Enter { id: id(number), deadline });
        self.answers()
    }

    /// Lets whoever went in first go.
    fn leave(&mut self, now: Instant) -> Vec<Answer> {
        let (_, pass) = self.inside.remove(0);
        if self.bulkhead.leave(now, pass) == Left::Awaited {
            self.machine.handle_input(now, BulkheadInput::Left);
        }
        self.answers()
    }

    fn abandon(&mut self, now: Instant, number: u64) -> Vec<Answer> {
        self.machine.handle_input(now, BulkheadInput::Abandon(id(number)));
        self.answers()
    }

    fn timeout(&mut self, now: Instant) -> Vec<Answer> {
        self.machine.handle_timeout(now);
        self.answers()
    }
}

#[test]
fn whoever_finds_room_goes_in_without_the_queue_and_whoever_does_not_is_told_how_full_it_is() {
    let bulkhead = Bulkhead::new(BulkheadConfig::without_queue(NonZeroU32::MIN));
    let pass = bulkhead.enter(at(0)).unwrap();
    let full = bulkhead.enter(at(1)).unwrap_err();
    assert_eq!((full.inside, full.concurrent_max, full.waiting, full.retry_at), (1, 1, 0, None));
    assert_eq!((full.name(), full.to_string()), ("bulkhead-full", "1 calls are inside, 1 may be, and 0 wait".into()));
    assert_eq!(bulkhead.leave(at(80), pass), Left::Unawaited);
    assert_eq!((bulkhead.inside(), bulkhead.service_time()), (0, Some(80 * MS)));
    let pass = bulkhead.enter(at(100)).unwrap();
    assert_eq!(bulkhead.enter(at(100)).unwrap_err().retry_at, Some(at(180)));
    // An eighth of the difference.
    assert_eq!(bulkhead.leave(at(340), pass), Left::Unawaited);
    assert_eq!(bulkhead.service_time(), Some(100 * MS));
    let pass = bulkhead.enter(at(300)).unwrap();
    assert_eq!(bulkhead.leave(at(200), pass), Left::Unawaited);
    assert_eq!(bulkhead.service_time(), Some(100 * MS), "a clock that was set back measures nothing");
}

#[test]
fn those_who_wait_go_in_in_the_order_in_which_they_came_and_know_how_long_they_waited() {
    let mut driver = Driver::of(2, |_| {});
    assert_eq!(driver.enter(at(0), 1, None), [Admitted(1, Duration::ZERO)]);
    assert_eq!(driver.enter(at(0), 2, None), [Admitted(2, Duration::ZERO)]);
    for number in 3..6 {
        assert_eq!(driver.enter(at(number), number, None), []);
    }
    assert!(driver.bulkhead.enter(at(6)).is_err());
    assert_eq!(driver.leave(at(10)), [Admitted(3, 7 * MS)]);
    assert_eq!(driver.leave(at(10)), [Admitted(4, 6 * MS)]);
    assert_eq!(driver.leave(at(20)), [Admitted(5, 15 * MS)]);
    assert_eq!(driver.leave(at(30)), []);
    assert_eq!((driver.bulkhead.inside(), driver.bulkhead.waiting()), (1, 0));
}

#[test]
fn nobody_goes_in_past_those_who_wait() {
    let mut driver = Driver::of(1, |_| {});
    driver.enter(at(0), 1, None);
    driver.enter(at(0), 2, None);
    let (_, pass) = driver.inside.remove(0);
    // The place is free, and whoever left has not told the queue yet.
    assert_eq!(driver.bulkhead.leave(at(1), pass), Left::Awaited);
    let full = driver.bulkhead.enter(at(1)).unwrap_err();
    assert_eq!((full.inside, full.waiting), (0, 1));
    assert_eq!(driver.enter(at(1), 3, None), [Admitted(2, MS)], "any input will do");
    driver.machine.handle_input(at(2), BulkheadInput::Left);
    assert_eq!(driver.answers(), [], "and one more does no harm");
    assert_eq!(driver.bulkhead.inside(), 1);
}

#[test]
fn a_queue_that_is_full_refuses() {
    let mut driver = Driver::of(1, |config| config.waiting_max = 2);
    driver.enter(at(0), 1, None);
    assert_eq!([driver.enter(at(0), 2, None), driver.enter(at(0), 3, None)], [[], []]);
    let [Refused(4, refusal)] = driver.enter(at(0), 4, None)[..] else { panic!("two wait") };
    assert_eq!(refusal, Refusal::QueueFull { waiting_max: 2, retry_at: None });
    assert_eq!((refusal.name(), refusal.retry_at()), ("bulkhead-queue-full", None));
    driver.leave(at(50));
    driver.enter(at(50), 5, None);
    let [Refused(6, refusal)] = driver.enter(at(50), 6, None)[..] else { panic!("full again") };
    assert_eq!(refusal.retry_at(), Some(at(100)), "in 50 ms one of them goes in");
    let mut driver = Driver::new(BulkheadConfig::resilience4j());
    (0..25).for_each(|number| assert_eq!(driver.enter(at(0), number, None), [Admitted(number, Duration::ZERO)]));
    assert!(matches!(driver.enter(at(0), 25, None)[..], [Refused(25, Refusal::QueueFull { waiting_max: 0, .. })]));
}

/// Two places that are taken, and calls that are inside for 80 ms.
fn busy() -> Driver {
    let mut driver = Driver::of(2, |_| {});
    driver.enter(at(0), 1, None);
    assert_eq!(driver.leave(at(80)), []);
    driver.enter(at(100), 2, None);
    driver.enter(at(100), 3, None);
    driver
}

#[test]
fn who_cannot_go_in_before_the_deadline_is_refused_at_once() {
    let mut driver = busy();
    // One of two leaves every 40 ms.
    let [Refused(4, refusal)] = driver.enter(at(100), 4, Some(at(140)))[..] else {
        panic!("the deadline is too close")
    };
    let Refusal::DeadlineTooClose { ahead, expected, left, retry_at, .. } = refusal else { panic!("{refusal}") };
    assert_eq!((ahead, expected, left, retry_at), (0, 40 * MS, 40 * MS, at(100)));
    assert_eq!(driver.enter(at(100), 5, Some(at(141))), []);
    let [Refused(6, refusal)] = driver.enter(at(100), 6, Some(at(150)))[..] else {
        panic!("the deadline is too close")
    };
    assert_eq!((refusal.name(), refusal.retry_at()), ("bulkhead-deadline-too-close", Some(at(130))));
    assert_eq!(refusal.to_string(), "the wait is likely to be 80ms and the deadline is in 50ms");
    assert_eq!(driver.enter(at(100), 7, Some(at(181))), []);
    assert_eq!(driver.enter(at(100), 8, None), [], "who may wait for ever may wait");
    assert_eq!(driver.bulkhead.waiting(), 3);
}

#[test]
fn who_has_no_time_left_is_refused_whether_there_is_room_or_not() {
    let mut driver = Driver::of(1, |_| {});
    for now in [at(10), at(11)] {
        let [Refused(1, refusal)] = driver.enter(now, 1, Some(at(10)))[..] else { panic!("the deadline has passed") };
        assert!(matches!(refusal, Refusal::DeadlinePassed { waited: Duration::ZERO, .. }));
        assert_eq!((refusal.name(), refusal.retry_at()), ("bulkhead-deadline-passed", None));
    }
    assert_eq!(driver.enter(at(11), 2, Some(at(12))), [Admitted(2, Duration::ZERO)]);
    assert_eq!(driver.bulkhead.inside(), 1);
}

#[test]
fn nobody_goes_in_at_the_deadline_or_later_however_late_the_driver_is() {
    let mut driver = Driver::of(1, |_| {});
    driver.enter(at(0), 1, None);
    driver.enter(at(0), 2, Some(at(50)));
    driver.enter(at(0), 3, Some(at(40)));
    driver.enter(at(0), 4, None);
    assert_eq!(driver.machine.poll_timeout(), Some(at(40)));
    assert_eq!(driver.timeout(at(39)), []);
    // The place is free only now, and nobody has called at 40 ms.
    let answers = driver.leave(at(50));
    let passed = Refusal::DeadlinePassed { waited: 50 * MS };
    assert_eq!(answers, [Refused(3, passed), Refused(2, passed), Admitted(4, 50 * MS)]);
}

#[test]
fn who_has_waited_for_as_long_as_anybody_may_is_shed() {
    let mut driver = Driver::of(1, |config| config.wait_max = Some(30 * MS));
    driver.enter(at(0), 1, None);
    driver.enter(at(10), 2, None);
    driver.enter(at(20), 3, Some(at(45)));
    driver.enter(at(20), 4, None);
    assert_eq!(driver.machine.poll_timeout(), Some(at(40)));
    let [Refused(2, refusal)] = driver.timeout(at(40))[..] else { panic!("one is shed") };
    assert_eq!(refusal, Refusal::WaitedTooLong { waited: 30 * MS, wait_max: 30 * MS, retry_at: None });
    assert_eq!(refusal.name(), "bulkhead-waited-too-long");
    assert_eq!(driver.machine.poll_timeout(), Some(at(45)));
    assert!(matches!(driver.timeout(at(45))[..], [Refused(3, Refusal::DeadlinePassed { .. })]));
    assert_eq!(driver.machine.poll_timeout(), Some(at(50)));
    assert!(matches!(driver.timeout(at(50))[..], [Refused(4, Refusal::WaitedTooLong { .. })]));
    assert_eq!((driver.machine.poll_timeout(), driver.bulkhead.waiting()), (None, 0));
}

#[test]
fn who_is_abandoned_waits_no_more_and_is_not_answered() {
    let mut driver = Driver::of(1, |_| {});
    driver.enter(at(0), 1, None);
    driver.enter(at(0), 2, Some(at(90)));
    driver.enter(at(0), 3, None);
    assert_eq!(driver.abandon(at(1), 2), []);
    assert_eq!((driver.bulkhead.waiting(), driver.machine.poll_timeout()), (1, Some(at(1_000))));
    assert_eq!(driver.leave(at(2)), [Admitted(3, 2 * MS)]);
    // One that was admitted gives its pass back, and is unknown here.
    assert_eq!(driver.abandon(at(3), 3), []);
    assert_eq!((driver.machine.ignored(), driver.bulkhead.inside()), (1, 1));
}

#[test]
fn an_answer_that_nobody_has_heard_yet_is_taken_back_and_the_place_goes_on() {
    let mut driver = Driver::of(1, |_| {});
    let enter = |number| BulkheadInput::Enter { id: id(number), deadline: None };
    (1..=3).for_each(|number| driver.machine.handle_input(at(0), enter(number)));
    driver.machine.handle_input(at(4), BulkheadInput::Abandon(id(1)));
    assert_eq!(driver.answers(), [Admitted(2, 4 * MS)]);
    driver.machine.handle_input(at(5), BulkheadInput::Enter { id: id(9), deadline: Some(at(5)) });
    driver.machine.handle_input(at(5), BulkheadInput::Abandon(id(9)));
    assert_eq!(driver.answers(), []);
    assert_eq!((driver.machine.ignored(), driver.bulkhead.inside(), driver.bulkhead.waiting()), (0, 1, 1));
    assert_eq!(driver.bulkhead.service_time(), None, "a call that never began took no time");
}

#[test]
fn who_asks_twice_waits_once() {
    let mut driver = Driver::of(1, |_| {});
    driver.enter(at(0), 1, None);
    driver.enter(at(0), 2, None);
    driver.enter(at(1), 2, None);
    assert_eq!((driver.machine.ignored(), driver.bulkhead.waiting()), (1, 1));
    assert_eq!(driver.leave(at(2)), [Admitted(2, 2 * MS)]);
    assert_eq!(driver.leave(at(2)), []);
}

#[test]
fn in_an_overload_whoever_came_last_goes_in_first() {
    let mut driver = Driver::of(1, |config| config.order = Order::AdaptiveLifo);
    driver.enter(at(0), 1, None);
    (2..=5).for_each(|number| _ = driver.enter(at(number), number, None));
    // Somebody has been waiting since 2 ms.
    assert!(!driver.machine.is_overloaded(at(101)));
    assert_eq!(driver.leave(at(101)), [Admitted(2, 99 * MS)]);
    assert!(driver.machine.is_overloaded(at(102)));
    assert_eq!(driver.leave(at(102)), [Admitted(5, 97 * MS)]);
    driver.enter(at(110), 6, None);
    assert_eq!(driver.leave(at(111)), [Admitted(6, MS)]);
    assert_eq!(driver.leave(at(120)), [Admitted(4, 116 * MS)]);
    assert_eq!(driver.leave(at(120)), [Admitted(3, 117 * MS)]);
    // Nobody waits: the overload is over.
    assert!(!driver.machine.is_overloaded(at(500)));
    (7..=8).for_each(|number| _ = driver.enter(at(500), number, None));
    assert_eq!(driver.leave(at(599)), [Admitted(7, 99 * MS)]);
}

#[test]
fn a_place_in_an_overload_is_the_next_place_for_whoever_came_last() {
    let mut driver = Driver::of(1, |config| config.order = Order::AdaptiveLifo);
    driver.enter(at(0), 1, None);
    driver.leave(at(40));
    (2..=5).for_each(|number| _ = driver.enter(at(50), number, None));
    assert!(matches!(
        driver.enter(at(60), 6, Some(at(101)))[..],
        [Refused(6, Refusal::DeadlineTooClose { ahead: 3, .. })]
    ));
    assert_eq!(driver.enter(at(150), 7, Some(at(191))), []);
}

#[test]
fn a_standing_queue_is_shed_down_to_those_who_have_just_come() {
    let mut driver = Driver::new(BulkheadConfig::fail_at_scale(NonZeroU32::MIN, 100));
    driver.enter(at(0), 1, None);
    driver.enter(at(10), 2, None);
    driver.enter(at(50), 3, None);
    driver.enter(at(106), 4, None);
    // Somebody has been waiting for 100 ms: 5 ms are the limit from then on. The first would have been shed anyway.
    assert_eq!(driver.machine.poll_timeout(), Some(at(110)));
    let answers = driver.timeout(at(110));
    let [Refused(2, Refusal::WaitedTooLong { .. }), Refused(3, Refusal::WaitedTooLong { wait_max, .. })] = answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!(wait_max, 5 * MS);
    assert_eq!(driver.machine.poll_timeout(), Some(at(111)));
    driver.enter(at(109), 5, None);
    assert_eq!(driver.leave(at(110)), [Admitted(5, Duration::ZERO)], "whoever came last, at 110 by the clock here");
    assert!(matches!(driver.timeout(at(111))[..], [Refused(4, Refusal::WaitedTooLong { .. })]));
    // Nobody waits: the overload is over, and 100 ms are the limit again.
    driver.enter(at(112), 6, None);
    assert_eq!(driver.machine.poll_timeout(), Some(at(212)));
}
