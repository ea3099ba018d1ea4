//! What of JSON Schema a component may use, so that compiling its schema stays cheap and every
//! step of a validation is counted.
//!
//! References lead to the root or into `$defs` alone: then every subschema is found by walking
//! the known keywords. A schema with its references written out may take [`STEPS_MAX`] steps for
//! one value; what refers to itself is counted once, and the fuel bounds the rest. Chains have
//! an end too: each link is a call in the one before it, and the stack is finite.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::cost::{Cost, Extent};
use super::fuel;

/// Steps of a schema for one value, with all references written out.
const STEPS_MAX: u64 = 10_000;
/// The same with `unevaluatedProperties` or `unevaluatedItems`, which the library compiles anew
/// for each place that refers to them.
const STEPS_UNEVALUATED_MAX: u64 = 500;
/// Subschemas and references in each other; a value is never nested so deep.
const DEPTH_MAX: usize = 128;
/// The same for one value, without going into it: a check takes so many calls in each other for
/// each level of the value.
const IN_PLACE_MAX: usize = 16;
/// Patterns, each of which becomes an automaton.
const PATTERNS_MAX: u64 = 64;

/// Keywords that hold one schema.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold an array of schemas.
const MANY: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const NAMED: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Of these, those that do nothing by themselves.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Keywords whose subschemas look at the same value.
const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "not",
    "oneOf",
    "then",
];
/// Keywords that say something to people and cost nothing.
const ANNOTATIONS: [&str; 6] = [
    "$comment",
    "default",
    "deprecated",
    "description",
    "examples",
    "title",
];
/// Keywords that would hide a subschema from the walk.
const REFUSED: [&str; 6] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

/// A schema within the bounds.
#[derive(Debug)]
pub(super) struct Bounded {
    /// With the counting keyword in every subschema.
    pub(super) schema: Value,
    /// What a check costs.
    pub(super) cost: Cost,
}

/// Checks a schema, and has its steps counted.
///
/// # Errors
/// What goes beyond the bounds, for the component's author.
pub(super) fn bounded(schema: &Value) -> Result<Bounded, String> {
    let mut walk = Walk::default();
    let mut counted = schema.clone();
    walk.visit(&mut counted, true)?;
    if walk.patterns > PATTERNS_MAX {
        let patterns = walk.patterns;
        return Err(format!(
            "it has {patterns} patterns, at most {PATTERNS_MAX} are accepted"
        ));
    }
    let steps_max = if walk.has_unevaluated {
        STEPS_UNEVALUATED_MAX
    } else {
        STEPS_MAX
    };
    let mut expansion = Expansion::new(schema);
    let Size { cost, in_place } = expansion.size(schema, 0)?;
    if in_place > IN_PLACE_MAX {
        return Err(format!(
            "{in_place} references and keywords such as `allOf` lie in each other for one value, \
             at most {IN_PLACE_MAX} are accepted"
        ));
    }
    if cost.steps > steps_max {
        return Err(format!(
            "with its references written out it takes {} steps for one value, at most \
             {steps_max} are accepted: refer to each definition from fewer places",
            cost.steps
        ));
    }
    if walk.has_unevaluated && expansion.is_cyclic {
        return Err(
            "`unevaluatedProperties` and `unevaluatedItems` are not accepted in a schema \
                    that refers back to itself"
                .to_owned(),
        );
    }
    Ok(Bounded {
        schema: counted,
        cost,
    })
}

/// The subschemas directly below `schema`; definitions count where they are referred to.
fn children(schema: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    schema.iter().flat_map(|(key, value)| {
        let below: Box<dyn Iterator<Item = &Value>> = match value {
            Value::Array(items) if MANY.contains(&key.as_str()) => Box::new(items.iter()),
            _ if DEFINITIONS.contains(&key.as_str()) => Box::new(std::iter::empty()),
            Value::Object(named) if NAMED.contains(&key.as_str()) => Box::new(named.values()),
            value if ONE.contains(&key.as_str()) => Box::new(std::iter::once(value)),
            _ => Box::new(std::iter::empty()),
        };
        below.map(move |child| (key.as_str(), child))
    })
}

#[derive(Default)]
struct Walk {
    patterns: u64,
    has_unevaluated: bool,
}

impl Walk {
    fn visit(&mut self, schema: &mut Value, is_root: bool) -> Result<(), String> {
        let Value::Object(schema) = schema else {
            return Ok(());
        };
        check_reference(schema, is_root)?;
        let own = own_cost(schema);
        self.patterns += own.patterns;
        for (key, value) in schema.iter_mut() {
            let key = key.as_str();
            self.has_unevaluated |= key.starts_with("unevaluated");
            match value {
                Value::Array(items) if MANY.contains(&key) => {
                    for item in items {
                        self.visit(item, false)?;
                    }
                }
                Value::Object(named) if NAMED.contains(&key) => {
                    for item in named.values_mut() {
                        self.visit(item, false)?;
                    }
                }
                value if ONE.contains(&key) => self.visit(value, false)?,
                _ => {}
            }
        }
        schema.insert(fuel::KEYWORD.to_owned(), json!(own.steps));
        Ok(())
    }
}

/// What a subschema costs without those below it.
fn own_cost(schema: &Map<String, Value>) -> Cost {
    let others = [&ONE[..], &MANY, &NAMED, &ANNOTATIONS];
    let is_own = |key: &str| !others.iter().any(|keys| keys.contains(&key));
    let own = schema.iter().filter(|(key, _)| is_own(key));
    let named = schema.get("patternProperties").and_then(Value::as_object);
    let pattern = u64::from(schema.contains_key("pattern"));
    Cost {
        steps: own.map(|(_, value)| Extent::of(value).steps).sum::<u64>() + 1,
        patterns: pattern + named.map_or(0, |named| named.len() as u64),
        unique: u64::from(schema.contains_key("uniqueItems")),
    }
}

fn check_reference(schema: &Map<String, Value>, is_root: bool) -> Result<(), String> {
    if let Some(key) = REFUSED.iter().find(|key| schema.contains_key(**key)) {
        return Err(format!("`{key}` is not accepted here: use `$ref`"));
    }
    let has_id = schema
        .get("$id")
        .or(schema.get("id"))
        .is_some_and(Value::is_string);
    if has_id && !is_root {
        return Err("`$id` is accepted at the top alone".to_owned());
    }
    match schema.get("$ref") {
        Some(Value::String(reference)) if reference != "#" && name_of(reference).is_none() => {
            Err(format!(
                "the reference `{reference}` leads elsewhere: `#` and `#/$defs/NAME` are accepted"
            ))
        }
        _ => Ok(()),
    }
}

/// The definition that a reference names.
fn name_of(reference: &str) -> Option<(&'static str, &str)> {
    let named = |place: &'static str| {
        let name = reference.strip_prefix("#/")?.strip_prefix(place)?;
        let name = name.strip_prefix('/')?;
        (!name.contains(['/', '%', '~'])).then_some((place, name))
    };
    named("$defs").or_else(|| named("definitions"))
}

/// Measures a schema with its references written out.
struct Expansion<'a> {
    root: &'a Value,
    /// Of a definition that is being measured: a leaf, so that what refers to itself ends.
    known: HashMap<&'a str, Size>,
    /// References whose targets are being measured.
    open: HashSet<&'a str>,
    /// Something refers to what it lies in.
    is_cyclic: bool,
}

/// How large a schema is with its references written out.
#[derive(Debug, Clone, Copy)]
struct Size {
    cost: Cost,
    /// Subschemas in a chain of references and of keywords that look at the same value.
    in_place: usize,
}

const LEAF: Size = Size {
    cost: Cost {
        steps: 1,
        patterns: 0,
        unique: 0,
    },
    in_place: 1,
};

impl<'a> Expansion<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            known: HashMap::from([("#", LEAF)]),
            open: HashSet::from(["#"]),
            is_cyclic: false,
        }
    }

    /// `above`: how many subschemas and references lie above this one.
    fn size(&mut self, schema: &'a Value, above: usize) -> Result<Size, String> {
        if above > DEPTH_MAX {
            return Err(format!(
                "subschemas and references lie deeper in each other than {DEPTH_MAX}"
            ));
        }
        let Value::Object(schema) = schema else {
            return Ok(LEAF);
        };
        let mut size = Size {
            cost: own_cost(schema),
            in_place: 1,
        };
        if let Some(Value::String(reference)) = schema.get("$ref") {
            size.add(self.referred(reference, above + 1)?, true);
        }
        for (key, child) in children(schema) {
            size.add(self.size(child, above + 1)?, IN_PLACE.contains(&key));
        }
        Ok(size)
    }

    fn referred(&mut self, reference: &'a str, above: usize) -> Result<Size, String> {
        self.is_cyclic |= self.open.contains(reference);
        if let Some(size) = self.known.get(reference) {
            return Ok(*size);
        }
        let target = name_of(reference).and_then(|(place, name)| self.root.get(place)?.get(name));
        let Some(target) = target else {
            return Ok(LEAF);
        };
        self.known.insert(reference, LEAF);
        self.open.insert(reference);
        let size = self.size(target, above)?;
        self.open.remove(reference);
        self.known.insert(reference, size);
        Ok(size)
    }
}

impl Size {
    fn add(&mut self, below: Self, is_in_place: bool) {
        self.cost = self.cost.and(below.cost);
        if is_in_place {
            self.in_place = self.in_place.max(below.in_place + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Definitions that each refer to the next one twice.
    fn doubled(depth: usize, key: &str) -> Value {
        let next = |number: usize| json!({"$ref": format!("#/$defs/d{number}")});
        let mut definitions = Map::new();
        for number in 0..depth {
            let twice = json!({key: [next(number + 1), next(number + 1)]});
            definitions.insert(format!("d{number}"), twice);
        }
        definitions.insert(format!("d{depth}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    }

    #[test]
    fn references_that_multiply_are_refused() {
        assert!(bounded(&doubled(5, "allOf")).is_ok());
        assert!(bounded(&doubled(64, "anyOf")).is_err());
        let mut unevaluated = doubled(7, "allOf");
        assert!(bounded(&unevaluated).is_ok());
        unevaluated["unevaluatedProperties"] = json!(false);
        assert!(bounded(&unevaluated).is_err());
    }

    /// Definitions that each refer to the next one by way of `through`, the last to the first.
    fn chain(length: usize, through: impl Fn(Value) -> Value) -> Value {
        let next = |number: usize| json!({"$ref": format!("#/$defs/d{}", number % length)});
        let definitions = (0..length).map(|n| (format!("d{n}"), through(next(n + 1))));
        let definitions: Map<String, Value> = definitions.collect();
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    }

    #[test]
    fn long_chains_are_refused_before_they_are_followed() {
        let items = |next| json!({"items": next});
        let all = |next| json!({"allOf": [next]});
        assert!(bounded(&chain(50, items)).is_ok());
        assert!(bounded(&chain(7, all)).is_ok());
        assert!(bounded(&chain(20, all)).is_err());
        assert!(bounded(&chain(20, |next| next)).is_err());
        for length in [200, 9_000] {
            assert!(bounded(&chain(length, items)).is_err());
            assert!(bounded(&chain(length, |next| next)).is_err());
        }
    }

    #[test]
    fn what_hides_a_subschema_is_refused() {
        for schema in [
            json!({"$ref": "#/examples/0", "examples": [{}]}),
            json!({"$ref": "#/properties/a", "properties": {"a": {}}}),
            json!({"$ref": "other.json"}),
            json!({"properties": {"a": {"$dynamicRef": "#a"}}}),
            json!({"$defs": {"a": {"$id": "http://x/"}}}),
            json!({"items": [{"$ref": "#a"}], "$defs": {"b": {"$anchor": "a"}}}),
        ] {
            assert!(bounded(&schema).is_err(), "{schema}");
        }
        let patterns: Vec<Value> = (0..65).map(|n| json!({"pattern": n.to_string()})).collect();
        assert!(bounded(&json!({"allOf": patterns})).is_err());
    }

    #[test]
    fn what_is_compiled_anew_for_each_reference_does_not_refer_back() {
        let back = |number: usize| json!({"$ref": format!("#/$defs/d{number}")});
        let definitions = (0..12).map(|n| {
            let all: Vec<Value> = (0..n).chain([(n + 1) % 12]).map(back).collect();
            let schema = json!({"anyOf": all, "unevaluatedProperties": false});
            (format!("d{n}"), schema)
        });
        let definitions: Map<String, Value> = definitions.collect();
        assert!(bounded(&json!({"$ref": "#/$defs/d0", "$defs": definitions})).is_err());
    }

    #[test]
    fn every_subschema_counts_and_names_are_left_alone() {
        let schema = json!({
            "$id": "http://example/x",
            "properties": {"$ref": {"type": "string"}, "items": {"items": [true, {}]}},
            "additionalProperties": {"$ref": "#"},
            "enum": [{"$ref": "elsewhere"}],
        });
        let counted = bounded(&schema).unwrap().schema;
        for path in [
            "",
            "/properties/$ref",
            "/properties/items/items/1",
            "/additionalProperties",
        ] {
            let subschema = counted.pointer(path).unwrap();
            assert!(subschema[fuel::KEYWORD].as_u64().unwrap() >= 1, "{path}");
        }
        assert!(counted["properties"].get(fuel::KEYWORD).is_none());
        assert_eq!(counted["enum"], schema["enum"]);
    }
}
