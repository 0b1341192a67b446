//! A configuration with every setting, and changes to it by random bytes.

use serde_json::{Value, json};

/// The most values before a change; one change can double them.
const MOST: usize = 10_000;

/// Returns a valid configuration.
pub(crate) fn good() -> Value {
    json!({
        "role": "tap",
        "pools": [
            {"pool": "chat", "models": ["m-*"], "authorities": ["a.example"], "path_prefixes": ["/a"], "mode": "observe"},
            {"pool": "code", "mode": {"percent": 10}}
        ],
        "mode": "enforce",
        "per_route": true,
        "aggregator": {"cluster": "agg", "authority": "agg.example", "wait": "5s"},
        "tick": "100ms",
        "table_max_age": "3s",
        "max_ejection": "60s",
        "decide_after_bytes": 16384,
        "read_on_bytes": 65536,
        "decide_within": "1s",
        "max_hosts": 3,
        "destination": {"form": "override_host", "header": "x-gateway-destination-endpoint", "hbone": "connect_originate"},
        "explain_header": "x-why",
        "explain_request_header": "x-ask",
        "explain_log": true,
        "model_header": "x-model",
        "session_header": "x-session",
        "session_cookie": "session",
        "paths": ["/v1/chat/completions"],
        "seed": 7
    })
}

/// Returns the valid configuration with changes. Three bytes make one change.
pub(crate) fn value(bytes: &[u8]) -> Value {
    let mut value = good();
    for change in bytes.chunks_exact(3) {
        if count(&value) > MOST {
            break;
        }
        mutate(&mut value, usize::from(change[0]), change[1], change[2]);
    }
    value
}

/// Changes the value number `place` in document order. Counting starts again at the end.
fn mutate(value: &mut Value, place: usize, what: u8, how: u8) {
    let count = count(value);
    if let Some(value) = find(value, &mut (place % count)) {
        *value = changed(value.take(), what, how);
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

fn find<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|own| find(own, left)),
        Value::Object(fields) => fields.values_mut().find_map(|own| find(own, left)),
        _ => None,
    }
}

fn changed(value: Value, what: u8, how: u8) -> Value {
    let n = u64::from(how);
    match (what % 14, value) {
        (0, _) => Value::Null,
        (1, _) => json!(how.is_multiple_of(2)),
        (2, _) => json!(n),
        (3, _) => json!(u64::MAX - n),
        (4, _) => json!(-i64::from(how)),
        (5, _) => json!(n as f64 * 1e300),
        (6, _) => json!("x".repeat(usize::from(how) * 16)),
        (7, _) => json!(String::from_utf8_lossy(&[how, b'"', 0, how ^ 0x80])),
        (8, _) => json!(
            ["s", "ms", "h", "", "99999999999999999999s", "-1s", "1.5s"][usize::from(how) % 7]
        ),
        (9, value) => Value::Array(vec![value; usize::from(how) % 80]),
        (10, value) => json!({"pool": value, "cluster": n}),
        (11, Value::Object(mut fields)) => {
            let name = fields
                .keys()
                .nth(usize::from(how) % fields.len().max(1))
                .cloned();
            name.and_then(|name| fields.remove(&name));
            Value::Object(fields)
        }
        (12, Value::Object(mut fields)) => {
            fields.insert(format!("field{how}"), json!(n));
            Value::Object(fields)
        }
        (13, Value::Array(mut list)) => {
            list.extend(list.clone());
            Value::Array(list)
        }
        (_, value) => json!([[value]]),
    }
}
