//! What a breaker and the machine of votes share without a lock, under every order in which they may come (loom):
//! `scripts/loom`.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use mesh_core::time::Instant;

use super::super::wake::Wake;
use super::{Evidence, ProbeRight, VotesConfig};

#[derive(Debug, Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn evidence() -> (Arc<Evidence>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    (Arc::new(Evidence::new(&VotesConfig::default(), bell.clone())), bell)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn of_two_calls_that_want_to_probe_one_wakes_the_driver() {
    loom::model(|| {
        let (evidence, bell) = evidence();
        let shared = Arc::clone(&evidence);
        let other = thread::spawn(move || shared.may_probe(at(1)));
        let mine = evidence.may_probe(at(1));
        assert_eq!((mine, other.join().unwrap()), (Err(at(1001)), Err(at(1001))));
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_turn_that_is_given_while_a_call_asks_is_used_or_asked_for_but_never_both() {
    loom::model(|| {
        let (evidence, bell) = evidence();
        let shared = Arc::clone(&evidence);
        let other = thread::spawn(move || shared.may_probe(at(1)));
        evidence.set_turn(ProbeRight::Shared { until: at(500) });
        let asked = bell.0.load(Ordering::SeqCst);
        match other.join().unwrap() {
            Ok(()) => assert_eq!(bell.0.load(Ordering::SeqCst), 0),
            Err(until) => assert_eq!((until, bell.0.load(Ordering::SeqCst)), (at(1001), 1.max(asked))),
        }
        assert!(evidence.right(at(1)).is_some(), "what was given is not lost");
    });
}
