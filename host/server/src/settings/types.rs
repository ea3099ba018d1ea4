//! What an operator decides of single task types, in place of what they say of themselves:
//! `[types.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use taskhost_model::descriptor::Bounds;
use taskhost_model::ids::TypeId;
use taskhost_service::settings::TypeSettings;

use super::reader::{Fields, Reader};

const DAY_S: u64 = 86_400;

pub(super) fn types(reader: &mut Reader<'_>, bounds: &Bounds) -> BTreeMap<TypeId, TypeSettings> {
    let mut types = BTreeMap::new();
    for (name, mut fields) in reader.named("types") {
        let type_id = TypeId::parse(&name).map_err(|error| format!("is not right: {error}"));
        let type_id = reader.told(&mut fields, type_id);
        let attempts = within(reader, &mut fields, "attempts", u64::from(bounds.attempts));
        let backoff_ms = within(reader, &mut fields, "retry_backoff_ms", DAY_S * 1000);
        let backoff_max_s = within(reader, &mut fields, "retry_backoff_max_s", DAY_S);
        let queue_timeout_s = within(reader, &mut fields, "queue_timeout_s", 30 * DAY_S);
        let runs_at_once = within(reader, &mut fields, "runs_at_once", 1_000);
        let settings = TypeSettings {
            attempts: attempts.and_then(|number| u32::try_from(number).ok()),
            retry_backoff: backoff_ms.map(Duration::from_millis),
            retry_backoff_max: backoff_max_s.map(Duration::from_secs),
            queue_timeout: queue_timeout_s.map(Duration::from_secs),
            runs_at_once,
        };
        if settings
            .retry_backoff
            .zip(settings.retry_backoff_max)
            .is_some_and(|(a, b)| a > b)
        {
            let problem = "is not right: `retry_backoff_ms` is longer than `retry_backoff_max_s`";
            reader.mistake_in(&mut fields, problem.to_owned());
        }
        if let (true, Some(type_id)) = (reader.is_right(fields), type_id) {
            types.insert(type_id, settings);
        }
    }
    types
}

/// A number from 1 to `most`.
fn within(
    reader: &mut Reader<'_>,
    fields: &mut Fields,
    name: &'static str,
    most: u64,
) -> Option<u64> {
    let number: u64 = reader.field(fields, name)?;
    if !(1..=most).contains(&number) {
        let problem = format!("is not right: `{name}` has to be between 1 and {most}");
        reader.mistake_in(fields, problem);
        return None;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<TypeId, TypeSettings>, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let read = Settings::read(Some(&file), &|_| None, Flags::default());
        read.map(|settings| settings.types)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn what_is_decided_of_a_type_is_read() {
        let text = "[types.digest]\nattempts = 5\nretry_backoff_ms = 20\n\
                    retry_backoff_max_s = 9\nqueue_timeout_s = 600\nruns_at_once = 3\n\
                    [types.hello]\n";
        let types = read(text).unwrap();
        let digest = types[&TypeId::parse("digest").unwrap()];
        let expected = TypeSettings {
            attempts: Some(5),
            retry_backoff: Some(Duration::from_millis(20)),
            retry_backoff_max: Some(Duration::from_secs(9)),
            queue_timeout: Some(Duration::from_secs(600)),
            runs_at_once: Some(3),
        };
        assert_eq!(digest, expected);
        let hello = types[&TypeId::parse("hello").unwrap()];
        assert_eq!(hello, TypeSettings::default());
    }

    #[test]
    fn mistakes_name_the_type_and_the_field() {
        for (text, says) in [
            (
                "[types.a]\nattempts = 11\n",
                "`types.a` is not right: `attempts` has to be between 1 and 10",
            ),
            ("[types.a]\nattempt = 1\n", "did you mean `attempts`?"),
            ("[types.A]\n", "task type `A` is not valid"),
            (
                "[types.a]\nretry_backoff_ms = 2000\nretry_backoff_max_s = 1\n",
                "longer than `retry_backoff_max_s`",
            ),
        ] {
            let mistakes = read(text).unwrap_err().join("\n");
            assert!(mistakes.contains(says), "{text}: {mistakes}");
        }
    }
}
