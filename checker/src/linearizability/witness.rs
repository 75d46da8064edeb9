//! What bears out the decision on a key: kept only where somebody asks for a certificate.

/// What bears out the decision on one key. Operations are given by their ids in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Witness {
    /// A linearization.
    Order {
        /// The operations in this order.
        order: Vec<u32>,
        /// Indeterminate operations that never happened.
        left_out: Vec<u32>,
    },
    /// Operations that no order explains.
    Contradiction(Contradiction),
}

/// Operations that contradict each other, within a window of the history: those that were in flight at its beginning or
/// at its end may have happened or not; and if it does not begin with the history, the object may have held anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// By invocation.
    pub(crate) ops: Vec<u32>,
    /// Index of the event with which the window begins; 0: with the history.
    pub(crate) from: u32,
    /// Index of the event before which it ends; `NEVER`: with the history.
    pub(crate) before: u32,
}

/// The decision on one key with what bears it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWitness {
    /// The key; `None` where the history has none.
    pub(crate) key: Option<String>,
    /// `None`: not decided.
    pub(crate) witness: Option<Witness>,
}

impl Witness {
    /// An order given by positions among the calls, of which `id_of` tells the operation; `all` are the operations of the
    /// key, ascending.
    pub(crate) fn order(positions: &[u32], id_of: impl Fn(u32) -> u32, all: impl Iterator<Item = u32>) -> Self {
        let order: Vec<u32> = positions.iter().map(|at| id_of(*at)).collect();
        let mut placed = order.clone();
        placed.sort_unstable();
        let left_out = all.filter(|id| placed.binary_search(id).is_err()).collect();
        Self::Order { order, left_out }
    }
}
