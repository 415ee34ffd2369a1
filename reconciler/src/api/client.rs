//! Owns the command line's end of the socket. Never does the work itself. The interesting function is [`Client::carry_out`].

use std::path::{Path, PathBuf};

use contract::code::{self, Code};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::{Ask, Asked, Operation, Problem, State};
use crate::failure::Failure;
use crate::world::random;

/// How long one answer is waited for before it is asked for again.
const WAIT_S: u64 = 20;

/// The catalog entries of an answer are many at most; a longer answer is none of ours.
const MAX_ANSWER: usize = 64 << 20;

/// A daemon that runs.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    socket: PathBuf,
}

impl Client {
    /// The daemon that listens on a socket; none when none does.
    pub fn reach(socket: &Path) -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let connected = runtime.block_on(UnixStream::connect(socket));
        connected.ok().map(|_| Self {
            runtime,
            socket: socket.to_owned(),
        })
    }

    /// Lets the daemon do what is asked for, and waits for the end. `begun` hears the operation's name.
    pub fn carry_out(&self, asked: Asked, begun: impl FnOnce(&str)) -> Result<Operation, Failure> {
        let id = random::name().map_err(|error| broken(&error))?;
        let id = format!("req-{id}");
        let ask = Ask {
            id: id.clone(),
            asked,
        };
        let body = serde_json::to_vec(&ask).map_err(|error| broken(&error))?;
        let mut operation: Operation =
            self.runtime
                .block_on(self.call(Method::POST, "/v1/operations", body))?;
        begun(&id);
        let path = format!("/v1/operations/{id}?wait_s={WAIT_S}");
        while operation.state == State::Running {
            let again = self.call(Method::GET, &path, Vec::new());
            operation = self.runtime.block_on(again)?;
        }
        Ok(operation)
    }

    /// Operations in progress, and those that finished recently.
    pub fn operations(&self) -> Result<Vec<Operation>, Failure> {
        let call = self.call(Method::GET, "/v1/operations", Vec::new());
        self.runtime.block_on(call)
    }

    /// Asks an operation to end.
    pub fn cancel(&self, id: &str) -> Result<(), Failure> {
        let unknown = || {
            Failure::new(
                code::UNKNOWN_OBJECT,
                format!("`{id}` is no name of an operation"),
                "`seawalld operations` lists them",
            )
        };
        if !super::is_name(id) {
            return Err(unknown());
        }
        let path = format!("/v1/operations/{id}/cancel");
        let (status, body) = self
            .runtime
            .block_on(self.send(Method::POST, &path, Vec::new()))?;
        if status.is_success() {
            Ok(())
        } else {
            Err(problem(&body))
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let (status, body) = self.send(method, path, body).await?;
        if status.is_success() {
            serde_json::from_slice(&body).map_err(|error| broken(&error))
        } else {
            Err(problem(&body))
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| broken(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let driven = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "seawalld")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| broken(&error))?;
        driven.abort();
        Ok((status, body.to_bytes()))
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        code::API_UNREACHABLE,
        format!("the running daemon does not answer: {error}"),
        "`seawalld operations` and `seawalld receipts` show what it did; begin again when it did nothing",
    )
}

fn problem(body: &[u8]) -> Failure {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        return broken(&"its answer cannot be read");
    };
    let code = problem.kind.rsplit(':').next().and_then(Code::find);
    Failure::new(
        code.unwrap_or(code::API_REFUSED),
        problem.detail,
        problem.help,
    )
}
