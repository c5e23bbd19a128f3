//! Deadlines and attempt numbers that travel from a client to A, and from A to B, over real HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh::mesh_retry::call::GiveUpReason;
use mesh::mesh_retry::classify::class_of_status;
use mesh::mesh_retry::deadline::Told;
use mesh::{Attempt, CallError, CallPolicy, Class, RetryPolicy, ServiceConfig, ServiceMesh};
use support::{eventually, in_flight, ms, plain, retries, secs};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn b_hears_of_as_call_with_less_time_than_a_was_given_and_with_the_number_of_each_attempt() {
    for by in [Headers::Mesh, Headers::Grpc] {
        let b = Process::start(Work::Answers(|count| if count == 1 { 503 } else { 200 })).await;
        let a = Process::start(Work::CallsOn(by)).await;
        a.may_call(&b).await;
        let client = Process::start(Work::Hangs).await;
        client.may_call(&a).await;
        assert_eq!(client.call(quick(1, secs(60)), by, None).await.unwrap(), 200);
        let ([at_a], [first, second]) = (a.seen().try_into().unwrap(), b.seen().try_into().unwrap());
        let numbers = [at_a, first, second].map(|told| told.attempt.map_or(1, NonZeroU32::get));
        assert_eq!(numbers, [1, 1, 2], "{by:?}");
        let left = [at_a, first, second].map(|told| told.remaining.unwrap());
        assert!(left[0] < secs(60) && left[1] < left[0] && left[2] < left[1], "{by:?}: {left:?}");
        assert!(left[2] > secs(20), "{by:?}: {left:?}");
    }
}

#[tokio::test]
async fn as_call_is_over_when_as_caller_leaves_and_not_when_as_own_policy_says() {
    let (b, a) = (Process::start(Work::Hangs).await, Process::start(Work::CallsOn(Headers::Mesh)).await);
    a.may_call(&b).await;
    let client = Process::start(Work::Hangs).await;
    client.may_call(&a).await;
    let error = client.call(quick(1, ms(400)), Headers::Mesh, None).await.unwrap_err();
    assert!(error.to_string().contains("the deadline of 400ms has passed"), "{error}");
    eventually("A has given up", async || a.ends().len() == 1).await;
    let (reason, attempts) = a.ends()[0];
    let GiveUpReason::DeadlineExceeded { deadline } = reason else { panic!("{reason}") };
    assert!(deadline < ms(400) && attempts == 1, "{deadline:?} {attempts}");
    assert_eq!(in_flight(&a.mesh, "next").await, 0);
}

#[tokio::test]
async fn a_request_that_has_expired_on_its_way_goes_no_further() {
    let b = Process::start(Work::Answers(|_| 200)).await;
    let a = Process::start(Work::CallsOn(Headers::Mesh)).await;
    a.may_call(&b).await;
    let client = Process::start(Work::Hangs).await;
    client.may_call(&a).await;
    let late = [("mesh-remaining-ms", "0"), ("mesh-remaining-ms", " 0 "), ("grpc-timeout", "0n")];
    for header in late {
        assert_eq!(client.call(quick(1, secs(60)), Headers::Mesh, Some(header)).await.unwrap(), 504, "{header:?}");
    }
    assert_eq!((a.seen().len(), b.seen().len()), (3, 0));
    assert_eq!(a.ends(), [(GiveUpReason::DeadlineExceeded { deadline: Duration::ZERO }, 0); 3]);
    // Nonsense is not said, and the rest counts.
    let nonsense = Some(("mesh-remaining-ms", "soon"));
    assert_eq!(client.call(quick(1, secs(60)), Headers::Mesh, nonsense).await.unwrap(), 200);
    assert!(b.seen()[0].remaining.unwrap() > secs(20));
}

/// Whose headers a call is made with.
#[derive(Clone, Copy, Debug)]
enum Headers {
    Mesh,
    Grpc,
}

/// What a process does with its requests.
enum Work {
    /// Answers with the status for the number of the request.
    Answers(fn(usize) -> u16),
    Hangs,
    /// Calls the next process, for an hour if it may, within the time of the request, and answers as that does.
    CallsOn(Headers),
}

/// A process with a mesh and a server of its own, which notes what each request tells and how its own calls end.
struct Process {
    mesh: ServiceMesh,
    address: SocketAddr,
    work: Work,
    client: reqwest::Client,
    seen: Mutex<Vec<Told>>,
    ends: Mutex<Vec<(GiveUpReason, u32)>>,
}

impl Process {
    async fn start(work: Work) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mesh = ServiceMesh::builder().config(plain()).build().await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = reqwest::Client::new();
        let process = Arc::new(Self { mesh, address, work, client, seen: Mutex::default(), ends: Mutex::default() });
        let server = Arc::clone(&process);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&server).connection(stream));
            }
        });
        process
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let answer = service_fn(|request: Request<Incoming>| {
            // On a task of its own: what a caller who leaves does not end, the deadline has to.
            let served = tokio::spawn(Arc::clone(&self).serve(request.into_parts().0.headers));
            async move {
                let status = served.await.unwrap();
                Ok::<_, Infallible>(Response::builder().status(status).body(String::new()).unwrap())
            }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn serve(self: Arc<Self>, headers: HeaderMap) -> u16 {
        let incoming = self.mesh.incoming(&headers);
        let told = Told::read_pairs(&headers);
        assert_eq!(incoming.attempt(), told.attempt.map_or(1, NonZeroU32::get));
        let count = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(told);
            seen.len()
        };
        match self.work {
            Work::Answers(status) => status(count),
            Work::Hangs => std::future::pending().await,
            Work::CallsOn(by) => {
                let policy = CallPolicy::new(quick(3, secs(3600))).unwrap().within(&incoming);
                match self.call_by(policy, by, None).await {
                    Ok(status) => status,
                    Err(CallError::GaveUp { reason, attempts, .. }) => {
                        assert_eq!(incoming.is_expired(), !matches!(reason, GiveUpReason::AttemptsExhausted { .. }));
                        self.ends.lock().unwrap().push((reason, attempts));
                        504
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Lets `other` be the next process after this one.
    async fn may_call(&self, other: &Self) {
        let config = ServiceConfig::builder("next", "127.0.0.1", other.address.port()).without_check();
        self.mesh.register_service(config.build().unwrap()).await.unwrap();
        eventually("it is found", async || self.mesh.get_healthy_services("next").await.is_ok()).await;
    }

    async fn call(&self, retry: RetryPolicy, by: Headers, also: Option<(&str, &str)>) -> Reply {
        self.call_by(CallPolicy::new(retry).unwrap(), by, also).await
    }

    /// Calls the next process, by headers of its own choice where `also` is one of them.
    async fn call_by(&self, policy: CallPolicy, by: Headers, also: Option<(&str, &str)>) -> Reply {
        let policy = policy.classify(|reply: &Result<u16, reqwest::Error>| match reply {
            Ok(status) if *status == 504 => Class::Permanent,
            Ok(status) => class_of_status(*status),
            Err(_) => Class::Unreachable,
        });
        let call = self.mesh.call("next", &policy, |attempt| {
            let mut headers = texts(&attempt, by);
            headers.retain(|(name, _)| also.is_none_or(|(other, _)| other != *name));
            let mut request = self.client.get(format!("http://{}/", attempt.authority()));
            for (name, value) in headers.iter().map(|(name, value)| (*name, value.as_str())).chain(also) {
                request = request.header(name, value);
            }
            async move { Ok(request.send().await?.status().as_u16()) }
        });
        call.await
    }

    fn seen(&self) -> Vec<Told> {
        self.seen.lock().unwrap().clone()
    }

    fn ends(&self) -> Vec<(GiveUpReason, u32)> {
        self.ends.lock().unwrap().clone()
    }
}

type Reply = Result<u16, CallError<reqwest::Error>>;

fn texts(attempt: &Attempt, by: Headers) -> Vec<(&'static str, String)> {
    match by {
        Headers::Mesh => attempt.headers().map(|(name, value)| (name, value.to_string())).collect(),
        Headers::Grpc => attempt.grpc_headers().map(|(name, value)| (name, value.to_string())).collect(),
    }
}

/// At most so many attempts with hardly a wait, over in `deadline`.
fn quick(attempts_max: u32, deadline: Duration) -> RetryPolicy {
    let mut retry = retries(attempts_max);
    (retry.backoff.base, retry.backoff.cap, retry.deadline) = (ms(2), ms(2), Some(deadline));
    retry
}
