//! Reads a condition from JSON and says where the first mistake is.

use serde_json::{Map, Value};

use super::{Condition, DEPTH_MAX, FIELD_BYTES_MAX, InvalidCondition, NODES_MAX, Range, Test};

const OPERATORS: &str = "eq, neq, lt, lte, gt, gte, contains, startsWith, endsWith, range, exists";
const FORMS: &str = "a condition is {field, OPERATOR}, {and: […]}, {or: […]}, {not: …}, \
                     {always: {}} or {never: {}}";

pub(super) fn condition(value: &Value) -> Result<Condition, InvalidCondition> {
    let mut nodes = 0;
    node(value, "", 0, &mut nodes)
}

fn node(
    value: &Value,
    path: &str,
    depth: usize,
    nodes: &mut usize,
) -> Result<Condition, InvalidCondition> {
    *nodes += 1;
    if depth > DEPTH_MAX {
        return Err(at(path, format!("nested deeper than {DEPTH_MAX}")));
    }
    if *nodes > NODES_MAX {
        return Err(at(path, format!("more than {NODES_MAX} parts")));
    }
    let Value::Object(object) = value else {
        return Err(at(path, FORMS.to_owned()));
    };
    if object.contains_key("field") {
        return field(object, path);
    }
    let mut entries = object.iter();
    let (Some((key, inner)), None) = (entries.next(), entries.next()) else {
        return Err(at(path, FORMS.to_owned()));
    };
    let path = join(path, key);
    match (key.as_str(), inner) {
        ("and", Value::Array(all)) => Ok(Condition::And(list(all, &path, depth, nodes)?)),
        ("or", Value::Array(any)) => Ok(Condition::Or(list(any, &path, depth, nodes)?)),
        ("and" | "or", _) => Err(at(&path, "has to be a list of conditions".to_owned())),
        ("not", inner) => Ok(Condition::Not(Box::new(node(
            inner,
            &path,
            depth + 1,
            nodes,
        )?))),
        ("always" | "never", Value::Object(empty)) if empty.is_empty() => Ok(if key == "always" {
            Condition::Always
        } else {
            Condition::Never
        }),
        ("always" | "never", _) => Err(at(&path, "has to be {}".to_owned())),
        _ => Err(at(&path, FORMS.to_owned())),
    }
}

fn list(
    items: &[Value],
    path: &str,
    depth: usize,
    nodes: &mut usize,
) -> Result<Vec<Condition>, InvalidCondition> {
    let each = |(index, item)| node(item, &format!("{path}[{index}]"), depth + 1, nodes);
    items.iter().enumerate().map(each).collect()
}

fn field(object: &Map<String, Value>, path: &str) -> Result<Condition, InvalidCondition> {
    let name = match object.get("field") {
        Some(Value::String(name)) if !name.is_empty() && name.len() <= FIELD_BYTES_MAX => name,
        _ => {
            let problem = format!("has to be a text of 1 to {FIELD_BYTES_MAX} bytes");
            return Err(at(&join(path, "field"), problem));
        }
    };
    let mut tests = object.iter().filter(|(key, _)| *key != "field");
    let (Some((operator, operand)), None) = (tests.next(), tests.next()) else {
        return Err(at(
            path,
            format!("one operator a condition, of {OPERATORS}"),
        ));
    };
    let path = join(path, operator);
    let test = match operator.as_str() {
        "eq" => Test::Eq(scalar(operand, &path)?),
        "neq" => Test::Neq(scalar(operand, &path)?),
        "lt" => Test::Lt(bound(operand, &path)?),
        "lte" => Test::Lte(bound(operand, &path)?),
        "gt" => Test::Gt(bound(operand, &path)?),
        "gte" => Test::Gte(bound(operand, &path)?),
        "contains" => Test::Contains(text(operand, &path)?),
        "startsWith" => Test::StartsWith(text(operand, &path)?),
        "endsWith" => Test::EndsWith(text(operand, &path)?),
        "range" => Test::Range(range(operand, &path)?),
        "exists" => match operand {
            Value::Bool(exists) => Test::Exists(*exists),
            _ => return Err(at(&path, "has to be true or false".to_owned())),
        },
        _ => return Err(at(&path, format!("is no operator; there are {OPERATORS}"))),
    };
    Ok(Condition::Field {
        field: name.clone(),
        test,
    })
}

fn range(value: &Value, path: &str) -> Result<Range, InvalidCondition> {
    let wanted = "has to be an object with one or more of gt, gte, lt, lte";
    let Value::Object(bounds) = value else {
        return Err(at(path, wanted.to_owned()));
    };
    let mut range = Range::default();
    for (name, value) in bounds {
        let place = match name.as_str() {
            "gt" => &mut range.gt,
            "gte" => &mut range.gte,
            "lt" => &mut range.lt,
            "lte" => &mut range.lte,
            _ => return Err(at(&join(path, name), wanted.to_owned())),
        };
        *place = Some(bound(value, &join(path, name))?);
    }
    if range == Range::default() {
        return Err(at(path, wanted.to_owned()));
    }
    Ok(range)
}

fn scalar(value: &Value, path: &str) -> Result<Value, InvalidCondition> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        _ => Err(at(
            path,
            "has to be a text, a number, true or false".to_owned(),
        )),
    }
}

fn bound(value: &Value, path: &str) -> Result<Value, InvalidCondition> {
    match value {
        Value::String(_) | Value::Number(_) => Ok(value.clone()),
        _ => Err(at(path, "has to be a text or a number".to_owned())),
    }
}

fn text(value: &Value, path: &str) -> Result<String, InvalidCondition> {
    match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(at(path, "has to be a text".to_owned())),
    }
}

fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

fn at(path: &str, problem: String) -> InvalidCondition {
    let path = if path.is_empty() { "condition" } else { path };
    InvalidCondition {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_are_located() {
        let cases = [
            (json!(1), "condition"),
            (json!({}), "condition"),
            (json!({"and": [], "or": []}), "condition"),
            (json!({"field": "a"}), "condition"),
            (json!({"field": "a", "eq": 1, "neq": 2}), "condition"),
            (json!({"field": "", "eq": 1}), "field"),
            (json!({"field": 7, "eq": 1}), "field"),
            (json!({"and": {}}), "and"),
            (
                json!({"and": [{"always": {}}, {"not": {"field": "a", "eq": []}}]}),
                "and[1].not.eq",
            ),
            (json!({"field": "a", "like": "b"}), "like"),
            (json!({"field": "a", "range": {}}), "range"),
            (json!({"field": "a", "range": {"from": 1}}), "range.from"),
            (json!({"field": "a", "range": {"lt": null}}), "range.lt"),
            (json!({"field": "a", "exists": "yes"}), "exists"),
            (json!({"always": 1}), "always"),
        ];
        for (value, path) in cases {
            assert_eq!(condition(&value).unwrap_err().path, path, "{value}");
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let mut deep = json!({"always": {}});
        for _ in 0..=DEPTH_MAX {
            deep = json!({"not": deep});
        }
        assert!(condition(&deep).unwrap_err().problem.contains("deeper"));
        let wide = json!({"or": vec![json!({"always": {}}); NODES_MAX]});
        assert!(condition(&wide).unwrap_err().problem.contains("parts"));
    }

    #[test]
    fn every_form_is_read_as_it_is_written() {
        for value in [
            json!({"always": {}}),
            json!({"never": {}}),
            json!({"field": "a.b", "range": {"gte": 1, "lt": "z"}}),
            json!({"or": [{"field": "a", "endsWith": "x"}, {"field": "a", "exists": false}]}),
            json!({"field": "n", "eq": 9_007_199_254_740_993_u64}),
        ] {
            assert_eq!(condition(&value).unwrap().to_json(), value);
        }
    }
}
