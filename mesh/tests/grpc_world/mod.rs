//! A gRPC server of one scripted answer, on a port of its own, that keeps what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// What the server answers to every call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// HTTP status 200, this body and these trailers.
    Ended(Vec<u8>, Vec<(&'static str, &'static str)>),
    /// A head alone, of this status and with these headers.
    Head(u16, Vec<(&'static str, &'static str)>),
    /// A head of this content type, and then a serving body.
    Typed(&'static str),
    /// Nothing, ever.
    Silence,
    /// A head, and then a body without end.
    Flood,
}

/// A call as the server saw it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The server. It takes one connection.
pub(crate) struct GrpcServer {
    pub(crate) address: SocketAddr,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    /// How many frames of a flood were taken.
    pub(crate) flooded: Arc<AtomicU32>,
    connection: JoinHandle<()>,
}

impl GrpcServer {
    pub(crate) async fn replying(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tells, asked) = mpsc::unbounded_channel();
        let flooded = Arc::<AtomicU32>::default();
        let taken = Arc::clone(&flooded);
        let tells = Arc::new(Mutex::new(tells));
        let connection = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: Request<Incoming>| {
                let (reply, tells, taken) = (reply.clone(), Arc::clone(&tells), Arc::clone(&taken));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let asked = Asked { method: head.method, uri: head.uri, headers: head.headers, body };
                    let _ = tells.lock().await.send(asked);
                    Ok::<_, Infallible>(answer(reply, taken).await)
                }
            });
            // How the client leaves is what the tests ask about, not an error.
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        Self { address, asked, flooded, connection }
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.connection).await.expect("the connection is still open").unwrap();
    }
}

async fn answer(reply: Reply, taken: Arc<AtomicU32>) -> Response<BoxBody<Bytes, Infallible>> {
    let response = Response::builder().header("content-type", "application/grpc+proto");
    match reply {
        Reply::Ended(bytes, trailers) => {
            let trailers = map(&trailers);
            response.body(Full::from(bytes).with_trailers(async { Some(Ok(trailers)) }).boxed())
        }
        Reply::Head(status, headers) => {
            let mut response = response.status(status).body(Empty::new().boxed()).unwrap();
            response.headers_mut().extend(map(&headers));
            Ok(response)
        }
        Reply::Typed(content) => {
            let trailers = map(&[("grpc-status", "0")]);
            let body = Full::from(serving()).with_trailers(async { Some(Ok(trailers)) }).boxed();
            Response::builder().header("content-type", content).body(body)
        }
        Reply::Silence => std::future::pending().await,
        Reply::Flood => response.body(Flood(taken).boxed()),
    }
    .unwrap()
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// A message with this status.
pub(crate) fn message(status: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, 2, 8, status]
}

pub(crate) fn serving() -> Vec<u8> {
    message(1)
}

/// A body without end.
struct Flood(Arc<AtomicU32>);

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
