//! Our reader against another's, form by form.

use clojure_reader::edn::{Edn, read_string};
use proptest::prelude::*;

use super::value_of;

/// What our reader makes of a form, by the other's word.
fn json_of(form: &Edn<'_>) -> serde_json::Value {
    use serde_json::Value as Json;
    match form {
        Edn::Vector(items) | Edn::List(items) => Json::Array(items.iter().map(json_of).collect()),
        Edn::Set(items) => Json::Array(items.iter().map(json_of).collect()),
        Edn::Map(pairs) => {
            let name = |key: &Edn<'_>| match json_of(key) {
                Json::String(word) => word.strip_prefix(':').map(str::to_owned).unwrap_or(word),
                other => other.to_string(),
            };
            Json::Object(pairs.iter().map(|(key, value)| (name(key), json_of(value))).collect())
        }
        // A micro-operation's words have no colon in our values.
        Edn::Key(word) if matches!(&**word, "append" | "r") => Json::from(&**word),
        Edn::Key(word) => Json::from(format!(":{word}")),
        Edn::Symbol(word) => Json::from(&**word),
        Edn::Str(text) => {
            let quoted = text.starts_with([':', '"', '\\', '[', '{'])
                || text.trim_start_matches(['+', '-']).starts_with(|letter: char| letter.is_ascii_digit())
                || ["true", "false"].contains(&&**text);
            Json::from(if quoted { Json::from(&**text).to_string() } else { text.to_string() })
        }
        Edn::Int(int) => Json::from(*int),
        Edn::Tagged(_, form) => json_of(form),
        Edn::Double(double) => Json::from(double.into_inner()),
        Edn::Rational((above, below)) => Json::from(format!("{above}/{below}")),
        Edn::Char(letter) => Json::from(format!("\\{letter}")),
        Edn::Bool(bool) => Json::from(*bool),
        Edn::Nil => Json::Null,
        other => panic!("no form of a history: {other:?}"),
    }
}

fn form() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("nil".to_owned()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        any::<i64>().prop_map(|int| int.to_string()),
        (-20_i64..20).prop_map(|int| int.to_string()),
        (-1000_i64..1000, 1_u8..100).prop_map(|(whole, part)| format!("{whole}.{part:02}")),
        "[a-z][a-z0-9-]{0,5}".prop_map(|word| format!(":{word}")),
        Just(":append".to_owned()),
        Just(":r".to_owned()),
        "[ -~]{0,8}".prop_map(|text| format!("{text:?}")),
        "[a-z]".prop_map(|letter| format!("\\{letter}")),
        "[a-z][a-z.]{0,4}".prop_filter("a symbol", |word| !["nil", "true", "false"].contains(&word.as_str())),
    ];
    let blank = prop_oneof![Just(" "), Just(", "), Just("\n"), Just("  ; comment ] \n"), Just(" #_ [1 #_ 2] ")];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let items = prop::collection::vec((inner.clone(), blank.clone()), 0..6)
            .prop_map(|items| items.into_iter().map(|(item, blank)| item + blank).collect::<String>());
        prop_oneof![
            4 => items.clone().prop_map(|items| format!("[{items}]")),
            1 => items.prop_map(|items| format!("({items})")),
            1 => inner.clone().prop_map(|item| format!("#{{{item}}}")),
            1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{{:a {one} :b {other}}}")),
            1 => inner.prop_map(|item| format!("#some.tag/x {item}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn forms_as_clojure_reader_reads_them(text in form()) {
        let theirs = json_of(&read_string(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))?);
        prop_assert_eq!(value_of(text.as_bytes()).map(|value| value.to_json()), Ok(theirs), "{}", text);
    }

    /// Whatever the bytes are: a value, or a word about what is wrong.
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in form(), at in any::<prop::sample::Index>()) {
        let _ = value_of(&bytes);
        let mut damaged = text.into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = bytes.first().copied().unwrap_or(0);
        let _ = value_of(&damaged);
    }
}
