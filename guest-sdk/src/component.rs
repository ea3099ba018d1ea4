//! What [`export!`](crate::export) expands to: the two functions of a component around a [`Task`],
//! and the panic hook that lets a trap carry its message.

use schemars::generate::SchemaSettings;

use crate::bindings::taskhost::task::types;
use crate::clients::Clients;
use crate::json::{encode, given};
use crate::task::Task;

/// The descriptor as JSON, with schemas derived where the author gave none.
pub fn describe<T: Task>() -> String {
    hear_of_panics();
    let settings = SchemaSettings::draft2020_12();
    let params = settings
        .clone()
        .into_generator()
        .into_root_schema_for::<T::Params>();
    let result = settings
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T::Result>();
    T::descriptor()
        .into_json(params.into(), result.into())
        .to_string()
}

/// Reads the params, runs, writes the result.
///
/// # Errors
/// The task's own; `invalid` params; a result that cannot be JSON.
pub fn run<T: Task>(params: &str) -> Result<String, types::Error> {
    hear_of_panics();
    let result = T::run(given(params)?, &Clients::new())?;
    Ok(encode(&result, "the result")?)
}

/// Natively a panic stays what it is: tests rely on it.
#[cfg(not(target_family = "wasm"))]
fn hear_of_panics() {}

/// A panic ends the instance with a bare trap. Before that, one line on standard error, where the
/// host looks for it, and one in the log.
#[cfg(target_family = "wasm")]
fn hear_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        use std::io::Write;
        let line = panic_line(panic.payload_as_str(), panic.location());
        crate::log::line(
            crate::log::Level::Error,
            line.trim_start_matches("taskhost-").trim_end(),
        );
        // One write, so that nothing comes between; it cannot be reported if it fails.
        drop(std::io::stderr().write_all(line.as_bytes()));
    }));
}

/// Exactly one line: control characters are escaped, and what is longer than 4 KiB is cut.
#[cfg(any(target_family = "wasm", test))]
fn panic_line(message: Option<&str>, location: Option<&std::panic::Location<'_>>) -> String {
    const MESSAGE_BYTES_MAX: usize = 4096;
    let mut line = String::from("taskhost-panic: ");
    for c in message.unwrap_or("a panic without a message").chars() {
        if line.len() >= MESSAGE_BYTES_MAX {
            line.push('…');
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if let Some(location) = location {
        line.push_str(&format!(" at {location}"));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Descriptor;
    use crate::error::Error;
    use serde_json::{Value, json};

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Params {
        /// Whom to greet.
        name: String,
    }

    struct Greet;

    impl Task for Greet {
        type Params = Params;
        type Result = Option<String>;

        fn descriptor() -> Descriptor {
            Descriptor::new("greet", "1")
        }

        fn run(params: Params, _: &Clients) -> Result<Option<String>, Error> {
            match params.name.as_str() {
                "" => Err(Error::failed("nobody", "there is nobody to greet").retryable()),
                name => Ok(Some(format!("hello {name}"))),
            }
        }
    }

    #[test]
    fn describes_with_derived_schemas() {
        let descriptor: Value = serde_json::from_str(&describe::<Greet>()).unwrap();
        let params = &descriptor["params_schema"];
        assert_eq!(params["required"], json!(["name"]));
        assert_eq!(
            params["properties"]["name"]["description"],
            "Whom to greet."
        );
        assert_eq!(
            descriptor["result_schema"]["type"],
            json!(["string", "null"])
        );
    }

    #[test]
    fn runs_on_json() {
        assert_eq!(run::<Greet>(r#"{"name":"you"}"#).unwrap(), r#""hello you""#);
        let error = run::<Greet>(r#"{"name":""}"#).unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("nobody", true));
        let error = run::<Greet>("{}").unwrap_err();
        assert_eq!(error.code, "invalid");
        assert!(error.message.contains("`name`"), "{}", error.message);
    }

    #[test]
    fn a_panic_is_one_line() {
        assert_eq!(
            panic_line(Some("a\nb\u{1b}[2J"), None),
            "taskhost-panic: a\\nb\\u{1b}[2J\n"
        );
        let long = panic_line(
            Some(&"é".repeat(9000)),
            Some(std::panic::Location::caller()),
        );
        assert!(long.len() < 4300 && long.contains("component.rs") && long.contains('…'));
        assert_eq!(long.lines().count(), 1);
    }

    #[test]
    #[should_panic(expected = "`progress.heartbeat` asks the host, and there is none here")]
    fn clients_say_that_there_is_no_host() {
        drop(Clients::new().progress.heartbeat());
    }
}
