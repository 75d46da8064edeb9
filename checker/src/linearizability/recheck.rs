//! Re-checks a claimed order. Short, and shares nothing with the search but the model, so that a mistake there shows
//! here.

use super::{
    model::{Model, RegisterOp},
    partition::{Call, NEVER},
};

/// Whether `order`, positions in `calls`, is a linearization: legal for the model, every completed operation in it
/// exactly once, no indeterminate one twice, and none placed after one that was invoked when it had returned.
pub(crate) fn is_linearization<M: Model<Op = RegisterOp>>(
    model: &M,
    initial: M::State,
    calls: &[Call],
    order: &[u32],
) -> bool {
    let mut seen = vec![false; calls.len()];
    let mut state = initial;
    // Every operation must have returned after all invocations of those before it in the order.
    let mut latest_invoke = 0;
    for at in order {
        let Some(call) = calls.get(*at as usize) else { return false };
        if std::mem::replace(&mut seen[*at as usize], true) || call.ret < latest_invoke {
            return false;
        }
        latest_invoke = latest_invoke.max(call.invoke);
        match model.step(state, call.op) {
            Some(next) => state = next,
            None => return false,
        }
    }
    calls.iter().zip(&seen).all(|(call, seen)| *seen || call.ret == NEVER)
}
