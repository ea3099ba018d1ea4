//! Shows how far a task is: a bar on a terminal, otherwise a line when something has changed.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::text;

/// The longest message beside a bar, in characters.
const MESSAGE_MAX: usize = 60;

/// Where progress is shown.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A bar on the terminal, on standard error.
    Bar(ProgressBar),
    /// Lines on standard output.
    Lines {
        /// What was printed last.
        last: String,
    },
    /// Nowhere.
    Silent,
}

impl Progress {
    /// A bar on a terminal, lines elsewhere, nothing where JSON is wanted.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() || !std::io::stdout().is_terminal() {
            return Self::Lines {
                last: String::new(),
            };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Bar(bar)
    }

    /// A bar that counts bytes of a file on its way.
    pub(crate) fn of_bytes(json: bool, total: Option<u64>) -> Self {
        match (Self::new(json), total) {
            (Self::Bar(bar), Some(total)) => {
                bar.set_style(style(
                    "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
                ));
                bar.set_length(total);
                Self::Bar(bar)
            }
            (Self::Bar(bar), None) => {
                bar.set_style(style("{spinner} {bytes} {bytes_per_sec} {msg}"));
                Self::Bar(bar)
            }
            // A file that is sent says how it went when it is done.
            (Self::Lines { .. } | Self::Silent, _) => Self::Silent,
        }
    }

    /// Moves a bar of bytes.
    pub(crate) fn move_to(&self, bytes: u64) {
        if let Self::Bar(bar) = self {
            bar.set_position(bytes);
        }
    }

    /// Shows a task's state.
    pub(crate) fn show(&mut self, task: &Value) {
        match self {
            Self::Bar(bar) => show_bar(bar, task),
            Self::Lines { last } => {
                let line = line(task);
                if *last != line {
                    say!("{line}");
                    *last = line;
                }
            }
            Self::Silent => {}
        }
    }

    /// Says something on standard error, above the bar if there is one.
    pub(crate) fn note(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Self::Lines { .. } | Self::Silent => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn show_bar(bar: &ProgressBar, task: &Value) {
    let progress = &task["progress"];
    let message = text::shortened(&caption(task), MESSAGE_MAX);
    match progress["total"].as_u64().filter(|total| *total > 0) {
        Some(total) => {
            bar.set_style(style("{elapsed} {bar:30} {pos}/{len} {msg}"));
            bar.set_length(total);
            bar.set_position(progress["done"].as_u64().unwrap_or(0).min(total));
        }
        None => bar.set_style(style("{elapsed} {spinner} {msg}")),
    }
    bar.set_message(message);
}

/// Phase and message, or the status where a run has said nothing.
fn caption(task: &Value) -> String {
    let progress = &task["progress"];
    let parts = [&progress["phase"], &progress["message"]];
    let mut said: Vec<&str> = parts
        .into_iter()
        .filter_map(Value::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    // A phase that says nothing but its name is said once.
    said.dedup();
    match (task["status"].as_str(), said.is_empty()) {
        (Some("in_progress"), false) => said.join(": "),
        (Some("in_progress"), true) => match task["run"]["state"].as_str() {
            Some("queued") => "queued".to_owned(),
            Some("suspended") => "waiting for children".to_owned(),
            Some("waiting_retry") => "waiting to be tried again".to_owned(),
            _ => "running".to_owned(),
        },
        (status, _) => status.unwrap_or_default().to_owned(),
    }
}

/// One line for a log: status, count with its share, phase and message.
fn line(task: &Value) -> String {
    let progress = &task["progress"];
    let status = task["status"].as_str().unwrap_or_default();
    let count = match (progress["done"].as_u64(), progress["total"].as_u64()) {
        (Some(done), Some(total)) if total > 0 => {
            let percent = u128::from(done) * 100 / u128::from(total);
            format!(" {done}/{total} ({percent} %)")
        }
        (Some(done), _) if done > 0 => format!(" {done}"),
        _ => String::new(),
    };
    let caption = text::shown(&caption(task));
    if caption == status {
        caption
    } else {
        format!("{status}{count}  {caption}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_say_what_a_bar_would() {
        let progress = json!({"done": 3, "total": 9, "phase": "sample", "message": "\u{1b}x"});
        for (task, expected) in [
            (
                json!({"status": "completed", "progress": progress}),
                "completed",
            ),
            (
                json!({"status": "in_progress", "run": {"state": "queued"}}),
                "in_progress  queued",
            ),
            (
                json!({"status": "in_progress", "progress": progress}),
                "in_progress 3/9 (33 %)  sample: \\u{1b}x",
            ),
            (
                json!({"status": "in_progress", "progress": {"phase": "p", "message": "p"}}),
                "in_progress  p",
            ),
            (json!({"status": "being_canceled"}), "being_canceled"),
        ] {
            assert_eq!(line(&task), expected);
        }
    }
}
