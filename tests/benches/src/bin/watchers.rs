//! What it costs a host to have 1,000 watchers of a space's events at 100 changes of status a
//! second, each sent to every one of them: memory, and the host's time on its cores, beside the
//! same changes without watchers. And what of it reaches them: events that came of those that had
//! to, and how long after the request for a change some of the watchers had read its event, the
//! write to disk and the reader's own turn included.
//!
//! By itself a host lets in 768 watchers, three quarters of `http.connections_max`: that is raised.
//! This program and the host need an open file for each watcher: it takes as many as it may.
//! `watchers 1000 100 30`: so many watchers, changes a second, seconds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taskhost_benches::wire::{Said, Wire};
use taskhost_benches::{line, machine, numbers, resident_kib, spread};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// One of so many watchers looks at the times of what it is told.
const LOOKS: usize = 50;
/// What is on its way has come after so long, or never does.
const PATIENCE: Duration = Duration::from_secs(5);
const LATER: &str = r#"{"type":"hello","params":{"name":"you"},"run_at":"2999-01-01T00:00:00Z"}"#;
const TICKS_A_SECOND: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [watchers, changes, seconds] = numbers([1_000, 100, 30]);
    let pace = Pace { changes, seconds };
    take_files();
    let home = Home::with(&["hello-task"]);
    // A quarter of the connections is left for others.
    let connections_max = watchers * 4 / 3 + 100;
    home.settings(&format!("http.connections_max = {connections_max}\n"));
    let host = home.start().await;
    println!("{}", machine());
    println!("{watchers} watchers, {} changes a second", pace.changes);
    let heard = Rc::new(Heard::default());
    // Once through, so that what is made once is there.
    pace.changes(&host, "warm", &heard).await;
    let before_kib = resident_kib(&host);
    let alone = pace.changes(&host, "alone", &heard).await;
    let here = LocalSet::new();
    for number in 0..watchers {
        let (stream, heard) = (watch(&host.url).await, Rc::clone(&heard));
        here.spawn_local(hear(stream, heard, number % LOOKS == 0));
    }
    let expected = (watchers * pace.in_all()) as u64;
    let with_them = here.run_until(async {
        heard.until(|heard| heard.begun.get() == watchers).await;
        let with_them = pace.changes(&host, "told", &heard).await;
        heard.until(|heard| heard.events.get() >= expected).await;
        with_them
    });
    let with_them = with_them.await;
    report(&heard, (watchers, expected));
    let grown_kib = with_them.most_kib.saturating_sub(before_kib);
    let grown = format!("{:.1} MB", grown_kib as f64 * 1.024e-3);
    println!("{}", line("memory of the watchers, at most", &grown));
    for (name, used) in [("without", &alone), ("with", &with_them)] {
        let cores = format!("{:.2}", used.cores);
        println!("{}", line(&format!("cores {name} watchers"), &cores));
        let rate = format!("{:.1}/s", used.changes_a_second);
        println!("{}", line(&format!("  changes {name} them"), &rate));
    }
}

fn report(heard: &Heard, (watchers, expected): (usize, u64)) {
    let begun = heard.begun.get();
    println!("{}", line("watchers", &format!("{begun} of {watchers}")));
    let events = format!("{} of {expected}", heard.events.get());
    println!("{}", line("events that came", &events));
    let resets = heard.resets.get().to_string();
    println!("{}", line("watchers that missed some", &resets));
    println!("50 / 95 / 99 of 100 take no more than");
    let delays = spread(&heard.delays.borrow());
    println!("{}", line("change asked for → event read", &delays));
}

/// As many open files as may be, for the host as well: it is started later.
fn take_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, all).expect("no more than may be");
}

/// So many changes a second, and for how long.
#[derive(Debug, Clone, Copy)]
struct Pace {
    changes: usize,
    seconds: usize,
}

/// What a host used meanwhile.
struct Used {
    cores: f64,
    most_kib: u64,
    changes_a_second: f64,
}

impl Pace {
    /// A task that is scheduled for later and canceled is two changes.
    fn in_all(self) -> usize {
        self.changes * self.seconds / 2 * 2
    }

    async fn changes(self, host: &Host, name: &str, heard: &Heard) -> Used {
        let mut wire = Wire::connect(&host.url).await;
        let (begun, cpu_before) = (Instant::now(), cpu_of(host));
        let mut most_kib = resident_kib(host);
        heard.sent.borrow_mut().clear();
        for n in 0..self.in_all() / 2 {
            let path = format!("/v1/spaces/default/tasks/{name}-{n}");
            heard.sends();
            let said = wire.send("PUT", &path, LATER).await;
            assert_eq!(said.status, 201, "{}", said.body);
            heard.sends();
            let said = wire.send("POST", &format!("{path}/cancel"), "").await;
            assert_eq!(said.status, 200, "{}", said.body);
            if n % self.changes == 0 {
                most_kib = most_kib.max(resident_kib(host));
            }
            let next = (n + 1) as f64 * 2.0 / self.changes as f64;
            // tidy: sleep allowed because it is the pace that is asked for
            tokio::time::sleep_until(begun + Duration::from_secs_f64(next)).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        Used {
            cores: (cpu_of(host) - cpu_before) as f64 / TICKS_A_SECOND / seconds,
            most_kib: most_kib.max(resident_kib(host)),
            changes_a_second: self.in_all() as f64 / seconds,
        }
    }
}

/// What all watchers have heard together.
#[derive(Default)]
struct Heard {
    /// Watchers that were told where they are.
    begun: Cell<usize>,
    events: Cell<u64>,
    resets: Cell<u64>,
    /// When each change was asked for: of each task two.
    sent: RefCell<Vec<Instant>>,
    delays: RefCell<Vec<Duration>>,
}

impl Heard {
    fn sends(&self) {
        self.sent.borrow_mut().push(Instant::now());
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) && begun.elapsed() < PATIENCE {
            // tidy: sleep allowed because asking all the time would keep the watchers from reading
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The task of an event is named after the number of its change.
    fn looks_at(&self, data: &str) {
        let said = Said {
            status: 200,
            body: data,
        };
        let number = said
            .text("id")
            .and_then(|id| id.rsplit_once('-')?.1.parse().ok());
        let number: usize = number.expect("a task of this program");
        let is_second = said.text("status") == Some("canceled");
        let sent_at = self.sent.borrow()[number * 2 + usize::from(is_second)];
        self.delays.borrow_mut().push(sent_at.elapsed());
    }
}

async fn watch(url: &str) -> TcpStream {
    let host = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let head = format!("GET /v1/spaces/default/events HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream
        .write_all(head.as_bytes())
        .await
        .expect("a sent request");
    stream
}

/// Reads lines as they come; the sizes of the answer's chunks stand in lines of their own.
async fn hear(mut stream: TcpStream, heard: Rc<Heard>, looks: bool) {
    let (mut came, mut has_begun) = (Vec::with_capacity(16 * 1024), false);
    while let Ok(1..) = stream.read_buf(&mut came).await {
        let Some(end) = came.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        for line in came[..end].split(|byte| *byte == b'\n') {
            if line == b"event: status" {
                heard.events.set(heard.events.get() + 1);
            } else if line == b"event: reset" {
                heard.resets.set(heard.resets.get() + 1);
            } else if let Some(data) = line.strip_prefix(b"data: ").filter(|_| looks) {
                heard.looks_at(std::str::from_utf8(data).expect("text"));
            } else if !has_begun && line.starts_with(b"id: ") {
                has_begun = true;
                heard.begun.set(heard.begun.get() + 1);
            }
        }
        came.drain(..=end);
    }
}

/// What a host has used of its cores, in hundredths of a second.
fn cpu_of(host: &Host) -> u64 {
    let path = format!("/proc/{}/stat", host.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("the host runs");
    let rest = stat.rsplit_once(')').expect("its name").1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}
