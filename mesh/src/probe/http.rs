//! One HTTP/1.1 request on a connection that the last check left or a new one, and as much of the response as its check wants
//! to know.
//!
//! Decides what the request says and how much of a response is ever read. Never follows a redirect or spawns a task: the
//! connection makes progress only while its exchange is polled.

use std::pin::pin;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use mesh_core::health::{ProbeFailure, ProbeVerdict};
use mesh_core::service::{CheckMethod, Host, HttpCheck};
use mesh_core::time::Instant;

use super::connection::{Opened, Protocol};
use super::idle::{IdleConnections, Line};
use super::{Target, connection};
use mesh_cache::Stream;

/// A request that was answered: the head is here, the body may still be on its way.
pub(super) struct Exchange<'a> {
    check: &'a HttpCheck,
    response: Response<Incoming>,
    /// How much of the body may still be read.
    body_left: usize,
    requests: SendRequest<Empty<Bytes>>,
    connection: Option<Http>,
    /// When the connection was opened.
    opened: Instant,
}

impl Exchange<'_> {
    /// What the head of the response means.
    pub(super) fn verdict(&self) -> ProbeVerdict {
        let degraded = self.check.degraded_header();
        let is_degraded = degraded.is_some_and(|name| self.response.headers().contains_key(name.as_str()));
        ProbeVerdict::of_http(self.check, self.response.status().as_u16(), is_degraded)
    }

    /// Whether the verdict hangs on the body too: only of an answer that is a good one as far as it is here.
    pub(super) fn awaits_body(&self) -> bool {
        self.check.expected_body().is_some() && self.check.expects(self.response.status().as_u16())
    }

    /// Reads the body as far as it may be read, and until the part that is expected was in it.
    pub(super) async fn look_into_body(&mut self) -> Result<(), ProbeFailure> {
        let Some(part) = self.check.expected_body() else { return Ok(()) };
        let mut seen = Vec::with_capacity(HttpCheck::BODY_BYTES_MAX);
        let (body, left) = (self.response.body_mut(), &mut self.body_left);
        let search = async {
            loop {
                let frame = body.frame().await.ok_or(ProbeFailure::Body)?.map_err(|_| ProbeFailure::Broken)?;
                let data = frame.data_ref().map_or(&[] as &[u8], AsRef::as_ref);
                let looked_at = data.len().min(*left);
                seen.extend_from_slice(&data[..looked_at]);
                *left -= looked_at;
                if part.is_in(&seen) {
                    return Ok(());
                }
                if *left == 0 {
                    return Err(ProbeFailure::Body);
                }
            }
        };
        driven(&mut self.connection, search).await
    }

    /// Reads the rest of the response until it ends, breaks, or has had its 4 KiB; of one that ended and was a good one, the
    /// connection is left to `idle` for the next check of `target`. After a bad one it is to be seen whether one can connect.
    pub(super) async fn drain(mut self, target: &Target<'_>, idle: &IdleConnections) {
        let is_good = !matches!(self.verdict(), ProbeVerdict::Failed(_));
        let mut body = self.response.into_body();
        let mut left = self.body_left;
        let rest = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(fewer) => left = fewer,
                    None => return false,
                }
            }
            true
        };
        let ended = driven(&mut self.connection, rest).await;
        let is_ready = ended && driven(&mut self.connection, self.requests.ready()).await.is_ok();
        if let Some(connection) = self.connection.filter(|_| is_ready && is_good) {
            let line = Line { requests: self.requests, connection, opened: self.opened };
            idle.keep(target, certified(target, self.check), line);
        }
    }
}

/// Sends the request of `check` to `target` and waits for the head of the response.
pub(super) async fn ask<'a>(
    target: &Target<'_>,
    check: &'a HttpCheck,
    idle: &IdleConnections,
) -> Result<Exchange<'a>, ProbeFailure> {
    let request = || request(target, check).map_err(|error| target.failed(ProbeFailure::Broken, &error));
    if let Some(line) = idle.take(target, certified(target, check))
        && let Ok(exchange) = exchange(check, request()?, line).await
    {
        return Ok(exchange);
    }
    // There was none, or its peer had closed it meanwhile. What is asked changes nothing, so it may be asked twice.
    let opened = target.clock.now();
    let Opened { stream, refusal } = connection::open(target, Protocol::Http1, certified(target, check)).await?;
    let broken = |error: hyper::Error| target.failed(refusal.failure(), &error);
    let handshake = Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (requests, connection) = handshake.await.map_err(broken)?;
    exchange(check, request()?, Line { requests, connection, opened }).await.map_err(broken)
}

/// Whom the certificate has to be for, of a check over TLS: who is named in the request.
fn certified<'a>(target: &Target<'a>, check: &'a HttpCheck) -> Option<&'a Host> {
    check.tls().then(|| check.host_header().unwrap_or(target.host))
}

async fn exchange(
    check: &HttpCheck,
    request: Request<Empty<Bytes>>,
    Line { mut requests, connection, opened }: Line,
) -> Result<Exchange<'_>, hyper::Error> {
    let mut connection = Some(connection);
    let response = driven(&mut connection, requests.send_request(request)).await?;
    Ok(Exchange { check, response, body_left: HttpCheck::BODY_BYTES_MAX, requests, connection, opened })
}

/// What makes a connection go on.
pub(super) type Http = Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>;

/// Waits for `exchange` and drives `connection` meanwhile, which is dropped where it ends first.
async fn driven<T>(connection: &mut Option<Http>, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    if let Some(open) = connection {
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            // What it has read is with the exchange, and so is its error.
            _ended = open => {}
        }
    }
    *connection = None;
    exchange.await
}

/// The request of `check`; its text was parsed long ago, so nothing in it can end a header.
fn request(target: &Target<'_>, check: &HttpCheck) -> Result<Request<Empty<Bytes>>, http::Error> {
    let method = match check.method() {
        CheckMethod::Get => Method::GET,
        CheckMethod::Head => Method::HEAD,
    };
    let path: PathAndQuery = check.path().as_str().parse()?;
    let host = match check.host_header() {
        None => target.host.authority(target.port),
        Some(host) => host.bracketed().into_owned(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(Uri::from(path))
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .body(Empty::new())?;
    for (name, value) in check.headers() {
        let mut value = HeaderValue::from_str(value.reveal())?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_bytes(name.as_str().as_bytes())?, value);
    }
    Ok(request)
}

/// How a probe introduces itself.
pub(super) const AGENT: &str = "mesh-probe";
/// A response's head beyond this is none; twice the least that hyper works with.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
