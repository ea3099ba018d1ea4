//! Asks language models what its params say, and answers what came of it.

use serde_json::{Value, json};
use taskhost_sdk::{Chat, Clients, Error, Tool};

/// What to do.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Params {
    /// `text`, `typed`, `tool`, `many`, `embed` or `budget`.
    ask: String,
    /// The connector; the first one by default.
    model: Option<String>,
    /// How many chats, of `many`.
    #[serde(default)]
    count: usize,
}

/// An answer with a schema.
#[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
struct Named {
    name: String,
    confidence: u8,
}

fn run(params: Params, clients: &Clients) -> Result<Value, Error> {
    let models = clients.inference;
    let mut chat = Chat::new()
        .system("Be brief.")
        .user("Name this: sshd[42]")
        .temperature(0.0);
    if let Some(model) = params.model {
        chat = chat.model(model);
    }
    clients.progress.phase("asking")?;
    match params.ask.as_str() {
        "typed" => {
            let named: Named = models.complete_as(&chat.max_tokens(200))?;
            Ok(json!(named))
        }
        "tool" => {
            let city = json!({"city": {"type": "string"}});
            let parameters = json!({"type": "object", "properties": city, "required": ["city"]});
            let weather = Tool::new("weather").parameters(parameters);
            let chat = chat.tool(weather).tool_choice("required");
            let first = models.complete(&chat)?;
            let call = &first.tool_calls[0];
            let second = models.complete(&chat.assistant(&first).tool_result(call, "rain"))?;
            Ok(json!({"arguments": call.arguments, "text": second.text}))
        }
        "many" => {
            let chats: Vec<Chat> = (0..params.count)
                .map(|n| Chat::new().user(n.to_string()))
                .collect();
            let answers = models.complete_many(&chats)?;
            let said = answers.into_iter().map(|answer| match answer {
                Ok(answer) => answer.text,
                Err(error) => error.code().to_owned(),
            });
            Ok(json!(said.collect::<Vec<_>>()))
        }
        "embed" => Ok(json!(models.embed(&["a", "b"])?)),
        "budget" => {
            let before = models.budget_remaining();
            models.complete(&chat)?;
            Ok(json!([before, models.budget_remaining()]))
        }
        _ => Ok(json!(models.complete(&chat)?.text)),
    }
}

taskhost_guests::guest!("asks-model", Params, run, |descriptor| descriptor
    .model("small")
    .model("large")
    .tokens(100_000)
    .grace_ms(1_000));
