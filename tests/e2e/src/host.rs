//! A running host: started, spoken to, stopped or killed.

use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Method, RequestBuilder};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::PATIENCE;
use crate::answer::Answer;
use crate::events::Events;
use crate::home::{Home, program};

/// A host of the home that started it.
#[derive(Debug)]
pub struct Host {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// For requests that need more than the methods here give.
    pub http: reqwest::Client,
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    log: Arc<Mutex<String>>,
    /// Keeps the folder as long as the host.
    home: Option<Home>,
}

impl Home {
    /// Starts a host and waits until it is ready.
    pub async fn start(&self) -> Host {
        self.started(self.serve())
            .await
            .expect("the host ended before it was ready")
    }

    /// Starts a host that dies at a crash point.
    pub async fn start_doomed(&self, crash_at: &str) -> Result<Host, ExitStatus> {
        let mut command = self.serve();
        command.env("TASKHOST_CRASH_AT", crash_at);
        self.started(command).await
    }

    async fn started(&self, command: Command) -> Result<Host, ExitStatus> {
        let mut host = Host::try_of(command).await?;
        host.home = Some(self.clone());
        Ok(host)
    }
}

impl Host {
    /// Runs a command and waits until it says where it listens.
    pub async fn of(command: Command) -> Self {
        Self::try_of(command)
            .await
            .expect("the host ended before it was ready")
    }

    /// Like [`Self::of`]; the exit status when it ends before it listens.
    ///
    /// # Errors
    /// The exit status.
    pub async fn try_of(mut command: Command) -> Result<Self, ExitStatus> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        tokio::spawn(async move {
            let mut part = [0; 8192];
            while let Ok(length @ 1..) = stderr.read(&mut part).await {
                let text = String::from_utf8_lossy(&part[..length]);
                copy.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, out.next_line()).await;
        let Some(line) = line.expect("the host says nothing").unwrap() else {
            let status = child.wait().await.unwrap();
            eprintln!("{}", log.lock().unwrap_or_else(PoisonError::into_inner));
            return Err(status);
        };
        let url = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Ok(Self {
            url,
            http,
            child,
            out,
            log,
            home: None,
        })
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let id = self.child.id().expect("it runs").cast_signed();
        Pid::from_raw(id).expect("no process has the id 0")
    }

    /// Asks it to stop (SIGTERM), and sees that it ends well, without another word on its
    /// standard output.
    pub async fn stop(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("it does not stop").unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert_eq!(self.out.next_line().await.unwrap(), None);
    }

    /// Kills it (SIGKILL).
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// Waits until it has died by itself.
    pub async fn died(mut self) -> ExitStatus {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.expect("it lives on").unwrap()
    }

    /// A request to build on; `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url().path());
        let response = self.http.execute(request).await?;
        Answer::read(asked, response).await
    }

    /// Sends a request that has to be answered.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` of anything.
    pub async fn upload(&self, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self
            .request(Method::POST, path)
            .header("content-type", kind);
        self.send(request.body(body.into())).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Opens a stream of events, after a cursor when there is one.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path).timeout(PATIENCE);
        if let Some(cursor) = after {
            request = request.header("last-event-id", cursor);
        }
        Events::new(request.send().await.unwrap())
    }

    /// Runs the command line against it.
    pub async fn cli(&self, arguments: &[&str]) -> Cli {
        let mut command = program();
        command.env("TASKHOST_URL", &self.url).args(arguments);
        Cli::of(command).await
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            let pid = self.pid();
            // Gone before its folder goes.
            if self.child.start_kill().is_ok() {
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
        }
        let log = self.log();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- the host's log ends with:\n{}\n---", last.join("\n"));
        } else {
            assert!(!log.contains("panicked at"), "the host panicked:\n{log}");
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Cli {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Cli {
    /// Runs a command to its end.
    pub async fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let Output {
            status,
            stdout,
            stderr,
        } = output.expect("the command does not end").unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: status.code(),
            out: text(stdout),
            err: text(stderr),
        }
    }

    /// Its standard output, after it did what it was told.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}
