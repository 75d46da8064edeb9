//! Constructors and accessors of [`Value`]: canonical by shape, read by meaning.

use std::borrow::Cow;

use super::{Mop, Value};

// A history of millions of operations holds one each.
const _: () = assert!(size_of::<Value>() == 16);

impl Value {
    /// A list of integers: a set as it was read. Two integers of which the first is small become [`Value::Pair`],
    /// as they would when read from a file, where nothing tells a set of two from a keyed value.
    #[must_use]
    pub fn ints(ints: Vec<i64>) -> Self {
        if let [first, second] = ints[..]
            && let Ok(first) = i32::try_from(first)
        {
            return Self::Pair(first, second);
        }
        Self::Ints(Box::new(ints))
    }

    /// `[key, value]`; `None` is `[key, null]`: a read before it is answered, or of a register never written.
    #[must_use]
    pub fn keyed(key: i64, value: Option<i64>) -> Self {
        match value {
            Some(value) => {
                i32::try_from(key).map_or_else(|_| Self::ints(vec![key, value]), |key| Self::Pair(key, value))
            }
            None => Self::List(Box::new(vec![Self::Int(key), Self::Nil])),
        }
    }

    /// `[key, [old, new]]`.
    #[must_use]
    pub fn cas(key: i64, old: i64, new: i64) -> Self {
        Self::KeyedPair(Box::new((key, old, new)))
    }

    /// A transaction.
    #[must_use]
    pub fn txn(mops: Vec<Mop>) -> Self {
        if mops.is_empty() { Self::Ints(Box::default()) } else { Self::Txn(Box::new(mops)) }
    }

    /// A list of anything, in its canonical shape.
    #[must_use]
    pub fn list(items: Vec<Self>) -> Self {
        shape(items)
    }

    /// Any JSON value, in its canonical shape.
    #[must_use]
    pub fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => Self::Other(Box::new(serde_json::Value::Number(number))),
            },
            serde_json::Value::Array(items) => shape(items.into_iter().map(Self::from_json).collect()),
            other => Self::Other(Box::new(other)),
        }
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Nil => Json::Null,
            Self::Int(int) => Json::from(*int),
            Self::Pair(first, second) => Json::from(vec![i64::from(*first), *second]),
            Self::Ints(ints) => Json::from(ints.as_slice()),
            Self::KeyedPair(triple) => Json::from(vec![Json::from(triple.0), Json::from(vec![triple.1, triple.2])]),
            Self::Txn(mops) => Json::Array(mops.iter().map(mop_to_json).collect()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Other(json) => (**json).clone(),
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The integers of a list of nothing else, however many.
    #[must_use]
    pub fn as_ints(&self) -> Option<Cow<'_, [i64]>> {
        match self {
            Self::Ints(ints) => Some(Cow::Borrowed(ints)),
            Self::Pair(first, second) => Some(Cow::Owned(vec![i64::from(*first), *second])),
            _ => None,
        }
    }

    /// `(key, value)` of `[key, value]` or `[key, null]`.
    #[must_use]
    pub fn as_keyed(&self) -> Option<(i64, Option<i64>)> {
        match self {
            Self::Pair(key, value) => Some((i64::from(*key), Some(*value))),
            Self::Ints(ints) => match ints[..] {
                [key, value] => Some((key, Some(value))),
                _ => None,
            },
            Self::List(items) => match items[..] {
                [Self::Int(key), Self::Nil] => Some((key, None)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `(key, old, new)` of `[key, [old, new]]`, either of which may be null.
    #[must_use]
    pub fn as_cas(&self) -> Option<(i64, Option<i64>, Option<i64>)> {
        match self {
            Self::KeyedPair(triple) => Some((triple.0, Some(triple.1), Some(triple.2))),
            Self::List(items) => match &items[..] {
                [Self::Int(key), Self::List(pair)] => match &pair[..] {
                    [old @ (Self::Nil | Self::Int(_)), new @ (Self::Nil | Self::Int(_))] => {
                        Some((*key, old.as_int(), new.as_int()))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The micro-operations of a transaction, none for `[]`.
    #[must_use]
    pub fn as_mops(&self) -> Option<&[Mop]> {
        match self {
            Self::Txn(mops) => Some(mops),
            Self::Ints(ints) if ints.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The word in a micro-operation's place, where this is a string.
    fn as_word(&self) -> Option<&str> {
        match self {
            Self::Other(json) => json.as_str(),
            _ => None,
        }
    }
}

/// A foreign history's string as a word. One that looks like what is no string (a keyword, a character, a number, a list)
/// gets quotes of its own: `":a"` and `:a` are two values. [`plain`] takes them off again.
pub(super) fn string_word<'s>(string: impl Into<Cow<'s, str>>) -> String {
    let string = string.into();
    let ambiguous = string.starts_with([':', '"', '\\', '[', '{'])
        || string.trim_start_matches(['+', '-']).starts_with(|letter: char| letter.is_ascii_digit())
        || matches!(&*string, "true" | "false");
    if ambiguous { serde_json::Value::from(string).to_string() } else { string.into_owned() }
}

/// The string that a word of a foreign history was: one that could be taken for something else was given quotes.
pub(crate) fn plain(word: &str) -> Cow<'_, str> {
    let quoted = word.starts_with('"').then(|| serde_json::from_str::<String>(word).ok()).flatten();
    quoted.map_or(Cow::Borrowed(word), Cow::Owned)
}

/// A list of values in the one shape that fits it. Nested lists have their shape already.
pub(super) fn shape(items: Vec<Value>) -> Value {
    if let Some(ints) = items.iter().map(Value::as_int).collect::<Option<Vec<_>>>() {
        return Value::ints(ints);
    }
    if let [Value::Int(key), pair] = &items[..]
        && let Some([old, new]) = pair.as_ints().as_deref()
    {
        return Value::cas(*key, *old, *new);
    }
    if let Some(mops) = items.iter().map(mop).collect::<Option<Vec<_>>>() {
        return Value::txn(mops);
    }
    Value::List(Box::new(items))
}

/// The micro-operation that a value spells, if it spells one.
fn mop(value: &Value) -> Option<Mop> {
    let Value::List(items) = value else { return None };
    match &items[..] {
        [word, Value::Int(key), Value::Int(element)] if word.as_word() == Some("append") => {
            Some(Mop::Append { key: *key, element: *element })
        }
        [word, Value::Int(key), Value::Nil] if word.as_word() == Some("r") => Some(Mop::Read { key: *key, list: None }),
        [word, Value::Int(key), list] if word.as_word() == Some("r") => {
            Some(Mop::Read { key: *key, list: Some(list.as_ints()?.into_owned()) })
        }
        _ => None,
    }
}

fn mop_to_json(mop: &Mop) -> serde_json::Value {
    match mop {
        Mop::Append { key, element } => serde_json::json!(["append", key, element]),
        Mop::Read { key, list } => serde_json::json!(["r", key, list]),
    }
}

/// What stands in a list while it is parsed: a value, or what is already known to be (part of) a micro-operation, so
/// that a transaction of a million is not first built as lists of strings.
pub(super) enum Item {
    Value(Value),
    Word(&'static str),
    Mop(Mop),
}

impl Item {
    pub(super) fn into_value(self) -> Value {
        let word = |word: &str| Value::Other(Box::new(serde_json::Value::from(word)));
        match self {
            Self::Value(value) => value,
            Self::Word(text) => word(text),
            Self::Mop(Mop::Append { key, element }) => {
                Value::List(Box::new(vec![word("append"), Value::Int(key), Value::Int(element)]))
            }
            Self::Mop(Mop::Read { key, list }) => {
                Value::List(Box::new(vec![word("r"), Value::Int(key), list.map_or(Value::Nil, Value::ints)]))
            }
        }
    }

    /// The same decisions as [`shape`], for a list that is not all integers.
    pub(super) fn from_list(mut items: Vec<Self>) -> Self {
        match &mut items[..] {
            [Self::Word("append"), Self::Value(Value::Int(key)), Self::Value(Value::Int(element))] => {
                return Self::Mop(Mop::Append { key: *key, element: *element });
            }
            [Self::Word("r"), Self::Value(Value::Int(key)), Self::Value(Value::Nil)] => {
                return Self::Mop(Mop::Read { key: *key, list: None });
            }
            [Self::Word("r"), Self::Value(Value::Int(key)), Self::Value(list)] => {
                let key = *key;
                match std::mem::replace(list, Value::Nil) {
                    Value::Ints(ints) => return Self::Mop(Mop::Read { key, list: Some(*ints) }),
                    Value::Pair(first, second) => {
                        return Self::Mop(Mop::Read { key, list: Some(vec![i64::from(first), second]) });
                    }
                    other => *list = other,
                }
            }
            _ => {}
        }
        if items.iter().all(|item| matches!(item, Self::Mop(_))) {
            let mops = items.into_iter().filter_map(|item| match item {
                Self::Mop(mop) => Some(mop),
                Self::Value(_) | Self::Word(_) => None,
            });
            return Self::Value(Value::txn(mops.collect()));
        }
        Self::Value(shape(items.into_iter().map(Self::into_value).collect()))
    }
}
