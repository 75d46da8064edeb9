//! A lease that may run out while its holder still believes in it, and what protects the resource then: a token that
//! grows with every grant. Kleppmann, "How to do distributed locking" (2016).

use super::{Model, ModelOp, unknown};

/// `acquire` answers a token, greater than every one granted before; whether the lease before it was released or ran out
/// makes no difference. `release` is always possible. `write` shows its token to the resource; an ok says that it was
/// accepted, which it only is if it is not less than any accepted before.
///
/// (That an accepted token had been granted is not asked: an acquire whose answer was lost may have been granted any.)
#[derive(Debug, Clone, Copy, Default)]
pub struct FencedLock;

impl Model for FencedLock {
    /// The latest token granted, and the latest that the resource accepted. (Tokens may begin anywhere.)
    type State = (Option<i64>, Option<i64>);

    fn step(&self, state: &Self::State, op: &ModelOp<'_>, next: &mut Vec<Self::State>) {
        let (granted, accepted) = *state;
        let token = op.value.as_int();
        next.extend(match op.f {
            // Which token it was granted nobody was told: as good as none.
            "acquire" if !op.is_ok => Some(*state),
            "acquire" if granted < token => Some((token, accepted)),
            "write" if accepted <= token => Some((granted, token)),
            "release" => Some(*state),
            _ => None,
        });
    }

    fn is_read(&self, op: &ModelOp<'_>) -> bool {
        op.f == "release"
    }

    fn state_in_words(&self, (granted, accepted): &Self::State) -> String {
        let name = |token: &Option<i64>| token.map_or_else(|| "none".into(), |token| token.to_string());
        format!("last token granted: {}, accepted: {}", name(granted), name(accepted))
    }

    fn complaint(&self, op: &ModelOp<'_>) -> Option<String> {
        match op.f {
            "release" => None,
            "acquire" if !op.is_ok || op.value.as_int().is_some() => None,
            "acquire" => Some("the answer must be the token, an integer".into()),
            "write" if op.value.as_int().is_some() => None,
            "write" => Some("the value must be the token, an integer".into()),
            _ => unknown(op, "acquire, write and release"),
        }
    }
}
