//! Language models that answer from a script: what they are shown is what a real one is shown, and
//! they know neither the truth nor the list of accepted names.

use std::time::Duration;

use feature_identification::prompts::{FINALIZE, VALIDATE};
use feature_identification::talk::Model;
use serde_json::{Value, json};
use taskhost_sdk::{Chat, Completion, Error};

/// What kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Knows products by their lines, quotes them, and proposes nothing else.
    Good,
    /// Calls no tool, and then names everything alike.
    Lazy,
    /// Proposes filters that match nothing, fields that nobody has, clusters cut in two or thrown
    /// together, and quotes what stands nowhere.
    Lying,
    /// Gives each cluster a wrong name with a true quotation, and has nothing else against it.
    Quoting,
    /// Half JSON, a wrong tool, arguments of another form.
    Broken,
    /// Never answers in time.
    Slow,
}

/// All of them.
pub const KINDS: [Kind; 6] = [
    Kind::Good,
    Kind::Lazy,
    Kind::Lying,
    Kind::Quoting,
    Kind::Broken,
    Kind::Slow,
];

/// Text that tells a product, and what people call that.
const PRODUCTS: [(&str, &str); 24] = [
    ("haproxy[", "HAProxy"),
    ("HIER_", "Squid"),
    ("\"logger\":\"http.log", "Caddy"),
    (" status ", "dpkg"),
    ("LOG: ", "PostgreSQL"),
    ("AH0", "Apache HTTP Server"),
    ("jk2_init", "Apache HTTP Server"),
    ("mod_jk", "Apache HTTP Server"),
    ("workerEnv", "Apache HTTP Server"),
    ("NIOServerCnxn", "Apache ZooKeeper"),
    ("QuorumCnx", "Apache ZooKeeper"),
    ("org.apache.hadoop", "Apache Hadoop"),
    ("dfs.", "HDFS"),
    (" sensor-", "Eclipse Mosquitto"),
    ("Accepted 127.", "Redis"),
    ("slab class", "memcached"),
    ("auto-negotiating", "memcached"),
    (" STORED", "memcached"),
    (" NOT_FOUND", "memcached"),
    ("HTTP/1.1\" ", "nginx"),
    ("CRON[", "Linux syslog"),
    ("ftpd[", "Linux syslog"),
    ("(pam_unix)[", "Linux syslog"),
    ("sshd", "OpenSSH server"),
];

/// A model of some kind.
#[derive(Debug)]
pub struct Scripted {
    kind: Kind,
    rounds: usize,
}

impl Scripted {
    /// One that has not been asked yet.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, rounds: 0 }
    }

    fn answer(&mut self, chat: &Chat) -> Result<Completion, Error> {
        let chat = chat.to_json();
        let shown = chat["messages"][1]["text"].as_str().unwrap_or_default();
        let shown: Value = serde_json::from_str(shown).unwrap_or_default();
        let round = self.rounds;
        self.rounds += 1;
        let bad = || Error::failed("bad-answer", "the answer ends in the middle").retryable();
        match (self.kind, round) {
            (Kind::Good, 0) => Ok(calls(VALIDATE, &good(&shown))),
            (Kind::Good, _) => Ok(calls(FINALIZE, &good(&shown))),
            (Kind::Lazy, 0 | 1) => Ok(completion(json!({"text": "I am done.", "tool_calls": []}))),
            (Kind::Lazy, _) => Ok(calls(FINALIZE, &lazy(&shown))),
            (Kind::Lying, 0) => Ok(calls(VALIDATE, &lies(&shown))),
            (Kind::Lying, _) => Ok(calls(FINALIZE, &lies(&shown))),
            (Kind::Quoting, _) => Ok(calls(FINALIZE, &quoting(&shown))),
            (Kind::Broken, 0) => Err(bad()),
            (Kind::Broken, 1) => Ok(calls("delete_all_systems", &good(&shown))),
            (Kind::Broken, _) => Ok(calls(FINALIZE, &json!({"name": ["nginx"], "evidence": 7}))),
            (Kind::Slow, _) => {
                Err(Error::failed("unavailable", "no answer within 60 s").retryable())
            }
        }
    }
}

impl Model for Scripted {
    fn complete(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        if let Some(chat) = chats.iter().find(|it| it.to_json()["tools"].is_array()) {
            return Ok(vec![self.answer(chat)]);
        }
        let described = |_| match self.kind {
            Kind::Good => {
                let parsed = json!({"description": "It writes the lines that are shown here."});
                Ok(completion(
                    json!({"text": "", "tool_calls": [], "parsed": parsed}),
                ))
            }
            _ => Err(Error::failed("bad-answer", "{\"descri").retryable()),
        };
        Ok(chats.iter().map(described).collect())
    }

    fn tokens_left(&self) -> Option<u64> {
        None
    }

    fn time_left(&self) -> Duration {
        Duration::from_secs(1_200)
    }
}

fn completion(mut said: Value) -> Completion {
    said["finish_reason"] = json!("stop");
    said["usage"] = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "estimated": false});
    serde_json::from_value(said).unwrap_or_else(|_| unreachable!("a completion has these keys"))
}

fn calls(tool: &str, systems: &Value) -> Completion {
    let arguments = json!({"systems": systems});
    let call = json!({"id": "call-1", "name": tool, "arguments": arguments});
    completion(json!({"text": "", "tool_calls": [call]}))
}

fn clusters(shown: &Value) -> impl Iterator<Item = &Value> {
    shown["clusters"].as_array().into_iter().flatten()
}

/// The first product whose mark stands in a line of a cluster.
fn good(shown: &Value) -> Value {
    let systems = clusters(shown).filter_map(|cluster| {
        let lines: Vec<&str> = cluster["lines"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let stands = |mark: &str| lines.iter().any(|line| line.contains(mark));
        let (mark, name) = PRODUCTS.into_iter().find(|(mark, _)| stands(mark))?;
        // A quotation begins and ends with what is no blank.
        let line = lines.iter().find(|line| line.contains(mark))?;
        Some(
            json!({"name": name, "cluster": cluster["id"], "evidence": [line],
            "subtype": "service", "tags": ["known"], "properties": {"product": name}}),
        )
    });
    Value::from(systems.collect::<Vec<_>>())
}

fn lazy(shown: &Value) -> Value {
    let system = |(at, cluster): (usize, &Value)| {
        let name = ["Logs".to_owned(), format!("System {at}")][at % 2].clone();
        json!({"name": name, "cluster": cluster["id"], "evidence": cluster["lines"]})
    };
    Value::from(clusters(shown).enumerate().map(system).collect::<Vec<_>>())
}

fn quoting(shown: &Value) -> Value {
    let system = |(at, cluster): (usize, &Value)| {
        let letter = char::from_digit(10 + at as u32 % 26, 36).unwrap_or('x');
        let name = format!("Oracle Database {letter}");
        json!({"name": name, "cluster": cluster["id"], "evidence": [cluster["lines"][0]]})
    };
    Value::from(clusters(shown).enumerate().map(system).collect::<Vec<_>>())
}

fn lies(shown: &Value) -> Value {
    let filter = |field: &str, text: &str| json!({"field": field, "contains": text});
    let mut all: Vec<Value> = Vec::new();
    let mut say = |name: &str, filter: Value, evidence: Value| {
        all.push(json!({"name": name, "filter": filter, "evidence": evidence}));
    };
    for (at, cluster) in clusters(shown).enumerate() {
        let lines = &cluster["lines"];
        let name = format!("Oracle Database {at}");
        say(
            &name,
            filter("message", "no line has this text"),
            lines.clone(),
        );
        say(&name, filter("oracle.instance", "prod"), lines.clone());
        say(
            &name,
            cluster["filter"].clone(),
            json!(["ORA-00600: internal error"]),
        );
        // One line of it alone, and all but that.
        let first = lines[0].as_str().unwrap_or("x");
        let one = json!({"field": "message", "eq": first});
        say(&name, one.clone(), lines.clone());
        let others = json!({"and": [{"not": cluster["filter"]}, {"not": one}]});
        say(&name, others, lines.clone());
        say(
            &name,
            json!({"field": "message", "matches": ".*"}),
            lines.clone(),
        );
    }
    let lines: Vec<&Value> = clusters(shown)
        .flat_map(|it| it["lines"].as_array())
        .flatten()
        .collect();
    say(
        "Everything",
        json!({"field": "message", "exists": true}),
        json!(lines),
    );
    say(
        "Everything else",
        json!({"field": "message", "contains": "e"}),
        json!(lines),
    );
    say(
        "Half of it",
        json!({"field": "message", "contains": "1"}),
        json!(lines),
    );
    Value::from(all)
}
