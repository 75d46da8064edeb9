//! One pass over a history's operations into grids of fixed size: memory does not grow with the history.

use std::collections::BTreeMap;

/// Columns of the time axis. A plot is three pixels wide for each.
pub(super) const COLUMNS: usize = 330;
/// Rows of latency in a decade: a step is 4 per cent.
pub(super) const ROWS_PER_DECADE: usize = 60;
/// The lowest row's latency is 1 µs; below it everything is in that row.
pub(super) const LOWEST_NS: f64 = 1e3;
/// From 1 µs to 1000 s.
const DECADES: usize = 9;
pub(super) const ROWS: usize = ROWS_PER_DECADE * DECADES;
/// Functions with a panel of their own; further ones share the last. Only foreign histories have more.
const FUNCTIONS_MAX: usize = 4;
/// Nodes with a count of their own; further ones share the last.
const NODES_MAX: usize = 16;
/// The name of the last panel, when it is shared.
const OTHERS: &str = "others";
/// Time buckets in which rates are counted, at most.
const BUCKETS_MAX: f64 = 150.0;

/// How an operation ended, as plots see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpOutcome {
    Ok,
    Fail,
    Info,
}

/// All outcomes, in the order in which they are drawn: the rare ones last, hence on top.
pub(super) const OUTCOMES: [OpOutcome; 3] = [OpOutcome::Ok, OpOutcome::Fail, OpOutcome::Info];

/// What plots need of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpSample<'a> {
    pub(crate) invoke_ns: u64,
    /// `None`: it never ended.
    pub(crate) complete_ns: Option<u64>,
    pub(crate) f: &'a str,
    pub(crate) outcome: OpOutcome,
    /// The node that served it.
    pub(crate) node: Option<&'a str>,
}

/// Everything the plots show of the operations.
#[derive(Debug)]
pub(crate) struct OpGrid {
    end_ns: u64,
    /// Length of a rate bucket.
    pub(super) bucket_s: f64,
    pub(super) buckets: usize,
    /// By first appearance.
    pub(super) functions: Vec<FunctionGrid>,
    /// Acknowledged operations other than reads, by node and rate bucket.
    pub(super) acknowledged: BTreeMap<String, Vec<u32>>,
    pub(super) ops: u64,
}

/// The operations of one function.
#[derive(Debug)]
pub(super) struct FunctionGrid {
    pub(super) name: String,
    /// By outcome: column by row of completed operations, at the time of invocation.
    pub(super) cells: [Vec<u32>; 3],
    /// By column: operations that never ended, at the time of invocation.
    pub(super) never_ended: Vec<u32>,
    /// By column: the longest `ok` operation.
    pub(super) ok_max_ns: Vec<u64>,
    /// By outcome: operations in each rate bucket, at the time of completion (of invocation, if they never ended).
    pub(super) ended: [Vec<u32>; 3],
    pub(super) ops: u64,
}

impl OpGrid {
    /// Counts all operations of a run that ended at `end_ns`.
    pub(crate) fn collect<'a>(end_ns: u64, ops: impl Iterator<Item = OpSample<'a>>) -> Self {
        let end_ns = end_ns.max(1);
        let end_s = end_ns as f64 / 1e9;
        let bucket_s = bucket_length_s(end_s);
        let buckets = (end_s / bucket_s).ceil().max(1.0) as usize;
        let mut grid = Self { end_ns, bucket_s, buckets, functions: Vec::new(), acknowledged: BTreeMap::new(), ops: 0 };
        for op in ops {
            grid.add(&op);
        }
        grid
    }

    fn add(&mut self, op: &OpSample<'_>) {
        self.ops += 1;
        let bucket = self.bucket(op.complete_ns.unwrap_or(op.invoke_ns));
        let column = (share(op.invoke_ns, self.end_ns) * COLUMNS as f64) as usize;
        let buckets = self.buckets;
        self.function(op.f).add(op, column.min(COLUMNS - 1), bucket);
        if op.outcome == OpOutcome::Ok && op.f != "read" {
            let node = op.node.unwrap_or(super::losses::UNKNOWN_NODE);
            let key =
                if self.acknowledged.len() < NODES_MAX || self.acknowledged.contains_key(node) { node } else { OTHERS };
            // Not `entry`: it would allocate a key for every operation.
            match self.acknowledged.get_mut(key) {
                Some(counts) => counts[bucket] += 1,
                None => {
                    let mut counts = vec![0; buckets];
                    counts[bucket] = 1;
                    self.acknowledged.insert(key.to_owned(), counts);
                }
            }
        }
    }

    /// The rate bucket of a time.
    pub(super) fn bucket(&self, ns: u64) -> usize {
        ((ns as f64 / 1e9 / self.bucket_s) as usize).min(self.buckets - 1)
    }

    fn function(&mut self, name: &str) -> &mut FunctionGrid {
        let position = self.functions.iter().position(|function| function.name == name);
        let position = match position {
            Some(position) => position,
            None if self.functions.len() < FUNCTIONS_MAX => {
                self.functions.push(FunctionGrid::new(name, self.buckets));
                self.functions.len() - 1
            }
            None => {
                let last = FUNCTIONS_MAX - 1;
                OTHERS.clone_into(&mut self.functions[last].name);
                last
            }
        };
        &mut self.functions[position]
    }
}

impl FunctionGrid {
    fn new(name: &str, buckets: usize) -> Self {
        Self {
            name: name.to_owned(),
            cells: std::array::from_fn(|_| vec![0; COLUMNS * ROWS]),
            never_ended: vec![0; COLUMNS],
            ok_max_ns: vec![0; COLUMNS],
            ended: std::array::from_fn(|_| vec![0; buckets]),
            ops: 0,
        }
    }

    fn add(&mut self, op: &OpSample<'_>, column: usize, bucket: usize) {
        self.ops += 1;
        self.ended[op.outcome as usize][bucket] += 1;
        match op.complete_ns {
            None => self.never_ended[column] += 1,
            Some(complete_ns) => {
                let latency_ns = complete_ns.saturating_sub(op.invoke_ns);
                self.cells[op.outcome as usize][column * ROWS + row(latency_ns)] += 1;
                if op.outcome == OpOutcome::Ok {
                    self.ok_max_ns[column] = self.ok_max_ns[column].max(latency_ns);
                }
            }
        }
    }

    /// The lowest and the highest row in use by any outcome.
    pub(super) fn used_rows(&self) -> Option<(usize, usize)> {
        let used =
            |row: &usize| self.cells.iter().any(|cells| (0..COLUMNS).any(|column| cells[column * ROWS + row] > 0));
        Some(((0..ROWS).find(used)?, (0..ROWS).rev().find(used)?))
    }
}

/// The row of a latency.
fn row(latency_ns: u64) -> usize {
    // `max` also keeps the logarithm of zero away.
    let decades = (latency_ns as f64).max(LOWEST_NS).log10() - LOWEST_NS.log10();
    ((decades * ROWS_PER_DECADE as f64) as usize).min(ROWS - 1)
}

/// The latency in the middle of a row, in milliseconds.
pub(super) fn row_ms(row: usize) -> f64 {
    LOWEST_NS * 10f64.powf((row as f64 + 0.5) / ROWS_PER_DECADE as f64) / 1e6
}

fn share(ns: u64, end_ns: u64) -> f64 {
    ns as f64 / end_ns as f64
}

/// The shortest round length that keeps the number of buckets within bounds.
fn bucket_length_s(end_s: f64) -> f64 {
    const LENGTHS_S: [f64; 16] =
        [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 3600.0];
    let fits = |length: &f64| end_s / length <= BUCKETS_MAX;
    LENGTHS_S.into_iter().find(fits).unwrap_or(end_s / BUCKETS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(f: &str, complete_ns: Option<u64>) -> OpSample<'_> {
        OpSample { invoke_ns: 500_000_000, complete_ns, f, outcome: OpOutcome::Info, node: None }
    }

    #[test]
    fn counts_every_operation_once() {
        let names: Vec<String> = (0..7).map(|n| format!("f{n}")).collect();
        let ops = names.iter().map(|name| op(name, Some(600_000_000))).chain([op("f0", None)]);
        let grid = OpGrid::collect(1_000_000_000, ops);
        assert_eq!(grid.ops, 8);
        assert_eq!(grid.functions.len(), FUNCTIONS_MAX);
        let counted: u32 = grid.functions.iter().flat_map(|f| &f.ended).flatten().sum();
        assert_eq!(counted, 8);
        let drawn: u32 = grid.functions.iter().flat_map(|f| f.cells.iter().flatten().chain(&f.never_ended)).sum();
        assert_eq!(drawn, 8);
    }

    #[test]
    fn extreme_times_stay_in_the_grid() {
        let end = OpSample { invoke_ns: u64::MAX, complete_ns: Some(0), f: "read", outcome: OpOutcome::Ok, node: None };
        let grid = OpGrid::collect(0, [end, op("read", Some(u64::MAX))].into_iter());
        assert_eq!(grid.functions[0].used_rows(), Some((0, ROWS - 1)));
    }

    #[test]
    fn rows_keep_their_latency_within_their_step() {
        for ms in [0.0011, 0.5, 1.0, 37.0, 1234.0, 99_000.0] {
            let shown_ms = row_ms(row((ms * 1e6) as u64));
            assert!((shown_ms / ms - 1.0).abs() < 0.04, "{ms} ms is shown as {shown_ms} ms");
        }
    }

    #[test]
    fn buckets_are_round_and_few() {
        assert_eq!(bucket_length_s(60.0), 0.5);
        assert_eq!(bucket_length_s(0.001), 0.01);
        assert!(1e9 / bucket_length_s(1e9) <= BUCKETS_MAX);
    }
}
