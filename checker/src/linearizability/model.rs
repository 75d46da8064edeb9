//! Sequential specifications.

/// An object that can be used by one client at a time. One method says all of it.
pub(crate) trait Model {
    /// What the object holds.
    type State: Copy + Eq;
    /// What can be done to it, together with the answer that was observed.
    type Op: Copy;

    /// The state after `op`, or `None` if in `state` that answer is impossible.
    fn step(&self, state: Self::State, op: Self::Op) -> Option<Self::State>;
}

/// A value of a register: interned, 0 is nil.
pub(crate) type ValueId = u32;

/// What is done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RegisterOp {
    /// Returned this value.
    Read(ValueId),
    /// Sets this value.
    Write(ValueId),
    /// Found the first value, set the second.
    Cas(ValueId, ValueId),
}

impl RegisterOp {
    /// The value that it depends on.
    pub(crate) const fn observes(self) -> Option<ValueId> {
        match self {
            Self::Read(value) | Self::Cas(value, _) => Some(value),
            Self::Write(_) => None,
        }
    }

    /// The value that it leaves behind.
    pub(crate) const fn produces(self) -> Option<ValueId> {
        match self {
            Self::Write(value) | Self::Cas(_, value) => Some(value),
            Self::Read(_) => None,
        }
    }
}

/// A register with read, write and compare-and-set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CasRegister;

impl Model for CasRegister {
    type State = ValueId;
    type Op = RegisterOp;

    fn step(&self, state: ValueId, op: RegisterOp) -> Option<ValueId> {
        match op {
            RegisterOp::Read(value) => (value == state).then_some(state),
            RegisterOp::Write(value) => Some(value),
            RegisterOp::Cas(old, new) => (old == state).then_some(new),
        }
    }
}
