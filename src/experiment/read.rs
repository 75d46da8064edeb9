//! Taking an experiment's JSON apart, with the place of whatever is wrong: `method[2].provider.type`.

use std::fmt;

use serde_json::{Map, Value};

/// Something that is wrong or not supported, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    place: String,
    problem: String,
}

pub(super) type Read<T> = Result<T, Wrong>;

/// This is wrong there.
pub(super) fn wrong<T>(place: &str, problem: impl Into<String>) -> Read<T> {
    Err(Wrong { place: place.to_owned(), problem: problem.into() })
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() { Ok(()) } else { write!(formatter, "{}: ", self.place) }?;
        formatter.write_str(&self.problem)
    }
}

/// A JSON object and its place; the empty place is the whole file.
pub(super) struct Object<'a> {
    place: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value, place: impl Into<String>) -> Read<Self> {
        let place = place.into();
        match value.as_object() {
            Some(fields) => Ok(Self { place, fields }),
            None => wrong(&place, format!("{} is no object", shown(value))),
        }
    }

    /// The place of one of its fields.
    pub(super) fn at(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// Refuses what nobody would read.
    pub(super) fn only(&self, known: &[&str]) -> Read<()> {
        let unknown = self.fields.keys().find(|key| !known.contains(&key.as_str()));
        unknown.map_or(Ok(()), |key| {
            wrong(&self.at(key), format!("`{key}` is not supported; supported here: {}", known.join(", ")))
        })
    }

    /// A field; one that is null counts as left out.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Read<Option<&'a str>> {
        self.get(name).map_or(Ok(None), |value| match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => wrong(&self.at(name), format!("{} is no text", shown(value))),
        })
    }

    pub(super) fn need_text(&self, name: &str) -> Read<&'a str> {
        match self.text(name)?.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => wrong(&self.at(name), format!("`{name}` is missing")),
        }
    }

    /// A list; empty where it is left out.
    pub(super) fn array(&self, name: &str) -> Read<&'a [Value]> {
        self.get(name).map_or(Ok(&[]), |value| match value.as_array() {
            Some(list) => Ok(list),
            None => wrong(&self.at(name), format!("{} is no list", shown(value))),
        })
    }

    pub(super) fn bool(&self, name: &str) -> Read<bool> {
        self.get(name).map_or(Ok(false), |value| match value.as_bool() {
            Some(said) => Ok(said),
            None => wrong(&self.at(name), format!("{} is neither true nor false", shown(value))),
        })
    }

    pub(super) fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }
}

/// A value in a sentence.
pub(super) fn shown(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= CHARS_MAX { text } else { text.chars().take(CHARS_MAX).chain(['…']).collect() }
}
