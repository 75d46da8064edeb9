//! The configuration of an experiment, and its values in place of `${name}`.
//!
//! As the toolkit does it, with Python's `string.Template`: `$name` and `${name}` are replaced, `$$` is a dollar sign,
//! a name that the configuration does not have stays as it is (`${HOME}` in the arguments of a shell is the shell's). A
//! text that is nothing but one name becomes the value itself, a number for a number; then an unknown one is an error.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::read::{Object, Read, shown, wrong};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Configuration {
    values: Map<String, Value>,
}

/// The variables of the environment that an experiment's configuration asks for.
pub(super) fn environment_keys(experiment: &Value) -> Vec<String> {
    let configuration = experiment.get("configuration").and_then(Value::as_object);
    let asked = configuration.into_iter().flat_map(Map::values).filter(|value| value["type"] == "env");
    asked.filter_map(|value| value["key"].as_str().map(str::to_owned)).collect()
}

impl Configuration {
    pub(super) fn read(value: &Value, environment: &BTreeMap<String, String>) -> Read<Self> {
        let object = Object::of(value, "configuration")?;
        let mut values = Map::new();
        for (name, value) in object.fields() {
            let place = object.at(name);
            let resolved = match value.get("type") {
                Some(kind) if value.is_object() && kind == "env" => from_environment(value, &place, environment)?,
                Some(kind) if value.is_object() => {
                    let kind = shown(kind);
                    return wrong(
                        &format!("{place}.type"),
                        format!("{kind} is not supported; supported: env, or a value"),
                    );
                }
                _ if value.is_null() => return wrong(&place, "a name without a value"),
                _ => value.clone(),
            };
            values.insert(name.clone(), resolved);
        }
        Ok(Self { values })
    }

    /// A value with the configuration's values filled in, at any depth.
    pub(super) fn fill(&self, value: &Value, place: &str) -> Read<Value> {
        if self.values.is_empty() {
            // Then a `$` means nothing of ours.
            return Ok(value.clone());
        }
        Ok(match value {
            Value::String(text) => match whole_name(text) {
                Some(name) => match self.values.get(name) {
                    Some(value) => value.clone(),
                    None => return wrong(place, format!("{text} is not in the configuration")),
                },
                None => self.replace(text).into(),
            },
            Value::Array(list) => {
                let filled =
                    list.iter().enumerate().map(|(number, value)| self.fill(value, &format!("{place}[{number}]")));
                Value::Array(filled.collect::<Read<_>>()?)
            }
            Value::Object(fields) => {
                let fill = |(name, value): (&String, &Value)| {
                    Ok((name.clone(), self.fill(value, &format!("{place}.{name}"))?))
                };
                Value::Object(fields.iter().map(fill).collect::<Read<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// The same for what stays a text.
    pub(super) fn fill_text(&self, text: &str, place: &str) -> Read<String> {
        self.fill(&text.into(), place).map(|value| text_of(&value))
    }

    fn replace(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let after = &rest[1..];
            let (name, length) = match after.strip_prefix('{') {
                Some(braced) => {
                    let name = identifier(braced);
                    let closed = braced[name.len()..].starts_with('}');
                    (if closed { name } else { "" }, name.len() + 3)
                }
                None => (identifier(after), identifier(after).len() + 1),
            };
            let value = self.values.get(name).filter(|_| !name.is_empty());
            if after.starts_with('$') {
                filled.push('$');
                rest = &rest[2..];
            } else if let Some(value) = value {
                filled.push_str(&text_of(value));
                rest = &rest[length..];
            } else {
                filled.push('$');
                rest = after;
            }
        }
        filled + rest
    }
}

fn from_environment(value: &Value, place: &str, environment: &BTreeMap<String, String>) -> Read<Value> {
    let object = Object::of(value, place)?;
    object.only(&["type", "key", "default", "env_var_type"])?;
    let key = object.need_text("key")?;
    let found = match (environment.get(key), object.get("default")) {
        (Some(set), _) => Value::from(set.as_str()),
        (None, Some(default)) => default.clone(),
        (None, None) => {
            return wrong(place, format!("the environment has no {key}, and there is no `default`"));
        }
    };
    let text = text_of(&found);
    let number = match object.text("env_var_type")? {
        None => return Ok(found),
        Some("str") => return Ok(text.into()),
        Some("int") => text.trim().parse::<i64>().ok().map(Value::from),
        Some("float") => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Some(other) => {
            let problem = format!("{other:?} is not supported; supported: str, int, float");
            return wrong(&object.at("env_var_type"), problem);
        }
    };
    number.map_or_else(|| wrong(place, format!("{key} is {text:?}, which is no number of its `env_var_type`")), Ok)
}

/// The name, where a text is `$name` or `${name}` and nothing else.
fn whole_name(text: &str) -> Option<&str> {
    let after = text.strip_prefix('$')?;
    let name = after.strip_prefix('{').map_or(Some(after), |braced| braced.strip_suffix('}'))?;
    (!name.is_empty() && identifier(name) == name).then_some(name)
}

/// The identifier at the beginning, `[_a-z][_a-z0-9]*` in upper or lower case; empty if there is none.
fn identifier(text: &str) -> &str {
    let fits = |(at, letter): (usize, char)| {
        letter == '_' || letter.is_ascii_alphabetic() || (at > 0 && letter.is_ascii_digit())
    };
    let end = text.char_indices().find(|&place| !fits(place)).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// A value as Python's `str` writes it, which is what a process or a URL of the toolkit gets.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> Configuration {
        let environment = BTreeMap::from([("PORT".to_owned(), "80".to_owned())]);
        let said = json!({
            "host": "n1",
            "flag": true,
            "port": {"type": "env", "key": "PORT", "env_var_type": "int"},
            "text": {"type": "env", "key": "PORT"},
            "name": {"type": "env", "key": "NOT_SET", "default": "x"},
            "list": [1, 2],
        });
        Configuration::read(&said, &environment).unwrap()
    }

    #[test]
    fn names_become_values_of_their_type_where_they_stand_alone() {
        let fill = |value: Value| configuration().fill(&value, "p").unwrap();
        assert_eq!(fill(json!("${port}")), json!(80));
        assert_eq!(fill(json!("${text}")), json!("80"));
        assert_eq!(fill(json!("$host")), json!("n1"));
        assert_eq!(
            fill(json!({"a": ["http://${host}:${port}/$name", 5, null]})),
            json!({"a": ["http://n1:80/x", 5, null]})
        );
        assert_eq!(fill(json!("-v ${flag}")), json!("-v True"));
    }

    #[test]
    fn what_is_no_name_of_ours_stays() {
        let fill = |text: &str| configuration().fill_text(text, "p").unwrap();
        for same in ["", "a", "echo ${HOME} $5 ${", "100$", "${host x}", "${} $-"] {
            assert_eq!(fill(same), same);
        }
        assert_eq!(fill("$$host costs $$5"), "$host costs $5");
        assert_eq!(fill("${host}${host}é$host"), "n1n1én1");
        let error = configuration().fill_text("${hots}", "method[0].provider.url").unwrap_err();
        assert_eq!(error.to_string(), "method[0].provider.url: ${hots} is not in the configuration");
    }

    #[test]
    fn a_configuration_that_cannot_be_had_is_refused() {
        for (said, why) in [
            (json!({"a": {"type": "env", "key": "NOT_SET"}}), "configuration.a: the environment has no NOT_SET"),
            (json!({"a": {"type": "env"}}), "configuration.a.key: `key` is missing"),
            (json!({"a": {"type": "vault", "path": "x"}}), "configuration.a.type: \"vault\" is not supported"),
            (json!({"a": {"type": "probe", "name": "x"}}), "configuration.a.type: \"probe\" is not supported"),
            (
                json!({"a": {"type": "env", "key": "X", "default": "y", "env_var_type": "int"}}),
                "configuration.a: X is \"y\", which is no number",
            ),
            (
                json!({"a": {"type": "env", "key": "X", "default": "y", "env_var_type": "bytes"}}),
                "configuration.a.env_var_type: \"bytes\" is not supported",
            ),
            (json!({"a": null}), "configuration.a: a name without a value"),
            (json!(["a"]), "configuration: [\"a\"] is no object"),
        ] {
            let error = Configuration::read(&said, &BTreeMap::new()).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
