//! Which requests may be repeated, and when one that may not is repeated all the same.

use core::time::Duration;
use std::io::ErrorKind;

use mesh_retry::classify::{
    Class, Done, FinalBy, Idempotency, UnsafeRules, class_of_io, class_of_reset, class_of_status, done_by_io,
    done_by_reset, done_by_status,
};

const KINDS: [Idempotency; 4] =
    [Idempotency::Idempotent, Idempotency::NotIdempotent, Idempotency::Keyed, Idempotency::Unknown];

#[test]
fn methods_are_idempotent_as_the_rfc_has_it() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert_eq!(Idempotency::of_method(method), Idempotency::Idempotent, "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT"] {
        assert_eq!(Idempotency::of_method(method), Idempotency::NotIdempotent, "{method}");
    }
    for method in ["", "get", "PROPFIND", "GET "] {
        assert_eq!(Idempotency::of_method(method), Idempotency::Unknown, "{method}");
    }
}

#[test]
fn a_key_makes_a_request_repeatable() {
    let keyed = KINDS.map(Idempotency::with_key);
    assert_eq!(keyed, [Idempotency::Idempotent, Idempotency::Keyed, Idempotency::Keyed, Idempotency::Keyed]);
    let rules = UnsafeRules::default();
    assert_eq!(KINDS.map(|kind| kind.may_repeat(rules)), [true, false, true, false]);
    let rules = rules_of(false, true);
    assert_eq!(KINDS.map(|kind| kind.may_repeat(rules)), [true, false, true, true]);
}

#[test]
fn without_idempotency_only_what_certainly_did_nothing_is_repeated() {
    let post = |class, done| Idempotency::NotIdempotent.judge(class, done, UnsafeRules::default());
    let by_status = |status| post(class_of_status(status), done_by_status(status));
    for status in [421, 425] {
        assert_eq!(by_status(status), Class::Transient, "{status}");
    }
    for status in [408, 429, 500, 502, 503, 504, 599, 0] {
        assert_eq!(by_status(status), class_of_status(status).final_by(FinalBy::Idempotency), "{status}");
        assert!(!by_status(status).is_retryable(), "{status}");
        assert_eq!(by_status(status).outcome(), class_of_status(status).outcome(), "{status}: health hears of it");
    }
    for status in [200, 404] {
        assert_eq!(by_status(status), class_of_status(status), "{status}");
    }
    let refused = ErrorKind::ConnectionRefused;
    assert_eq!(post(class_of_io(refused), done_by_io(refused)), Class::Unreachable);
    let reset = ErrorKind::ConnectionReset;
    assert!(!post(class_of_io(reset), done_by_io(reset)).is_retryable());
    assert_eq!(post(class_of_reset(0x7), done_by_reset(0x7)), Class::Transient);
    assert!(!post(class_of_reset(0x8), done_by_reset(0x8)).is_retryable());
}

#[test]
fn an_answer_of_overload_is_trusted_where_the_rules_say_so() {
    let busy = Class::Throttled { retry_after: Some(Duration::from_secs(1)) };
    let judged = |done, rules| Idempotency::NotIdempotent.judge(busy, done, rules);
    assert_eq!(judged(Done::Shed, rules_of(true, false)), busy);
    assert!(!judged(Done::Shed, rules_of(false, true)).is_retryable());
    assert!(!judged(Done::Perhaps, rules_of(true, true)).is_retryable());
}

#[test]
fn what_may_be_repeated_keeps_its_class() {
    for class in [Class::Success, Class::Transient, Class::Unreachable, Class::Permanent] {
        for done in [Done::Nothing, Done::Shed, Done::Perhaps] {
            for kind in [Idempotency::Idempotent, Idempotency::Keyed] {
                assert_eq!(kind.judge(class, done, UnsafeRules::default()), class);
            }
            assert_eq!(Idempotency::Unknown.judge(class, done, rules_of(false, true)), class);
        }
        let judged = Idempotency::Unknown.judge(class, Done::Perhaps, UnsafeRules::default());
        assert_eq!(judged, class.final_by(FinalBy::Idempotency), "nobody has said that it may");
    }
}

fn rules_of(trust_shed: bool, unknown_is_idempotent: bool) -> UnsafeRules {
    let mut rules = UnsafeRules::default();
    (rules.trust_shed, rules.unknown_is_idempotent) = (trust_shed, unknown_is_idempotent);
    rules
}
