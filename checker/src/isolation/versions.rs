//! Versions by number: each element of each list, each value of each register.

use rustc_hash::FxHashMap;

use crate::history::{MopKind, Txns};

/// Numbers for all pairs of a key and a value. Values of a key are mostly 1, 2, 3, …: those lie side by side, and finding
/// one is an addition; keys whose values lie far apart have a table of their own.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    /// By key: the number of its least value, that value, and how many numbers it has; 0 for those in `sparse`.
    dense: Vec<(u32, i64, u32)>,
    sparse: FxHashMap<(u32, i64), u32>,
    len: u32,
}

#[derive(Clone, Copy)]
struct Span {
    min: i64,
    max: i64,
    count: u64,
}

impl Versions {
    /// All versions of a history. `None`: more than can be numbered.
    pub(crate) fn of(txns: &Txns) -> Option<Self> {
        let mut spans = vec![Span { min: i64::MAX, max: i64::MIN, count: 0 }; txns.keys_len()];
        each(txns, |key, value| {
            let span = &mut spans[key as usize];
            span.min = span.min.min(value);
            span.max = span.max.max(value);
            span.count += 1;
        });
        let mut versions = Self::default();
        let mut len: u64 = 0;
        let mut any_sparse = false;
        for span in &spans {
            let width = span.max.wrapping_sub(span.min) as u64;
            let is_dense = span.count > 0 && span.max >= span.min && width < 4 * span.count + 64;
            let base = u32::try_from(len).ok()?;
            versions.dense.push((base, span.min, if is_dense { width as u32 + 1 } else { 0 }));
            len += if is_dense { width + 1 } else { 0 };
            any_sparse |= !is_dense && span.count > 0;
        }
        if any_sparse {
            let mut next = len;
            let (dense, sparse) = (&versions.dense, &mut versions.sparse);
            each(txns, |key, value| {
                if dense[key as usize].2 == 0 {
                    sparse.entry((key, value)).or_insert_with(|| {
                        next += 1;
                        (next - 1) as u32
                    });
                }
            });
            len = next;
        }
        // One number is kept for none.
        versions.len = u32::try_from(len).ok().filter(|len| *len < u32::MAX - 1)?;
        Some(versions)
    }

    /// How many numbers there are; some may be of values that never were.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The number of a value that the history holds.
    pub(crate) fn get(&self, key: u32, value: i64) -> u32 {
        let (base, min, width) = self.dense[key as usize];
        if width > 0 {
            base + value.wrapping_sub(min) as u32
        } else {
            self.sparse.get(&(key, value)).copied().unwrap_or(u32::MAX)
        }
    }
}

/// Every value of every micro-operation and list.
fn each(txns: &Txns, mut visit: impl FnMut(u32, i64)) {
    for at in 0..txns.mops_len() {
        match txns.raw(at) {
            (MopKind::Append | MopKind::Write | MopKind::Get, key, arg) => visit(key, arg as i64),
            // Rows have few versions, which their index numbers itself.
            (MopKind::Insert | MopKind::Delete | MopKind::Select, ..) => {}
            (MopKind::ReadNil | MopKind::Read | MopKind::GetNil, ..) => {}
        }
    }
    for list in 0..txns.lists_len() as u32 {
        let (key, list) = txns.list_at(list);
        for element in list {
            visit(key, *element);
        }
    }
}
