//! The native format: a header and then one event a line, as JSON. `docs/history-format.md` describes it.
//!
//! Written by hand, without allocation: the loop that records a run writes each event as it happens. Read line by
//! line; a line cut off at the end of the file, as a crash leaves it, is a warning and not a problem.

use std::{
    cell::RefCell,
    fmt,
    io::{BufRead, Read as _},
    sync::Arc,
};

use serde::{
    Deserialize, Serialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Event, EventType, F, Header, History, HistoryBuilder, Mop, OpError, Problem, Problems, Process, Value,
    interned::Words,
    txn_line,
    txns::{TxnBuffer, TxnKind},
    value::Item,
};

/// A line longer than this is refused: it is a file of another kind.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Appends the header's line.
pub fn write_header(out: &mut Vec<u8>, header: &Header) {
    // Strings and integers under string keys cannot fail to serialise.
    if let Ok(text) = serde_json::to_string(header) {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'\n');
}

/// The header's line of a whole history: of one that another tool recorded it says so.
pub(super) fn write_header_of(out: &mut Vec<u8>, history: &History) {
    if !history.is_foreign() {
        return write_header(out, history.header());
    }
    let origin = Origin {
        keyed: history.is_keyed(),
        names_processes: history.names_processes(),
        real_time: history.has_real_time(),
        symbols: history.symbols().iter().map(ToString::to_string).collect(),
    };
    let line = FirstLine { header: history.header().clone(), origin: Some(origin) };
    if let Ok(text) = serde_json::to_string(&line) {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'\n');
}

#[derive(Serialize, Deserialize)]
struct FirstLine {
    #[serde(flatten)]
    header: Header,
    /// Of a history that another tool recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

/// What is to be known of a history that another tool recorded.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Origin {
    /// [`History::is_keyed`]
    keyed: bool,
    /// [`History::names_processes`]
    names_processes: bool,
    /// [`History::has_real_time`]
    real_time: bool,
    /// Keys and values that are no integers: the first stands behind the least integer, and so on.
    symbols: Vec<String>,
}

impl Origin {
    /// Gives what is wrong with it.
    fn tell(self, builder: &mut HistoryBuilder) -> Option<String> {
        builder.set_foreign();
        builder.set_keyed(self.keyed);
        if !self.names_processes {
            builder.set_nameless();
        }
        if !self.real_time {
            builder.set_timeless();
        }
        let twice = self.symbols.iter().zip(i64::MIN..).find(|(text, number)| builder.symbol(text) != *number);
        twice.map(|(text, _)| format!("malformed header: the symbol {text:?} twice"))
    }
}

/// Appends one event's line.
pub fn write_event(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(b"{\"index\":");
    write_int(out, event.index);
    out.extend_from_slice(b",\"time_ns\":");
    write_int(out, event.time_ns);
    out.extend_from_slice(b",\"process\":");
    match event.process {
        Process::Client(number) => write_int(out, number),
        Process::Nemesis => out.extend_from_slice(b"\"nemesis\""),
        Process::Monitor => out.extend_from_slice(b"\"monitor\""),
        Process::Harness => out.extend_from_slice(b"\"schism\""),
    }
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(event.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"f\":");
    write_string(out, event.f.name());
    out.extend_from_slice(b",\"value\":");
    write_value(out, &event.value);
    if let Some(error) = &event.error {
        out.extend_from_slice(b",\"error\":{\"class\":");
        write_string(out, &error.class);
        out.extend_from_slice(b",\"text\":");
        write_string(out, &error.text);
        out.push(b'}');
    }
    if let Some(node) = &event.node {
        out.extend_from_slice(b",\"node\":");
        write_string(out, node);
    }
    if event.is_final {
        out.extend_from_slice(b",\"final\":true");
    }
    if let Some(order) = event.order {
        out.extend_from_slice(b",\"order\":");
        write_int(out, order);
    }
    out.extend_from_slice(b"}\n");
}

fn write_int(out: &mut Vec<u8>, int: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

fn write_ints(out: &mut Vec<u8>, ints: &[i64]) {
    out.push(b'[');
    for (at, int) in ints.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_int(out, *int);
    }
    out.push(b']');
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=31 => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Int(int) => write_int(out, *int),
        Value::Pair(first, second) => write_ints(out, &[i64::from(*first), *second]),
        Value::Ints(ints) => write_ints(out, ints),
        Value::KeyedPair(triple) => {
            out.push(b'[');
            write_int(out, triple.0);
            out.push(b',');
            write_ints(out, &[triple.1, triple.2]);
            out.push(b']');
        }
        Value::Txn(mops) => {
            out.push(b'[');
            for (at, mop) in mops.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_mop(out, mop);
            }
            out.push(b']');
        }
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Other(json) => {
            // Writing to a vector cannot fail.
            let _ = serde_json::to_writer(out, json);
        }
    }
}

fn write_mop(out: &mut Vec<u8>, mop: &Mop) {
    match mop {
        Mop::Append { key, element } => {
            out.extend_from_slice(b"[\"append\",");
            write_int(out, *key);
            out.push(b',');
            write_int(out, *element);
        }
        Mop::Read { key, list } => {
            out.extend_from_slice(b"[\"r\",");
            write_int(out, *key);
            out.push(b',');
            match list {
                Some(list) => write_ints(out, list),
                None => out.extend_from_slice(b"null"),
            }
        }
    }
    out.push(b']');
}

/// How to read a file that does not say everything itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// The workload, for a file without a header; the header's own is ignored if this is set.
    pub workload: Option<String>,
}

/// A history as read from a file.
#[derive(Debug)]
pub struct Loaded {
    /// The history.
    pub history: History,
    /// What a person should know, though it does not hinder judgement: a truncated last line.
    pub warnings: Vec<String>,
}

/// Reads a history in the native format.
pub fn read(reader: impl BufRead, options: &ReadOptions) -> Result<Loaded, Problems> {
    read_with(reader, options, false)
}

/// `keep`: every event, for those who write it down again.
pub(super) fn read_with(mut reader: impl BufRead, options: &ReadOptions, keep: bool) -> Result<Loaded, Problems> {
    let strings = RefCell::default();
    let mut builder: Option<HistoryBuilder> = None;
    let mut warnings = Vec::new();
    let mut problems = Problems::default();
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut reads_txns = false;
    let mut txn = TxnBuffer::default();
    loop {
        line.clear();
        number += 1;
        let place = |message: String| Problem { line: Some(number), column: None, event_index: None, message };
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(bytes) if bytes as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') => {
                problems.push(place(format!("longer than {LINE_BYTES_MAX} bytes: not a history")));
                break;
            }
            Ok(_) => {}
            Err(error) => {
                problems.push(place(format!("cannot be read: {error}")));
                break;
            }
        }
        let whole = line.last() == Some(&b'\n');
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let Some(builder) = &mut builder else {
            match first_line(text, number, options, &strings, keep) {
                Ok((started, header_problem)) => {
                    // Those who keep events keep values as they were written.
                    reads_txns = !keep && started.txn_kind() == Some(TxnKind::ListAppend);
                    builder = Some(started);
                    if let Some(problem) = header_problem {
                        problems.push(problem);
                    }
                }
                Err(problem) => {
                    problems.push(problem);
                    // Without a header nothing that follows can be told right from wrong.
                    break;
                }
            }
            continue;
        };
        if reads_txns && let Some(event) = txn_line::read(text, &mut txn, &strings) {
            builder.push_txn(event, Some(&txn), Some(number));
            continue;
        }
        match parse(text, &strings) {
            Ok(event) => builder.push_from(event, Some(number)),
            Err(_) if !whole => {
                warnings
                    .push(format!("line {number} is cut off and was left out: the file was not written to its end"));
            }
            Err(mut problem) => {
                problem.line = Some(number);
                builder.note(problem);
            }
        }
    }
    let Some(builder) = builder else {
        if problems.is_empty() {
            let message = "the file is empty: no header".into();
            problems.push(Problem { line: Some(1), column: None, event_index: None, message });
        }
        return Err(problems);
    };
    let (history, of_events) = builder.finish_lenient();
    problems.append(of_events);
    if problems.is_empty() { Ok(Loaded { history, warnings }) } else { Err(problems) }
}

/// The header, or the first event where the options stand in for a header.
fn first_line(
    text: &[u8],
    number: u64,
    options: &ReadOptions,
    strings: &RefCell<Words>,
    keep: bool,
) -> Result<(HistoryBuilder, Option<Problem>), Problem> {
    let place = |message: String| Problem { line: Some(number), column: None, event_index: None, message };
    let is_header = memchr::memmem::find(text, b"\"schism-history\"").is_some();
    if is_header {
        return match serde_json::from_slice::<FirstLine>(text) {
            Ok(FirstLine { mut header, origin }) => {
                if let Some(workload) = &options.workload {
                    header.workload.clone_from(workload);
                }
                let mut builder = HistoryBuilder::new(header);
                if keep {
                    builder.keep_events();
                }
                let problem = origin.and_then(|origin| origin.tell(&mut builder)).map(place);
                Ok((builder, problem))
            }
            Err(error) => Err(place(format!("malformed header: {}", without_place(&error.to_string())))),
        };
    }
    let Some(workload) = &options.workload else {
        return Err(place("no header: the first line must hold \"schism-history\" (or name the workload)".into()));
    };
    let mut builder = HistoryBuilder::new(Header {
        schism_history: Header::VERSION,
        workload: workload.clone(),
        target: String::new(),
        seed: 0,
        clients: 0,
        nodes: Vec::new(),
        consistency_models: Vec::new(),
    });
    if keep {
        builder.keep_events();
    }
    match parse(text, strings) {
        Ok(event) => {
            builder.push_from(event, Some(number));
            Ok((builder, None))
        }
        Err(mut problem) => {
            problem.line = Some(number);
            Ok((builder, Some(problem)))
        }
    }
}

/// Reads one event from its line.
pub fn parse_event(line: &[u8]) -> Result<Event, Problem> {
    parse(line, &RefCell::default())
}

fn parse(line: &[u8], strings: &RefCell<Words>) -> Result<Event, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let event = EventSeed { strings }.deserialize(&mut deserializer);
    event.and_then(|event| deserializer.end().map(|()| event)).map_err(|error| Problem {
        line: None,
        column: (error.column() > 0).then_some(error.column() as u64),
        event_index: None,
        message: without_place(&error.to_string()).to_owned(),
    })
}

/// serde_json ends its messages with `at line 1 column 5`; the line is always 1 here, and the column is told apart.
pub(super) fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

#[derive(Clone, Copy)]
struct EventSeed<'s> {
    strings: &'s RefCell<Words>,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Event, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Event;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event: an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let (mut index, mut time_ns, mut process, mut kind, mut f) = (None, None, None, None, None);
        let (mut value, mut error, mut node, mut is_final, mut order) = (None, None, None, None, None);
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let twice = match name {
                Name::Index => index.replace(map.next_value::<u64>()?).is_some(),
                Name::Time => time_ns.replace(map.next_value::<u64>()?).is_some(),
                Name::Process => process.replace(map.next_value_seed(ProcessSeed)?).is_some(),
                Name::Type => kind.replace(map.next_value_seed(TypeSeed)?).is_some(),
                Name::F => f.replace(map.next_value_seed(FSeed)?).is_some(),
                Name::Value => value.replace(map.next_value_seed(ItemSeed)?).is_some(),
                Name::Error => error.replace(map.next_value_seed(ErrorSeed { strings: self.strings })?).is_some(),
                Name::Node => node.replace(map.next_value_seed(TextSeed { strings: self.strings })?).is_some(),
                Name::Final => is_final.replace(map.next_value::<bool>()?).is_some(),
                Name::Order => order.replace(map.next_value::<i64>()?).is_some(),
                Name::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if twice {
                return Err(A::Error::custom(format!("{} twice", name.text())));
            }
        }
        Ok(Event {
            index: index.ok_or_else(|| A::Error::missing_field("index"))?,
            time_ns: time_ns.ok_or_else(|| A::Error::missing_field("time_ns"))?,
            process: process.ok_or_else(|| A::Error::missing_field("process"))?,
            kind: kind.ok_or_else(|| A::Error::missing_field("type"))?,
            f: f.ok_or_else(|| A::Error::missing_field("f"))?,
            value: value.map_or(Value::Nil, Item::into_value),
            error: error.flatten(),
            node: node.flatten(),
            is_final: is_final.unwrap_or(false),
            order,
        })
    }
}

#[derive(Clone, Copy)]
enum Name {
    Index,
    Time,
    Process,
    Type,
    F,
    Value,
    Error,
    Node,
    Final,
    Order,
    Unknown,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Time => "time_ns",
            Self::Process => "process",
            Self::Type => "type",
            Self::F => "f",
            Self::Value => "value",
            Self::Error => "error",
            Self::Node => "node",
            Self::Final => "final",
            Self::Order => "order",
            Self::Unknown => "?",
        }
    }
}

/// Implements a seed that accepts strings, and what else is given.
macro_rules! seed {
    ($seed:ident $(<$life:lifetime>)?, $value:ty, $expecting:literal, { $($visit:item)* }) => {
        impl<'de> DeserializeSeed<'de> for $seed $(<$life>)? {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $seed $(<$life>)? {
            type Value = $value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str($expecting)
            }

            $($visit)*
        }
    };
}

struct NameSeed;
seed!(NameSeed, Name, "a field's name", {
    fn visit_str<E>(self, text: &str) -> Result<Name, E> {
        Ok(match text {
            "index" => Name::Index,
            "time_ns" => Name::Time,
            "process" => Name::Process,
            "type" => Name::Type,
            "f" => Name::F,
            "value" => Name::Value,
            "error" => Name::Error,
            "node" => Name::Node,
            "final" => Name::Final,
            "order" => Name::Order,
            _ => Name::Unknown,
        })
    }
});

struct ProcessSeed;
seed!(ProcessSeed, Process, "a process number, \"nemesis\", \"monitor\" or \"schism\"", {
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Process, E> {
        let too_large = |_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self);
        u32::try_from(number).map(Process::Client).map_err(too_large)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Process, E> {
        match text {
            "nemesis" => Ok(Process::Nemesis),
            "monitor" => Ok(Process::Monitor),
            "schism" => Ok(Process::Harness),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
});

struct TypeSeed;
seed!(TypeSeed, EventType, "\"invoke\", \"ok\", \"fail\" or \"info\"", {
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EventType, E> {
        match text {
            "invoke" => Ok(EventType::Invoke),
            "ok" => Ok(EventType::Ok),
            "fail" => Ok(EventType::Fail),
            "info" => Ok(EventType::Info),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
});

struct FSeed;
seed!(FSeed, F, "the name of a function", {
    fn visit_str<E>(self, text: &str) -> Result<F, E> {
        Ok(F::from_name(text))
    }
});

struct TextSeed<'s> {
    strings: &'s RefCell<Words>,
}
seed!(TextSeed<'_>, Option<Arc<str>>, "a string or null", {
    fn visit_str<E>(self, text: &str) -> Result<Option<Arc<str>>, E> {
        Ok(Some(self.strings.borrow_mut().text(text)))
    }

    fn visit_unit<E>(self) -> Result<Option<Arc<str>>, E> {
        Ok(None)
    }
});

struct ErrorSeed<'s> {
    strings: &'s RefCell<Words>,
}
seed!(ErrorSeed<'_>, Option<OpError>, "an error: {\"class\": …, \"text\": …}, a string or null", {
    fn visit_unit<E>(self) -> Result<Option<OpError>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, class: &str) -> Result<Option<OpError>, E> {
        let mut strings = self.strings.borrow_mut();
        Ok(Some(OpError { class: strings.text(class), text: strings.text("") }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<OpError>, A::Error> {
        let (mut class, mut text) = (None, None);
        while let Some(name) = map.next_key_seed(TextSeed { strings: self.strings })? {
            match name.as_deref() {
                Some("class") => class = map.next_value_seed(TextSeed { strings: self.strings })?,
                Some("text") => text = map.next_value_seed(TextSeed { strings: self.strings })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let class = class.ok_or_else(|| A::Error::missing_field("class"))?;
        Ok(Some(OpError { class, text: text.unwrap_or_else(|| "".into()) }))
    }
});

struct ItemSeed;
seed!(ItemSeed, Item, "a value", {
    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Value(Value::Nil))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Item, E> {
        Ok(Item::Value(Value::Int(int)))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Item, E> {
        Ok(Item::Value(match i64::try_from(int) {
            Ok(int) => Value::Int(int),
            Err(_) => Value::Other(Box::new(int.into())),
        }))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Item, E> {
        Ok(Item::Value(Value::Other(Box::new(float.into()))))
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Item, E> {
        Ok(Item::Value(Value::Other(Box::new(bool.into()))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(match text {
            "append" => Item::Word("append"),
            "r" => Item::Word("r"),
            other => Item::Value(Value::Other(Box::new(other.into()))),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            object.insert(name, value);
        }
        Ok(Item::Value(Value::Other(Box::new(serde_json::Value::Object(object)))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let mut ints: Vec<i64> = Vec::new();
        let mut items: Vec<Item> = Vec::new();
        while let Some(item) = list.next_element_seed(ItemSeed)? {
            match item {
                Item::Value(Value::Int(int)) if items.is_empty() => ints.push(int),
                item => {
                    if items.is_empty() {
                        items.extend(ints.drain(..).map(|int| Item::Value(Value::Int(int))));
                    }
                    items.push(item);
                }
            }
        }
        if items.is_empty() {
            ints.shrink_to_fit();
            return Ok(Item::Value(Value::ints(ints)));
        }
        Ok(Item::from_list(items))
    }
});
