//! Owns the command line's end of the socket. Never does the work itself. The interesting function is [`Client::carry_out`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::code::{self, Code};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::{Ask, Asked, OperationState, OperationView, Problem};
use crate::failure::Failure;
use crate::status::Status;
use crate::world::random;

/// A status is derived at once. Whoever waits longer looks for himself.
const STATUS_WITHIN: Duration = Duration::from_secs(10);

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

    /// Lets the daemon do what is asked for, and waits for the end. `begun` hears the operation's name, `heard` how far it is.
    pub fn carry_out(
        &self,
        asked: Asked,
        begun: impl FnOnce(&str),
        heard: &mut dyn FnMut(&OperationView),
    ) -> Result<OperationView, Failure> {
        let id = random::name().map_err(|error| broken(&error))?;
        let id = format!("req-{id}");
        let ask = Ask {
            id: id.clone(),
            asked,
        };
        let body = serde_json::to_vec(&ask).map_err(|error| broken(&error))?;
        let begin = self.call::<OperationView>(Method::POST, "/v1/operations", body);
        self.runtime.block_on(begin)?;
        begun(&id);
        let watched = self.watch(&id, heard)?;
        watched.ok_or_else(|| broken(&"it stopped telling how far it is"))
    }

    /// Hears of an operation whenever it changes; gives it as it ended, or none where it is a part of another one.
    pub fn watch(
        &self,
        id: &str,
        heard: &mut dyn FnMut(&OperationView),
    ) -> Result<Option<OperationView>, Failure> {
        if !super::is_name(id) {
            return Err(unknown(id));
        }
        self.runtime.block_on(async {
            let path = format!("/v1/operations/{id}/events");
            let mut response = self.response(Method::GET, &path, Vec::new()).await?;
            if !response.status().is_success() {
                return Err(problem(&body_of(response).await?));
            }
            let mut lines = Vec::new();
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame.map_err(|error| broken(&error))?;
                lines.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                if lines.len() > MAX_ANSWER {
                    return Err(broken(&"its answer is too long"));
                }
                while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = lines.drain(..=end).collect();
                    // An event is one line of data after its name; the data say the same as the name.
                    let Some(data) = line.strip_prefix(b"data:") else {
                        continue;
                    };
                    let operation: OperationView =
                        serde_json::from_slice(data).map_err(|error| broken(&error))?;
                    heard(&operation);
                    if operation.state != OperationState::Running {
                        return Ok(Some(operation));
                    }
                }
            }
            Ok(None)
        })
    }

    /// How everything stands, as the daemon last saw it.
    pub fn status(&self) -> Result<Status, Failure> {
        let call = self.call(Method::GET, "/v1/status", Vec::new());
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(STATUS_WITHIN, call).await;
            answer.unwrap_or_else(|_| Err(broken(&"it is silent")))
        })
    }

    /// Operations in progress, and those that finished recently.
    pub fn operations(&self) -> Result<Vec<OperationView>, Failure> {
        let call = self.call(Method::GET, "/v1/operations", Vec::new());
        self.runtime.block_on(call)
    }

    /// Asks an operation to end.
    pub fn cancel(&self, id: &str) -> Result<(), Failure> {
        if !super::is_name(id) {
            return Err(unknown(id));
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
        let response = self.response(method, path, body).await?;
        let status = response.status();
        Ok((status, body_of(response).await?))
    }

    async fn response(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| broken(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with the response.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "seawalld")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))
    }
}

async fn body_of(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    Ok(body.map_err(|error| broken(&error))?.to_bytes())
}

fn unknown(id: &str) -> Failure {
    Failure::new(
        code::UNKNOWN_OBJECT,
        format!("`{id}` is no name of an operation"),
        "`seawalld operations` lists them",
    )
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
