//! Several registers, read and written together: Knossos' multi-register.

use std::collections::BTreeMap;

use super::{Model, ModelOp, bytes_of, text, unknown};
use crate::history::Value;

/// `txn` of `[:read register value]` and `[:write register value]` (also `:r` and `:w`), done at once and in order. What a
/// register held at first the history does not say: the first read of it tells. A read that answers nil tells nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct MultiRegister;

/// `(it writes, register, value)` of each; the value of a read may be nil.
fn mops(value: &Value) -> Option<Vec<(bool, String, Option<String>)>> {
    let serde_json::Value::Array(mops) = value.to_json() else { return None };
    let mop = |mop: &serde_json::Value| {
        let [f, register, value] = &mop.as_array()?[..] else { return None };
        let writes = match f.as_str()?.trim_start_matches(':') {
            "read" | "r" => false,
            "write" | "w" => true,
            _ => return None,
        };
        Some((writes, register.to_string(), (!value.is_null()).then(|| value.to_string())))
    };
    mops.iter().map(mop).collect()
}

impl Model for MultiRegister {
    /// The registers of which something is known; a value of `None` is a nil that was written.
    type State = BTreeMap<String, Option<String>>;

    fn step(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>) {
        let mut after = state.clone();
        for (writes, register, value) in mops(op.value).unwrap_or_default() {
            if writes {
                after.insert(register, value);
            } else if op.is_ok && value.is_some() && *after.entry(register).or_insert_with(|| value.clone()) != value {
                return;
            }
        }
        next.push(after);
    }

    fn concerns(&self, op: &ModelOp<'_>) -> Option<Vec<String>> {
        mops(op.value).map(|mops| mops.into_iter().map(|(_, register, _)| register).collect())
    }

    fn state_in_words(&self, state: &Self::State) -> String {
        let register =
            |(name, value): (&String, &Option<String>)| format!("{name} = {}", value.as_deref().unwrap_or("nil"));
        if state.is_empty() {
            "nothing known".into()
        } else {
            state.iter().map(register).collect::<Vec<_>>().join(", ")
        }
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        bytes_of(state.keys()) + bytes_of(state.values().flatten())
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        if op.f != "txn" {
            return unknown(op, "txn");
        }
        let example = "the value must be a list of [:read register value] and [:write register value], not ";
        mops(op.value).is_none().then(|| format!("{example}{}", text(op.value)))
    }
}
