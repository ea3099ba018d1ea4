//! How long features are kept that are not found again: what the operator has set is told to runs
//! whose params do not say it, and holds for what people restore.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;
use taskhost_model::descriptor::Descriptor;

/// The collection that features are in.
pub(crate) const FEATURES: &str = "features";
/// The param by which a type that has this collection takes it, in days.
const PARAM: &str = "keep_days";

/// So many days.
pub(crate) fn kept_for(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

/// Params as a run is given them. What was asked for stays as it was: a run that begins tomorrow
/// is told what is set then.
pub(crate) fn told(params: &Arc<str>, descriptor: &Descriptor, days: u32) -> Arc<str> {
    let has_features = || {
        let mut labels = descriptor.collections.iter();
        labels.any(|label| label.as_str() == FEATURES)
    };
    let takes_it = || {
        let schema = descriptor.params_schema.as_ref();
        let property = schema.and_then(|schema| schema.get("properties")?.get(PARAM));
        property.is_some_and(Value::is_object)
    };
    let with_days = || {
        let given: BTreeMap<String, IgnoredAny> = serde_json::from_str(params).ok()?;
        let all_but_end = params.trim_end().strip_suffix('}')?;
        let between = if given.is_empty() { "" } else { "," };
        let is_open = !given.contains_key(PARAM);
        is_open.then(|| Arc::from(format!("{all_but_end}{between}\"{PARAM}\":{days}}}")))
    };
    let told = (has_features() && takes_it()).then(with_days).flatten();
    told.unwrap_or_else(|| Arc::clone(params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_who_takes_days_and_has_none_is_told() {
        let told_to = |label: &str, property: &str, params: &str| {
            let descriptor = json!({"id": "t", "version": "1", "title": "t",
                "collections": [label],
                "params_schema": {"properties": {property: {"type": "integer"}}}});
            let descriptor: Descriptor = serde_json::from_value(descriptor).unwrap();
            told(&Arc::from(params), &descriptor, 30).to_string()
        };
        let given = "{\"start\":1}";
        assert_eq!(
            told_to("features", PARAM, given),
            "{\"start\":1,\"keep_days\":30}"
        );
        assert_eq!(told_to("features", PARAM, "{} "), "{\"keep_days\":30}");
        for (label, property, params) in [
            ("other", PARAM, given),
            ("features", "days", given),
            ("features", PARAM, "{\"keep_days\":3}"),
            ("features", PARAM, "[1]"),
        ] {
            assert_eq!(told_to(label, property, params), params);
        }
    }
}
