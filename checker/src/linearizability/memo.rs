//! Configurations met before, which lead nowhere or are being tried.
//!
//! Of two that differ only in the indeterminate operations used, the one that used fewer can do whatever the other can.
//! So one that used at least what another did is as good as met, and only the thriftiest are kept. (Else every subset of
//! the indeterminate writes before a read that needs one of them is gone through.)

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Operations that do the same.
pub(crate) type Class = u32;

/// How many of each class were used, by class.
pub(crate) type UsedSet = Box<[(Class, u32)]>;

/// By configuration, without what it used.
pub(crate) struct Memo<C> {
    /// The sets of used operations, none of which includes another.
    met: FxHashMap<C, Vec<Used>>,
    len: usize,
}

impl<C> Default for Memo<C> {
    fn default() -> Self {
        Self { met: FxHashMap::default(), len: 0 }
    }
}

/// A set of used operations, as far as it is compared at a glance.
#[derive(Clone, Copy)]
struct Used {
    /// A bit for each use of each class, several of which may share one: a set that includes another has all its bits.
    sketch: u128,
    /// Index into the sets.
    set: u32,
}

impl Used {
    fn of(set: u32, used: &[(Class, u32)]) -> Self {
        let uses = used
            .iter()
            .flat_map(|(class, times)| (0..*times).map(move |time| class.wrapping_mul(37).wrapping_add(time * 5)));
        Self { sketch: uses.fold(0, |sketch, bit| sketch | 1 << (bit % 128)), set }
    }

    /// Whether it used at least what `fewer` did.
    fn includes(self, fewer: Self, sets: &[UsedSet]) -> bool {
        if fewer.sketch & !self.sketch != 0 {
            return false;
        }
        let mut rest = sets[self.set as usize].iter();
        sets[fewer.set as usize].iter().all(|(class, times)| {
            rest.find(|(known, _)| known >= class).is_some_and(|(known, count)| known == class && count >= times)
        })
    }
}

impl<C: Copy + Eq + Hash> Memo<C> {
    /// What one entry takes, besides what a hash table leaves empty.
    pub(crate) const ENTRY_BYTES: usize = size_of::<C>() + size_of::<Vec<Used>>() + size_of::<Used>();

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// False if it is as good as met. `used`: an index into `sets`.
    pub(crate) fn insert(&mut self, configuration: C, used: u32, sets: &[UsedSet]) -> bool {
        let used = Used::of(used, &sets[used as usize]);
        let met = self.met.entry(configuration).or_default();
        if met.iter().any(|known| used.includes(*known, sets)) {
            return false;
        }
        self.len -= met.len();
        met.retain(|known| !known.includes(used, sets));
        met.push(used);
        self.len += met.len();
        true
    }
}

/// The set with one more of `class`, and without the classes that no longer matter.
pub(crate) fn use_one(used: &UsedSet, class: Class, matters: impl Fn(Class) -> bool) -> UsedSet {
    let mut used = used.to_vec();
    match used.binary_search_by_key(&class, |(known, _)| *known) {
        Ok(at) => used[at].1 += 1,
        Err(at) => used.insert(at, (class, 1)),
    }
    used.retain(|(class, _)| matters(*class));
    used.into()
}

/// The index of a set.
pub(crate) fn intern(set: UsedSet, sets: &mut Vec<UsedSet>, ids: &mut FxHashMap<UsedSet, u32>) -> u32 {
    if let Some(id) = ids.get(&set) {
        return *id;
    }
    let id = sets.len() as u32;
    sets.push(set.clone());
    ids.insert(set, id);
    id
}
