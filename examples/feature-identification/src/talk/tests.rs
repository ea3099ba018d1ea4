//! What models of all kinds bring a run to: nothing worse than what there was.

use std::time::Duration;

use super::*;
use crate::ground::tests::{documents, found, of};
use crate::watch::Unwatched;

/// Answers in turn; descriptions as well.
struct Scripted {
    answers: Vec<Result<Value, Error>>,
    describes: fn(usize) -> Result<Value, Error>,
    asked: Vec<Value>,
    most_at_once: usize,
    tokens_left: Option<u64>,
    time_left: Duration,
}

fn completion(mut said: Value) -> Completion {
    said["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 5, "estimated": false});
    said["finish_reason"] = json!("stop");
    serde_json::from_value(said).unwrap()
}

fn calls(tool: &str, systems: &Value) -> Result<Value, Error> {
    let arguments = json!({"systems": systems});
    let call = json!({"id": "1", "name": tool, "arguments": arguments});
    Ok(json!({"text": "", "tool_calls": [call]}))
}

fn fails(code: &str) -> Result<Value, Error> {
    Err(Error::failed(code, "as scripted"))
}

fn describes(nth: usize) -> Result<Value, Error> {
    let parsed = json!({"description": format!("It writes lines, the {nth}th.")});
    Ok(json!({"text": "", "tool_calls": [], "parsed": parsed}))
}

impl Scripted {
    fn new(answers: Vec<Result<Value, Error>>) -> Self {
        let (asked, most_at_once) = (Vec::new(), 0);
        Self {
            answers,
            describes,
            asked,
            most_at_once,
            tokens_left: None,
            time_left: Duration::from_secs(1_200),
        }
    }
}

impl Model for Scripted {
    fn complete(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        let first = self.asked.len();
        self.asked.extend(chats.iter().map(Chat::to_json));
        if self.asked[first]["tools"].is_array() {
            return Ok(vec![self.answers.remove(0).map(completion)]);
        }
        self.most_at_once = self.most_at_once.max(chats.len());
        let answers = (0..chats.len()).map(|nth| (self.describes)(first + nth).map(completion));
        Ok(answers.collect())
    }

    fn tokens_left(&self) -> Option<u64> {
        self.tokens_left
    }

    fn time_left(&self) -> Duration {
        self.time_left
    }
}

/// The talk so far, what it has come to, and the names that were saved after each step.
fn talked(model: &mut Scripted, heard: &mut Talk) -> (Result<Vec<String>, Ended>, Vec<String>) {
    let documents = documents();
    let found = found(&documents);
    let excluded = ["valkey".to_owned()];
    let ground = Ground::new(&documents, &found, &excluded);
    let mut saved = Vec::new();
    let names = |found: &[Found]| -> Vec<String> {
        found.iter().map(|one| one.story.name.clone()).collect()
    };
    let mut after = |_: &Talk, found: &[Found]| {
        saved.push(names(found).join(", "));
        Ok(())
    };
    let prompts = Prompts::default();
    let said = talk(
        ("logs", &prompts),
        &ground,
        heard,
        model,
        &mut Unwatched,
        &mut after,
    );
    (said.map(|found| names(&found)), saved)
}

fn nginx() -> Value {
    json!({"name": "nginx", "cluster": "c1", "evidence": ["nginx/1."]})
}

fn redis() -> Value {
    json!({"name": "Redis", "cluster": "c2", "evidence": ["Redis saved"]})
}

#[test]
fn a_good_model_is_told_what_its_proposals_select_and_then_describes() {
    let mut model = Scripted::new(vec![
        calls(VALIDATE, &json!([nginx()])),
        calls(FINALIZE, &json!([nginx(), redis()])),
    ]);
    let mut heard = Talk::default();
    let (said, saved) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["nginx", "Redis"]);
    assert_eq!(saved, ["nginx, keys saved", "nginx, Redis", "nginx, Redis"]);
    let asked = heard.asked("small");
    assert_eq!((asked.rounds, asked.proposed, asked.dropped), (2, 3, 0));
    assert_eq!((asked.tokens_used, &asked.problem), (4 * 15, &None));
    assert_eq!(heard.descriptions.len(), 2);
    let text =
        |asked: usize, message: usize| model.asked[asked]["messages"][message]["text"].to_string();
    assert!(
        text(0, 1).contains("valkey"),
        "what is excluded stands in the prompt"
    );
    assert!(text(1, 2).contains("names c1"), "{}", text(1, 2));
    assert_eq!(model.asked[0]["tool_choice"], "required");
}

#[test]
fn the_last_round_is_forced_and_what_is_left_out_there_still_stands() {
    let lazy = || Ok(json!({"text": "done", "tool_calls": []}));
    let mut model = Scripted::new(vec![
        calls(VALIDATE, &json!([nginx()])),
        lazy(),
        calls(FINALIZE, &json!([])),
    ]);
    let mut heard = Talk::default();
    let (said, _) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["nginx", "keys saved"]);
    assert_eq!(model.asked[2]["tool_choice"], json!({"name": FINALIZE}));
    let problem = heard.problem.unwrap();
    assert!(problem.contains("proposed nothing"), "{problem}");
}

#[test]
fn what_cannot_be_read_takes_a_round_and_no_more() {
    let wrong_tool = calls("drop_database", &json!([redis()]));
    let mut model = Scripted::new(vec![
        fails("bad-answer"),
        wrong_tool,
        calls(FINALIZE, &json!([nginx(), "redis", {"name": 7}])),
    ]);
    let mut heard = Talk::default();
    let (said, _) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["nginx", "keys saved"]);
    assert_eq!((heard.rounds, heard.proposed, heard.dropped), (3, 3, 2));
}

#[test]
fn a_model_that_fails_leaves_what_there_was() {
    for code in ["unavailable", "denied", "quota-exceeded", "internal"] {
        let mut model = Scripted::new(vec![calls(VALIDATE, &json!([redis()])), fails(code)]);
        model.describes = |_| fails("unavailable");
        let mut heard = Talk::default();
        let (said, _) = talked(&mut model, &mut heard);
        assert_eq!(said.unwrap(), ["GET HTTP", "Redis"]);
        assert!(heard.problem.is_some() && model.answers.is_empty());
    }
}

#[test]
fn a_pause_ends_the_run_which_goes_on_in_the_same_round() {
    let mut heard = Talk::default();
    let mut model = Scripted::new(vec![
        calls(VALIDATE, &json!([nginx()])),
        fails("rate-limited"),
    ]);
    let (said, saved) = talked(&mut model, &mut heard);
    assert!(matches!(said, Err(Ended::By(error)) if error.code() == "rate-limited"));
    assert_eq!(saved, ["nginx, keys saved"]);

    let kept = serde_json::to_string(&heard).unwrap();
    let mut heard: Talk = serde_json::from_str(&kept).unwrap();
    let mut model = Scripted::new(vec![calls(FINALIZE, &json!([redis()]))]);
    // The second description wants a pause as well.
    model.describes = |nth| {
        if nth == 2 {
            fails("rate-limited")
        } else {
            describes(nth)
        }
    };
    let (said, _) = talked(&mut model, &mut heard);
    assert!(said.is_err());
    assert_eq!((heard.rounds, heard.descriptions.len()), (2, 1));
    let mut model = Scripted::new(Vec::new());
    let (said, _) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["nginx", "Redis"]);
    assert_eq!((model.asked.len(), heard.descriptions.len()), (1, 2));
}

#[test]
fn a_cancel_ends_the_run_with_what_was_saved() {
    for code in ["canceled", "deadline", "host-out-of-memory"] {
        let mut model = Scripted::new(vec![calls(VALIDATE, &json!([nginx()])), fails(code)]);
        let (said, saved) = talked(&mut model, &mut Talk::default());
        assert!(matches!(said, Err(Ended::By(error)) if error.code() == code));
        assert_eq!(saved, ["nginx, keys saved"]);
    }
}

#[test]
fn nothing_is_asked_beyond_the_tokens_that_are_left() {
    let mut model = Scripted::new(Vec::new());
    model.tokens_left = Some(3_000);
    let mut heard = Talk::default();
    let (said, _) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["GET HTTP", "keys saved"]);
    assert!(model.asked.is_empty() && heard.problem.unwrap().contains("tokens"));
}

/// A connector's server has two minutes for an answer, by default.
#[test]
fn nothing_is_asked_that_may_take_longer_than_the_run_has() {
    let mut model = Scripted::new(Vec::new());
    model.time_left = Duration::from_secs(125);
    let mut heard = Talk::default();
    let (said, _) = talked(&mut model, &mut heard);
    assert_eq!(said.unwrap(), ["GET HTTP", "keys saved"]);
    assert!(model.asked.is_empty() && heard.problem.unwrap().contains("time"));
}

/// What people see of a run that waits for its model.
#[derive(Default)]
struct Seen(Vec<String>);

impl Watch for Seen {
    fn phase(&mut self, name: &'static str, total: usize) -> Result<(), Stopped> {
        self.0.push(format!("{name} /{total}"));
        Ok(())
    }

    fn step(&mut self, _: usize) -> Result<(), Stopped> {
        Ok(())
    }

    fn tell(&mut self, done: usize, message: &str) -> Result<(), Stopped> {
        self.0.push(format!("{done} {message}"));
        Ok(())
    }
}

#[test]
fn each_round_and_each_part_of_the_descriptions_is_told() {
    let documents = documents();
    let found = found(&documents);
    let ground = Ground::new(&documents, &found, &[]);
    let mut model = Scripted::new(vec![
        calls(VALIDATE, &json!([nginx()])),
        calls(FINALIZE, &json!([nginx(), redis()])),
    ]);
    let mut seen = Seen::default();
    let prompts = Prompts::default();
    let said = talk(
        ("logs", &prompts),
        &ground,
        &mut Talk::default(),
        &mut model,
        &mut seen,
        &mut |_, _| Ok(()),
    );
    said.unwrap();
    let expected = [
        "asking the model /3",
        "0 round 1 of 3",
        "asking the model /3",
        "1 round 2 of 3",
        "describing /2",
        "0 systems 1 to 2 of 2",
    ];
    assert_eq!(seen.0, expected);
}

/// Two calls in one answer, each with as many systems as one may have, none of which holds.
#[test]
fn a_model_that_floods_the_run_is_looked_at_no_longer_than_others() {
    let lie = |nth: usize| {
        let test = |at: usize| json!({"field": "message", "contains": format!("zq{nth} {at}")});
        let tests: Vec<Value> = (0..16).map(test).collect();
        json!({"name": format!("Oracle {nth}"), "filter": {"or": tests}, "evidence": ["none"]})
    };
    let answer = |round: usize| {
        let call = |half: usize| {
            let systems: Vec<Value> = (0..64)
                .map(|nth| lie(1_000 * round + 100 * half + nth))
                .collect();
            json!({"id": "1", "name": VALIDATE, "arguments": {"systems": systems}})
        };
        Ok(json!({"text": "", "tool_calls": [call(0), call(1)]}))
    };
    let mut model = Scripted::new((0..3).map(answer).collect());
    let documents = documents();
    let found = found(&documents);
    let ground = Ground::new(&documents, &found, &[]);
    let (mut heard, prompts) = (Talk::default(), Prompts::default());
    let (watch, after) = (&mut Unwatched, &mut |_: &Talk, _: &[Found]| Ok(()));
    let said = talk(
        ("logs", &prompts),
        &ground,
        &mut heard,
        &mut model,
        watch,
        after,
    );
    said.unwrap();
    assert_eq!((heard.proposed, heard.dropped), (3 * 128, 3 * 128));
    assert_eq!(ground.filters_run(), 96, "of three times 128");
}

#[test]
fn five_descriptions_are_asked_for_at_once() {
    let programs = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta1"];
    let line = |n: usize| json!({"message": format!("{} says {n}", programs[n % 7])});
    let documents: Vec<Value> = (0..70).map(line).collect();
    let found: Vec<Found> = programs.iter().map(|it| of(&documents, it, it)).collect();
    let ground = Ground::new(&documents, &found, &[]);
    let system = |at: usize| {
        let name = format!("Program {}", programs[at]);
        json!({"name": name, "cluster": format!("c{}", at + 1), "evidence": [programs[at]]})
    };
    let systems: Vec<Value> = (0..7).map(system).collect();
    let mut model = Scripted::new(vec![calls(FINALIZE, &json!(systems))]);
    let (mut heard, prompts) = (Talk::default(), Prompts::default());
    let (watch, after) = (&mut Unwatched, &mut |_: &Talk, _: &[Found]| Ok(()));
    let said = talk(
        ("logs", &prompts),
        &ground,
        &mut heard,
        &mut model,
        watch,
        after,
    );
    let said = said.unwrap();
    assert!(
        said.iter()
            .all(|one| one.story.description.starts_with("It writes"))
    );
    assert_eq!((model.asked.len(), model.most_at_once), (8, 5));
}
