//! What is refuted of reads by predicate is wrong in every execution: small universes, with transactions that failed or of
//! which nobody knows, against every order, every assignment of snapshots, and every choice of what happened. And what
//! every order refutes is found, where the predicates tell which versions were met.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fmt::Write as _;

use schism_checker::{
    Details, Validity,
    history::Predicate,
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};
use support::executions::{
    Outcome, Random, Transaction, mostly_in_order, serializable, snapshot_isolated, spans, with_any,
};

const KEYS: usize = 3;

type State = [Option<i64>; KEYS];

/// How a row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By Elle's rules: whether it was there or not.
    Anyhow,
    /// It was not there before, or (a write or a deletion) it was: another transaction would have failed.
    AsItMust,
}

#[derive(Debug, Clone)]
enum Mop {
    /// Key, value, whether it is an insert.
    Set(usize, Option<i64>, bool, How),
    Read(usize, Option<i64>),
    Select(Predicate, State),
}

#[derive(Debug, Clone)]
struct Txn {
    mops: Vec<Mop>,
    outcome: Outcome,
    /// Positions of its two events.
    invoke: usize,
    complete: usize,
}

fn selected(predicate: Predicate, state: &State) -> State {
    state.map(|value| value.filter(|value| predicate.matches(*value)))
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

    /// What an indeterminate one read nobody knows.
    fn run(&self, state: &mut State) -> bool {
        self.mops.iter().all(|mop| match mop {
            Mop::Set(key, value, is_insert, how) => {
                let is_possible = *how == How::Anyhow || state[*key].is_none() == *is_insert;
                state[*key] = *value;
                is_possible
            }
            _ if self.outcome == Outcome::Info => true,
            Mop::Read(key, read) => state[*key] == *read,
            Mop::Select(predicate, rows) => selected(*predicate, state) == *rows,
        })
    }

    fn write(&self, state: &mut State) {
        for mop in &self.mops {
            if let Mop::Set(key, value, ..) = mop {
                state[*key] = *value;
            }
        }
    }

    fn writes_to(&self, key: usize) -> bool {
        self.mops.iter().any(|mop| matches!(mop, Mop::Set(of, ..) if *of == key))
    }
}

fn draw_predicate(random: &mut Random) -> Predicate {
    match random.below(4) {
        0 | 1 => Predicate::True,
        2 => Predicate::Equals(random.below(4) as i64),
        _ => Predicate::Mod { modulus: 2, remainder: random.below(2) as i64 },
    }
}

/// A universe with some transactions on it, executed in some order, of which then something is changed. Mostly each row is
/// written once, or inserted, written and deleted.
fn draw(random: &mut Random) -> (State, Vec<Txn>) {
    let mut init: State = [None; KEYS];
    if !random.one_in(4) {
        init = init.map(|_| (!random.one_in(3)).then(|| random.below(2) as i64));
    }
    let mut next = 2;
    let mut value = |random: &mut Random| {
        next += i64::from(!random.one_in(12));
        (!random.one_in(3)).then_some(next)
    };
    let mut free: Vec<Mop> = Vec::new();
    let is_chained = random.one_in(3);
    for (key, initial) in init.iter().enumerate() {
        if is_chained && !random.one_in(3) {
            if initial.is_none() {
                free.push(Mop::Set(key, Some(random.below(2) as i64), true, How::AsItMust));
            }
            if random.one_in(2) {
                free.push(Mop::Set(key, Some(2 + random.below(2) as i64), false, How::AsItMust));
            }
            if random.one_in(2) {
                free.push(Mop::Set(key, None, false, How::AsItMust));
            }
        } else {
            // Of a row that is written and deleted it would follow that it was there when it was written.
            let times = 1 + usize::from(random.one_in(8));
            for _ in 0..times {
                let value = value(random).or_else(|| (times > 1).then_some(9));
                free.push(Mop::Set(key, value, false, How::Anyhow));
            }
        }
    }
    let count = 2 + random.below(3);
    let mut txns: Vec<Txn> = (0..count)
        .map(|_| {
            let len = 1 + random.below(3);
            let mops = (0..len)
                .map(|_| match random.below(3) {
                    0 => Mop::Read(random.below(KEYS), None),
                    1 => Mop::Select(draw_predicate(random), [None; KEYS]),
                    _ if free.is_empty() => Mop::Select(Predicate::True, [None; KEYS]),
                    _ => free.swap_remove(random.below(free.len())),
                })
                .collect();
            let outcome =
                [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Info, Outcome::Fail][random.below(6)];
            Txn { mops, outcome, invoke: 0, complete: 0 }
        })
        .collect();
    let (positions, _) = spans(random, count, 2);
    for (txn, (invoke, complete)) in txns.iter_mut().zip(positions) {
        (txn.invoke, txn.complete) = (invoke, complete);
    }
    let order = mostly_in_order(random, txns.len());
    let mut state = init;
    let mut before = [init; 2];
    for at in order {
        let mut happens = match txns[at].outcome {
            Outcome::Ok => true,
            Outcome::Info => random.one_in(2),
            Outcome::Fail => random.one_in(12),
        };
        // Now and then an older snapshot.
        let mut own = if random.one_in(4) { before[random.below(2)] } else { state };
        let mut written: Vec<usize> = Vec::new();
        for mop in &mut txns[at].mops {
            match mop {
                Mop::Read(key, read) => *read = own[*key],
                Mop::Select(predicate, rows) => {
                    *rows = selected(*predicate, &own);
                    if random.one_in(16) {
                        rows[random.below(KEYS)] = None;
                    }
                }
                Mop::Set(key, value, is_insert, how) => {
                    happens &= *how == How::Anyhow || state[*key].is_none() == *is_insert;
                    own[*key] = *value;
                    written.push(*key);
                }
            }
        }
        if !happens && txns[at].outcome == Outcome::Ok {
            txns[at].outcome = Outcome::Fail;
        }
        if happens {
            before = [before[1], state];
            written.into_iter().for_each(|key| state[key] = own[key]);
        }
    }
    (init, txns)
}

fn rows(state: &State) -> String {
    let rows = state.iter().enumerate().filter_map(|(key, value)| Some(format!("{key} {}", (*value)?)));
    format!("{{{}}}", rows.collect::<Vec<_>>().join(", "))
}

fn edn(init: &State, txns: &[Txn]) -> String {
    let mut events: Vec<(usize, usize, bool)> = Vec::new();
    for (at, txn) in txns.iter().enumerate() {
        events.push((txn.invoke, at, true));
        events.push((txn.complete, at, false));
    }
    events.sort_unstable();
    let rows_of_init = rows(init);
    let mut text = String::new();
    for kind in ["invoke", "ok"] {
        writeln!(text, "{{:type :{kind}, :process 9, :f :init, :value {rows_of_init}}}").unwrap();
    }
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
                Mop::Set(key, Some(value), true, _) => write!(text, "[:insert {key} {value}]").unwrap(),
                Mop::Set(key, Some(value), ..) => write!(text, "[:w {key} {value}]").unwrap(),
                Mop::Set(key, None, ..) => write!(text, "[:delete {key}]").unwrap(),
                Mop::Read(key, Some(value)) if kind == "ok" => write!(text, "[:r {key} {value}]").unwrap(),
                Mop::Read(key, _) => write!(text, "[:r {key} nil]").unwrap(),
                Mop::Select(predicate, state) => {
                    let rows = if kind == "ok" { rows(state) } else { "nil".into() };
                    match predicate {
                        Predicate::True => write!(text, "[:rp :true {rows}]").unwrap(),
                        Predicate::Equals(value) => write!(text, "[:rp [:= {value}] {rows}]").unwrap(),
                        Predicate::Mod { modulus, remainder } => {
                            write!(text, "[:rp [:mod {modulus} {remainder}] {rows}]").unwrap();
                        }
                    }
                }
            }
        }
        text.push_str("]}\n");
    }
    text
}

/// Whether every read tells which version it met: each row is written once at most, by a transaction that ended ok, and
/// of its two versions every predicate tells the one from the other.
fn tells_all(init: &State, txns: &[Txn]) -> bool {
    let all = || txns.iter().flat_map(|txn| txn.mops.iter());
    let selects = |check: &dyn Fn(Predicate) -> bool| {
        all().all(|mop| !matches!(mop, Mop::Select(predicate, _) if !check(*predicate)))
    };
    txns.iter().all(|txn| txn.outcome == Outcome::Ok)
        && (0..KEYS).all(|key| {
            let written: Vec<Option<i64>> = all()
                .filter_map(|mop| match mop {
                    Mop::Set(of, value, ..) if *of == key => Some(*value),
                    _ => None,
                })
                .collect();
            match written[..] {
                [] => true,
                [value] => {
                    let fits = |predicate: Predicate, value: Option<i64>| value.is_some_and(|of| predicate.matches(of));
                    value != init[key] && selects(&|predicate| fits(predicate, value) != fits(predicate, init[key]))
                }
                _ => false,
            }
        })
}

#[test]
fn refutes_what_no_execution_explains() {
    let cases: u32 = std::env::var("SCHISM_AGREE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(15_000);
    let mut random = Random(0x5eed_000f_c105_ed01);
    let mut tally = [[0_u32; 2]; 3];
    let (mut refuted, mut certified, mut exact) = (0, 0, [0_u32; 2]);
    for case in 0..cases {
        let (init, txns) = draw(&mut random);
        let text = edn(&init, &txns);
        let history = support::foreign("closed-predicate", &text).unwrap();
        let twins: [(&str, bool); 3] = [
            ("snapshot-isolation", with_any(&txns, |txns| snapshot_isolated(txns, &init))),
            ("serializable", with_any(&txns, |txns| serializable(txns, &init, false))),
            ("strict-serializable", with_any(&txns, |txns| serializable(txns, &init, true))),
        ];
        for (at, (model, holds)) in twins.into_iter().enumerate() {
            tally[at][usize::from(holds)] += 1;
            let asked = Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() };
            let check = isolation::check(&history, &asked);
            let is_refuted = check.valid == Validity::Invalid;
            assert!(!(is_refuted && holds), "case {case}: {model} holds, but {}\n{text}", check.summary);
            if tells_all(&init, &txns) && model != "snapshot-isolation" {
                exact[usize::from(holds)] += 1;
                assert!(is_refuted || holds, "case {case}: {model} does not hold, but {}\n{text}", check.summary);
            }
            refuted += u32::from(is_refuted);
            let Details::Isolation(found) = &check.details else { panic!("another result") };
            let mut certificate = Vec::new();
            isolation::write_certificate(&history, &asked, check.valid, found, &mut certificate).unwrap();
            match Certificate::open(&certificate[..]).unwrap().verify(&history).unwrap() {
                Verification::Holds { .. } => certified += 1,
                Verification::Undecided(_) => {}
                Verification::DoesNotHold(why) => panic!("case {case}: {model}: {why}\n{text}"),
            }
        }
    }
    eprintln!(
        "{cases} histories; refuted and held: {tally:?}; {refuted} times called invalid, {certified} verdicts certified; \
         decided exactly: {exact:?}"
    );
    assert!(tally.iter().flatten().chain(&exact).all(|count| *count > cases / 80), "{tally:?} {exact:?}");
    assert!(refuted > cases / 5 && certified > cases, "{refuted} {certified}");
}
