//! Small histories of transactions: what is said of them bears looking at again.

use std::{collections::BTreeMap, fmt::Write as _};

use schism_checker::{
    Details, Validity,
    history::{Format, History, ReadOptions, read_any},
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};

const EVENTS_MAX: usize = 24;
const MOPS_MAX: usize = 4;
const PROCESSES: usize = 5;

/// Models, each of which implies those before it.
const MODELS: [&str; 4] = ["read-uncommitted", "read-committed", "serializable", "strict-serializable"];

pub(crate) fn judge(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let workload =
        ["list-append", "rw-register", "closed-predicate"][usize::from(bytes.next().unwrap_or_default() % 3)];
    let text = edn(&mut bytes, workload);
    if text.is_empty() {
        return;
    }
    let options = ReadOptions { workload: Some(workload.to_owned()) };
    let history = match read_any(text.as_bytes(), Some(Format::Edn), &options) {
        Ok(loaded) => loaded.history,
        Err(problems) => panic!("{problems}\n{text}"),
    };
    let mut refuted_by: Option<&str> = None;
    for model in MODELS {
        let asked = Settings { consistency_models: Some(vec![model.to_owned()]), ..Settings::default() };
        let valid = certified(&history, &asked, &text);
        match (valid, refuted_by) {
            (Validity::Invalid, _) => refuted_by = Some(model),
            (Validity::Valid, Some(weaker)) => panic!("{model} holds and {weaker} does not\n{text}"),
            _ => {}
        }
        for settings in [
            Settings { wfr_keys: true, sequential_keys: true, ..asked.clone() },
            Settings { linearizable_keys: true, ..asked.clone() },
        ] {
            certified(&history, &settings, &text);
        }
        drop(isolation::check(&history, &Settings { elle: true, ..asked }));
    }
}

/// The verdict, which what re-checks it does not deny.
fn certified(history: &History, settings: &Settings, text: &str) -> Validity {
    let check = isolation::check(history, settings);
    let Details::Isolation(found) = &check.details else { panic!("another check") };
    let mut certificate = Vec::new();
    if let Err(error) = isolation::write_certificate(history, settings, check.valid, found, &mut certificate) {
        panic!("{error}\n{text}");
    }
    match Certificate::open(&certificate[..]).and_then(|certificate| certificate.verify(history)) {
        Ok(Verification::Holds { valid, .. }) => assert_eq!(valid, check.valid, "{text}"),
        Ok(Verification::Undecided(_)) => {}
        other => panic!("{other:?}\n{}\n{}{text}", check.summary, String::from_utf8_lossy(&certificate)),
    }
    check.valid
}

/// Each process invokes and ends transactions, by turns.
fn edn(bytes: &mut impl Iterator<Item = u8>, workload: &str) -> String {
    let mut text = String::new();
    if workload == "closed-predicate" {
        let rows = rows(bytes);
        for kind in ["invoke", "ok"] {
            let _ = writeln!(text, "{{:type :{kind}, :process {PROCESSES}, :f :init, :value {rows}}}");
        }
    }
    let mut open: BTreeMap<usize, Vec<(bool, u8, u8)>> = BTreeMap::new();
    for _ in 0..EVENTS_MAX {
        let Some(byte) = bytes.next() else { break };
        let process = usize::from(byte) % PROCESSES;
        let mops = match open.remove(&process) {
            Some(mops) => {
                let kind = ["ok", "ok", "ok", "ok", "ok", "info", "fail", "ok"][usize::from(byte) / PROCESSES % 8];
                line(&mut text, kind, process, &mops, workload, bytes);
                continue;
            }
            None => (0..1 + usize::from(byte) / PROCESSES % MOPS_MAX).filter_map(|_| {
                let mop = bytes.next()?;
                Some((mop % 2 == 1, mop / 2 % 3, mop / 6))
            }),
        };
        let mops: Vec<(bool, u8, u8)> = mops.collect();
        line(&mut text, "invoke", process, &mops, workload, bytes);
        open.insert(process, mops);
    }
    text
}

/// An event. What is read is drawn where it ends: of lists, a beginning of the numbers from 1 on, mostly.
fn line(
    text: &mut String,
    kind: &str,
    process: usize,
    mops: &[(bool, u8, u8)],
    workload: &str,
    bytes: &mut impl Iterator<Item = u8>,
) {
    let _ = write!(text, "{{:type :{kind}, :process {process}, :f :txn, :value [");
    for (is_write, key, value) in mops {
        if workload == "closed-predicate" && value % 2 == 1 {
            let _ = match (is_write, value / 2 % 4) {
                (true, _) => write!(text, "[:delete {key}]"),
                (false, of @ 0..2) => write!(text, "[:rp [:= {of}] {}]", rows(bytes)),
                (false, 2) => write!(text, "[:rp [:mod 2 {}] {}]", value / 8 % 2, rows(bytes)),
                _ => write!(text, "[:rp :true {}]", rows(bytes)),
            };
            continue;
        }
        let (word, value) = match (is_write, workload) {
            (true, "list-append") => ("append", value.to_string()),
            (true, _) => ("w", value.to_string()),
            (false, _) if kind == "invoke" => ("r", "nil".to_owned()),
            (false, "rw-register" | "closed-predicate") => (
                "r",
                bytes
                    .next()
                    .filter(|byte| byte % 8 > 0)
                    .map_or_else(|| "nil".to_owned(), |byte| (byte / 6).to_string()),
            ),
            (false, _) => {
                let byte = bytes.next().unwrap_or_default();
                let mut list: Vec<u8> = (0..byte % 6).map(|at| byte / 32 + at).collect();
                if byte % 32 > 28 {
                    list.reverse();
                }
                ("r", format!("{list:?}"))
            }
        };
        let _ = write!(text, "[:{word} {key} {value}]");
    }
    text.push_str("]}\n");
}

/// Rows of the three keys there are.
fn rows(bytes: &mut impl Iterator<Item = u8>) -> String {
    let byte = bytes.next().unwrap_or_default();
    let rows = (0..3).filter(|key| byte >> key & 1 == 1);
    let rows: Vec<String> = rows.map(|key| format!("{key} {}", byte >> (3 + key) & 3)).collect();
    format!("{{{}}}", rows.join(", "))
}
