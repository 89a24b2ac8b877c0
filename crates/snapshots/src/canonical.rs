//! One spelling for one JSON value.

use serde_json::Value;

/// The value in JSON with the keys of every object sorted, without spaces.
///
/// Numbers are spelled by `serde_json`: integers in full, floats by the fewest digits that read back
/// as the same number, always with a point or an exponent. A later `serde_json` may spell floats
/// differently, so what was read is never spelled again to compare it.
pub(crate) fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(entries) => Value::Array(entries.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one = json!({"b": [1, {"y": 0.1, "x": null}], "a": 2.5});
        let other = json!({"a": 2.5, "b": [1, {"x": null, "y": 0.1}]});
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&one), r#"{"a":2.5,"b":[1,{"x":null,"y":0.1}]}"#);
    }

    #[test]
    fn integers_and_floats_keep_their_kind() {
        assert_eq!(
            canonical(&json!([1, 1.0, u64::MAX])),
            "[1,1.0,18446744073709551615]"
        );
    }
}
