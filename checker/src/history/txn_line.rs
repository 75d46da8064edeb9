//! Lines of list-append transactions, read the short way.
//!
//! A history of millions of transactions is lines that all look the same, as [`super::write_event`] writes them. Those are
//! read here straight into the micro-operations; any other line, whatever it is, is left to the JSON reader. So this
//! decides nothing: it must only never read a line otherwise than that would.

use std::{cell::RefCell, sync::Arc};

use super::{Event, EventType, F, Process, Value, interned::Words, txns::TxnBuffer};

/// The event on a line, but for its value, which is in `txn`; `None` where the JSON reader must look at it.
pub(super) fn read(line: &[u8], txn: &mut TxnBuffer, strings: &RefCell<Words>) -> Option<Event> {
    let mut rest = Rest(line);
    rest.word(b"{\"index\":")?;
    let index = rest.natural()?;
    rest.word(b",\"time_ns\":")?;
    let time_ns = rest.natural()?;
    rest.word(b",\"process\":")?;
    let process = u32::try_from(rest.natural()?).ok()?;
    rest.word(b",\"type\":\"")?;
    let kinds = [EventType::Invoke, EventType::Ok, EventType::Fail, EventType::Info];
    let kind = kinds.into_iter().find(|kind| rest.word(kind.name().as_bytes()).is_some())?;
    rest.word(b"\",\"f\":\"txn\",\"value\":[")?;
    txn.clear();
    loop {
        rest.mop(txn)?;
        if rest.word(b",").is_none() {
            break;
        }
    }
    rest.word(b"]")?;
    let node = match rest.word(b",\"node\":\"") {
        Some(()) => Some(rest.plain_text(strings)?),
        None => None,
    };
    (rest.0 == b"}").then_some(Event {
        index,
        time_ns,
        process: Process::Client(process),
        kind,
        f: F::Txn,
        value: Value::Nil,
        error: None,
        node,
        is_final: false,
        order: None,
    })
}

/// What is left of a line.
struct Rest<'l>(&'l [u8]);

impl Rest<'_> {
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    /// Digits that are no other number: no zeros before, and few enough to fit.
    fn natural(&mut self) -> Option<u64> {
        const DIGITS_MAX: usize = 18;
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > DIGITS_MAX || (digits > 1 && self.0[0] == b'0') {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        // `1.5` and `1e3` are numbers, too.
        if matches!(rest, [b'.' | b'e' | b'E', ..]) {
            return None;
        }
        self.0 = rest;
        Some(number.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    fn int(&mut self) -> Option<i64> {
        let is_negative = self.word(b"-").is_some();
        let number = self.natural()? as i64;
        // JSON's `-0` is no integer.
        match (is_negative, number) {
            (true, 0) => None,
            (true, number) => Some(-number),
            (false, number) => Some(number),
        }
    }

    fn mop(&mut self, txn: &mut TxnBuffer) -> Option<()> {
        if self.word(b"[\"append\",").is_some() {
            let key = self.int()?;
            self.word(b",")?;
            txn.append(key, self.int()?);
            return self.word(b"]");
        }
        self.word(b"[\"r\",")?;
        let key = self.int()?;
        self.word(b",")?;
        if self.word(b"null]").is_some() {
            txn.read_nil(key);
            return Some(());
        }
        self.word(b"[")?;
        let start = txn.elements_len();
        if self.word(b"]").is_none() {
            loop {
                txn.element(self.int()?);
                if self.word(b",").is_none() {
                    break;
                }
            }
            self.word(b"]")?;
        }
        txn.end_list(key, start);
        self.word(b"]")
    }

    /// The rest of a string without anything to unescape, and its end.
    fn plain_text(&mut self, strings: &RefCell<Words>) -> Option<Arc<str>> {
        let len = self.0.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = self.0.split_at(len);
        if !text.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'\\') {
            return None;
        }
        self.0 = &rest[1..];
        Some(strings.borrow_mut().text(std::str::from_utf8(text).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{MopRef, jsonl, txns::TxnKind};

    /// What the JSON reader makes of a line.
    fn long_way(line: &str) -> Option<(Event, TxnBuffer)> {
        let mut event = jsonl::parse_event(line.as_bytes()).ok()?;
        let value = std::mem::replace(&mut event.value, Value::Nil);
        let mut txn = TxnBuffer::default();
        let mut fits = true;
        let filled = txn.fill(TxnKind::ListAppend, &value, |value| {
            fits &= value.as_int().is_some();
            value.as_int().unwrap_or_default()
        });
        (filled && fits).then_some((event, txn))
    }

    fn mops(txn: &TxnBuffer) -> Vec<MopRef<'_>> {
        txn.mops().collect()
    }

    const START: &str = r#"{"index":7,"time_ns":1200,"process":3,"type":"ok","f":"txn","value":"#;

    #[test]
    fn reads_what_the_json_reader_reads() {
        let values = [
            r#"[["append",1,2]]"#,
            r#"[["append",-1,-200],["r",0,null]]"#,
            r#"[["r",5,[]],["r",5,[1]],["append",5,2],["r",5,[1,2]]]"#,
            r#"[["append",999999999999999999,1]]"#,
        ];
        let ends = ["}", r#","node":"n1"}"#];
        for value in values {
            for end in ends {
                for kind in ["invoke", "ok", "fail", "info"] {
                    let line = format!("{START}{value}{end}").replace("\"ok\"", &format!("\"{kind}\""));
                    let mut txn = TxnBuffer::default();
                    let event = read(line.as_bytes(), &mut txn, &RefCell::default());
                    let (expected, mops_expected) = long_way(&line).expect(&line);
                    assert_eq!(event, Some(expected), "{line}");
                    assert_eq!(mops(&txn), mops(&mops_expected), "{line}");
                }
            }
        }
    }

    /// Every line that differs by a byte or two: read as the JSON reader does, or not at all.
    #[test]
    fn reads_nothing_else() {
        let line = format!(r#"{START}[["append",10,20],["r",3,[1,20]],["r",4,null]],"node":"n1"}}"#);
        let bytes = br#" "[]{},:-.0123e\nulr"#;
        let mut read_short = 0;
        let mut check = |text: &[u8]| {
            let mut txn = TxnBuffer::default();
            let Some(event) = read(text, &mut txn, &RefCell::default()) else { return };
            read_short += 1;
            let text = std::str::from_utf8(text).expect("ASCII");
            let (expected, mops_expected) = long_way(text).expect(text);
            assert_eq!((event, mops(&txn)), (expected, mops(&mops_expected)), "{text}");
        };
        for at in 0..line.len() {
            for byte in bytes {
                let mut other = line.clone().into_bytes();
                other[at] = *byte;
                check(&other);
                let mut other = line.clone().into_bytes();
                other.insert(at, *byte);
                check(&other);
                let mut other = line.clone().into_bytes();
                other.remove(at);
                check(&other);
                check(&line.as_bytes()[..at]);
            }
        }
        assert!(read_short > 100, "{read_short}");
    }

    #[test]
    fn leaves_the_rest_to_the_json_reader() {
        for value in [
            "[]",
            "null",
            r#"[["append",1,1.5]]"#,
            r#"[["append",1,-0]]"#,
            r#"[["append",1,01]]"#,
            r#"[["append",1,9223372036854775808]]"#,
            r#"[ ["append",1,2]]"#,
            r#"[["append",1,"x"]]"#,
            r#"[["w",1,2]]"#,
            r#"[["r",1]]"#,
        ] {
            let line = format!("{START}{value}}}");
            assert_eq!(read(line.as_bytes(), &mut TxnBuffer::default(), &RefCell::default()), None, "{line}");
        }
    }
}
