//! One call of the gRPC health protocol, `grpc.health.v1.Health/Check`, on a connection of its own.
//!
//! Decides what the answer means: `SERVING` passes, everything else fails. Speaks HTTP/2, over TLS where the check says so, and reads at most
//! 4 KiB of an answer; spawns no task, so that dropping the call closes its connection.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::Builder;
use hyper::rt::Executor as _;
use hyper_util::rt::TokioIo;
use mesh_core::health::ProbeFailure;
use mesh_core::service::{GrpcCheck, GrpcService};

use super::connection::{Opened, Protocol};
use super::http::{AGENT, HEAD_BYTES_MAX};
use super::tasks::{Beside, Tasks};
use super::{Target, connection, grpc_wire};

/// Asks `target` whether the service of `check` is serving, which it says in `timeout` or never.
pub(super) async fn ask(target: &Target<'_>, check: &GrpcCheck, timeout: Duration) -> Result<(), ProbeFailure> {
    let request = request(target, check, timeout).map_err(|error| target.failed(ProbeFailure::Broken, &error))?;
    let certified = check.tls().then_some(target.host);
    let Opened { stream, refusal } = connection::open(target, Protocol::Http2, certified).await?;
    let tasks = Tasks::default();
    let beside = tasks.beside();
    let call = async {
        let broken = |error: hyper::Error| target.failed(refusal.failure(), &error);
        let (mut requests, connection) = builder(&beside).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Its error is the call's too.
        beside.execute(async { drop(connection.await) });
        let response = requests.send_request(request).await.map_err(broken)?;
        let framed = answer(response).await.map_err(|failure| target.failed(failure, &"the call did not end well"))?;
        grpc_wire::verdict(&framed)
    };
    tasks.driving(call).await
}

/// As little of a connection's memory as the protocol allows.
fn builder(beside: &Beside) -> Builder<Beside> {
    let mut builder = Builder::new(beside.clone());
    builder
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_concurrent_reset_streams(0);
    builder
}

fn request(target: &Target<'_>, check: &GrpcCheck, timeout: Duration) -> Result<Request<Full<Bytes>>, http::Error> {
    let service = check.service().map_or("", GrpcService::as_str);
    let scheme = if check.tls() { "https" } else { "http" };
    let authority = target.host.authority(target.port);
    // A day has eight digits of milliseconds, as many as the protocol allows.
    let milliseconds = timeout.as_millis().max(1);
    Request::post(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, GRPC)
        .header(TE, "trailers")
        .header(USER_AGENT, AGENT)
        .header("grpc-timeout", format!("{milliseconds}m"))
        .body(Full::new(grpc_wire::request(service)))
}

/// The bytes of the answer to a call that ended well.
async fn answer(response: Response<Incoming>) -> Result<Vec<u8>, ProbeFailure> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    let content = head.headers.get(CONTENT_TYPE).map(|content| content.as_bytes());
    if !content.is_some_and(|content| content.starts_with(GRPC.as_bytes())) {
        return Err(ProbeFailure::Broken);
    }
    // A call that fails at once says so in its head alone.
    let (mut bytes, mut trailers) = (Vec::new(), head.headers);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ProbeFailure::Broken)?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(ProbeFailure::Broken);
            }
            bytes.extend_from_slice(data);
        }
        trailers.extend(frame.into_trailers().unwrap_or_default());
    }
    match status(&trailers) {
        Some(0) => Ok(bytes),
        Some(code) => Err(ProbeFailure::GrpcStatus(code)),
        None => Err(ProbeFailure::Broken),
    }
}

fn status(trailers: &HeaderMap) -> Option<u32> {
    trailers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

const GRPC: &str = "application/grpc";
/// An answer has seven bytes.
const BODY_BYTES_MAX: usize = 4096;
const WINDOW_BYTES: u32 = 2 * BODY_BYTES_MAX as u32;
/// The least that RFC 9113 allows (section 6.9.2).
const CONNECTION_WINDOW_BYTES: u32 = 65_535;
