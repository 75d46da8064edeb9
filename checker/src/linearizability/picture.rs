//! What there is to draw of a contradiction: its operations, one of the longest orders that some of them can be brought
//! into, the state after each step, and what could not come next.
//!
//! The order is found anew, by trying (`verify::explore`): evidence is small once it has been shrunk.

use super::{
    EvidenceOp, NonlinearizableKey,
    models::{Model, ModelOp},
};
use crate::{
    history::{History, Op, Outcome},
    verify::{
        explore::{Explored, Steps, Tried, explore},
        model::{Object, return_of},
        register::{Effect, Held, Register},
    },
};

/// A contradiction as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The operations, by invocation.
    pub ops: Vec<EvidenceOp>,
    /// By operation: it may have happened or not, for all that counts here.
    pub is_optional: Vec<bool>,
    /// What the object held at first.
    pub initial: String,
    /// The steps of the order.
    pub steps: Vec<PictureStep>,
    /// What could not come first.
    pub not_first: Vec<(usize, Obstacle)>,
    /// The order is perhaps not one of the longest: there were too many to try.
    pub is_cut: bool,
}

/// A step of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureStep {
    /// Position in [`Picture::ops`].
    pub op: usize,
    /// What the object holds afterwards.
    pub state: String,
    /// What could not come next, of the operations in flight then and of those that follow: positions, and why.
    pub not_next: Vec<(usize, Obstacle)>,
}

/// Why an operation could not come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The operation at this position had returned before it was invoked, and has no place yet.
    RealTime(usize),
    /// What it did is impossible in this state.
    State,
    /// It could, but no order that goes on with it comes further than the one drawn.
    NoFurther,
}

/// Obstacles told of each step.
const OBSTACLES_MAX: usize = 5;
/// Attempts to place an operation, for a picture.
const ATTEMPTS_MAX: u64 = 200_000;

/// The picture of a key's contradiction; `None` where the model is none of those known here.
#[must_use]
pub fn picture(history: &History, model: &str, key: &NonlinearizableKey) -> Option<Picture> {
    match model {
        "register" | "cas-register" => Some(of_registers(history, key)),
        other => super::models::by_name(other)?.picture(history, key),
    }
}

fn ops_of<'h>(history: &'h History, key: &NonlinearizableKey) -> Vec<Op<'h>> {
    key.ops.iter().filter_map(|op| history.op_invoked_at(op.invoke_index)).collect()
}

fn of_registers(history: &History, key: &NonlinearizableKey) -> Picture {
    let (from, before) = (key.window.from_index.unwrap_or(0), key.window.before_index.unwrap_or(u64::MAX));
    let ops = ops_of(history, key);
    let tried: Vec<Tried<Effect>> = ops
        .iter()
        .filter_map(|op| {
            let (_, effect) = Effect::of(op)?;
            let ret = return_of(op);
            let is_within = op.invoke_index >= from && ret < before;
            let ret = if is_within { ret } else { u64::MAX };
            Some(Tried { op: effect, invoke: op.invoke_index, ret, is_read: effect.leaves.is_none() })
        })
        .collect();
    let mut initials = vec![Held::Nil];
    if key.window.is_open {
        // What it may have held: of what is found here, whatever nothing here leaves.
        let is_left = |held: &Held| from == 0 && tried.iter().any(|op| op.op.leaves == Some(*held));
        initials.extend(tried.iter().filter_map(|op| op.op.finds).filter(|held| !is_left(held)));
        initials.sort_unstable();
        initials.dedup();
    }
    let in_words = |held: &Held| match held {
        Held::Nil => "nil".to_owned(),
        Held::Value(value) => history.spell(*value).into_owned(),
        Held::Stranger => "another value".to_owned(),
    };
    let pictures = initials.into_iter().map(|initial| draw(&Register, initial, &tried, key, in_words));
    pictures.max_by_key(|picture| picture.steps.len()).unwrap_or_else(|| draw(&Register, Held::Nil, &[], key, in_words))
}

/// Of a model.
pub(super) fn of_model<M: Model>(model: &M, history: &History, key: &NonlinearizableKey) -> Picture {
    let before = key.window.before_index.unwrap_or(u64::MAX);
    let mut tried = Vec::new();
    for op in ops_of(history, key) {
        let happening = ModelOp::of(&op);
        let ret = return_of(&op);
        let ret = if op.outcome == Outcome::Ok && ret < before { ret } else { u64::MAX };
        tried.push(Tried { op: happening, invoke: op.invoke_index, ret, is_read: model.is_read(&happening) });
    }
    let in_words = |state: &M::State| model.state_in_words(state);
    draw(&Object::new(model), M::State::default(), &tried, key, in_words)
}

fn draw<M: Steps>(
    object: &M,
    initial: M::State,
    tried: &[Tried<M::Op>],
    key: &NonlinearizableKey,
    in_words: impl Fn(&M::State) -> String,
) -> Picture {
    let (order, is_cut) = match explore(object, initial.clone(), tried, ATTEMPTS_MAX) {
        Explored::None(longest) => (longest, false),
        // (Not of what is evidence.)
        Explored::Order(order) => (order, false),
        Explored::TooLarge(longest) => (longest, true),
    };
    let mut picture = Picture {
        ops: key.ops.clone(),
        is_optional: tried.iter().map(|op| op.ret == u64::MAX).collect(),
        initial: in_words(&initial),
        steps: Vec::new(),
        not_first: Vec::new(),
        is_cut,
    };
    let mut done = vec![false; tried.len()];
    let mut state = initial;
    picture.not_first = obstacles(object, &state, tried, &done, order.first().copied());
    for (place, at) in order.iter().enumerate() {
        let (op, next) = (&tried[*at], order.get(place + 1).copied());
        done[*at] = true;
        let mut states = Vec::new();
        object.step(&state, &op.op, &mut states);
        // Of several states that an operation leaves open, one from which the rest of the order goes on.
        let goes_on = |state: &M::State| {
            let mut states = vec![state.clone()];
            for at in &order[place + 1..] {
                let mut next = Vec::new();
                states.iter().for_each(|state| object.step(state, &tried[*at].op, &mut next));
                next.truncate(64);
                states = next;
            }
            !states.is_empty()
        };
        let at_first = if states.len() > 1 { states.iter().position(goes_on).unwrap_or(0) } else { 0 };
        if at_first >= states.len() {
            break;
        }
        state = states.swap_remove(at_first);
        let not_next = obstacles(object, &state, tried, &done, next);
        picture.steps.push(PictureStep { op: *at, state: in_words(&state), not_next });
    }
    picture
}

/// What could not come next, but for `next`, which does.
fn obstacles<M: Steps>(
    object: &M,
    state: &M::State,
    tried: &[Tried<M::Op>],
    done: &[bool],
    next: Option<usize>,
) -> Vec<(usize, Obstacle)> {
    let open = || (0..tried.len()).filter(|at| !done[*at]);
    let first_to_return = open().filter(|at| tried[*at].ret != u64::MAX).min_by_key(|at| tried[*at].ret);
    let obstacle = |at: usize| {
        if let Some(first) = first_to_return.filter(|first| tried[*first].ret < tried[at].invoke) {
            return (at, Obstacle::RealTime(first));
        }
        let mut states = Vec::new();
        object.step(state, &tried[at].op, &mut states);
        (at, if states.is_empty() { Obstacle::State } else { Obstacle::NoFurther })
    };
    let mut told: Vec<(usize, Obstacle)> = open().filter(|at| Some(*at) != next).map(obstacle).collect();
    // Those in flight first: what comes later is only told where there is room.
    told.sort_by_key(|(at, why)| (matches!(why, Obstacle::RealTime(_)), *at));
    told.truncate(OBSTACLES_MAX);
    told
}
