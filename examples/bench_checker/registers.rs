//! Histories of registers: operations that take effect at a moment between their ends.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use schism_seed::{Seed, Stream};

/// A history of registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registers {
    pub(crate) ops: u64,
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// Writes take new values; else one of so many.
    pub(crate) values: Option<u64>,
    /// Compare-and-set as well as reads and writes.
    pub(crate) has_cas: bool,
    pub(crate) info_percent: u64,
    /// One read in the middle returns what had been overwritten before it began.
    pub(crate) stale: bool,
}

pub(crate) const UNIQUE: Registers =
    Registers { ops: 1_000_000, clients: 10, keys: 1_000, values: None, has_cas: false, info_percent: 0, stale: false };
pub(crate) const MANY: Registers =
    Registers { clients: 30, keys: 100, values: Some(5), has_cas: true, info_percent: 1, ..UNIQUE };
pub(crate) const ONE_KEY: Registers = Registers { clients: 50, keys: 1, info_percent: 5, ..UNIQUE };
pub(crate) const FIVE: Registers =
    Registers { ops: 10_000, clients: 20, keys: 1, values: Some(5), has_cas: true, info_percent: 0, stale: false };
pub(crate) const FIVE_INFO: Registers = Registers { clients: 10, info_percent: 1, ..FIVE };

/// What a client has in flight.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    f: &'static str,
    key: usize,
    old: u64,
    new: u64,
    invoked: u64,
    /// What it answers, once it took effect; a cas that fails answers nothing.
    effect: Option<Option<u64>>,
}

/// What is known of a value of a key, by the indexes of events.
#[derive(Debug, Clone, Copy)]
struct Past {
    /// Its last producer returned.
    returned: u64,
    /// Since then an operation that leaves another value was invoked and has returned: from here on a read that begins
    /// cannot return it. [`u64::MAX`]: not yet.
    gone: u64,
}

impl Registers {
    /// Writes the history as Jepsen's EDN.
    pub(crate) fn write(&self, seed: u64, out: &mut impl Write) -> io::Result<()> {
        let mut stream = Seed::new(seed).stream("bench-checker");
        // 0 is nil.
        let mut state = vec![0_u64; self.keys];
        // By key, the values that were produced, the last ones only where they are new each time.
        let mut past: Vec<BTreeMap<u64, Past>> = vec![BTreeMap::new(); self.keys];
        let mut clients: Vec<(u64, Option<InFlight>)> =
            (0..self.clients as u64).map(|process| (process, None)).collect();
        let (mut index, mut begun, mut ended, mut written) = (0_u64, 0, 0, 0);
        let mut stale = self.stale;
        while ended < self.ops {
            let at = stream.below(self.clients as u64) as usize;
            let process = clients[at].0;
            match &mut clients[at].1 {
                None if begun == self.ops => {}
                None => {
                    begun += 1;
                    let op = self.invoke(&mut stream, &mut written, &state, index);
                    event(out, index, process, "invoke", &op, None)?;
                    index += 1;
                    clients[at].1 = Some(op);
                }
                Some(op) if op.effect.is_none() => {
                    let of = &mut state[op.key];
                    let before = *of;
                    op.effect = Some(match op.f {
                        "read" => Some(before),
                        "cas" if before != op.old => None,
                        _ => {
                            *of = op.new;
                            Some(op.new)
                        }
                    });
                }
                Some(op) => {
                    let op = *op;
                    ended += 1;
                    clients[at].1 = None;
                    if stream.below(100) < self.info_percent {
                        event(out, index, process, "info", &op, None)?;
                        clients[at].0 += self.clients as u64;
                    } else {
                        let mut answer = op.effect.flatten();
                        let can_be_stale = stale && op.f == "read" && ended > self.ops / 2;
                        if can_be_stale && let Some(value) = stale_value(&op, &past[op.key], &clients) {
                            (answer, stale) = (Some(value), false);
                        }
                        let kind = if answer.is_some() { "ok" } else { "fail" };
                        event(out, index, process, kind, &op, answer)?;
                        if op.f != "read" && answer.is_some() {
                            let past = &mut past[op.key];
                            let mut others = past.iter_mut().filter(|(value, _)| **value != op.new);
                            others.by_ref().filter(|(_, past)| past.returned < op.invoked).for_each(|(_, past)| {
                                past.gone = past.gone.min(index);
                            });
                            past.insert(op.new, Past { returned: index, gone: u64::MAX });
                            if past.len() > PAST_MAX {
                                past.pop_first();
                            }
                        }
                    }
                    index += 1;
                }
            }
        }
        assert!(!stale, "no read could be made stale");
        out.flush()
    }

    fn invoke(&self, stream: &mut Stream, written: &mut u64, state: &[u64], invoked: u64) -> InFlight {
        let key = stream.below(self.keys as u64) as usize;
        let f = ["read", "write", "cas"][stream.below(if self.has_cas { 3 } else { 2 }) as usize];
        *written += u64::from(f != "read");
        let new = self.values.map_or(*written, |values| 1 + stream.below(values));
        let old = self.values.map_or(state[key], |values| 1 + stream.below(values));
        InFlight { f, key, old, new, invoked, effect: None }
    }
}

/// Values of a key that are remembered: enough for all that are in flight at once.
const PAST_MAX: usize = 200;

/// What the read that returns now cannot return lawfully: gone when it began, and produced by nothing in flight. (An
/// indeterminate operation may yet have produced it.)
fn stale_value(read: &InFlight, past: &BTreeMap<u64, Past>, clients: &[(u64, Option<InFlight>)]) -> Option<u64> {
    let in_flight = |value: u64| {
        let mut ops = clients.iter().filter_map(|(_, op)| op.as_ref());
        ops.any(|op| op.f != "read" && op.key == read.key && op.new == value)
    };
    past.iter().find(|(value, past)| past.gone < read.invoked && !in_flight(**value)).map(|(value, _)| *value)
}

fn event(
    out: &mut impl Write,
    index: u64,
    process: u64,
    kind: &str,
    op: &InFlight,
    answer: Option<u64>,
) -> io::Result<()> {
    let InFlight { f, key, old, new, .. } = op;
    write!(
        out,
        "{{:index {index}, :time {}, :type :{kind}, :process {process}, :f :{f}, :value [{key} ",
        index * 1000
    )?;
    match (*f, answer) {
        ("read", None | Some(0)) => write!(out, "nil")?,
        ("read", Some(value)) => write!(out, "{value}")?,
        ("write", _) => write!(out, "{new}")?,
        _ => write!(out, "[{old} {new}]")?,
    }
    writeln!(out, "]}}")
}
