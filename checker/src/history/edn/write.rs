//! Jepsen's EDN, for its tools: one operation map a line.

use crate::history::{Event, EventType, Mop, Process, Value};

/// Appends one event as a line of EDN.
pub fn write_event_edn(out: &mut Vec<u8>, event: &Event) {
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
    text(out, ", :value ");
    value(out, &event.value);
    if let Some(error) = &event.error {
        text(out, ", :error [");
        keyword(out, &error.class);
        text(out, " ");
        string(out, &error.text);
        text(out, "]");
    }
    if let Some(node) = &event.node {
        text(out, ", :node ");
        string(out, node);
    }
    if event.is_final {
        text(out, ", :final? true");
    }
    debug_assert!(event.process.client().is_some() || event.kind == EventType::Info, "side channels are info");
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
