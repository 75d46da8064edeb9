//! Jepsen's EDN, for its tools: one operation map a line.

use serde_json::Value as Json;

use super::scan::is_delimiter;
use crate::history::{Event, EventType, F, History, Mop, Process, TxnKind, Value, plain};

/// Appends one event of a closed-predicate history as Elle reads it.
pub(in crate::history) fn write_rows_event_edn(out: &mut Vec<u8>, event: &Event, history: &History) {
    beginning(out, event);
    text(out, ", :value ");
    let mut json = event.value.to_json();
    spell(&mut json, history);
    of_universe(out, &json, event.f.name() == TxnKind::INIT);
    error(out, event);
    end(out, event);
}

/// `[universe [mop …]]` or `[mop …]`; of what a universe begins with, a map of its rows in the place of the list.
fn of_universe(out: &mut Vec<u8>, of: &Json, is_init: bool) {
    match of.as_array().map(Vec::as_slice) {
        Some([universe, mops @ Json::Array(_)]) if !universe.is_array() => {
            text(out, "[");
            foreign(out, universe, false);
            text(out, " ");
            of_universe(out, mops, is_init);
            text(out, "]");
        }
        Some(mops) if is_init => {
            let row = |mop: &Json| Some(Json::Array(mop.as_array()?.get(1..)?.to_vec()));
            rows(out, &mops.iter().filter_map(row).collect::<Vec<_>>());
        }
        Some(mops) => vector(out, mops, |out, mop| match mop.as_array().map(Vec::as_slice) {
            Some([Json::String(name), asked, got]) if name == "rp" => {
                text(out, "[:rp ");
                match asked {
                    Json::String(word) => keyword(out, word),
                    other => predicate(out, other),
                }
                text(out, " ");
                match got {
                    Json::Array(got) => rows(out, got),
                    other => foreign(out, other, false),
                }
                text(out, "]");
            }
            Some([Json::String(name), arguments @ ..]) => {
                text(out, "[");
                keyword(out, name);
                for argument in arguments {
                    text(out, " ");
                    foreign(out, argument, false);
                }
                text(out, "]");
            }
            _ => foreign(out, mop, false),
        }),
        None => foreign(out, of, false),
    }
}

/// `[:mod 2 1]`; `:=` is a keyword, though most others begin with a letter.
fn predicate(out: &mut Vec<u8>, of: &Json) {
    let parts = of.as_array().map_or(&[][..], Vec::as_slice);
    vector(out, parts, |out, part| match part {
        Json::String(name) => {
            text(out, ":");
            text(out, name);
        }
        other => foreign(out, other, false),
    });
}

/// `{key value, …}`
fn rows(out: &mut Vec<u8>, rows: &[Json]) {
    text(out, "{");
    for (at, row) in rows.iter().filter_map(Json::as_array).enumerate() {
        if at > 0 {
            text(out, ", ");
        }
        for (at, part) in row.iter().enumerate() {
            if at > 0 {
                text(out, " ");
            }
            foreign(out, part, false);
        }
    }
    text(out, "}");
}

/// Appends one event as a line of EDN.
pub fn write_event_edn(out: &mut Vec<u8>, event: &Event) {
    beginning(out, event);
    text(out, ", :value ");
    value(out, &event.value);
    error(out, event);
    end(out, event);
    debug_assert!(event.process.client().is_some() || event.kind == EventType::Info, "side channels are info");
}

/// Appends one event of another tool's history, as that tool may have written it: keys only where there were some,
/// keywords as keywords, and everything that has a number here by its text.
pub(in crate::history) fn write_foreign_event_edn(out: &mut Vec<u8>, event: &Event, history: &History) {
    beginning(out, event);
    text(out, ", :value ");
    let mut json = event.value.to_json();
    let is_register = matches!(&*history.header().workload, "register" | "cas-register");
    if is_register && !history.is_keyed() && event.process.client().is_some() && json.is_array() {
        json = json.get_mut(1).map(Json::take).unwrap_or_default();
    }
    spell(&mut json, history);
    match &json {
        // Balances are held as pairs.
        Json::Array(pairs) if history.header().workload == "bank" && event.f == F::Read => {
            text(out, "{");
            for pair in pairs.iter().filter_map(Json::as_array) {
                pair.iter().for_each(|part| {
                    foreign(out, part, false);
                    text(out, " ");
                });
            }
            text(out, "}");
        }
        _ => foreign(out, &json, event.f == F::Txn),
    }
    if let Some(error) = &event.error {
        text(out, ", :error ");
        foreign(out, &unspelled(&error.class), false);
    }
    if !history.has_real_time() {
        text(out, ", :real-time? false");
    }
    end(out, event);
}

/// Numbers that stand for texts as what they stand for.
fn spell(json: &mut Json, history: &History) {
    match json {
        Json::Number(number) => {
            if let Some(number) = number.as_i64().filter(|number| history.is_symbol(*number)) {
                *json = unspelled(&history.spell(number));
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| spell(item, history)),
        _ => {}
    }
}

/// What was spelled so when it was read: a list, a map, a fraction, true or false, else a word.
fn unspelled(spelled: &str) -> Json {
    let word = || Json::String(spelled.to_owned());
    match serde_json::from_str(spelled) {
        Ok(Json::Number(number)) if number.is_f64() && !spelled.contains(['.', 'e', 'E']) => word(),
        Ok(Json::Null | Json::String(_)) | Err(_) => word(),
        Ok(json) => json,
    }
}

/// A value whose strings are words: keywords with their colon, strings in quotes of their own where they would be taken
/// for something else.
fn foreign(out: &mut Vec<u8>, of: &Json, is_txn: bool) {
    match of {
        Json::Array(items) => vector(out, items, |out, item| match (is_txn, item.as_array().map(Vec::as_slice)) {
            (true, Some([Json::String(f), arguments @ ..])) => {
                text(out, "[");
                // JSON has no keywords.
                match f.as_str() {
                    "append" | "r" | "w" | "read" | "write" => keyword(out, f),
                    f => word(out, f),
                }
                for argument in arguments {
                    text(out, " ");
                    foreign(out, argument, false);
                }
                text(out, "]");
            }
            _ => foreign(out, item, false),
        }),
        Json::String(of) => word(out, of),
        Json::Object(object) => {
            text(out, "{");
            for (at, (name, item)) in object.iter().enumerate() {
                if at > 0 {
                    text(out, ", ");
                }
                if name.starts_with(['"', '-', '+']) || name.starts_with(|letter: char| letter.is_ascii_digit()) {
                    word(out, name);
                } else {
                    keyword(out, name);
                }
                text(out, " ");
                foreign(out, item, false);
            }
            text(out, "}");
        }
        other => json(out, other),
    }
}

fn word(out: &mut Vec<u8>, word: &str) {
    let digits = word.trim_start_matches(['+', '-']);
    let is_token = !word.bytes().any(is_delimiter);
    if is_token && word.len() > 1 && word.starts_with(':')
        || is_token && digits.starts_with(|letter: char| letter.is_ascii_digit())
    {
        return text(out, word);
    }
    let mut letters = word.chars();
    if let (Some('\\'), Some(letter), None) = (letters.next(), letters.next(), letters.next()) {
        text(out, "\\");
        return match letter {
            '\n' => text(out, "newline"),
            '\r' => text(out, "return"),
            ' ' => text(out, "space"),
            '\t' => text(out, "tab"),
            letter => text(out, letter.encode_utf8(&mut [0; 4])),
        };
    }
    string(out, &plain(word));
}

fn beginning(out: &mut Vec<u8>, event: &Event) {
    text(out, "{:index ");
    int(out, event.index);
    text(out, ", :time ");
    int(out, event.time_ns);
    text(out, ", :type :");
    text(out, event.kind.name());
    text(out, ", :process ");
    match event.process {
        Process::Client(number) => int(out, number),
        Process::Nemesis => text(out, ":nemesis"),
        Process::Monitor => text(out, ":monitor"),
        Process::Harness => text(out, ":schism"),
    }
    text(out, ", :f ");
    keyword(out, event.f.name());
}

fn error(out: &mut Vec<u8>, event: &Event) {
    if let Some(error) = &event.error {
        text(out, ", :error [");
        keyword(out, &error.class);
        text(out, " ");
        string(out, &error.text);
        text(out, "]");
    }
}

fn end(out: &mut Vec<u8>, event: &Event) {
    if let Some(node) = &event.node {
        text(out, ", :node ");
        string(out, node);
    }
    if event.is_final {
        text(out, ", :final? true");
    }
    if let Some(order) = event.order {
        text(out, ", :order ");
        int(out, order);
    }
    text(out, "}\n");
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn int(out: &mut Vec<u8>, int: impl itoa::Integer) {
    text(out, itoa::Buffer::new().format(int));
}

/// `:word`, or a string where the word is none that EDN's readers accept after a colon (`40001`, `a b`, ``).
fn keyword(out: &mut Vec<u8>, word: &str) {
    let mut bytes = word.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || b"_*!?".contains(&byte));
    if starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_*!?.+".contains(&byte)) {
        text(out, ":");
        text(out, word);
    } else {
        string(out, word);
    }
}

fn string(out: &mut Vec<u8>, content: &str) {
    out.push(b'"');
    for byte in content.bytes() {
        match byte {
            b'"' => text(out, "\\\""),
            b'\\' => text(out, "\\\\"),
            b'\n' => text(out, "\\n"),
            b'\r' => text(out, "\\r"),
            b'\t' => text(out, "\\t"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// `[a b c]`.
fn vector<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        write(out, item);
    }
    out.push(b']');
}

fn ints(out: &mut Vec<u8>, list: &[i64]) {
    vector(out, list, |out, item| int(out, *item));
}

fn value(out: &mut Vec<u8>, of: &Value) {
    match of {
        Value::Nil => text(out, "nil"),
        Value::Int(number) => int(out, *number),
        Value::Pair(first, second) => ints(out, &[i64::from(*first), *second]),
        Value::Ints(list) => ints(out, list),
        Value::KeyedPair(triple) => {
            text(out, "[");
            int(out, triple.0);
            text(out, " ");
            ints(out, &[triple.1, triple.2]);
            text(out, "]");
        }
        Value::Txn(mops) => vector(out, mops, mop),
        Value::List(items) => vector(out, items, value),
        Value::Other(other) => json(out, other),
    }
}

fn mop(out: &mut Vec<u8>, mop: &Mop) {
    match mop {
        Mop::Append { key, element } => {
            text(out, "[:append ");
            int(out, *key);
            text(out, " ");
            int(out, *element);
        }
        Mop::Read { key, list } => {
            text(out, "[:r ");
            int(out, *key);
            text(out, " ");
            match list {
                Some(list) => ints(out, list),
                None => text(out, "nil"),
            }
        }
    }
    text(out, "]");
}

fn json(out: &mut Vec<u8>, of: &serde_json::Value) {
    match of {
        serde_json::Value::Null => text(out, "nil"),
        serde_json::Value::Bool(bool) => text(out, if *bool { "true" } else { "false" }),
        serde_json::Value::Number(number) => text(out, &number.to_string()),
        serde_json::Value::String(content) => string(out, content),
        serde_json::Value::Array(items) => vector(out, items, json),
        serde_json::Value::Object(object) => {
            text(out, "{");
            for (at, (name, item)) in object.iter().enumerate() {
                if at > 0 {
                    text(out, ", ");
                }
                keyword(out, name);
                text(out, " ");
                json(out, item);
            }
            text(out, "}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::parse_event;

    fn edn(line: &str) -> String {
        let mut out = Vec::new();
        write_event_edn(&mut out, &parse_event(line.as_bytes()).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_jepsen_writes_it() {
        let table = [
            (
                r#"{"index":0,"time_ns":123,"process":0,"type":"invoke","f":"add","value":5,"node":"n1"}"#,
                r#"{:index 0, :time 123, :type :invoke, :process 0, :f :add, :value 5, :node "n1"}"#,
            ),
            (
                r#"{"index":1,"time_ns":2,"process":3,"type":"ok","f":"txn","value":[["append",1,2],["r",1,[1,2]],["r",2,null]]}"#,
                "{:index 1, :time 2, :type :ok, :process 3, :f :txn, :value [[:append 1 2] [:r 1 [1 2]] [:r 2 nil]]}",
            ),
            (
                r#"{"index":2,"time_ns":2,"process":3,"type":"info","f":"cas","value":[1,[2,3]],"error":{"class":"timeout","text":"a \"b\"\n"}}"#,
                r#"{:index 2, :time 2, :type :info, :process 3, :f :cas, :value [1 [2 3]], :error [:timeout "a \"b\"\n"]}"#,
            ),
            (
                r#"{"index":3,"time_ns":2,"process":3,"type":"fail","f":"read","value":[1,null],"error":{"class":"40001","text":""},"final":true}"#,
                r#"{:index 3, :time 2, :type :fail, :process 3, :f :read, :value [1 nil], :error ["40001" ""], :final? true}"#,
            ),
            (
                r#"{"index":4,"time_ns":2,"process":"nemesis","type":"info","f":"partition","value":{"id":0,"victims":["n1"],"effective-ns":null,"a b":1.5,"c":true}}"#,
                r#"{:index 4, :time 2, :type :info, :process :nemesis, :f :partition, :value {:id 0, :victims ["n1"], :effective-ns nil, "a b" 1.5, :c true}}"#,
            ),
            (
                r#"{"index":5,"time_ns":2,"process":"schism","type":"info","f":"phase","value":["append",[],{"x":[]}]}"#,
                r#"{:index 5, :time 2, :type :info, :process :schism, :f :phase, :value ["append" [] {:x []}]}"#,
            ),
        ];
        for (json, expected) in table {
            assert_eq!(edn(json), format!("{expected}\n"));
        }
    }
}
