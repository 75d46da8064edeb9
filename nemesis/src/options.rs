//! What a schedule says of a fault beyond when and whom: options by name, taken out one by one.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Kind, nearest, units};

/// The options of one fault. Whoever reads them takes those it knows; what is left over is an error, so that no option
/// is ever parsed and ignored.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    values: BTreeMap<String, Value>,
}

/// An option that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// Which, where it is about one that was given: a file's error names its line.
    pub option: Option<String>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl From<String> for OptionError {
    fn from(problem: String) -> Self {
        Self { option: None, problem }
    }
}

impl Options {
    pub(crate) const fn new(values: BTreeMap<String, Value>) -> Self {
        Self { values }
    }

    pub(crate) fn into_values(self) -> BTreeMap<String, Value> {
        self.values
    }

    /// A time: `"5s"`, `"500ms"`, `"1.5s"`, `"2m"`, or a number of milliseconds.
    pub(crate) fn millis(&mut self, name: &str) -> Result<Option<u64>, OptionError> {
        self.take(name, |value| match value {
            Value::String(text) => units::parse_millis(&text),
            Value::Number(number) if number.as_i64().is_some_and(|millis| millis < 0) => {
                Err("a time cannot be negative".to_owned())
            }
            other => match other.as_u64() {
                Some(millis) => units::bounded_millis(millis),
                None => Err(format!(
                    "{other} is no time; write a time such as \"5s\", \"500ms\" or a number of milliseconds"
                )),
            },
        })
    }

    /// A share, `"30%"`, in parts per million.
    pub(crate) fn share_ppm(&mut self, name: &str) -> Result<Option<u32>, OptionError> {
        self.parsed(name, units::parse_share_ppm)
    }

    /// A text, parsed.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, OptionError> {
        self.take(name, |value| match value {
            Value::String(text) => parse(&text),
            other => Err(format!("{other} must be in quotes")),
        })
    }

    /// A word of an enumeration, a number, a boolean: whatever serde makes of it.
    pub(crate) fn word<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, OptionError> {
        self.take(name, |value| serde_json::from_value(value).map_err(|error| error.to_string()))
    }

    pub(crate) fn set_millis(&mut self, name: &str, millis: u64) {
        self.set(name, units::millis_text(millis));
    }

    pub(crate) fn set_share_ppm(&mut self, name: &str, ppm: u32) {
        self.set(name, units::share_text(ppm));
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) {
        // Only strings, small integers, booleans and words are ever set, all of which JSON has.
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.values.insert(name.to_owned(), value);
    }

    /// Whatever nobody took is unknown to this kind.
    pub(crate) fn finish(self, kind: Kind) -> Result<(), OptionError> {
        let Some(option) = self.values.into_keys().next() else { return Ok(()) };
        let known: Vec<&str> = kind.info().options.iter().map(|option| option.name).collect();
        let has = if known.is_empty() { "none".to_owned() } else { nearest::listed(&option, &known) };
        let problem = format!("a {kind} has no option `{option}`; its options: {has}");
        Err(OptionError { option: Some(option), problem })
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Result<Option<T>, OptionError> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        read(value).map(Some).map_err(|problem| OptionError { option: Some(name.to_owned()), problem })
    }
}
