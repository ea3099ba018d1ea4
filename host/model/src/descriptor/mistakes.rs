//! What is wrong with a descriptor that could be read: each mistake a sentence that names the key.

use std::collections::BTreeSet;

use super::{Bounds, Descriptor, StreamUse};

/// A run that is not live is shown as such after a week at the latest.
const STALE_AFTER_S_MAX: u64 = 7 * 24 * 60 * 60;
/// The most collections that a type may own.
const COLLECTIONS_MAX: usize = 32;
/// The longest JSON pointer.
const POINTER_BYTES_MAX: usize = 512;

impl Descriptor {
    pub(super) fn mistakes(&self, bounds: &Bounds) -> Vec<String> {
        let mut mistakes = self.mistakes_of_texts();
        mistakes.extend(self.mistakes_of_numbers(bounds));
        mistakes.extend(self.mistakes_of_streams());
        for (key, labels) in [
            ("collections", &self.collections),
            ("space_collections", &self.space_collections),
        ] {
            if labels.len() > COLLECTIONS_MAX {
                let (asked, most) = (labels.len() as u64, COLLECTIONS_MAX as u64);
                mistakes.push(too_large(key, asked, most));
            }
        }
        mistakes.extend(self.capabilities.mistakes());
        if let Some(concurrency) = &self.concurrency {
            mistakes.extend(concurrency.mistakes(self.stream != StreamUse::None));
        }
        let mut seen = BTreeSet::new();
        let read = self
            .space_collections
            .iter()
            .chain(&self.capabilities.collections);
        for label in self.collections.iter().chain(read) {
            if !seen.insert(label) {
                mistakes.push(format!(
                    "`collections`, `space_collections` and `capabilities.collections` name \
                     `{label}` twice"
                ));
            }
        }
        mistakes
    }

    fn mistakes_of_streams(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(pointer) = &self.streams_from {
            if !pointer.starts_with('/') || pointer.len() > POINTER_BYTES_MAX {
                mistakes.push(
                    "`streams_from` has to be a JSON pointer into the params, as in `/streams`"
                        .to_owned(),
                );
            }
            if self.stream != StreamUse::None {
                mistakes.push(
                    "`streams_from` is of a type that is scheduled without a stream: leave \
                     `stream` out"
                        .to_owned(),
                );
            }
        }
        mistakes
    }

    fn mistakes_of_texts(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (key, text, length_max) in [
            ("version", Some(&self.version), 64),
            ("title", Some(&self.title), 200),
            ("description", self.description.as_ref(), 4000),
        ] {
            let Some(text) = text else { continue };
            if text.trim().is_empty() {
                mistakes.push(format!(
                    "`{key}` is empty: say something that people can use"
                ));
            } else if text.len() > length_max {
                mistakes.push(format!(
                    "`{key}` has {} bytes, at most {length_max}",
                    text.len()
                ));
            }
        }
        mistakes
    }

    fn mistakes_of_numbers(&self, bounds: &Bounds) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (key, asked, most) in [
            (
                "limits.memory_mib",
                self.limits.memory_mib,
                bounds.memory_mib,
            ),
            ("limits.cpu_ms", self.limits.cpu_ms, bounds.cpu_ms),
            ("limits.wall_s", self.limits.wall_s, bounds.wall_s),
            (
                "limits.no_progress_s",
                self.limits.no_progress_s.unwrap_or(1),
                bounds.wall_s,
            ),
            (
                "limits.output_kib",
                self.limits.output_kib,
                bounds.output_kib,
            ),
            (
                "limits.host_calls",
                self.limits.host_calls.unwrap_or(1),
                bounds.host_calls,
            ),
            (
                "limits.tokens",
                self.limits.tokens.unwrap_or(1),
                bounds.tokens,
            ),
            (
                "retry.attempts",
                u64::from(self.retry.attempts),
                u64::from(bounds.attempts),
            ),
            ("stale_after_s", self.stale_after_s, STALE_AFTER_S_MAX),
        ] {
            if asked == 0 {
                mistakes.push(format!("`{key}` is 0: it has to be between 1 and {most}"));
            } else if asked > most {
                mistakes.push(too_large(key, asked, most));
            }
        }
        if self.grace_ms > bounds.grace_ms {
            mistakes.push(too_large("grace_ms", self.grace_ms, bounds.grace_ms));
        }
        mistakes
    }
}

fn too_large(key: &str, asked: u64, most: u64) -> String {
    format!("`{key}` asks for {asked}, this host's settings allow at most {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(more: &str) -> Result<Descriptor, Vec<String>> {
        let text = format!(r#"{{"id":"a","version":"1","title":"A",{more}}}"#);
        Descriptor::parse(&text, &Bounds::default())
    }

    #[test]
    fn what_is_read_of_others_is_named_once_and_streams_in_one_place() {
        let read = with(r#""capabilities":{"collections":["features"]},"streams_from":"/streams""#)
            .unwrap();
        assert_eq!(read.streams_from.as_deref(), Some("/streams"));
        assert_eq!(read.capabilities.collections.len(), 1);
        for (wrong, said) in [
            (r#""capabilities":{"collections":["a","a"]}"#, "`a` twice"),
            (
                r#""collections":["a"],"capabilities":{"collections":["a"]}"#,
                "`a` twice",
            ),
            (r#""streams_from":"streams""#, "JSON pointer"),
            (
                r#""streams_from":"/streams","stream":"required""#,
                "`stream`",
            ),
        ] {
            assert!(with(wrong).unwrap_err()[0].contains(said), "{wrong}");
        }
    }
}
