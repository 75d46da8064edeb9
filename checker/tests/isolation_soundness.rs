//! What is refuted is wrong in every execution: lists and registers, with transactions that failed or of which nobody
//! knows, against every order, every assignment of snapshots, and every choice of what happened.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fmt::Write as _;

use schism_checker::{
    Details, Validity,
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};
use support::executions::{
    Outcome, Random, Transaction, mostly_in_order, serializable, snapshot_isolated, spans, with_any,
};

const KEYS: usize = 2;

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
    fn apply(mop: &Mop, state: &mut State) {
        match mop {
            Mop::Append(key, element) => state[*key].push(*element),
            Mop::Write(key, value) => state[*key] = vec![*value],
            Mop::Read(..) => {}
        }
    }
}

impl Transaction for Txn {
    type State = State;
    const KEYS: usize = KEYS;

    fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn span(&self) -> (usize, usize) {
        (self.invoke, self.complete)
    }

    /// What an indeterminate one read is mostly not known.
    fn run(&self, state: &mut State) -> bool {
        self.mops.iter().all(|mop| match mop {
            Mop::Read(key, read) => (self.outcome == Outcome::Info && !self.tells) || state[*key] == *read,
            write => {
                Self::apply(write, state);
                true
            }
        })
    }

    fn write(&self, state: &mut State) {
        self.mops.iter().for_each(|mop| Self::apply(mop, state));
    }

    fn writes_to(&self, key: usize) -> bool {
        self.mops.iter().any(|mop| matches!(mop, Mop::Append(of, _) | Mop::Write(of, _) if *of == key))
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
    let (positions, position) = spans(random, count, 0);
    for (txn, (invoke, complete)) in txns.iter_mut().zip(positions) {
        (txn.invoke, txn.complete) = (invoke, complete);
    }
    if random.below(2) == 0 {
        let mops = (0..KEYS).map(|key| Mop::Read(key, Vec::new())).collect();
        txns.push(Txn { mops, outcome: Outcome::Ok, tells: false, invoke: position, complete: position + 1 });
    }
    let order = mostly_in_order(random, txns.len());
    let mut state = State::default();
    for at in order {
        let happens = match txns[at].outcome {
            Outcome::Ok => true,
            Outcome::Info => random.below(2) == 0,
            Outcome::Fail => random.below(12) == 0,
        };
        let mut own = state.clone();
        let tells = txns[at].tells;
        for mop in &mut txns[at].mops {
            match mop {
                Mop::Read(key, read) => {
                    *read = own[*key].clone();
                    if random.below(12) == 0 {
                        read.pop();
                    }
                    // One that is rolled back may have read anything.
                    if tells && random.below(6) == 0 {
                        read.push([99, read.first().copied().unwrap_or(98)][random.below(2)]);
                    }
                }
                write => Txn::apply(write, &mut own),
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
            ("snapshot-isolation", with_any(&txns, |txns| snapshot_isolated(txns, &State::default()))),
            ("serializable", with_any(&txns, |txns| serializable(txns, &State::default(), false))),
            ("strict-serializable", with_any(&txns, |txns| serializable(txns, &State::default(), true))),
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
