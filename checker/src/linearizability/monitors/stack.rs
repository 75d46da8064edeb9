//! Stacks onto which no value is pushed twice: O(n log n).
//!
//! Abdulla, Grahn, Jonsson, Krishna & Mishra, "Efficient linearizability monitoring", PLDI 2025, and Lee & Mathur,
//! "Efficient decrease-and-conquer linearizability monitoring", OOPSLA 2025, decide stacks by taking values away; here it
//! is done with residences (from a value's push's return to its pop's invocation; `residence`):
//!
//! - A value whose pop was invoked before its push returned may be pushed and at once popped: it is in nobody's way.
//! - At a moment within no residence the stack may be empty: what was popped before it then comes first, what was pushed
//!   after it second. (In any linearization move the pops of values that could have gone by then to that moment, and the
//!   pushes of the others, each in their order: those of one kind alone are still nested.)
//! - While residences overlap without a gap, the stack is never empty, so some value lies at the bottom all the time: it was
//!   pushed before any of them could be there, and popped after all could have gone. Any value for which that is possible
//!   may be taken for it: put around a linearization of the others it is one. If there is none, there is no linearization.
//!
//! Needs: no indeterminate pop. Else the search decides.

use super::{
    Call, Contradiction, END, Moment, Monitored, in_time,
    items::{Item, Items},
    said,
};

/// Attempts to show fewer values.
const SHRINK_ATTEMPTS_MAX: usize = 300;

/// Decides a history of `push` and `pop`.
pub(crate) fn stack(calls: &[Call<'_>]) -> Monitored {
    decide(calls).unwrap_or_else(|decided| decided)
}

fn decide(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    let items = Items::of(calls, "push")?;
    if !items.loose.is_empty() {
        return Err(Monitored::NotApplicable);
    }
    let moments = items.empty_moments(calls, "stack")?;
    let mut walls: Vec<(Moment, u32)> = moments.into_iter().zip(items.empties.iter().copied()).collect();
    walls.sort_unstable();

    let resident: Vec<u32> = (0..).zip(&items.items).filter(|(_, item)| is_resident(item)).map(|(at, _)| at).collect();
    let nested = Nesting::of(&items.items, &resident).nest().map_err(|crossed| contradiction(&items, crossed))?;
    let mut placed: Vec<(Moment, u32)> = Vec::with_capacity(calls.len());
    let (mut moment, mut depth) = (0, 0_usize);
    let mut walls = walls.into_iter().peekable();
    for step in nested {
        let item = &items.items[step.item as usize];
        if step.is_push {
            // Only what lies at the bottom is pushed onto an empty stack.
            while let Some((wall, at)) = walls.next_if(|(wall, _)| depth == 0 && *wall < item.put.ret) {
                moment = wall.max(moment);
                placed.push((moment, at));
            }
            moment = moment.max(item.put.invoke);
            placed.push((moment, item.put_at));
            depth += 1;
        } else {
            depth -= 1;
            if let Some(at) = item.take_at {
                moment = moment.max(item.take.invoke);
                placed.push((moment, at));
            }
        }
    }
    placed.extend(walls);
    for item in items.items.iter().filter(|item| !is_resident(item)) {
        placed.extend(item.calls().map(|at| (item.take.invoke, at)));
    }
    Ok(Monitored::Linearizable(in_time(placed)))
}

/// It cannot be pushed and popped at once.
fn is_resident(item: &Item) -> bool {
    item.put.ret < item.take.invoke
}

/// Values that cannot be nested, as few as can be found.
fn contradiction(items: &Items, mut crossed: Vec<u32>) -> Monitored {
    let mut attempts = 0;
    let mut run = crossed.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < crossed.len() && attempts < SHRINK_ATTEMPTS_MAX {
            attempts += 1;
            let mut fewer = crossed.clone();
            fewer.drain(at..(at + run).min(crossed.len()));
            match Nesting::of(&items.items, &fewer).nest() {
                Err(crossed_still) => crossed = crossed_still,
                Ok(_) => at += run,
            }
        }
        run = if run == 1 || attempts == SHRINK_ATTEMPTS_MAX { 0 } else { run.div_ceil(2) };
    }
    let returned = |item: &u32| {
        let item = &items.items[*item as usize];
        item.take_at.map_or((item.put.ret, item.put_at), |at| (item.take.ret, at))
    };
    let last = crossed.iter().map(returned).filter(|(ret, _)| *ret < END).max();
    let shown_by = last.map_or_else(|| items.items[crossed[0] as usize].put_at, |(_, at)| at);
    let names: Vec<String> = crossed.iter().take(4).map(|item| said(&items.items[*item as usize].value)).collect();
    let and_more = if crossed.len() > names.len() { ", …" } else { "" };
    let why = format!("no value of {}{and_more} can have lain under the others all the time", names.join(", "));
    Contradiction::of(items.calls_of(crossed.iter().copied()), shown_by, why)
}

/// A push or a pop.
struct Step {
    item: u32,
    is_push: bool,
}

/// What is still to be nested.
enum Task {
    /// The values whose residences lie within these places.
    Between(usize, usize),
    Pop(u32),
}

/// Resident values, one after the other taken for the bottom of the others.
struct Nesting<'i> {
    items: &'i [Item],
    /// The ends of residences in order: a *place* is an index here. The moment, and the item.
    ends: Vec<(Moment, u32)>,
    /// By place, of a residence's first end: its last.
    last_place: Vec<usize>,
    /// By place, how many residences cover what lies between it and the next place.
    cover: Cover,
    /// By first place, how early the value may be pushed: of values not known to be early enough.
    pushes: Best,
    /// By first place, how late the value may be popped (from [`Moment::MAX`] down): of values pushed early enough.
    pops: Best,
    /// By place, whether its value is still to be nested.
    open: Best,
    open_from_end: Best,
}

impl<'i> Nesting<'i> {
    fn of(items: &'i [Item], numbers: &[u32]) -> Self {
        let item = |number: u32| &items[number as usize];
        let mut ends: Vec<(Moment, u32, bool)> = numbers
            .iter()
            .flat_map(|number| [(item(*number).put.ret, *number, false), (item(*number).take.invoke, *number, true)])
            .collect();
        ends.sort_unstable();
        let places = ends.len();
        let mut nesting = Self {
            items,
            ends: ends.iter().map(|(moment, number, _)| (*moment, *number)).collect(),
            last_place: vec![0; places],
            cover: Cover::new(places),
            pushes: Best::new(places),
            pops: Best::new(places),
            open: Best::new(places),
            open_from_end: Best::new(places),
        };
        let mut first_place = rustc_hash::FxHashMap::default();
        for (place, (_, number, is_last)) in ends.into_iter().enumerate() {
            nesting.open.set(place, place as u64);
            nesting.open_from_end.set(place, (places - place) as u64);
            if is_last {
                let first = first_place.get(&number).copied().unwrap_or(place);
                nesting.last_place[first] = place;
                nesting.cover.add(first, place, 1);
            } else {
                first_place.insert(number, place);
                nesting.pushes.set(place, item(number).put.invoke);
            }
        }
        nesting
    }

    /// The steps in order; or values that cannot be nested.
    fn nest(mut self) -> Result<Vec<Step>, Vec<u32>> {
        let mut steps = Vec::with_capacity(self.ends.len());
        let mut tasks = vec![Task::Between(0, self.ends.len())];
        while let Some(task) = tasks.pop() {
            let (from, to) = match task {
                Task::Pop(item) => {
                    steps.push(Step { item, is_push: false });
                    continue;
                }
                Task::Between(from, to) => (from, to),
            };
            let (Some((_, first)), Some((_, last))) = (self.open.best(from, to), self.open_from_end.best(from, to))
            else {
                continue;
            };
            if let Some(gap) = self.cover.gap(first, last) {
                tasks.push(Task::Between(gap + 1, last + 1));
                tasks.push(Task::Between(first, gap + 1));
                continue;
            }
            let (begin, end) = (self.ends[first].0, self.ends[last].0);
            while let Some((_, place)) = self.pushes.best(first, last + 1).filter(|(invoke, _)| *invoke < begin) {
                self.pushes.clear(place);
                let item = &self.items[self.ends[place].1 as usize];
                self.pops.set(place, Moment::MAX - item.take.ret);
            }
            let bottom = self.pops.best(first, last + 1).filter(|(pop, _)| Moment::MAX - pop > end);
            let Some((_, place)) = bottom else {
                let open = |place: &usize| self.open.get(*place).is_some() && self.last_place[*place] > 0;
                return Err((first..=last).filter(open).map(|place| self.ends[place].1).collect());
            };
            let (item, last_place) = (self.ends[place].1, self.last_place[place]);
            self.pops.clear(place);
            self.cover.add(place, last_place, -1);
            for place in [place, last_place] {
                self.open.clear(place);
                self.open_from_end.clear(place);
            }
            steps.push(Step { item, is_push: true });
            tasks.push(Task::Pop(item));
            tasks.push(Task::Between(first, last + 1));
        }
        Ok(steps)
    }
}

/// Numbers by place, of which the smallest in a range is asked for: a segment tree.
struct Best {
    size: usize,
    tree: Vec<u64>,
}

impl Best {
    const NONE: u64 = u64::MAX;

    fn new(places: usize) -> Self {
        let size = places.next_power_of_two();
        Self { size, tree: vec![Self::NONE; 2 * size] }
    }

    fn get(&self, place: usize) -> Option<u64> {
        let number = self.tree[self.size + place];
        (number != Self::NONE).then_some(number)
    }

    fn set(&mut self, place: usize, number: u64) {
        let mut node = self.size + place;
        self.tree[node] = number;
        while node > 1 {
            node /= 2;
            self.tree[node] = self.tree[2 * node].min(self.tree[2 * node + 1]);
        }
    }

    fn clear(&mut self, place: usize) {
        self.set(place, Self::NONE);
    }

    /// The smallest number of the places `from..to`, and a place that has it.
    fn best(&self, from: usize, to: usize) -> Option<(u64, usize)> {
        let (mut low, mut high) = (self.size + from, self.size + to);
        let mut best = (Self::NONE, 0);
        while low < high {
            if low % 2 == 1 {
                best = best.min((self.tree[low], low));
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                best = best.min((self.tree[high], high));
            }
            (low, high) = (low / 2, high / 2);
        }
        let (number, mut node) = best;
        if number == Self::NONE {
            return None;
        }
        while node < self.size {
            node = if self.tree[2 * node] == number { 2 * node } else { 2 * node + 1 };
        }
        Some((number, node - self.size))
    }
}

/// How often each place is covered: a segment tree of sums to come, and of the least below.
struct Cover {
    size: usize,
    /// What all below a node have in addition.
    added: Vec<i64>,
    least: Vec<i64>,
}

impl Cover {
    fn new(places: usize) -> Self {
        let size = places.next_power_of_two();
        Self { size, added: vec![0; 2 * size], least: vec![0; 2 * size] }
    }

    /// Adds to the places `from..to`.
    fn add(&mut self, from: usize, to: usize, number: i64) {
        let (mut low, mut high) = (self.size + from, self.size + to);
        let (first, last) = (low, high.max(low + 1) - 1);
        while low < high {
            if low % 2 == 1 {
                self.added[low] += number;
                self.least[low] += number;
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                self.added[high] += number;
                self.least[high] += number;
            }
            (low, high) = (low / 2, high / 2);
        }
        for mut node in [first, last] {
            while node > 1 {
                node /= 2;
                self.least[node] = self.added[node] + self.least[2 * node].min(self.least[2 * node + 1]);
            }
        }
    }

    /// A place of `from..to` that nothing covers.
    fn gap(&self, from: usize, to: usize) -> Option<usize> {
        // Nodes with what is added above them.
        let mut nodes = vec![(1, 0, self.size, 0)];
        while let Some((node, begin, end, above)) = nodes.pop() {
            if end <= from || to <= begin || above + self.least[node] > 0 {
                continue;
            }
            if node >= self.size {
                return Some(begin);
            }
            let (middle, above) = (begin + (end - begin) / 2, above + self.added[node]);
            nodes.push((2 * node + 1, middle, end, above));
            nodes.push((2 * node, begin, middle, above));
        }
        None
    }
}
