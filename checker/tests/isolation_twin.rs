//! The graph against brute force: small list-append histories, decided by every order and every assignment of snapshots.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fmt::Write as _;

use schism_checker::{
    Check, Details, Validity,
    history::History,
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};
use support::executions::{Random, spans};

const KEYS: usize = 2;

#[derive(Debug, Clone)]
enum Mop {
    Append(usize, i64),
    Read(usize, Vec<i64>),
}

#[derive(Debug, Clone)]
struct Txn {
    mops: Vec<Mop>,
    /// Positions of its two events.
    invoke: usize,
    complete: usize,
}

type Lists = [Vec<i64>; KEYS];

/// Carries a transaction out on these lists. False: it read something else.
fn run(txn: &Txn, lists: &mut Lists) -> bool {
    txn.mops.iter().all(|mop| match mop {
        Mop::Append(key, element) => {
            lists[*key].push(*element);
            true
        }
        Mop::Read(key, list) => lists[*key] == *list,
    })
}

/// Whether any order explains all reads; `real_time`: one in which what ended before another began comes before it.
fn serializable(txns: &[Txn], real_time: bool) -> bool {
    fn extend(txns: &[Txn], done: &mut Vec<usize>, lists: &Lists, real_time: bool) -> bool {
        if done.len() == txns.len() {
            return true;
        }
        (0..txns.len()).filter(|at| !done.contains(at)).collect::<Vec<_>>().into_iter().any(|at| {
            let waits = |other: usize| {
                other != at && !done.contains(&other) && txns[other].complete < txns[at].invoke && real_time
            };
            if (0..txns.len()).any(waits) {
                return false;
            }
            let mut lists = lists.clone();
            if !run(&txns[at], &mut lists) {
                return false;
            }
            done.push(at);
            let works = extend(txns, done, &lists, real_time);
            done.pop();
            works
        })
    }
    extend(txns, &mut Vec::new(), &Lists::default(), real_time)
}

/// Whether any order of starts and commits explains all reads by the snapshot at the start, with no two transactions at
/// once that append to the same key (Berenson et al. 1995; snapshots may be old, as in Elnikety et al. 2005).
fn snapshot_isolated(txns: &[Txn]) -> bool {
    #[derive(Clone)]
    struct Running {
        at: usize,
        appended: [bool; KEYS],
    }
    fn writes(txn: &Txn) -> [bool; KEYS] {
        let mut keys = [false; KEYS];
        for mop in &txn.mops {
            if let Mop::Append(key, _) = mop {
                keys[*key] = true;
            }
        }
        keys
    }
    fn extend(txns: &[Txn], started: &mut Vec<usize>, running: &[Running], lists: &Lists) -> bool {
        if started.len() == txns.len() && running.is_empty() {
            return true;
        }
        for at in 0..txns.len() {
            if started.contains(&at) {
                continue;
            }
            // What it reads is decided at its start.
            if run(&txns[at], &mut lists.clone()) {
                started.push(at);
                let mut running = running.to_vec();
                running.push(Running { at, appended: [false; KEYS] });
                if extend(txns, started, &running, lists) {
                    return true;
                }
                started.pop();
            }
        }
        for (place, one) in running.iter().enumerate() {
            let mine = writes(&txns[one.at]);
            // The first committer wins.
            if (0..KEYS).any(|key| mine[key] && one.appended[key]) {
                continue;
            }
            let mut lists = lists.clone();
            for mop in &txns[one.at].mops {
                if let Mop::Append(key, element) = mop {
                    lists[*key].push(*element);
                }
            }
            let mut running = running.to_vec();
            running.remove(place);
            for other in &mut running {
                for (appended, mine) in other.appended.iter_mut().zip(mine) {
                    *appended |= mine;
                }
            }
            if extend(txns, started, &running, &lists) {
                return true;
            }
        }
        false
    }
    extend(txns, &mut Vec::new(), &[], &Lists::default())
}

/// A small history. Reads are mostly prefixes of one order of each key's appends, so that most are nearly right.
fn draw(random: &mut Random) -> Vec<Txn> {
    let count = 2 + random.below(3);
    let mut txns: Vec<Txn> = Vec::new();
    let mut next = [1; KEYS];
    for _ in 0..count {
        let mops = (0..1 + random.below(3)).map(|_| {
            let key = random.below(KEYS);
            if random.below(2) == 0 {
                next[key] += 1;
                Mop::Append(key, next[key] - 1)
            } else {
                Mop::Read(key, Vec::new())
            }
        });
        txns.push(Txn { mops: mops.collect(), invoke: 0, complete: 0 });
    }
    for (txn, (invoke, complete)) in txns.iter_mut().zip(spans(random, count, 0).0) {
        (txn.invoke, txn.complete) = (invoke, complete);
    }
    let orders: Vec<Vec<i64>> = (0..KEYS)
        .map(|key| {
            let mut order: Vec<i64> = (1..next[key]).collect();
            // Mostly as they were drawn: nearer to an execution.
            if random.below(3) == 0 {
                for at in (1..order.len()).rev() {
                    order.swap(at, random.below(at + 1));
                }
            }
            order
        })
        .collect();
    for txn in &mut txns {
        let mut known: [Option<Vec<i64>>; KEYS] = Default::default();
        for mop in &mut txn.mops {
            match mop {
                Mop::Append(key, element) => {
                    if let Some(known) = &mut known[*key] {
                        known.push(*element);
                    }
                }
                Mop::Read(key, list) => {
                    *list = match &known[*key] {
                        Some(known) if random.below(8) > 0 => known.clone(),
                        _ => orders[*key][..random.below(orders[*key].len() + 1)].to_vec(),
                    };
                    known[*key] = Some(list.clone());
                }
            }
        }
    }
    // And now and then everything is read in the end.
    if random.below(2) == 0 {
        let last = txns.iter().map(|txn| txn.complete).max().unwrap_or(0);
        let mops = (0..KEYS).map(|key| Mop::Read(key, orders[key].clone())).collect();
        txns.push(Txn { mops, invoke: last + 1, complete: last + 2 });
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
        let kind = if is_invoke { "invoke" } else { "ok" };
        write!(text, "{{:type :{kind}, :process {at}, :f :txn, :value [").unwrap();
        for mop in &txns[at].mops {
            match mop {
                Mop::Append(key, element) => write!(text, "[:append {key} {element}]").unwrap(),
                Mop::Read(key, _) if is_invoke => write!(text, "[:r {key} nil]").unwrap(),
                Mop::Read(key, list) => write!(text, "[:r {key} {list:?}]").unwrap(),
            }
        }
        text.push_str("]}\n");
    }
    text
}

/// Every append of each key is in some read of it.
fn all_observed(txns: &[Txn]) -> bool {
    (0..KEYS).all(|key| {
        let appends =
            txns.iter().flat_map(|txn| &txn.mops).filter(|mop| matches!(mop, Mop::Append(of, _) if *of == key));
        let longest = txns.iter().flat_map(|txn| &txn.mops).filter_map(|mop| match mop {
            Mop::Read(of, list) if *of == key => Some(list.len()),
            _ => None,
        });
        appends.count() <= longest.max().unwrap_or(0)
    })
}

/// The verdict that the check's certificate bears out; `None` where it says nothing.
fn certify(history: &History, settings: &Settings, check: &Check) -> Option<Validity> {
    let Details::Isolation(found) = &check.details else { panic!("another result") };
    let mut certificate = Vec::new();
    isolation::write_certificate(history, settings, check.valid, found, &mut certificate).unwrap();
    let text = String::from_utf8_lossy(&certificate).into_owned();
    match Certificate::open(&certificate[..]).unwrap().verify(history).unwrap() {
        Verification::Holds { valid, .. } => Some(valid),
        Verification::DoesNotHold(why) => panic!("{why}\n{text}"),
        Verification::Undecided(_) => None,
    }
}

/// A certificate of a cycle that is none: steps drawn blindly.
fn forge(random: &mut Random, history: &History, model: &str) -> String {
    let invoked: Vec<u64> = history.ops().map(|op| op.invoke_index).collect();
    let len = 2 + random.below(2);
    let kinds = ["ww", "wr", "rw", "rw", "process", "realtime"];
    let steps: Vec<String> = (0..len)
        .map(|_| match kinds[random.below(kinds.len())] {
            kind @ ("process" | "realtime") => format!("{{\"kind\":\"{kind}\"}}"),
            kind => format!("{{\"kind\":\"{kind}\",\"mops\":[{},{}]}}", random.below(3), random.below(3)),
        })
        .collect();
    let txns: Vec<String> = (0..len).map(|_| invoked[random.below(invoked.len())].to_string()).collect();
    let names = [
        "G0",
        "G1c",
        "G-single-item",
        "G-nonadjacent-item",
        "G2-item",
        "G2-item-realtime",
        "internal",
        "G1a",
        "lost-update",
    ];
    let anomaly = names[random.below(names.len())];
    let of = if anomaly.starts_with('G') && anomaly != "G1a" {
        format!("{{\"anomaly\":\"{anomaly}\",\"txns\":[{}],\"steps\":[{}]}}", txns.join(","), steps.join(","))
    } else {
        let named = if anomaly == "internal" { &txns[..1] } else { &txns[..2] };
        format!("{{\"anomaly\":\"{anomaly}\",\"txns\":[{}]}}", named.join(","))
    };
    format!(
        "{{\"schism-certificate\":1,\"model\":\"list-append\",\"history\":\"{}\",\"operations\":{}}}\n{of}\n\
         {{\"valid\":false,\"consistency-models\":[\"{model}\"],\"anomalies\":[]}}\n",
        history.digest(),
        history.len()
    )
}

#[test]
fn the_graph_decides_what_brute_force_decides() {
    let cases: u32 = std::env::var("SCHISM_AGREE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12_000);
    let mut random = Random(0x5eed_1234_9e37_79b9);
    let mut tally = [[0u32; 2]; 3];
    let (mut exact, mut certified_valid) = (0, 0);
    for case in 0..cases {
        let txns = draw(&mut random);
        let text = edn(&txns);
        let history = support::foreign("list-append", &text).unwrap();
        let observed = all_observed(&txns);
        exact += u32::from(observed);
        let twins: [(&str, bool); 3] = [
            ("serializable", serializable(&txns, false)),
            ("strict-serializable", serializable(&txns, true)),
            ("snapshot-isolation", snapshot_isolated(&txns)),
        ];
        for (at, (model, holds)) in twins.into_iter().enumerate() {
            let settings = Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() };
            let check = isolation::check(&history, &settings);
            tally[at][usize::from(holds)] += 1;
            let certified = certify(&history, &settings, &check);
            let refuted = certified == Some(Validity::Invalid);
            assert!(certified.is_none_or(|valid| valid == check.valid) && !(refuted && holds), "case {case}\n{text}");
            assert!(refuted || check.valid != Validity::Invalid, "case {case}: not verified\n{text}");
            certified_valid += u32::from(certified == Some(Validity::Valid));
            if holds {
                let forged = forge(&mut random, &history, model);
                let verified = Certificate::open(forged.as_bytes()).unwrap().verify(&history).unwrap();
                let believed = matches!(verified, Verification::Holds { .. });
                assert!(!believed, "case {case}: {verified:?}\n{forged}\n{text}");
            }
            if check.valid == Validity::Invalid {
                assert!(!holds, "case {case}: {model} holds, but {}\n{text}", check.summary);
            } else if observed {
                assert!(holds, "case {case}: {model} does not hold, but {}\n{text}", check.summary);
            }
        }
    }
    eprintln!(
        "{cases} histories, {exact} with everything observed; refuted and held: {tally:?}; {certified_valid} valid verdicts \
         verified"
    );
    assert!(certified_valid > cases / 10, "{certified_valid}");
    assert!(tally.iter().flatten().all(|count| *count > cases / 50), "{tally:?}");
}
