//! The text that Plume reads, and PolySI, IsoVista and AWDIT with it: one operation a line, `r(key,value,session,txn)` or
//! `w(key,value,session,txn)`, all natural numbers.
//!
//! Operations with one transaction number are one transaction, wherever their lines stand; the numbers are those of
//! the file and not of the session. A session's transactions follow each other as they begin in the file. Transaction
//! -1 stands for any that was aborted: which of its operations belong together is not told, so each is a transaction of
//! its own here. Value 0 is what a key holds at first. (Liu, Gu, Wei & Basin 2024; the rules are those of its reader.)

use std::io::{BufRead, Read as _};

use rustc_hash::FxHashMap;

use super::{
    Loaded, Problem, Problems, Value,
    foreign::Foreign,
    sessions::{RwOp, RwTxn, Sessions, Zero},
};

/// A line longer than this holds no operation.
const LINE_BYTES_MAX: u64 = 1 << 10;

pub(super) fn read(mut reader: impl BufRead, foreign: Foreign) -> Result<Loaded, Problems> {
    let mut sessions = Sessions::new(foreign);
    let mut by_number: FxHashMap<u64, usize> = FxHashMap::default();
    let mut warnings = Vec::new();
    let mut text = Vec::new();
    let mut number = 0;
    for line in 1_u64.. {
        text.clear();
        let problem = |column: Option<u64>, message: String| Problem {
            line: Some(line),
            column,
            event_index: Some(number),
            message,
        };
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut text) {
            Ok(0) => break,
            Ok(bytes) if bytes as u64 == LINE_BYTES_MAX && text.last() != Some(&b'\n') => {
                sessions.problem(problem(None, format!("longer than {LINE_BYTES_MAX} bytes: no operation")));
                break;
            }
            Ok(_) => {}
            Err(error) => {
                sessions.problem(problem(None, format!("cannot be read: {error}")));
                break;
            }
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match operation(&text) {
            Ok(op) => {
                if let Err(message) = add(&mut sessions, &mut by_number, &op, line, number) {
                    sessions.problem(problem(None, message));
                }
            }
            Err(_) if text.last() != Some(&b'\n') => {
                warnings.push(format!("line {line} is cut off and was left out: the file was not written to its end"));
            }
            Err((column, message)) => sessions.problem(problem(Some(column), message)),
        }
        number += 1;
    }
    sessions.finish(Zero::Initial, warnings)
}

/// What a line says.
struct Line {
    writes: bool,
    key: i64,
    value: i64,
    session: u64,
    /// `None`: aborted.
    txn: Option<u64>,
}

fn add(
    sessions: &mut Sessions,
    by_number: &mut FxHashMap<u64, usize>,
    line: &Line,
    at: u64,
    number: u64,
) -> Result<(), String> {
    let (key, value) = (Value::Int(line.key), Value::Int(line.value));
    let op = RwOp { writes: line.writes, key, value, number, line: Some(at) };
    let known = line.txn.and_then(|txn| by_number.get(&txn)).and_then(|at| sessions.txn(*at));
    if let Some(txn) = known {
        if txn.session != line.session {
            return Err(format!(
                "transaction {} is of session {}, and not of {}",
                line.txn.unwrap_or_default(),
                txn.session,
                line.session
            ));
        }
        txn.ops.push(op);
        return Ok(());
    }
    if u32::try_from(line.session).is_err() {
        return Err(format!("{} is no session number: they are from 0 to {}", line.session, u32::MAX));
    }
    let new = sessions.push(RwTxn { session: line.session, ops: vec![op], is_committed: line.txn.is_some() });
    if let Some(txn) = line.txn {
        by_number.insert(txn, new);
    }
    Ok(())
}

/// `r(1,2,3,4)`; else the column, from 1, and what is wrong there.
fn operation(text: &[u8]) -> Result<Line, (u64, String)> {
    let mut rest = Rest { text, at: 0 };
    let writes = match rest.peek() {
        Some(b'r') => false,
        Some(b'w') => true,
        _ => return Err(rest.expected("r(key,value,session,txn) or w(key,value,session,txn)")),
    };
    rest.at += 1;
    rest.pass(b'(')?;
    let key = rest.number()?;
    rest.pass(b',')?;
    let value = rest.number()?;
    rest.pass(b',')?;
    let session = rest.number()?.unsigned_abs();
    rest.pass(b',')?;
    let txn = if rest.peek() == Some(b'-') {
        let start = rest.at;
        rest.at += 1;
        if rest.number()? != 1 {
            let message = "a transaction's number is a natural one, or -1: aborted";
            return Err((start as u64 + 1, message.into()));
        }
        None
    } else {
        Some(rest.number()?.unsigned_abs())
    };
    rest.pass(b')')?;
    if rest.peek().is_some() {
        return Err(rest.expected("the end of the line"));
    }
    Ok(Line { writes, key, value, session, txn })
}

/// What is left of a line.
struct Rest<'t> {
    text: &'t [u8],
    at: usize,
}

impl Rest<'_> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn pass(&mut self, byte: u8) -> Result<(), (u64, String)> {
        if self.peek() != Some(byte) {
            return Err(self.expected(&format!("`{}`", char::from(byte))));
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<i64, (u64, String)> {
        self.peek();
        let start = self.at;
        let digits = self.text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.expected("a natural number"));
        }
        self.at += digits;
        let number = self.text[start..self.at]
            .iter()
            .try_fold(0_i64, |number, digit| number.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
        number.ok_or_else(|| (start as u64 + 1, "a number that does not fit into 63 bits".into()))
    }

    fn expected(&self, what: &str) -> (u64, String) {
        (self.at as u64 + 1, format!("expected {what}"))
    }
}
