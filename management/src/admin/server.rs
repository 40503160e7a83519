//! The server under the admin port: a loop that accepts, and bounds on everything a client may ask of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ringway_config::settings::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::guard::{Guard, guard};
use super::listener::{BACKLOG, Bound, Listener};
use super::problem::ProblemDetails;
use super::{Admin, api};

/// Connections at once. A scraper, a prober and an operator need three.
const CONNECTIONS_MAX: usize = 64;
/// Bytes that a request's head may take.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes that a request's body may take.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a head may take to arrive; also how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a handler may take, the arrival of the body included. A reload of many definitions is the longest.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a connection may live, whatever it does: a client that reads nothing is dropped then.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait after `accept` failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The running admin server.
#[derive(Debug)]
pub struct AdminServer {
    address: Listen,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl AdminServer {
    /// Serves on `bound` in the current Tokio runtime.
    ///
    /// # Errors
    /// The runtime does not take the socket.
    pub fn start(bound: Bound, admin: Arc<Admin>) -> io::Result<Self> {
        let address = bound.address()?;
        let listener = Listener::from_bound(bound)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router(admin, &address), stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Closes the listener; requests that run are finished, idle connections are closed.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until every connection is done; call [`AdminServer::close`] first.
    pub async fn closed(self) {
        // A panic of the accept loop is as good as an end here.
        let _ = self.task.await;
    }
}

fn router(admin: Arc<Admin>, address: &Listen) -> Router {
    api::routes()
        .with_state(admin)
        .fallback(|| async { ProblemDetails::new(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            ProblemDetails::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know the method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(limit_time))
        .layer(middleware::from_fn(problems_only))
        .layer(middleware::from_fn_with_state(Guard::new(address), guard))
}

async fn limit_time(request: Request, next: Next) -> Response {
    match timeout(HANDLER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "this took too long").into_response(),
    }
}

/// What axum refuses by itself (a body over the limit, a path that is not UTF-8) becomes a problem document too.
async fn problems_only(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let plain = response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/problem+json");
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
        _ => "the request cannot be handled",
    };
    ProblemDetails::new(status, detail).into_response()
}

async fn accept(listener: Listener, router: Router, stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing(Some(stopped.clone())) => break,
            // Finished connections are collected as they end, so that the set stays as small as the number that runs.
            Some(_) = connections.join_next() => continue,
            accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                listener.accept().await.map(|stream| (stream, slot))
            } => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                connections.spawn(connection(stream, router.clone(), Some(stopped.clone()), slot.ok()));
            }
            // A client that gave up while it waited (ECONNABORTED) costs no pause, want of descriptors does.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "the admin port could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Who has connected already is served once: to close the listener resets what waits in its queue.
    for _ in 0..BACKLOG {
        let Ok(Ok(stream)) = timeout(Duration::ZERO, listener.accept()).await else { break };
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            connections.spawn(connection(stream, router.clone(), None, Some(slot)));
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves a connection until it ends or the server closes; without `stopped`, one request. Holds its slot for as long.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stopped: Option<watch::Receiver<bool>>,
    _slot: Option<OwnedSemaphorePermit>,
) {
    let router = router.into_service::<hyper::body::Incoming>();
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(stopped.is_some())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    let limited = timeout(CONNECTION_TIMEOUT, async {
        tokio::select! {
            ended = served.as_mut() => ended,
            () = closing(stopped) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    });
    match limited.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
        Err(_) => tracing::debug!("an admin connection was closed: it lasted too long"),
    }
}

/// Waits until the server closes; for ever, if that is nothing to wait for.
async fn closing(stopped: Option<watch::Receiver<bool>>) {
    match stopped {
        // An error says that the server is gone, which comes to the same.
        Some(mut stopped) => drop(stopped.wait_for(|stopped| *stopped).await),
        None => std::future::pending().await,
    }
}
