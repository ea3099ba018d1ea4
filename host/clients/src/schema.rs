//! JSON Schemas of task types and of what they ask models, and the mistakes that they find.
//!
//! A schema comes from a component, so it is hostile: no references outside itself, patterns
//! run on an engine without backtracking, and what it costs to compile and to check is bounded.

mod fuel;
mod cost;
mod bounds;

use std::time::{Duration, Instant};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Mistakes that are reported of one value; more would help nobody.
const ERRORS_MAX: usize = 20;
/// Steps to find out whether a value fits: the largest result may have a million values and its
/// schema a thousand keywords. Seconds at worst, on a thread for such work.
const CHECK_STEPS_MAX: u64 = 1_000_000_000;
/// Steps that take so little time that they are made where they are asked for.
const STEPS_IN_PLACE_MAX: u64 = 100_000;
/// The same, as they are counted where references lead back.
const CHECK_FUEL: u64 = 5_000_000;
/// Steps to find the mistakes; each may keep some hundred bytes until all are known.
const MISTAKES_FUEL: u64 = 100_000;
/// The same in time: where references lead back one value may be visited very often, and a pattern
/// takes much longer for a long text than a step does. It changes only what is said of the value:
/// that it does not fit is known.
const MISTAKES_TIME: Duration = Duration::from_secs(5);
/// Bytes of a pattern's program, some hundred states; the library's own limit is 10 MiB.
const PATTERN_BYTES_MAX: usize = 32 * 1024;
/// Bytes of the cache for the states of a pattern that have been met.
const PATTERN_CACHE_BYTES_MAX: usize = 256 * 1024;

/// One mistake in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where: a path like `params.start`.
    pub field: String,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

/// What follows the first of so many mistakes, where it alone is told.
#[must_use]
pub fn and_more(mistakes: usize) -> String {
    match mistakes {
        0 | 1 => String::new(),
        _ => format!(" ({mistakes} such mistakes in all)"),
    }
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    cost: cost::Cost,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What is wrong with it, for its author.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
        let bounded = bounds::bounded(schema)?;
        let validator = jsonschema::options()
            .with_pattern_options(patterns)
            .with_keyword(fuel::KEYWORD, |_, cost, _| {
                Ok(Box::new(fuel::Fuel::of(cost)))
            })
            .offline()
            .build(&bounded.schema)
            .map_err(|error| mistake_in_schema(&error))?;
        Ok(Self {
            validator,
            cost: bounded.cost,
        })
    }

    /// Whether a check takes so long that it is for a thread where that is no harm.
    #[must_use]
    pub fn is_slow_for(&self, value: &Value) -> bool {
        self.cost.of(value) > STEPS_IN_PLACE_MAX
    }

    /// Every mistake of `value`, with paths that begin with `root`; at most 20.
    #[must_use]
    pub fn mistakes(&self, root: &str, value: &Value) -> Vec<FieldError> {
        let alone = |problem: &str| {
            let (field, problem) = (root.to_owned(), problem.to_owned());
            vec![FieldError { field, problem }]
        };
        let is_checked = self.cost.of(value) <= CHECK_STEPS_MAX;
        let is_valid = || self.validator.is_valid(value);
        match is_checked.then(|| fuel::limited(CHECK_FUEL, None, is_valid)) {
            Some(Ok(true)) => return Vec::new(),
            Some(Ok(false)) => {}
            Some(Err(fuel::OutOfFuel)) | None => {
                return alone("takes too many steps to check: it is too large for this schema");
            }
        }
        self.each_mistake(root, value, MISTAKES_TIME)
            .unwrap_or_else(|_| alone("does not fit its schema, and is too large to say where"))
    }

    fn each_mistake(
        &self,
        root: &str,
        value: &Value,
        time: Duration,
    ) -> Result<Vec<FieldError>, fuel::OutOfFuel> {
        fuel::limited(MISTAKES_FUEL, Some(Instant::now() + time), || {
            let error = |error: ValidationError<'_>| FieldError {
                field: field(root, &error),
                problem: shortened(&error.to_string()),
            };
            self.validator
                .iter_errors(value)
                .take(ERRORS_MAX)
                .map(error)
                .collect()
        })
    }
}

/// What is wrong with a schema itself, and where in it.
fn mistake_in_schema(error: &ValidationError<'_>) -> String {
    let problem = shortened(&error.to_string());
    match error.instance_path().as_str() {
        "" => problem,
        path => format!("{problem}, at `{}`", shortened(path)),
    }
}

/// Where the mistake is, shortened: keys may be as long as the whole value. What is missing, or is
/// there without leave, is named itself and not the object around it.
fn field(root: &str, error: &ValidationError<'_>) -> String {
    let around = dotted(root, error.instance_path().as_str());
    let name = match error.kind() {
        ValidationErrorKind::Required { property } => property.as_str(),
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.first().map(String::as_str)
        }
        _ => None,
    };
    shortened(&name.map_or_else(|| around.clone(), |name| format!("{around}.{name}")))
}

/// `/a/0/b` below `params` is `params.a.0.b`.
fn dotted(root: &str, pointer: &str) -> String {
    format!(
        "{root}{}",
        pointer
            .replace('/', ".")
            .replace("~1", "/")
            .replace("~0", "~")
    )
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_name_their_field() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
            "required": ["b"],
        });
        let schema = Schema::compile(&schema).unwrap();
        assert!(
            schema
                .mistakes("params", &json!({"a": [1], "b": 0}))
                .is_empty()
        );
        let mistakes = schema.mistakes("params", &json!({"a": [1, "x"]}));
        let fields: Vec<_> = mistakes.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields.len(), 2);
        assert!(
            fields.contains(&"params.a.1") && fields.contains(&"params.b"),
            "{fields:?}"
        );
    }

    #[test]
    fn what_is_said_of_long_keys_and_values_is_short() {
        let schema = json!({"additionalProperties": {"type": "integer"}});
        let schema = Schema::compile(&schema).unwrap();
        let long = "x".repeat(100_000);
        let mistakes = schema.mistakes("result", &json!({long.as_str(): long}));
        assert!(mistakes[0].field.starts_with("result.xxx"));
        assert!(mistakes[0].field.len() < 310 && mistakes[0].problem.len() < 310);
    }

    #[test]
    fn a_schema_cannot_reach_outside_or_loop() {
        for schema in [
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "no-such-type"}),
            json!({"pattern": "(?=x)"}),
            json!({"pattern": "((((a{100}){100}){100}){100})"}),
        ] {
            assert!(Schema::compile(&schema).is_err(), "{schema}");
        }
        let slow = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
        assert!(
            !slow
                .mistakes("x", &json!(format!("{}!", "a".repeat(50_000))))
                .is_empty()
        );
    }

    #[test]
    fn a_schema_that_multiplies_by_itself_comes_to_an_end() {
        let again = json!({"items": {"$ref": "#"}, "minItems": 1});
        let twice = |key: &str| json!({key: [again, again]});
        let nested = (0..60).fold(json!([]), |inner, _| json!([inner]));
        for key in ["anyOf", "oneOf", "allOf"] {
            let schema = Schema::compile(&twice(key)).unwrap();
            assert_eq!(schema.mistakes("x", &nested).len(), 1, "{key}");
        }
        let contains: Vec<Value> = (0..3_000)
            .map(|n| json!({"contains": {"const": n + 9}}))
            .collect();
        let schema = Schema::compile(&json!({"allOf": contains})).unwrap();
        let many = Value::Array((0..400_000).map(|_| json!(0)).collect());
        assert_eq!(schema.mistakes("x", &many).len(), 1);
        let itself = json!({
            "allOf": [{"$ref": "#"}, {"$ref": "#/$defs/a"}],
            "$defs": {"a": {"$ref": "#/$defs/a"}},
        });
        assert!(
            Schema::compile(&itself)
                .unwrap()
                .mistakes("x", &json!(1))
                .is_empty()
        );
    }

    const TOO_MANY: &str = "takes too many steps";

    /// `what`, in force at one value as often as the square of this.
    fn often(times: usize, what: &Value) -> Value {
        let again = |place: &str| json!({"allOf": vec![json!({"$ref": place}); times]});
        let (more, often) = (again("#/$defs/once"), again("#/$defs/more"));
        json!({"$ref": "#/$defs/often", "$defs": {"once": what, "more": more, "often": often}})
    }

    #[test]
    fn what_takes_long_counts_as_often_as_it_is_referred_to() {
        let text = json!("a".repeat(20_000));
        let nested = Value::Array((0..1_000).map(|n| json!([n])).collect());
        for (what, value) in [
            (json!({"not": {"pattern": "[ab]*a[ab]{12}c"}}), &text),
            (json!({"not": {"patternProperties": {"c": false}}}), &text),
            (json!({"uniqueItems": true}), &nested),
        ] {
            let few = Schema::compile(&often(3, &what)).unwrap();
            let few = few.mistakes("x", value);
            assert!(
                few.iter().all(|it| !it.problem.contains(TOO_MANY)),
                "{few:?}"
            );
            let many = Schema::compile(&often(43, &what)).unwrap();
            let many = many.mistakes("x", value);
            assert!(many[0].problem.contains(TOO_MANY), "{what} {many:?}");
        }
    }

    #[test]
    fn mistakes_are_looked_for_as_long_as_there_is_time() {
        let deeper = json!({"items": {"$ref": "#"}});
        let hidden = json!({"not": {"type": "string", "pattern": "[ab]+[c-x]"}});
        let schema = json!({"allOf": [deeper, deeper, hidden, {"type": ["array", "string"]}]});
        let schema = Schema::compile(&schema).unwrap();
        let nested = (0..9).fold(json!(["a".repeat(100_000), 1]), |it, _| json!([it]));
        let found = schema.each_mistake("x", &nested, Duration::from_secs(600));
        assert_eq!(found.unwrap()[0].field, "x.0.0.0.0.0.0.0.0.0.1");
        // It takes much longer: each of a thousand ways down leads to the long text.
        let found = schema.each_mistake("x", &nested, Duration::from_millis(1));
        assert!(found.is_err(), "{found:?}");
    }
}
