//! What is refuted is wrong in every execution: lists and registers, with transactions that failed or of which nobody
//! knows, against every order, every assignment of snapshots, and every choice of what happened.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{cell::Cell, fmt::Write as _};

use schism_checker::{
    Details, Validity,
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};

const KEYS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Info,
    Fail,
}

/// A register is a list of at most one.
#[derive(Debug, Clone)]
enum Mop {
    Append(usize, i64),
    Write(usize, i64),
    Read(usize, Vec<i64>),
}

#[derive(Debug, Clone)]
struct Txn {
    mops: Vec<Mop>,
    outcome: Outcome,
    /// Of an indeterminate one: what it read is known.
    tells: bool,
    /// Positions of its two events.
    invoke: usize,
    complete: usize,
}

type State = [Vec<i64>; KEYS];

impl Txn {
    fn write(mop: &Mop, state: &mut State) {
        match mop {
            Mop::Append(key, element) => state[*key].push(*element),
            Mop::Write(key, value) => state[*key] = vec![*value],
            Mop::Read(..) => {}
        }
    }

    /// Carries it out. False: it read something else. (What an indeterminate one read is mostly not known.)
    fn run(&self, state: &mut State) -> bool {
        self.mops.iter().all(|mop| match mop {
            Mop::Read(key, read) => (self.outcome == Outcome::Info && !self.tells) || state[*key] == *read,
            write => {
                Self::write(write, state);
                true
            }
        })
    }

    fn writes_to(&self, key: usize) -> bool {
        self.mops.iter().any(|mop| matches!(mop, Mop::Append(of, _) | Mop::Write(of, _) if *of == key))
    }
}

/// Whether any choice of indeterminate transactions makes `holds` true.
fn with_any(txns: &[Txn], holds: impl Fn(&[&Txn]) -> bool) -> bool {
    let infos = txns.iter().filter(|txn| txn.outcome == Outcome::Info).count();
    (0..1_u32 << infos).any(|chosen| {
        let number = Cell::new(0);
        let happened = |txn: &&Txn| match txn.outcome {
            Outcome::Ok => true,
            Outcome::Fail => false,
            Outcome::Info => chosen >> number.replace(number.get() + 1) & 1 == 1,
        };
        holds(&txns.iter().filter(happened).collect::<Vec<_>>())
    })
}

fn serializable(txns: &[&Txn], real_time: bool) -> bool {
    fn extend(txns: &[&Txn], done: u32, state: &State, real_time: bool) -> bool {
        if done.count_ones() as usize == txns.len() {
            return true;
        }
        (0..txns.len()).filter(|at| done >> at & 1 == 0).any(|at| {
            let waits = |other: &&Txn| other.outcome == Outcome::Ok && other.complete < txns[at].invoke;
            let is_early = (0..txns.len()).any(|other| done >> other & 1 == 0 && other != at && waits(&txns[other]));
            if real_time && is_early {
                return false;
            }
            let mut state = state.clone();
            txns[at].run(&mut state) && extend(txns, done | 1 << at, &state, real_time)
        })
    }
    extend(txns, 0, &State::default(), real_time)
}

/// Every order of starts and commits, the first committer of a key wins (Berenson et al. 1995; snapshots may be old).
fn snapshot_isolated(txns: &[&Txn]) -> bool {
    fn extend(txns: &[&Txn], started: u32, running: &[(usize, [bool; KEYS])], state: &State) -> bool {
        if started.count_ones() as usize == txns.len() && running.is_empty() {
            return true;
        }
        for at in (0..txns.len()).filter(|at| started >> at & 1 == 0) {
            if txns[at].run(&mut state.clone()) {
                let running = [running, &[(at, [false; KEYS])]].concat();
                if extend(txns, started | 1 << at, &running, state) {
                    return true;
                }
            }
        }
        running.iter().enumerate().any(|(place, (at, overwritten))| {
            if (0..KEYS).any(|key| overwritten[key] && txns[*at].writes_to(key)) {
                return false;
            }
            let mut state = state.clone();
            txns[*at].mops.iter().for_each(|mop| Txn::write(mop, &mut state));
            let mut rest = running.to_vec();
            rest.remove(place);
            for (_, overwritten) in &mut rest {
                (0..KEYS).for_each(|key| overwritten[key] |= txns[*at].writes_to(key));
            }
            extend(txns, started, &rest, &state)
        })
    }
    extend(txns, 0, &[], &State::default())
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// A small history: executed in some order, of which then something is changed.
fn draw(random: &mut Random, registers: bool) -> Vec<Txn> {
    let count = 2 + random.below(3);
    let mut value = 0;
    let mut txns: Vec<Txn> = (0..count)
        .map(|_| {
            let len = 1 + random.below(3);
            let mops: Vec<Mop> = (0..len)
                .map(|_| {
                    let key = random.below(KEYS);
                    value += 1;
                    match random.below(2) {
                        0 => Mop::Read(key, Vec::new()),
                        // A value is now and then tried again, and so is an element.
                        _ if registers => Mop::Write(key, if random.below(20) == 0 { 1 } else { value }),
                        _ => Mop::Append(key, if random.below(40) == 0 { 1 } else { value }),
                    }
                })
                .collect();
            let outcome = [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Info, Outcome::Fail][random.below(5)];
            // Of registers what an indeterminate transaction read is not looked at.
            let tells = outcome == Outcome::Info && !registers && random.below(2) == 0;
            Txn { mops, outcome, tells, invoke: 0, complete: 0 }
        })
        .collect();
    let (mut open, mut begun, mut position): (Vec<usize>, usize, usize) = (Vec::new(), 0, 0);
    while begun < count || !open.is_empty() {
        if begun < count && (open.is_empty() || random.below(2) == 0) {
            txns[begun].invoke = position;
            open.push(begun);
            begun += 1;
        } else {
            let at = open.swap_remove(random.below(open.len()));
            txns[at].complete = position;
        }
        position += 1;
    }
    if random.below(2) == 0 {
        let mops = (0..KEYS).map(|key| Mop::Read(key, Vec::new())).collect();
        txns.push(Txn { mops, outcome: Outcome::Ok, tells: false, invoke: position, complete: position + 1 });
    }
    let mut order: Vec<usize> = (0..txns.len()).collect();
    for at in (1..order.len()).rev() {
        // Mostly in the order in which they were invoked.
        if random.below(3) == 0 {
            order.swap(at, random.below(at + 1));
        }
    }
    let mut state = State::default();
    for at in order {
        let happens = match txns[at].outcome {
            Outcome::Ok => true,
            Outcome::Info => random.below(2) == 0,
            Outcome::Fail => random.below(12) == 0,
        };
        let mut own = state.clone();
        for mop in &mut txns[at].mops {
            match mop {
                Mop::Read(key, read) => {
                    *read = own[*key].clone();
                    if random.below(12) == 0 {
                        read.pop();
                    }
                }
                write => Txn::write(write, &mut own),
            }
        }
        if happens {
            state = own;
        }
    }
    // One read in some histories is any other's.
    if random.below(3) == 0 {
        let reads = |txns: &[Txn]| -> Vec<(usize, usize, usize, Vec<i64>)> {
            let all = txns.iter().enumerate().flat_map(|(at, txn)| {
                txn.mops.iter().enumerate().filter_map(move |(place, mop)| match mop {
                    Mop::Read(key, read) => Some((at, place, *key, read.clone())),
                    _ => None,
                })
            });
            all.collect()
        };
        let all = reads(&txns);
        if !all.is_empty() {
            let (at, place, key, _) = all[random.below(all.len())].clone();
            let others: Vec<_> = all.iter().filter(|(_, _, of, _)| *of == key).collect();
            let read = others[random.below(others.len())].3.clone();
            txns[at].mops[place] = Mop::Read(key, read);
        }
    }
    txns
}

fn edn(txns: &[Txn]) -> String {
    let mut events: Vec<(usize, usize, bool)> = Vec::new();
    for (at, txn) in txns.iter().enumerate() {
        events.push((txn.invoke, at, true));
        events.push((txn.complete, at, false));
    }
    events.sort_unstable();
    let mut text = String::new();
    for (_, at, is_invoke) in events {
        let txn = &txns[at];
        let kind = match txn.outcome {
            _ if is_invoke => "invoke",
            Outcome::Ok => "ok",
            Outcome::Info => "info",
            Outcome::Fail => "fail",
        };
        write!(text, "{{:type :{kind}, :process {at}, :f :txn, :value [").unwrap();
        for mop in &txn.mops {
            match mop {
                Mop::Append(key, element) => write!(text, "[:append {key} {element}]").unwrap(),
                Mop::Write(key, value) => write!(text, "[:w {key} {value}]").unwrap(),
                Mop::Read(key, _) if kind != "ok" && !(kind == "info" && txn.tells) => {
                    write!(text, "[:r {key} nil]").unwrap()
                }
                Mop::Read(key, list) if is_list(txns) => write!(text, "[:r {key} {list:?}]").unwrap(),
                Mop::Read(key, list) => match list.first() {
                    Some(value) => write!(text, "[:r {key} {value}]").unwrap(),
                    None => write!(text, "[:r {key} nil]").unwrap(),
                },
            }
        }
        text.push_str("]}\n");
    }
    text
}

fn is_list(txns: &[Txn]) -> bool {
    !txns.iter().flat_map(|txn| &txn.mops).any(|mop| matches!(mop, Mop::Write(..)))
}

fn refutes_nothing_that_holds(workload: &str, seed: u64) {
    let cases: u32 = std::env::var("SCHISM_AGREE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12_000);
    let mut random = Random(seed);
    let mut tally = [[0_u32; 2]; 3];
    let mut refuted = 0;
    for case in 0..cases {
        let txns = draw(&mut random, workload == "rw-register");
        if (workload == "rw-register") == is_list(&txns) {
            continue;
        }
        let text = edn(&txns);
        let history = support::foreign(workload, &text).unwrap();
        let twins: [(&str, bool); 3] = [
            ("snapshot-isolation", with_any(&txns, snapshot_isolated)),
            ("serializable", with_any(&txns, |txns| serializable(txns, false))),
            ("strict-serializable", with_any(&txns, |txns| serializable(txns, true))),
        ];
        for (at, (model, holds)) in twins.into_iter().enumerate() {
            tally[at][usize::from(holds)] += 1;
            let asked = Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() };
            // What strict serializability implies of each key may be assumed where it holds.
            let assumed = [
                Settings { wfr_keys: true, ..asked.clone() },
                Settings { sequential_keys: true, ..asked.clone() },
                Settings { linearizable_keys: true, wfr_keys: true, ..asked.clone() },
            ];
            let assumes = model == "strict-serializable" && workload == "rw-register";
            for settings in std::iter::once(&asked).chain(assumed.iter().filter(|_| assumes)) {
                let check = isolation::check(&history, settings);
                if check.valid != Validity::Invalid {
                    continue;
                }
                assert!(!holds, "case {case}: {model} holds, but {}\n{settings:?}\n{text}", check.summary);
                refuted += 1;
                let Details::Isolation(found) = &check.details else { panic!("another result") };
                let mut certificate = Vec::new();
                isolation::write_certificate(&history, settings, check.valid, found, &mut certificate).unwrap();
                let verified = Certificate::open(&certificate[..]).unwrap().verify(&history).unwrap();
                assert!(!matches!(verified, Verification::DoesNotHold(_)), "case {case}: {verified:?}\n{text}");
            }
        }
    }
    eprintln!("{workload}: {cases} histories; refuted and held: {tally:?}; {refuted} times called invalid");
    assert!(tally.iter().flatten().all(|count| *count > cases / 50) && refuted > cases / 20, "{tally:?} {refuted}");
}

#[test]
fn of_lists() {
    refutes_nothing_that_holds("list-append", 0x1234_5678_9abc_def1);
}

#[test]
fn of_registers() {
    refutes_nothing_that_holds("rw-register", 0x0fed_cba9_8765_4321);
}
