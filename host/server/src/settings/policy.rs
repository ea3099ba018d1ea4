//! What the operator allows task types: `[[allow]]`, `require_signature` and `trusted_keys`.

use taskhost_clients::http::other_spellings;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{Label, TypeId};
use taskhost_service::policy::{Policy, Rule};
use taskhost_service::signatures::{Signatures, TrustedKey};

use super::reader::Reader;

/// What needs no rule: types of this project that hand parts of their work to others of it, which
/// work on the same stream, for the same person and within what they are allowed themselves, and
/// that read what those have found there.
const FAMILY: [Member; 4] = [
    Member {
        type_id: "streams_onboarding",
        children: &[
            "streams_feature_identification",
            "streams_significant_events_queries_generation",
        ],
        collections: &[],
    },
    Member {
        type_id: "streams_significant_events_queries_generation",
        children: &[],
        collections: &["features"],
    },
    Member {
        type_id: "streams_description_generation",
        children: &[],
        collections: &["features"],
    },
    Member {
        type_id: "streams_insights_discovery",
        children: &[],
        collections: &["features"],
    },
];

struct Member {
    type_id: &'static str,
    children: &'static [&'static str],
    collections: &'static [&'static str],
}

pub(super) fn policy(reader: &mut Reader<'_>) -> Policy {
    Policy {
        rules: rules(reader),
        signatures: signatures(reader),
    }
}

fn rules(reader: &mut Reader<'_>) -> Vec<Rule> {
    let mut rules = family();
    for mut allow in reader.rows("allow") {
        let type_id = reader.field(&mut allow, "type");
        let allowed = Capabilities {
            http: reader.list(&mut allow, "http"),
            secrets: reader.list(&mut allow, "secrets"),
            models: reader.list(&mut allow, "models"),
            children: reader.list(&mut allow, "children"),
            collections: reader.list(&mut allow, "collections"),
        };
        let record = reader.field(&mut allow, "record").unwrap_or(false);
        for mistake in allowed
            .mistakes()
            .into_iter()
            .chain(other_spellings(&allowed))
        {
            // Told as of a descriptor, which has them in an object of their own.
            let problem = mistake.replace("`capabilities.", "`");
            reader.mistake_in(&mut allow, format!("is not right: {problem}"));
        }
        if reader.is_right(allow) {
            rules.push(Rule {
                type_id,
                allowed,
                record,
            });
        }
    }
    rules
}

fn family() -> Vec<Rule> {
    let rule = |member: Member| {
        let children = member.children.iter().map(|id| TypeId::parse(id).ok());
        let collections = member.collections.iter().map(|it| Label::parse(it).ok());
        Some(Rule {
            type_id: Some(TypeId::parse(member.type_id).ok()?),
            allowed: Capabilities {
                children: children.collect::<Option<_>>()?,
                collections: collections.collect::<Option<_>>()?,
                ..Capabilities::default()
            },
            record: false,
        })
    };
    FAMILY.into_iter().filter_map(rule).collect()
}

fn signatures(reader: &mut Reader<'_>) -> Signatures {
    let required = reader.flag("require_signature", false);
    let mut trusted = Vec::new();
    let entries = reader.entries::<String>("trusted_keys");
    let are_given = !entries.is_empty();
    for (text, place) in entries {
        match TrustedKey::parse(&text) {
            Ok(key) => trusted.push(key),
            Err(problem) => {
                let problem = format!("has {text:?}, which {problem}");
                reader.mistake_in_file(&place, "trusted_keys", problem);
            }
        }
    }
    if required && !are_given {
        let problem = "is true, and there are no `trusted_keys`: every component would be refused";
        reader.contradiction("require_signature", problem.to_owned());
    }
    Signatures { required, trusted }
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};
    use taskhost_model::capabilities::HttpRule;

    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Policy, Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| {
            let found = environment.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(|settings| settings.policy)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn rules_are_read_and_what_a_wish_says_can_be_pasted() {
        let text = "[[allow]]\nsecrets = [\"for-all\"]\n\n[[allow]]\ntype = \"a\"\n\
            http = [{ origin = \"https://a.example\", methods = [\"POST\"] }]\n\
            models = [\"small\"]\nchildren = [\"b\"]\ncollections = [\"queries\"]\n\
            record = true\n";
        let policy = read(text, &[]).unwrap();
        let a = TypeId::parse("a").unwrap();
        let words = [
            "http origin https://a.example (POST, /)",
            "secret for-all",
            "model small",
            "child type b",
            "collection queries of another type, to read",
        ];
        assert_eq!(policy.allowed(&a).words(), words);
        let other = TypeId::parse("other").unwrap();
        assert!(policy.may_record(&a) && !policy.may_record(&other));
        assert_eq!(policy.allowed(&other).words(), ["secret for-all"]);
        let pasted = policy.allowed(&a).as_setting(&a);
        let again = read(&pasted, &[]).unwrap();
        assert_eq!(again.allowed(&a), policy.allowed(&a));
        assert!(again.allowed(&other).is_empty());
    }

    #[test]
    fn the_family_needs_no_rule() {
        let policy = read("", &[]).unwrap();
        assert_eq!(policy.rules.len(), FAMILY.len());
        for member in FAMILY {
            let allowed = policy.allowed(&TypeId::parse(member.type_id).unwrap());
            let given = (member.children.len(), member.collections.len());
            assert_eq!((allowed.children.len(), allowed.collections.len()), given);
            assert_eq!(allowed.words().len(), given.0 + given.1);
        }
    }

    /// Whatever somebody has written into a descriptor.
    #[test]
    fn every_wish_is_said_in_toml() {
        let texts = [
            "https://a.example",
            "quotes \" and ' and \\ and \\u0041",
            "\u{0}\u{7}\u{8}\t\n\r\u{1b}[2J\u{7f}\u{85}\u{9f}",
            "é → ü \u{202e}\u{feff}\u{10ffff}\u{1f600}",
            "",
        ];
        let http = texts.map(|text| HttpRule {
            origin: text.to_owned(),
            methods: texts.map(str::to_owned).to_vec(),
            path_prefix: text.to_owned(),
        });
        let asked = Capabilities {
            http: http.to_vec(),
            secrets: vec!["key-1".parse().unwrap()],
            models: vec!["small".parse().unwrap()],
            children: vec![TypeId::parse("b").unwrap()],
            collections: vec!["found".parse().unwrap()],
        };
        let setting = asked.as_setting(&TypeId::parse("a").unwrap());
        let table: toml::Table = toml::from_str(&setting).unwrap();
        let allow = table["allow"].as_array().unwrap();
        assert_eq!((allow.len(), allow[0]["type"].as_str()), (1, Some("a")));
        let again: Capabilities = allow[0].clone().try_into().unwrap();
        assert_eq!(again, asked);
    }

    #[test]
    fn mistakes_in_rules_have_their_line() {
        let text = "allow = [\n  { types = \"a\" },\n  { type = \"A!\" },\n  7,\n\
            \x20 { http = [{ origin = \"https://a.example/x\" }] },\n\
            \x20 { http = [{ orgin = \"https://a.example\" }] },\n]\n";
        let mistakes = read(text, &[]).unwrap_err();
        let expected = [
            ("t.toml:2: `allow`", "unknown field `types`"),
            ("t.toml:3: `allow`", "`A!`"),
            ("t.toml:4: `allow`", "integer `7`"),
            (
                "t.toml:5: `allow`",
                "`http[0]` has the origin `https://a.example/x`",
            ),
            ("t.toml:6: `allow`", "unknown field `orgin`"),
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, (place, problem)) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(place), "{mistake}");
            assert!(mistake.contains(problem), "{mistake}");
        }
        for (text, environment) in [
            ("allow = 7\n", &[][..]),
            ("[allow]\ntype = \"a\"\n", &[]),
            ("", &[("TASKHOST_ALLOW", "everything")]),
        ] {
            let mistakes = read(text, environment).unwrap_err();
            assert!(mistakes[0].contains("`allow` has to be"), "{mistakes:?}");
        }
    }

    #[test]
    fn every_mistake_of_one_rule_is_told() {
        let text = "[[allow]]\ntypo = 1\nhttp = [{ origin = \"https://a.example/x\", \
            methods = [\"get\"], path_prefix = \"v1\" }, { origin = \"http://0xa.0.01\" }]\n\
            secrets = [\"A B\", \"C D\", \"right\"]\nrecord = \"yes\"\n";
        let mistakes = read(text, &[]).unwrap_err();
        for words in [
            "t.toml:2: `allow` is not right: unknown field `typo`: did you mean `type`?",
            "has the origin `https://a.example/x`",
            "is not in upper case",
            "has the path prefix `v1`",
            "`http[1]` has the origin `http://0xa.0.01`, which is `http://10.0.0.1`",
            "t.toml:4: `allow` is not right: `secrets`: ",
            "C D",
            "t.toml:5: `allow` is not right: `record`: ",
        ] {
            assert!(
                mistakes.iter().any(|it| it.contains(words)),
                "{words}: {mistakes:#?}"
            );
        }
        assert_eq!(mistakes.len(), 8, "{mistakes:#?}");
    }

    #[test]
    fn keys_are_read_and_required_only_where_there_are_some() {
        let text = format!("require_signature = true\ntrusted_keys = [\"{KEY}\"]\n");
        let signatures = read(&text, &[]).unwrap().signatures;
        assert!(signatures.required);
        assert_eq!(signatures.trusted[0].id(), "E7620F1842B4E81F");
        let mistakes = read("require_signature = true\n", &[]).unwrap_err();
        let expected = "t.toml:1: `require_signature` is true, and there are no `trusted_keys`";
        assert!(mistakes[0].starts_with(expected), "{mistakes:?}");
        let of_variable = [("TASKHOST_REQUIRE_SIGNATURE", "true")];
        let text = format!("trusted_keys = [\"{KEY}\", \"RWx\"]\n");
        let mistakes = read(&text, &of_variable).unwrap_err();
        let [mistake] = &*mistakes else {
            panic!("{mistakes:?}")
        };
        let expected = "t.toml:1: `trusted_keys` has \"RWx\", which is no minisign public key";
        assert!(mistake.starts_with(expected), "{mistake}");
        let mistakes = read("require_signature = \"yes\"\n", &[]).unwrap_err();
        let expected = "`require_signature` has to be true or false, and is \"yes\"";
        assert!(mistakes[0].contains(expected), "{mistakes:?}");
    }
}
