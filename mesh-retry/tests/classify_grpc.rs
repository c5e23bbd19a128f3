//! What gRPC's codes mean, by themselves and by the set of those that are retried.

use mesh_core::balance::Outcome;
use mesh_retry::classify::{Class, Done, Failure, FinalBy, GrpcCode, GrpcCodes};

#[test]
fn codes_have_the_numbers_of_grpc_and_unknown_numbers_are_unknown() {
    for (number, code) in (0..).zip(GrpcCode::ALL) {
        assert_eq!((code.number(), GrpcCode::from_number(number)), (number as u32, code));
        assert_eq!(GrpcCode::parse(&number.to_string()), code);
    }
    for number in [17, 18, u64::from(u32::MAX) + 1, u64::MAX] {
        assert_eq!(GrpcCode::from_number(number), GrpcCode::Unknown);
    }
    for text in ["", "-1", "UNAVAILABLE", "14.0", "0x0", "18446744073709551616"] {
        assert_eq!(GrpcCode::parse(text), GrpcCode::Unknown, "{text}");
    }
    assert_eq!(GrpcCode::parse("014"), GrpcCode::Unavailable);
}

#[test]
fn by_default_unavailable_alone_is_retried_as_in_grpcs_examples() {
    let retried = GrpcCode::ALL.into_iter().filter(|code| code.class(GrpcCodes::default()).is_retryable());
    assert_eq!(retried.collect::<Vec<_>>(), [GrpcCode::Unavailable]);
    assert!(GrpcCode::ALL.into_iter().all(|code| !code.class(GrpcCodes::NONE).is_retryable()));
}

#[test]
fn envoys_set_is_that_of_its_documentation() {
    let retried = GrpcCode::ALL.into_iter().filter(|code| code.class(GrpcCodes::ENVOY).is_retryable());
    let expected = [
        GrpcCode::Cancelled,
        GrpcCode::DeadlineExceeded,
        GrpcCode::ResourceExhausted,
        GrpcCode::Internal,
        GrpcCode::Unavailable,
    ];
    assert_eq!(retried.collect::<Vec<_>>(), expected);
}

#[test]
fn every_code_has_the_class_of_the_table() {
    let everything = GrpcCode::ALL.into_iter().fold(GrpcCodes::NONE, GrpcCodes::with);
    let overloaded = Outcome::Overloaded { retry_after: None };
    for code in GrpcCode::ALL {
        let (retried, unretried, outcome) = match code {
            GrpcCode::Ok => (Class::Success, Class::Success, Outcome::Success),
            GrpcCode::Unknown
            | GrpcCode::DeadlineExceeded
            | GrpcCode::Internal
            | GrpcCode::Unavailable
            | GrpcCode::DataLoss => (Class::Transient, unretried(Failure::Transient), Outcome::Failure),
            GrpcCode::ResourceExhausted => (
                Class::Throttled { retry_after: None },
                unretried(Failure::Throttled { retry_after: None }),
                overloaded,
            ),
            GrpcCode::Cancelled
            | GrpcCode::InvalidArgument
            | GrpcCode::NotFound
            | GrpcCode::AlreadyExists
            | GrpcCode::PermissionDenied
            | GrpcCode::FailedPrecondition
            | GrpcCode::Aborted
            | GrpcCode::OutOfRange
            | GrpcCode::Unimplemented
            | GrpcCode::Unauthenticated => (Class::Transient, Class::Permanent, Outcome::Success),
        };
        assert_eq!((code.class(everything), code.class(GrpcCodes::NONE)), (retried, unretried), "{code:?}");
        assert_eq!(code.class(GrpcCodes::NONE).outcome(), outcome, "{code:?}");
        let done = if code == GrpcCode::ResourceExhausted { Done::Shed } else { Done::Perhaps };
        assert_eq!(code.done(), done, "{code:?}");
    }
}

#[test]
fn a_set_is_written_as_a_list_of_names_and_read_back() {
    let text = serde_json::to_string(&GrpcCodes::ENVOY).unwrap();
    assert_eq!(text, r#"["CANCELLED","DEADLINE_EXCEEDED","RESOURCE_EXHAUSTED","INTERNAL","UNAVAILABLE"]"#);
    assert_eq!(serde_json::from_str::<GrpcCodes>(&text).unwrap(), GrpcCodes::ENVOY);
    assert_eq!(serde_json::from_str::<GrpcCodes>("[]").unwrap(), GrpcCodes::NONE);
    assert!(serde_json::from_str::<GrpcCodes>(r#"["unavailable"]"#).is_err());
}

fn unretried(failure: Failure) -> Class {
    Class::Final { failure, by: FinalBy::Code }
}
