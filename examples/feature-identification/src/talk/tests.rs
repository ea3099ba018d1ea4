//! What models of all kinds bring a run to: nothing worse than what there was.

use super::*;
use crate::ground::tests::{documents, found};
use crate::watch::Unwatched;

/// Answers in turn; descriptions as well.
struct Scripted {
    answers: Vec<Result<Value, Error>>,
    describes: fn(usize) -> Result<Value, Error>,
    asked: Vec<Value>,
    most_at_once: usize,
    tokens_left: Option<u64>,
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
        }
    }
}

impl Model for Scripted {
    fn ask(&mut self, chat: &Chat) -> Result<Completion, Error> {
        self.asked.push(chat.to_json());
        self.answers.remove(0).map(completion)
    }

    fn ask_many(&mut self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        self.most_at_once = self.most_at_once.max(chats.len());
        let first = self.asked.len();
        self.asked.extend(chats.iter().map(Chat::to_json));
        let answers = (0..chats.len()).map(|nth| (self.describes)(first + nth).map(completion));
        Ok(answers.collect())
    }

    fn tokens_left(&self) -> Option<u64> {
        self.tokens_left
    }

    fn has_time(&self) -> bool {
        true
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
