//! Deadlines and attempt numbers that travel along chains of calls, on paused time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use mesh::mesh_core::time::Instant;
use mesh::mesh_retry::deadline::Told;
use mesh::{Attempt, CallPolicy, IncomingCall, ServiceMesh};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::world::FOREVER;
use support::{Lab, in_flight, instance_of, ms, retries};

#[tokio::test(start_paused = true)]
async fn a_request_is_read_by_its_headers_and_its_time_passes() {
    let lab = Lab::new();
    let mesh = lab.mesh().await;
    let silent = mesh.incoming([("host", "api")]);
    assert_eq!((silent.attempt(), silent.remaining(), silent.is_expired()), (1, None, false));
    let incoming = mesh.incoming([("Mesh-Remaining-Ms", "100"), ("Grpc-Previous-Rpc-Attempts", "1")]);
    assert_eq!((incoming.attempt(), incoming.remaining()), (2, Some(ms(100))));
    let same = Told::read(|name| (name == "mesh-remaining-ms").then_some("100"));
    assert_eq!(mesh.incoming_told(same).deadline(), incoming.deadline());
    let own = [ms(60), ms(140)].map(|longest| incoming.clone().at_most(longest).remaining());
    assert_eq!(own, [Some(ms(60)), Some(ms(100))]);
    assert_eq!(silent.at_most(ms(60)).remaining(), Some(ms(60)));
    tokio::time::sleep(ms(99)).await;
    assert_eq!((incoming.remaining(), incoming.is_expired()), (Some(ms(1)), false));
    // The server's own limit counts from the arrival as well.
    assert_eq!(incoming.clone().at_most(ms(99)).remaining(), Some(ms(0)));
    tokio::time::sleep(ms(1)).await;
    assert_eq!((incoming.remaining(), incoming.is_expired()), (Some(ms(0)), true));
    tokio::time::sleep(ms(50)).await;
    assert_eq!((incoming.remaining(), incoming.is_expired()), (Some(ms(0)), true));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_chain_of_calls_is_over_when_the_first_is(hops in proptest::collection::vec(any_link(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new();
            for number in 1..=3 {
                lab.registry.put(&instance_of("api", number).build().unwrap()).await;
            }
            let chain = Chain { mesh: lab.mesh().await, lab, links: hops, ends: Mutex::default() };
            let first = chain.links[0].deadline;
            let _ = chain.go(0, None).await;
            assert!(chain.lab.now() <= Instant::ZERO.after(first), "{:?} of {first:?}", chain.lab.now());
            assert_eq!(in_flight(&chain.mesh, "api").await, 0);
        });
    }
}

/// One process of a chain: how long its own work takes, and by which policy it calls the next.
#[derive(Clone, Copy, Debug)]
struct Link {
    work: Duration,
    deadline: Duration,
    attempt_timeout: Option<Duration>,
    attempts_max: u32,
    fails: bool,
    by_grpc: bool,
}

/// Processes that call one another, each by what the one before it tells in headers.
struct Chain {
    lab: Lab,
    mesh: ServiceMesh,
    links: Vec<Link>,
    /// The deadline of each call that is under way, the first first.
    ends: Mutex<Vec<Instant>>,
}

impl Chain {
    /// Makes the call of link `at`, for the request that has come in.
    fn go<'a>(
        &'a self,
        at: usize,
        incoming: Option<IncomingCall>,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + 'a>> {
        Box::pin(async move {
            let Some(link) = self.links.get(at) else {
                tokio::time::sleep(FOREVER).await;
                return Ok(());
            };
            let mut retry = retries(link.attempts_max);
            (retry.deadline, retry.attempt_timeout) = (Some(link.deadline), link.attempt_timeout);
            let policy = CallPolicy::new(retry).unwrap();
            let policy = incoming.iter().fold(policy, |policy, incoming| policy.within(incoming));
            let call = self.mesh.call("api", &policy, |attempt| self.serve(at, attempt));
            call.await.map_err(|error| error.to_string())
        })
    }

    /// What the process after link `at` does with the request.
    async fn serve(&self, at: usize, attempt: Attempt) -> Result<(), String> {
        let link = self.links[at];
        tokio::time::sleep(link.work / 2).await;
        let headers: Vec<_> = if link.by_grpc {
            attempt.grpc_headers().map(|(name, value)| (name, value.to_string())).collect()
        } else {
            attempt.headers().map(|(name, value)| (name, value.to_string())).collect()
        };
        let incoming = self.mesh.incoming(headers);
        assert!(incoming.deadline() <= attempt.deadline(), "{incoming:?} by {attempt:?}");
        assert_eq!(incoming.attempt(), attempt.number());
        self.ends.lock().unwrap().truncate(at);
        let end = incoming.deadline().instant().unwrap();
        assert!(self.ends.lock().unwrap().iter().all(|earlier| end <= *earlier));
        self.ends.lock().unwrap().push(end);
        tokio::time::sleep(link.work / 2).await;
        if link.fails {
            return Err("no".to_owned());
        }
        self.go(at + 1, Some(incoming)).await
    }
}

fn any_link() -> impl Strategy<Value = Link> {
    let times = (0..400_u64, 1..5_000_u64, proptest::option::of(1..2_000_u64));
    (times, 1..4_u32, proptest::bool::weighted(0.2), any::<bool>()).prop_map(
        |((work, deadline, attempt_timeout), attempts_max, fails, by_grpc)| Link {
            work: ms(work),
            deadline: ms(deadline),
            attempt_timeout: attempt_timeout.map(ms),
            attempts_max,
            fails,
            by_grpc,
        },
    )
}
