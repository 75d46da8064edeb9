//! What a read by predicate asks for.

use super::{Value, txns::items};

/// A predicate on a row's value. What was never inserted, or was deleted, satisfies none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// Every row: `"true"`.
    True,
    /// Rows with this value: `["=", value]`.
    Equals(i64),
    /// Rows whose value leaves this remainder, counted from zero upwards: `["mod", modulus, remainder]`.
    Mod {
        /// At least 1.
        modulus: i64,
        /// From 0, below the modulus.
        remainder: i64,
    },
}

impl Predicate {
    /// Whether a row with this value satisfies it.
    #[must_use]
    pub const fn matches(self, value: i64) -> bool {
        match self {
            Self::True => true,
            Self::Equals(other) => value == other,
            Self::Mod { modulus, remainder } => value.rem_euclid(modulus) == remainder,
        }
    }

    /// The predicate that a value of a history spells, with or without the colons of EDN.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        if word(value) == Some("true") || *value == Value::from_json(true.into()) {
            return Some(Self::True);
        }
        match &items(value)?[..] {
            [name, Value::Int(of)] if word(name) == Some("=") => Some(Self::Equals(*of)),
            [name, Value::Int(modulus @ 1..), Value::Int(remainder @ 0..)]
                if word(name) == Some("mod") && remainder < modulus =>
            {
                Some(Self::Mod { modulus: *modulus, remainder: *remainder })
            }
            _ => None,
        }
    }

    /// As it is written.
    #[must_use]
    pub fn to_value(self) -> Value {
        let word = |word: &str| Value::Other(Box::new(word.into()));
        match self {
            Self::True => word("true"),
            Self::Equals(value) => Value::list(vec![word("="), Value::Int(value)]),
            Self::Mod { modulus, remainder } => {
                Value::list(vec![word("mod"), Value::Int(modulus), Value::Int(remainder)])
            }
        }
    }
}

impl std::fmt::Display for Predicate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::True => formatter.write_str("true"),
            Self::Equals(value) => write!(formatter, "= {value}"),
            Self::Mod { modulus, remainder } => write!(formatter, "mod {modulus} = {remainder}"),
        }
    }
}

fn word(value: &Value) -> Option<&str> {
    match value {
        Value::Other(json) => json.as_str().map(|word| word.strip_prefix(':').unwrap_or(word)),
        _ => None,
    }
}
