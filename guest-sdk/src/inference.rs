//! Language models.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::inference;
use crate::error::Error;
use crate::json::{answer, encode};

/// Asks language models, through connectors that an operator has set up. Reached as
/// `clients.inference`; the descriptor names the connectors ([`crate::Descriptor::model`]).
///
/// All calls fail with `denied`, `invalid` with the field, `too-large`, `quota-exceeded`,
/// `canceled`, `deadline`, and with three that are retryable: `bad-answer` (the model's
/// answer is not what was asked for), `unavailable`, and `rate-limited`. End the run with that last
/// one (`?` does), and it is queued again when the model's pause is over, without counting an
/// attempt.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use taskhost_sdk::Chat;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Named {
///     /// In a word or two.
///     name: String,
/// }
///
/// let chat = Chat::new().system("You name log sources.").user("sshd[42]: Accepted publickey");
/// let answer = clients.inference.complete(&chat)?;
/// taskhost_sdk::info!("{} ({} tokens)", answer.text, answer.usage.completion_tokens);
///
/// let named: Named = clients.inference.complete_as(&chat.max_tokens(50))?;
/// let vectors = clients.inference.embed(&[named.name.as_str()])?;
/// assert_eq!(vectors.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Inference;

/// A turn of a chat to ask for.
///
/// ```
/// use serde_json::json;
/// use taskhost_sdk::{Chat, Tool};
///
/// let weather = Tool::new("weather").description("The weather now").parameters(json!({
///     "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
/// }));
/// let chat = Chat::new().user("Do I need an umbrella in Ulm?").tool(weather).seed(7);
/// assert_eq!(chat.to_json()["tools"][0]["name"], "weather");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Chat {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Message {
    role: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

/// What a model may ask the task to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tool {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// In words; empty where it only calls tools.
    pub text: String,
    /// What it asks the task to do, in order; mostly nothing.
    pub tool_calls: Vec<ToolCall>,
    /// The text as JSON, valid against the chat's schema; none without one, and where it calls
    /// tools.
    #[serde(default)]
    pub parsed: Option<Value>,
    /// Why it ended: `stop`, `length`, `tool_calls`, `content_filter` or `other`.
    pub finish_reason: String,
    /// What it took.
    pub usage: TokenUsage,
    /// What the model's server calls the model that answered, where it says so.
    #[serde(default)]
    pub model: Option<String>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// To answer it with: [`Chat::tool_result`].
    pub id: String,
    /// The tool.
    pub name: String,
    /// An object, valid against the tool's parameters.
    pub arguments: Value,
}

/// Tokens that a request and its answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TokenUsage {
    /// Of what was sent.
    pub prompt_tokens: u64,
    /// Of the answer.
    pub completion_tokens: u64,
    /// The model's server did not say: the host has counted one for every four bytes.
    pub estimated: bool,
}

impl Inference {
    /// The model's next turn.
    ///
    /// # Errors
    /// As above.
    pub fn complete(&self, chat: &Chat) -> Result<Completion, Error> {
        ask_host("inference.complete");
        completion(&inference::complete(&encode(chat, "the chat")?)?)
    }

    /// The model's next turn as a value of your own: its JSON Schema goes along with the chat, and
    /// the answer was checked against it.
    ///
    /// # Errors
    /// As above; `unexpected-answer` where the schema allows what is no `T`.
    pub fn complete_as<T: DeserializeOwned + JsonSchema>(&self, chat: &Chat) -> Result<T, Error> {
        let answered = self.complete(&chat.clone().answering::<T>())?;
        let parsed = answered.parsed.unwrap_or_default().to_string();
        answer(&parsed, "the model's answer")
    }

    /// Several turns at once, answered in order, each for itself. At most 64; the host has as many
    /// under way as the connector allows.
    ///
    /// # Errors
    /// Of the whole call: `too-large`, `canceled`, `deadline`.
    pub fn complete_many(&self, chats: &[Chat]) -> Result<Vec<Result<Completion, Error>>, Error> {
        ask_host("inference.complete-many");
        let chats: Result<Vec<_>, _> = chats.iter().map(|chat| encode(chat, "the chat")).collect();
        let answers = inference::complete_many(&chats?)?;
        let each = answers.into_iter().map(|one| completion(&one?));
        Ok(each.collect())
    }

    /// Vectors of texts, in order, by the first model that the type was granted.
    ///
    /// # Errors
    /// As above.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed_request(&json!({"texts": texts}))
    }

    /// Vectors of texts, in order, by a model that is named.
    ///
    /// # Errors
    /// As above.
    pub fn embed_with(&self, model: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed_request(&json!({"model": model, "texts": texts}))
    }

    /// Tokens that the run may still use with the first model that its type was granted; none where
    /// nobody limits them.
    #[must_use]
    pub fn budget_remaining(&self) -> Option<u64> {
        ask_host("inference.budget-remaining");
        inference::budget_remaining(None)
    }

    /// Tokens that the run may still use with that model: 0 where it was not granted.
    #[must_use]
    pub fn budget_remaining_with(&self, model: &str) -> Option<u64> {
        ask_host("inference.budget-remaining");
        inference::budget_remaining(Some(model))
    }

    fn embed_request(self, request: &Value) -> Result<Vec<Vec<f32>>, Error> {
        ask_host("inference.embed");
        Ok(inference::embed(&request.to_string())?.vectors)
    }
}

fn completion(text: &str) -> Result<Completion, Error> {
    answer(text, "the completion")
}

impl Chat {
    /// A chat in which nothing has been said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connector, by the name that the operator gave it. By default the first one that the
    /// descriptor asks for and the operator allows.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// How the model is to behave.
    #[must_use]
    pub fn system(self, text: impl Into<String>) -> Self {
        self.says("system", text)
    }

    /// What is asked.
    #[must_use]
    pub fn user(self, text: impl Into<String>) -> Self {
        self.says("user", text)
    }

    /// What the model has answered, with the tools that it calls.
    #[must_use]
    pub fn assistant(mut self, completion: &Completion) -> Self {
        self = self.says("assistant", completion.text.as_str());
        if let Some(message) = self.messages.last_mut() {
            message.tool_calls.clone_from(&completion.tool_calls);
        }
        self
    }

    /// What a tool gave; `call` as it stood in the completion.
    #[must_use]
    pub fn tool_result(mut self, call: &ToolCall, text: impl Into<String>) -> Self {
        self = self.says("tool", text);
        if let Some(message) = self.messages.last_mut() {
            message.tool_call_id = Some(call.id.clone());
        }
        self
    }

    /// A tool that the model may call.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Whether it calls tools: `auto` (the default), `none` or `required`.
    #[must_use]
    pub fn tool_choice(mut self, choice: &str) -> Self {
        self.tool_choice = Some(choice.into());
        self
    }

    /// It has to call this tool.
    #[must_use]
    pub fn must_call(mut self, tool: &str) -> Self {
        self.tool_choice = Some(json!({"name": tool}));
        self
    }

    /// JSON Schema of the answer; [`Inference::complete_as`] derives it from a type.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<Value>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The answer is JSON of that type.
    #[must_use]
    pub fn answering<T: JsonSchema>(self) -> Self {
        let settings = SchemaSettings::draft2020_12();
        let schema = settings.into_generator().into_root_schema_for::<T>();
        self.schema(schema)
    }

    /// The model's server enforces the schema by itself. Some accept only schemas where every
    /// property is required and no other is allowed.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = Some(true);
        self
    }

    /// 0 for the likeliest answer, up to 2.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Tokens of the answer at most; 4,096 by default, or what is left of a budget.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// The same seed gives the same answer to the same chat, as far as the model's server can.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The answer ends before this text; at most four of them.
    #[must_use]
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stop.push(text.into());
        self
    }

    /// What the host reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn says(mut self, role: &'static str, text: impl Into<String>) -> Self {
        self.messages.push(Message {
            role,
            text: text.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        });
        self
    }
}

impl Tool {
    /// A tool without arguments. `name`: `[A-Za-z0-9_-]{1,64}`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            parameters: None,
        }
    }

    /// When to use it, for the model.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// JSON Schema of its arguments, an object.
    #[must_use]
    pub fn parameters(mut self, schema: impl Into<Value>) -> Self {
        self.parameters = Some(schema.into());
        self
    }
}
