//! What a guest asks of a model: read against the contract's schema, and written as the server
//! wants it.
//!
//! JSON waits as text: trees are made here alone, one after the other, and are gone before the
//! request goes out.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use taskhost_model::ids::Label;

use crate::caps::INFERENCE_REQUEST_BYTES_MAX;
use crate::error::ClientError;
use crate::json;
use crate::schema::Schema;

/// Tokens that a chat takes beside its texts, for each message and each tool.
const TOKENS_AROUND: u64 = 32;

static COMPLETION: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
    compiled(include_str!(
        "../../../../wit/v1/schemas/completion-request.json"
    ))
});
static EMBEDDING: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
    compiled(include_str!(
        "../../../../wit/v1/schemas/embedding-request.json"
    ))
});

/// A request that may go out.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The connector that the guest named.
    pub(crate) model: Option<Label>,
    /// The most tokens that its text can be.
    pub(crate) prompt_tokens_max: u64,
    /// The most tokens that its answer may have, where the guest says so.
    pub(crate) answer_tokens_max: Option<u64>,
    /// What the answer has to be.
    pub(crate) wanted: Wanted,
    /// For the server: an object without its first bracket, since more goes before it.
    rest: String,
}

/// What an answer has to be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// A turn of a chat. The schemas are JSON texts.
    Completion {
        /// Of the text.
        schema: Option<String>,
        /// Names, and schemas of arguments.
        tools: Vec<(String, Option<String>)>,
    },
    /// So many vectors.
    Vectors(usize),
}

#[derive(Deserialize)]
struct Completion {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<Value>,
    schema: Option<Value>,
    #[serde(default)]
    strict: bool,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<String>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    text: String,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: String,
    name: String,
    arguments: Value,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

#[derive(Deserialize)]
struct Embedding {
    model: Option<String>,
    texts: Vec<String>,
    dimensions: Option<u32>,
}

impl Prepared {
    /// Reads a turn of a chat.
    ///
    /// # Errors
    /// `invalid` with the field; `too-large`.
    pub(crate) fn completion(text: &str) -> Result<Self, ClientError> {
        let asked: Completion = read(text, &COMPLETION)?;
        let parts = asked.messages.len() + asked.tools.len();
        check_schemas(&asked)?;
        let name_of = |tool: &Tool| {
            let parameters = tool.parameters.as_ref().map(Value::to_string);
            (tool.name.clone(), parameters)
        };
        let wanted = Wanted::Completion {
            schema: asked.schema.as_ref().map(Value::to_string),
            tools: asked.tools.iter().map(name_of).collect(),
        };
        let (model, answer_tokens_max) = (label(asked.model.as_deref())?, asked.max_tokens);
        let body = body_of(asked);
        Ok(Self::new(model, answer_tokens_max, wanted, parts, &body))
    }

    /// Reads a request for vectors.
    ///
    /// # Errors
    /// `invalid` with the field; `too-large`.
    pub(crate) fn embedding(text: &str) -> Result<Self, ClientError> {
        let asked: Embedding = read(text, &EMBEDDING)?;
        let model = label(asked.model.as_deref())?;
        let texts = asked.texts.len();
        let mut body = Map::new();
        body.insert("input".to_owned(), json!(asked.texts));
        if let Some(dimensions) = asked.dimensions {
            body.insert("dimensions".to_owned(), json!(dimensions));
        }
        let wanted = Wanted::Vectors(texts);
        Ok(Self::new(model, Some(0), wanted, texts, &body))
    }

    fn new(
        model: Option<Label>,
        answer_tokens_max: Option<u64>,
        wanted: Wanted,
        parts: usize,
        body: &Map<String, Value>,
    ) -> Self {
        let body = Value::Object(body.clone()).to_string();
        Self {
            model,
            prompt_tokens_max: body.len() as u64 + TOKENS_AROUND * parts as u64,
            answer_tokens_max,
            wanted,
            rest: body[1..].to_owned(),
        }
    }

    /// How large what goes out is.
    pub(crate) fn bytes(&self) -> usize {
        self.rest.len()
    }

    /// What the server is sent: `model` is its own name of it. `answer_tokens` with the name that
    /// the server has for them.
    pub(crate) fn body(&self, model: &str, answer_tokens: Option<(&str, u64)>) -> String {
        let model = Value::from(model);
        let most = answer_tokens.map_or_else(String::new, |(name, most)| {
            format!("{}:{most},", Value::from(name))
        });
        format!("{{\"model\":{model},{most}{}", self.rest)
    }
}

/// Checks a text and reads it; the contract's schema is the only judge.
fn read<T: DeserializeOwned>(
    text: &str,
    schema: &Result<Schema, String>,
) -> Result<T, ClientError> {
    if text.len() > INFERENCE_REQUEST_BYTES_MAX {
        let most = INFERENCE_REQUEST_BYTES_MAX as u64;
        return Err(ClientError::too_large(
            "the request",
            text.len(),
            "bytes",
            most,
        ));
    }
    json::check(text).map_err(|error| ClientError::invalid("", &format!("the request {error}")))?;
    let tree = json::parse(text)
        .map_err(|error| ClientError::invalid("", &format!("the request {error}")))?;
    let schema = schema.as_ref().map_err(|why| ClientError::internal(why))?;
    if let Some(first) = schema.mistakes("", &tree).first() {
        return Err(ClientError::invalid(
            &bracketed(&first.field),
            &first.problem,
        ));
    }
    serde_json::from_value(tree).map_err(|error| ClientError::invalid("", &error.to_string()))
}

fn compiled(text: &str) -> Result<Schema, String> {
    let schema = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Schema::compile(&schema)
}

/// `.messages.0.role` is `messages[0].role`.
pub(super) fn bracketed(path: &str) -> String {
    let mut text = String::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            let dot = if text.is_empty() { "" } else { "." };
            text.push_str(&format!("{dot}{part}"));
        }
    }
    text
}

fn label(model: Option<&str>) -> Result<Option<Label>, ClientError> {
    let parse = |name| Label::parse(name).map_err(|error| error.to_string());
    let label = model.map(parse).transpose();
    label.map_err(|problem| ClientError::invalid("model", &problem))
}

/// Schemas that the host cannot check an answer with are refused before anything is asked.
fn check_schemas(asked: &Completion) -> Result<(), ClientError> {
    let mut names = BTreeSet::new();
    let parameters = asked.tools.iter().enumerate().map(|(index, tool)| {
        (
            format!("tools[{index}].parameters"),
            tool.parameters.as_ref(),
        )
    });
    let schema = ("schema".to_owned(), asked.schema.as_ref());
    for (field, schema) in parameters.chain([schema]) {
        if let Some(Err(why)) = schema.map(Schema::compile) {
            return Err(ClientError::invalid(
                &field,
                &format!("is no JSON Schema: {why}"),
            ));
        }
    }
    for (index, tool) in asked.tools.iter().enumerate() {
        if !names.insert(&tool.name) {
            let field = format!("tools[{index}].name");
            return Err(ClientError::invalid(
                &field,
                "is the name of an earlier tool",
            ));
        }
    }
    Ok(())
}

/// As OpenAI's protocol has it, without the model and the tokens of the answer.
fn body_of(asked: Completion) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        body.extend(value.map(|value| (key.to_owned(), value)));
    };
    let format = asked.schema.map(|schema| {
        let named = json!({"name": "answer", "schema": schema, "strict": asked.strict});
        json!({"type": "json_schema", "json_schema": named})
    });
    let choice = asked.tool_choice.map(|choice| match choice.get("name") {
        Some(name) => json!({"type": "function", "function": {"name": name}}),
        None => choice,
    });
    put("response_format", format);
    put("tool_choice", choice);
    put("temperature", asked.temperature.map(Value::from));
    put("seed", asked.seed.map(Value::from));
    put("stop", (!asked.stop.is_empty()).then(|| json!(asked.stop)));
    let tools: Vec<Value> = asked.tools.into_iter().map(tool).collect();
    put("tools", (!tools.is_empty()).then_some(Value::Array(tools)));
    let messages = asked.messages.into_iter().map(message);
    put("messages", Some(Value::Array(messages.collect())));
    body
}

fn tool(tool: Tool) -> Value {
    let parameters = tool
        .parameters
        .unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let mut function = json!({"name": tool.name, "parameters": parameters});
    if let Some(description) = tool.description {
        function["description"] = Value::from(description);
    }
    json!({"type": "function", "function": function})
}

fn message(message: Message) -> Value {
    let mut written = json!({"role": message.role, "content": message.text});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.into_iter().map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
            json!({"id": call.id, "type": "function", "function": function})
        });
        written["tool_calls"] = Value::Array(calls.collect());
    }
    if let Some(id) = message.tool_call_id {
        written["tool_call_id"] = Value::from(id);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn field_of(text: &str) -> String {
        let error = Prepared::completion(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{text}");
        let details = error.details.unwrap();
        details["errors"][0]["field"].as_str().unwrap().to_owned()
    }

    #[test]
    fn mistakes_name_their_field() {
        let hi = r#""messages":[{"role":"user","text":"hi"}]"#;
        for (text, field) in [
            (String::new(), ""),
            ("[]".to_owned(), ""),
            ("{}".to_owned(), "messages"),
            (r#"{"messages":[]}"#.to_owned(), "messages"),
            (r#"{"messages":[["user","hi"]]}"#.to_owned(), "messages[0]"),
            (
                r#"{"messages":[{"role":"user"}]}"#.to_owned(),
                "messages[0].text",
            ),
            (
                r#"{"messages":[{"role":"me","text":""}]}"#.to_owned(),
                "messages[0].role",
            ),
            (
                r#"{"messages":[{"role":"tool","text":""}]}"#.to_owned(),
                "messages[0].tool_call_id",
            ),
            (
                r#"{"messages":[{"role":"user","text":"","tool_calls":[]}]}"#.to_owned(),
                "messages[0].tool_calls",
            ),
            (format!(r#"{{{hi},"model":"Not A Label"}}"#), "model"),
            (format!(r#"{{{hi},"n":2}}"#), "n"),
            (format!(r#"{{{hi},"max_tokens":0}}"#), "max_tokens"),
            (format!(r#"{{{hi},"temperature":3}}"#), "temperature"),
            (
                format!(r#"{{{hi},"schema":{{"type":"nothing"}}}}"#),
                "schema",
            ),
            (
                format!(r#"{{{hi},"schema":{{"$ref":"http://x/y"}}}}"#),
                "schema",
            ),
            (
                format!(r#"{{{hi},"tools":[{{"name":"a b"}}]}}"#),
                "tools[0].name",
            ),
            (
                format!(r#"{{{hi},"tools":[{{"name":"a"}},{{"name":"a"}}]}}"#),
                "tools[1].name",
            ),
            (
                format!(r#"{{{hi},"tools":[{{"name":"a","parameters":{{"type":7}}}}]}}"#),
                "tools[0].parameters",
            ),
        ] {
            assert_eq!(field_of(&text), field, "{text}");
        }
        let twice = r#"{"messages":[{"role":"user","text":"hi","text":"ho"}]}"#;
        assert_eq!(field_of(twice), "");
        let large = format!(
            r#"{{{hi},"stop":["{}"]}}"#,
            "x".repeat(INFERENCE_REQUEST_BYTES_MAX)
        );
        assert_eq!(
            Prepared::completion(&large).unwrap_err().code,
            ErrorCode::TooLarge
        );
    }

    #[test]
    fn a_whole_request_is_written_as_the_server_wants_it() {
        let asked = json!({
            "model": "small",
            "messages": [
                {"role": "system", "text": "be brief"},
                {"role": "user", "text": "weather?"},
                {"role": "assistant", "text": "", "tool_calls": [
                    {"id": "c1", "name": "weather", "arguments": {"city": "Ulm"}}]},
                {"role": "tool", "text": "rain", "tool_call_id": "c1"},
            ],
            "tools": [{"name": "weather", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": {"name": "weather"},
            "schema": {"type": "object"}, "strict": true,
            "temperature": 0.5, "seed": 7, "stop": ["END"], "max_tokens": 99,
        });
        let prepared = Prepared::completion(&asked.to_string()).unwrap();
        assert_eq!(prepared.model, Some(Label::parse("small").unwrap()));
        assert_eq!(prepared.answer_tokens_max, Some(99));
        let body: Value =
            serde_json::from_str(&prepared.body("big/model", Some(("max_tokens", 99)))).unwrap();
        let expected = json!({
            "model": "big/model", "max_tokens": 99,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function",
                    "function": {"name": "weather", "arguments": "{\"city\":\"Ulm\"}"}}]},
                {"role": "tool", "content": "rain", "tool_call_id": "c1"},
            ],
            "tools": [{"type": "function", "function":
                {"name": "weather", "description": "d", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "response_format": {"type": "json_schema", "json_schema":
                {"name": "answer", "schema": {"type": "object"}, "strict": true}},
            "temperature": 0.5, "seed": 7, "stop": ["END"],
        });
        assert_eq!(body, expected);
        assert!(prepared.prompt_tokens_max > prepared.bytes() as u64);
    }

    #[test]
    fn vectors_are_asked_for() {
        let prepared = Prepared::embedding(r#"{"texts":["a","b"],"dimensions":3}"#).unwrap();
        assert!(matches!(prepared.wanted, Wanted::Vectors(2)));
        let body: Value = serde_json::from_str(&prepared.body("m", None)).unwrap();
        assert_eq!(
            body,
            json!({"model": "m", "input": ["a", "b"], "dimensions": 3})
        );
        for bad in [
            r#"{"texts":[]}"#,
            r#"{"texts":[""]}"#,
            r#"{"texts":["a"],"b":1}"#,
            "7",
        ] {
            assert!(Prepared::embedding(bad).is_err(), "{bad}");
        }
    }
}
