//! Texts by key, as Porcupine's kv model has them.

use super::{Model, ModelOp, unknown};
use crate::history::{Value, plain};

/// `put`, `append` and `get` of `[key text]`; a key that was never put holds the empty text, as which nil counts, too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kv;

/// `(key, text)`.
fn parts(value: &Value) -> Option<(String, String)> {
    let serde_json::Value::Array(parts) = value.to_json() else { return None };
    let [key, text] = &parts[..] else { return None };
    let text = match text {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => plain(text).into_owned(),
        other => other.to_string(),
    };
    Some((key.as_str().map_or_else(|| key.to_string(), str::to_owned), text))
}

impl Model for Kv {
    /// The text of one key: keys are independent.
    type State = String;

    fn step(&self, state: &String, op: &ModelOp<'_>, next: &mut Vec<String>) {
        let Some((_, text)) = parts(op.value) else { return };
        match op.f {
            "put" => next.push(text),
            "append" => next.push(format!("{state}{text}")),
            _ if op.is_ok && text != *state => {}
            _ => next.push(state.clone()),
        }
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "get"
    }

    fn key(&self, op: &ModelOp<'_>) -> Option<String> {
        parts(op.value).map(|(key, _)| key)
    }

    fn state_in_words(&self, text: &String) -> String {
        format!("{text:?}")
    }

    fn heap_bytes(&self, text: &String) -> usize {
        text.capacity()
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "put" | "append" | "get" if parts(op.value).is_some() => None,
            "put" | "append" | "get" => Some("the value must be [key text], or the text beside a :key".into()),
            _ => unknown(op, "put, append and get"),
        }
    }
}
