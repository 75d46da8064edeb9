//! What an output of a probe must be.
//!
//! By the reference: a text, an integer, a boolean is equal to the output; a list of two holds it between them (both
//! included), a longer or shorter one has it among its elements; `regex` and `range` are objects. Where an output is an
//! object with a `status`, as those of processes and HTTP are, the status is what is looked at, unless `target` names
//! another part of it.

use regex::Regex;
use serde_json::{Number, Value};

use super::{
    configuration::Configuration,
    read::{Object, Read, shown, wrong},
};

const SUPPORTED: &str = "a boolean, an integer, a text, a list, {type: regex}, {type: range}";

/// A tolerance that can be judged.
#[derive(Debug, Clone)]
pub(crate) enum Tolerance {
    Exactly(Value),
    Between(Value, Value),
    OneOf(Vec<Value>),
    Regex { pattern: Regex, target: Option<String> },
    Range { low: f64, high: f64, target: Option<String> },
}

impl Tolerance {
    /// Reads a `tolerance`. `parts` are those of the output, which `target` may name.
    pub(super) fn read(value: &Value, place: &str, parts: &[&str], configuration: &Configuration) -> Read<Self> {
        match value {
            Value::Bool(_) | Value::String(_) => Ok(Self::Exactly(value.clone())),
            Value::Number(number) if is_integer(number) => Ok(Self::Exactly(value.clone())),
            Value::Number(_) => wrong(
                place,
                format!("{value} is no integer; write {{\"type\": \"range\", \"range\": [{value}, {value}]}}"),
            ),
            Value::Array(list) => Self::list(list, place),
            Value::Object(_) => Self::object(&Object::of(value, place)?, place, parts, configuration),
            Value::Null => wrong(place, format!("a tolerance is {SUPPORTED}")),
        }
    }

    fn list(list: &[Value], place: &str) -> Read<Self> {
        if let Some(element) =
            list.iter().find(|value| !matches!(value, Value::Bool(_) | Value::String(_) | Value::Number(_)))
        {
            return wrong(place, format!("{} in it is no text, number or boolean", shown(element)));
        }
        match list {
            [low, high] if low.is_number() != high.is_number() || low.is_boolean() || high.is_boolean() => {
                wrong(place, "a list of two are bounds: two numbers, or two texts")
            }
            [low, high] => Ok(Self::Between(low.clone(), high.clone())),
            [] => wrong(place, "nothing is in an empty list"),
            list => Ok(Self::OneOf(list.to_vec())),
        }
    }

    fn object(object: &Object<'_>, place: &str, parts: &[&str], configuration: &Configuration) -> Read<Self> {
        let target = object.text("target")?.map(str::to_owned);
        if let Some(target) = target.as_deref().filter(|target| !parts.contains(target)) {
            let problem = format!("{target:?} is no part of this output; it has: {}", parts.join(", "));
            return wrong(&object.at("target"), problem);
        }
        match object.need_text("type")? {
            "regex" => {
                object.only(&["type", "pattern", "target"])?;
                let place = object.at("pattern");
                let pattern = configuration.fill_text(object.need_text("pattern")?, &place)?;
                match Regex::new(&pattern) {
                    Ok(pattern) => Ok(Self::Regex { pattern, target }),
                    Err(error) => wrong(&place, error.to_string()),
                }
            }
            "range" => {
                object.only(&["type", "range", "target"])?;
                let bounds: Vec<Option<f64>> = object.array("range")?.iter().map(Value::as_f64).collect();
                match bounds[..] {
                    [Some(low), Some(high)] => Ok(Self::Range { low, high, target }),
                    _ => wrong(&object.at("range"), "a range is two numbers, [lowest, highest]"),
                }
            }
            other => wrong(&format!("{place}.type"), format!("{other:?} is not supported; a tolerance is {SUPPORTED}")),
        }
    }

    /// Whether this output is tolerated.
    pub(crate) fn holds(&self, output: &Value) -> bool {
        match self {
            Self::Exactly(wanted) => equal(tested(output, None), wanted),
            Self::Between(low, high) => match (tested(output, None), low, high) {
                (Value::String(got), Value::String(low), Value::String(high)) => low <= got && got <= high,
                (Value::Number(got), Value::Number(low), Value::Number(high)) => {
                    let numbers = (got.as_f64(), low.as_f64(), high.as_f64());
                    matches!(numbers, (Some(got), Some(low), Some(high)) if low <= got && got <= high)
                }
                _ => false,
            },
            Self::OneOf(list) => list.iter().any(|wanted| equal(tested(output, None), wanted)),
            Self::Regex { pattern, target } => match tested(output, target.as_deref()) {
                Value::String(text) => finds(pattern, text),
                Value::Number(number) => finds(pattern, &number.to_string()),
                _ => false,
            },
            Self::Range { low, high, target } => {
                let number = match tested(output, target.as_deref()) {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                number.is_some_and(|number| *low <= number && number <= *high)
            }
        }
    }
}

fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64()
}

/// The part of an output that is looked at.
fn tested<'a>(output: &'a Value, target: Option<&str>) -> &'a Value {
    match target {
        Some(target) => output.get(target).unwrap_or(output),
        None => output.get("status").unwrap_or(output),
    }
}

/// 200 and 200.0 are the same number.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

/// As Python's `re.search`, whose `$` also matches before a line's end that ends the text: what a program prints ends
/// with one, and `^OK$` must match "OK\n".
fn finds(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text) || text.strip_suffix('\n').is_some_and(|text| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PARTS: [&str; 3] = ["status", "stdout", "stderr"];

    fn holds(tolerance: &Value, output: &Value) -> bool {
        Tolerance::read(tolerance, "t", &PARTS, &Configuration::default()).unwrap().holds(output)
    }

    /// The reference's examples (experiment: "Steady State Probe Tolerance"; tutorial: "Built-in tolerances"),
    /// each with an output that it holds for and one that it does not.
    #[test]
    fn the_examples_of_the_reference() {
        let process = |status: i64, stdout: &str| json!({"status": status, "stdout": stdout, "stderr": ""});
        for (tolerance, good, bad) in [
            (json!(true), json!(true), json!(false)),
            (json!(false), json!(false), json!(0)),
            (json!(true), json!(true), json!(1)),
            (json!(8), json!(8), json!(9)),
            (json!(-8), json!(-8.0), json!("-8")),
            (json!("OK"), json!("OK"), json!("ok")),
            (json!([4, 9]), json!(4), json!(3.99)),
            (json!([4, 9]), json!(9), json!(10)),
            (json!([4, 9]), json!(6.5), json!("6")),
            (json!(["a", "c"]), json!("b"), json!("d")),
            (json!([4, 9, 78]), json!(78), json!(5)),
            (json!(["x"]), json!("x"), json!("y")),
            (json!({"type": "regex", "pattern": "[0-9]{3}"}), json!("a 404 b"), json!("40 4")),
            (
                json!({"type": "regex", "pattern": "^welcome=hello$"}),
                json!("welcome=hello\n"),
                json!("welcome=hello\nx"),
            ),
            (json!({"type": "range", "range": [4, 8]}), json!(8), json!(8.01)),
            (json!({"type": "range", "range": [4.6, 8.9]}), json!("4.6\n"), json!("4.59")),
            (json!({"type": "range", "range": [6.4, 7.5]}), json!(6.4), json!("warm")),
            // The exit code of a process, the status code of HTTP.
            (json!(0), process(0, ""), process(1, "")),
            (json!(1), process(1, ""), process(0, "")),
            (json!(200), json!({"status": 200, "headers": {}, "body": ""}), json!({"status": 503, "body": ""})),
            (json!([200, 299]), json!({"status": 204}), json!({"status": 301})),
            (json!([200, 301, 302]), json!({"status": 301}), json!({"status": 201})),
            (json!({"type": "regex", "pattern": "[0-9]{3}"}), json!({"status": 200}), json!({"status": 20})),
            (
                json!({"type": "regex", "pattern": "welcome=hello", "target": "stdout"}),
                process(0, "a\nwelcome=hello\n"),
                process(0, "welcome=bonjour"),
            ),
            (json!({"type": "range", "range": [1, 3], "target": "stdout"}), process(9, " 3\n"), process(2, "4")),
            (json!({"type": "range", "range": [0, 1]}), process(0, "7"), process(2, "0")),
            // An object is no text and no boolean.
            (json!("OK"), json!({"status": "OK"}), process(0, "OK")),
        ] {
            assert!(holds(&tolerance, &good), "{tolerance} does not hold for {good}");
            assert!(!holds(&tolerance, &bad), "{tolerance} holds for {bad}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        for (tolerance, why) in [
            (json!(null), "t: a tolerance is a boolean"),
            (json!(1.5), "t: 1.5 is no integer; write {\"type\": \"range\""),
            (json!([]), "t: nothing is in an empty list"),
            (json!([[1], 2, 3]), "t: [1] in it is no text"),
            (json!([1, "b"]), "t: a list of two are bounds"),
            (json!([true, false]), "t: a list of two are bounds"),
            (json!({"pattern": "x"}), "t.type: `type` is missing"),
            (json!({"type": "jsonpath", "path": "$.a"}), "t.type: \"jsonpath\" is not supported"),
            (json!({"type": "probe", "name": "x"}), "t.type: \"probe\" is not supported"),
            (json!({"type": "regex"}), "t.pattern: `pattern` is missing"),
            (json!({"type": "regex", "pattern": "("}), "t.pattern: regex parse error"),
            (json!({"type": "regex", "pattern": "a(?=b)"}), "t.pattern: regex parse error"),
            (json!({"type": "regex", "pattern": "a", "flags": "i"}), "t.flags: `flags` is not supported"),
            (json!({"type": "regex", "pattern": "a", "target": "body"}), "t.target: \"body\" is no part"),
            (json!({"type": "range", "range": [1]}), "t.range: a range is two numbers"),
            (json!({"type": "range", "range": ["1", 2]}), "t.range: a range is two numbers"),
            (json!({"type": "range"}), "t.range: a range is two numbers"),
        ] {
            let error = Tolerance::read(&tolerance, "t", &PARTS, &Configuration::default()).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
