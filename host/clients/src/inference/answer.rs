//! What a model's server answered: judged, and told as the contract has it.

mod vectors;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::{Wanted, bracketed};
use crate::error::{ClientError, ErrorCode, cut};
use crate::json;
use crate::schema::{Schema, and_more};

pub use vectors::Embeddings;
pub(crate) use vectors::embeddings;

/// Of an answer that is not what was asked for, so that its author sees why.
const QUOTED_BYTES_MAX: usize = 4 * 1024;
/// What a server calls its model.
const MODEL_BYTES_MAX: usize = 256;
/// A token is some four bytes of English; for servers that do not count.
const BYTES_A_TOKEN: u64 = 4;

/// Tokens that a request and its answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Used {
    prompt_tokens: u64,
    completion_tokens: u64,
    estimated: bool,
}

/// An answer, and what it took.
#[derive(Debug)]
pub(crate) struct Judged<T> {
    pub(crate) answer: Result<T, ClientError>,
    pub(crate) used: Used,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    choices: Vec<Choice>,
    model: Option<String>,
}

/// Read by itself: an answer that is wrong has its price too.
#[derive(Deserialize)]
struct Priced {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

#[derive(Serialize)]
struct Completion {
    text: String,
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parsed: Option<Value>,
    finish_reason: &'static str,
    usage: Used,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    name: String,
    arguments: Value,
}

impl Used {
    /// Both together.
    pub(crate) fn tokens(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    fn of(body: &str, sent_bytes: usize) -> Self {
        let priced: Option<Priced> = serde_json::from_str(body).ok();
        let usage = priced.and_then(|priced| priced.usage);
        let tokens = |bytes: usize| (bytes as u64).div_ceil(BYTES_A_TOKEN);
        match usage.and_then(|usage| Some((usage.prompt_tokens?, usage.completion_tokens))) {
            Some((prompt_tokens, completion_tokens)) => Self {
                prompt_tokens,
                completion_tokens: completion_tokens.unwrap_or(0),
                estimated: false,
            },
            None => Self {
                prompt_tokens: tokens(sent_bytes),
                completion_tokens: tokens(body.len()),
                estimated: true,
            },
        }
    }
}

/// A turn of a chat, as JSON text.
pub(crate) fn completion(body: &[u8], wanted: &Wanted, sent_bytes: usize) -> Judged<String> {
    judged(body, sent_bytes, |text, used| {
        let wire: Wire = read(text)?;
        let Some(choice) = wire.choices.into_iter().next() else {
            return Err(bad("it has no choices", text));
        };
        let (schema, tools) = match wanted {
            Wanted::Completion { schema, tools } => (schema.as_deref(), tools.as_slice()),
            Wanted::Vectors(_) => (None, &[][..]),
        };
        let reason = choice
            .finish_reason
            .as_deref()
            .unwrap_or_default()
            .to_owned();
        let Message {
            content,
            refusal,
            tool_calls,
        } = choice.message;
        let is_refused = content.is_none() && refusal.is_some();
        let text = content.or(refusal).unwrap_or_default();
        let tool_calls = calls(tool_calls.unwrap_or_default(), tools)?;
        let finish_reason = finish_reason(&reason, is_refused, !tool_calls.is_empty());
        let parsed = match schema {
            Some(schema) if tool_calls.is_empty() => Some(parsed(&text, schema, finish_reason)?),
            _ => None,
        };
        let model = wire
            .model
            .map(|name| cut(&name, MODEL_BYTES_MAX).to_owned());
        let completion = Completion {
            text,
            tool_calls,
            parsed,
            finish_reason,
            usage: used,
            model,
        };
        serde_json::to_string(&completion)
            .map_err(|error| ClientError::internal(&error.to_string()))
    })
}

fn judged<T>(
    body: &[u8],
    sent_bytes: usize,
    judge: impl FnOnce(&str, Used) -> Result<T, ClientError>,
) -> Judged<T> {
    let text = String::from_utf8_lossy(body);
    let checked = json::check_object(&text);
    // What is nested too deep or too much for a tree is not read at all.
    let used = match &checked {
        Ok(()) => Used::of(&text, sent_bytes),
        Err(_) => Used::of("", sent_bytes),
    };
    let answer = checked
        .map_err(|error| bad(&format!("it {error}"), &text))
        .and_then(|()| judge(&text, used));
    Judged { answer, used }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| bad(&error.to_string(), text))
}

fn calls(
    calls: Vec<Call>,
    tools: &[(String, Option<String>)],
) -> Result<Vec<ToolCall>, ClientError> {
    let mut checked = Vec::with_capacity(calls.len());
    for (index, Call { id, function }) in calls.into_iter().enumerate() {
        let Function { name, arguments } = function;
        let Some((_, parameters)) = tools.iter().find(|(known, _)| *known == name) else {
            return Err(bad("it calls a tool that it was not offered", &name));
        };
        // As text in OpenAI's protocol; some servers send the object itself.
        let arguments = match arguments {
            Value::String(text) if text.trim().is_empty() => json!({}),
            Value::String(text) => tree(&text)
                .map_err(|why| bad(&format!("the arguments of a tool's call: {why}"), &text))?,
            Value::Null => json!({}),
            other => other,
        };
        let said = arguments.to_string();
        if !arguments.is_object() {
            return Err(bad("the arguments of a tool's call are no object", &said));
        }
        if let Some(parameters) = parameters {
            check("arguments", parameters, &arguments, &said, "")?;
        }
        checked.push(ToolCall {
            id: id
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| format!("call-{index}")),
            name,
            arguments,
        });
    }
    Ok(checked)
}

fn parsed(text: &str, schema: &str, finish_reason: &str) -> Result<Value, ClientError> {
    let why = match finish_reason {
        "length" => ": it was cut, so raise `max_tokens`",
        "content_filter" => ": the model refused",
        _ => "",
    };
    let value = tree(text).map_err(|error| bad(&format!("its text {error}{why}"), text))?;
    check("", schema, &value, text, why)?;
    Ok(value)
}

fn tree(text: &str) -> Result<Value, json::InvalidJson> {
    json::check(text)?;
    json::parse(text)
}

/// Whether a value is what its schema says.
fn check(
    root: &str,
    schema: &str,
    value: &Value,
    said: &str,
    why: &str,
) -> Result<(), ClientError> {
    let compiled = serde_json::from_str(schema).map_err(|error| error.to_string());
    let schema = compiled
        .and_then(|schema| Schema::compile(&schema))
        .map_err(|error| ClientError::internal(&error))?;
    let mistakes = schema.mistakes(root, value);
    let Some(first) = mistakes.first() else {
        return Ok(());
    };
    let listed: Vec<Value> = mistakes
        .iter()
        .map(|mistake| json!({"field": bracketed(&mistake.field), "message": mistake.problem}))
        .collect();
    let mut error = bad(
        &format!(
            "`{}` {}{}{why}",
            bracketed(&first.field),
            first.problem,
            and_more(mistakes.len())
        ),
        said,
    );
    if let Some(details) = &mut error.details {
        details["errors"] = Value::Array(listed);
    }
    Err(error)
}

fn finish_reason(said: &str, is_refused: bool, calls_tools: bool) -> &'static str {
    match said {
        _ if is_refused => "content_filter",
        _ if calls_tools => "tool_calls",
        "stop" | "eos" | "stop_sequence" | "end_turn" => "stop",
        "length" | "max_tokens" => "length",
        "content_filter" => "content_filter",
        _ => "other",
    }
}

/// Not what was asked for; another try may give something else.
fn bad(problem: &str, said: &str) -> ClientError {
    let message = format!("the model's answer is not what was asked for: {problem}");
    ClientError {
        retryable: true,
        details: Some(json!({"said": cut(said, QUOTED_BYTES_MAX)})),
        ..ClientError::new(ErrorCode::BadAnswer, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(schema: Option<&Value>, tools: &[(&str, Option<Value>)]) -> Wanted {
        let text = |schema: &Value| schema.to_string();
        Wanted::Completion {
            schema: schema.map(text),
            tools: tools
                .iter()
                .map(|(name, parameters)| (name.to_string(), parameters.as_ref().map(text)))
                .collect(),
        }
    }

    fn said(message: &Value, reason: &str) -> Vec<u8> {
        let choices = json!([{"index": 0, "message": message, "finish_reason": reason}]);
        let usage = json!({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12});
        json!({"id": "x", "model": "m", "choices": choices, "usage": usage})
            .to_string()
            .into_bytes()
    }

    fn answer(body: &[u8], wanted: &Wanted) -> Result<Value, ClientError> {
        let judged = completion(body, wanted, 40);
        judged
            .answer
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    fn problem(body: &[u8], wanted: &Wanted) -> ClientError {
        let error = answer(body, wanted).unwrap_err();
        assert_eq!((error.code, error.retryable), (ErrorCode::BadAnswer, true));
        error
    }

    #[test]
    fn plain_text() {
        let body = said(&json!({"role": "assistant", "content": "hi"}), "stop");
        let expected = json!({
            "text": "hi", "tool_calls": [], "finish_reason": "stop", "model": "m",
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "estimated": false},
        });
        assert_eq!(answer(&body, &chat(None, &[])).unwrap(), expected);
        assert_eq!(completion(&body, &chat(None, &[]), 40).used.tokens(), 12);
    }

    #[test]
    fn tools_are_called_with_what_their_parameters_say() {
        let parameters = json!({"type": "object", "required": ["city"]});
        let wanted = chat(
            Some(&json!({"type": "object"})),
            &[("weather", Some(parameters))],
        );
        let call = |arguments: Value| {
            let function = json!({"name": "weather", "arguments": arguments});
            said(
                &json!({"content": null, "tool_calls": [{"id": "", "function": function}]}),
                "stop",
            )
        };
        for arguments in [json!("{\"city\":\"Ulm\"}"), json!({"city": "Ulm"})] {
            let answer = answer(&call(arguments), &wanted).unwrap();
            let expected =
                json!([{"id": "call-0", "name": "weather", "arguments": {"city": "Ulm"}}]);
            assert_eq!(answer["tool_calls"], expected);
            assert_eq!(answer["finish_reason"], "tool_calls");
            assert!(answer.get("parsed").is_none());
        }
        for (arguments, part) in [
            (json!("{\"city\""), "is not JSON"),
            (json!("[]"), "no object"),
            (json!("{}"), "`arguments.city`"),
        ] {
            let error = problem(&call(arguments), &wanted);
            assert!(error.message.contains(part), "{error}");
        }
        let unknown = problem(&call(json!({})), &chat(None, &[]));
        assert!(unknown.message.contains("not offered"), "{unknown}");
    }

    #[test]
    fn an_answer_with_a_schema_is_valid_or_an_error() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}},
            "required": ["n"]});
        let wanted = chat(Some(&schema), &[]);
        let with = |content: &str, reason| said(&json!({"content": content}), reason);
        let good = answer(&with(" {\"n\": 3} ", "stop"), &wanted).unwrap();
        assert_eq!(good["parsed"], json!({"n": 3}));
        let error = problem(&with("{\"n\": \"x\"}", "stop"), &wanted);
        let details = error.details.clone().unwrap();
        assert_eq!(details["errors"][0]["field"], "n", "{error}");
        assert_eq!(details["said"], "{\"n\": \"x\"}");
        let error = problem(&with("{\"n\":", "length"), &wanted);
        assert!(error.message.contains("raise `max_tokens`"), "{error}");
        let refused = said(&json!({"content": null, "refusal": "no"}), "stop");
        assert!(problem(&refused, &wanted).message.contains("refused"));
        let plain = answer(&refused, &chat(None, &[])).unwrap();
        assert_eq!(
            (&plain["text"], &plain["finish_reason"]),
            (&json!("no"), &json!("content_filter"))
        );
    }

    #[test]
    fn nonsense_is_a_bad_answer_and_has_a_price() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for body in [
            "",
            "[]",
            "<html>",
            "{\"choices\":[]}",
            "{\"choices\":[7]}",
            "{\"choices\":[{\"message\":{\"content\":[1]}}]}",
            &deep,
            "{\"choices\":[],\"choices\":[]}",
        ] {
            let judged = completion(body.as_bytes(), &chat(None, &[]), 40);
            assert_eq!(
                judged.answer.unwrap_err().code,
                ErrorCode::BadAnswer,
                "{body}"
            );
            assert!(
                judged.used.estimated && judged.used.tokens() >= 10,
                "{:?}",
                judged.used
            );
        }
        let error = problem(&[0xff; 9_000], &chat(None, &[]));
        assert!(error.details.unwrap()["said"].as_str().unwrap().len() <= QUOTED_BYTES_MAX);
    }
}
