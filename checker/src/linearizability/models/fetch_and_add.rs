//! A number that is read and added to at once.

use super::{Model, ModelOp, unknown};

/// `fetch-and-add n`, answered with `[n before]`, and `read`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchAndAdd;

impl FetchAndAdd {
    /// `(n, the number before)`; the latter only of an answer.
    pub(crate) fn parts(op: &ModelOp<'_>) -> Option<(i64, Option<i64>)> {
        match (op.value.as_int(), op.value.as_ints().as_deref()) {
            (None, Some([delta, before])) => Some((*delta, op.is_ok.then_some(*before))),
            (Some(delta), _) if !op.is_ok => Some((delta, None)),
            _ => None,
        }
    }
}

impl Model for FetchAndAdd {
    /// Wide enough for every sum of as many operations as a history can hold.
    type State = i128;

    fn step(&self, number: &i128, op: &ModelOp<'_>, next: &mut Vec<i128>) {
        if op.f == "read" {
            next.extend((!op.is_ok || op.value.as_int().map(i128::from) == Some(*number)).then_some(*number));
        } else if let Some((delta, before)) = Self::parts(op)
            && before.is_none_or(|before| i128::from(before) == *number)
        {
            next.push(number + i128::from(delta));
        }
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "read"
    }

    fn state_in_words(&self, number: &i128) -> String {
        number.to_string()
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "read" if !op.is_ok || op.value.as_int().is_some() => None,
            "read" => Some("the answer must be an integer".into()),
            "fetch-and-add" if Self::parts(op).is_some() => None,
            "fetch-and-add" if op.is_ok => Some("the answer must be [n before], two integers".into()),
            "fetch-and-add" => Some("the value must be an integer".into()),
            _ => unknown(op, "fetch-and-add and read"),
        }
    }
}
