//! EDN forms out of bytes: <https://github.com/edn-format/edn>, and what Clojure's printer writes beyond it (ratios,
//! `#"regex"`).
//!
//! Pulls one form after the other from a piece of text that may end anywhere: what is cut off is [`Stop::CutOff`], and the
//! caller comes back with more. No form is built that nobody asked for.

use std::borrow::Cow;

use crate::history::{
    TxnKind, Value,
    txns::TxnBuffer,
    value::{Item, string_word},
};

/// Deeper nesting than any history has; it bounds the stack.
const DEPTH_MAX: u32 = 128;

/// Why no form was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The text ends within the form (or before it).
    CutOff,
    /// It is no EDN.
    Malformed {
        /// Offset in the text.
        at: usize,
        message: Cow<'static, str>,
    },
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    /// A list that was read bore the tag of a `jepsen.independent` tuple.
    pub(super) saw_tuple: bool,
    depth: u32,
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | 0x0b | 0x0c)
}

/// What ends a token, by byte: asked of every byte of a file.
const DELIMITERS: [bool; 256] = {
    let mut delimiters = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let bracket = matches!(byte as u8, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b';');
        delimiters[byte] = bracket || is_blank(byte as u8);
        byte += 1;
    }
    delimiters
};

pub(super) fn is_delimiter(byte: u8) -> bool {
    DELIMITERS[usize::from(byte)]
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, saw_tuple: false, depth: 0 }
    }

    pub(super) fn malformed(&self, message: impl Into<Cow<'static, str>>) -> Stop {
        Stop::Malformed { at: self.at, message: message.into() }
    }

    /// The next byte, after blanks, comments and discarded forms.
    pub(super) fn peek(&mut self) -> Result<u8, Stop> {
        loop {
            match self.text.get(self.at) {
                None => return Err(Stop::CutOff),
                Some(byte) if is_blank(*byte) => self.at += 1,
                Some(b';') => match memchr::memchr(b'\n', &self.text[self.at..]) {
                    Some(length) => self.at += length,
                    None => return Err(Stop::CutOff),
                },
                Some(b'#') if self.text.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.deeper(Self::skip)?;
                }
                Some(b'#') if self.at + 1 == self.text.len() => return Err(Stop::CutOff),
                Some(byte) => return Ok(*byte),
            }
        }
    }

    /// A number, keyword, symbol, `nil`, `true`, `false` or tag: up to what ends it, which must be there.
    pub(super) fn token(&mut self) -> Result<&'t [u8], Stop> {
        let rest = &self.text[self.at..];
        let Some(length) = rest.iter().position(|byte| is_delimiter(*byte)) else { return Err(Stop::CutOff) };
        if length == 0 {
            return Err(self.malformed(format!("unexpected `{}`", char::from(rest[0]))));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// A tag, with its `#`.
    pub(super) fn tag(&mut self) -> Result<&'t [u8], Stop> {
        let start = self.at;
        self.at += 1;
        // `#:ns{…}` and `#tag` end as tokens do; `#{` and `#"` have no name.
        let rest = &self.text[self.at..];
        let Some(length) = rest.iter().position(|byte| is_delimiter(*byte)) else { return Err(Stop::CutOff) };
        self.at += length;
        Ok(&self.text[start..self.at])
    }

    /// Goes into a nested form.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == DEPTH_MAX {
            return Err(self.malformed(format!("nested more than {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    /// Passes one form.
    pub(super) fn skip(&mut self) -> Result<(), Stop> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'\\' => self.character().map(drop),
            b'[' | b'(' | b'{' => self.deeper(Self::skip_list),
            // The name, and what it stands before: of a set or a regex, no name.
            b'#' => self.tag().and_then(|_| self.deeper(Self::skip)),
            _ => self.token().map(drop),
        }
    }

    fn skip_list(&mut self) -> Result<(), Stop> {
        let close = self.open()?;
        while !self.close(close)? {
            self.skip()?;
        }
        Ok(())
    }

    /// Enters a collection; gives the bracket that closes it.
    pub(super) fn open(&mut self) -> Result<u8, Stop> {
        let close = match self.peek()? {
            b'[' => b']',
            b'(' => b')',
            b'{' => b'}',
            other => return Err(self.malformed(format!("expected a collection, found `{}`", char::from(other)))),
        };
        self.at += 1;
        Ok(close)
    }

    /// Whether the collection ends here; passes its end if so.
    pub(super) fn close(&mut self, close: u8) -> Result<bool, Stop> {
        let byte = self.peek()?;
        if byte == close {
            self.at += 1;
            return Ok(true);
        }
        if matches!(byte, b']' | b')' | b'}') {
            return Err(self.malformed(format!("`{}` where `{}` closes", char::from(byte), char::from(close))));
        }
        Ok(false)
    }

    /// A string's content.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>, Stop> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match memchr::memchr2(b'"', b'\\', &self.text[end..]) {
                None => return Err(Stop::CutOff),
                Some(length) if self.text[end + length] == b'"' => {
                    end += length;
                    break;
                }
                Some(length) => end += length + 2,
            }
            if end > self.text.len() {
                return Err(Stop::CutOff);
            }
        }
        let Ok(raw) = std::str::from_utf8(&self.text[start..end]) else {
            return Err(self.malformed("a string that is not UTF-8"));
        };
        if !raw.contains('\\') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(raw));
        }
        let unescaped = unescape(raw).map_err(|message| self.malformed(message))?;
        self.at = end + 1;
        Ok(Cow::Owned(unescaped))
    }

    /// `\a`, `\newline`, `\u0041`.
    fn character(&mut self) -> Result<char, Stop> {
        let start = self.at + 1;
        // The first letter may be a delimiter itself: `\(`.
        let Some(first) = self.text.get(start) else { return Err(Stop::CutOff) };
        let width = match first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let Some(rest) = self.text.get(start + width..) else { return Err(Stop::CutOff) };
        let Some(length) = rest.iter().position(|byte| is_delimiter(*byte)) else { return Err(Stop::CutOff) };
        let end = start + width + length;
        let word = std::str::from_utf8(&self.text[start..end]).unwrap_or_default();
        let mut letters = word.chars();
        let letter = match (word, letters.next(), letters.next()) {
            (_, Some(letter), None) => Some(letter),
            ("newline", ..) => Some('\n'),
            ("return", ..) => Some('\r'),
            ("space", ..) => Some(' '),
            ("tab", ..) => Some('\t'),
            ("formfeed", ..) => Some('\u{c}'),
            ("backspace", ..) => Some('\u{8}'),
            (_, Some('u'), _) => u32::from_str_radix(&word[1..], 16).ok().and_then(char::from_u32),
            (_, Some('o'), _) => u32::from_str_radix(&word[1..], 8).ok().and_then(char::from_u32),
            _ => None,
        };
        let Some(letter) = letter else { return Err(self.malformed(format!("no character: \\{word}"))) };
        self.at = end;
        Ok(letter)
    }

    /// A form as a value. Lists, vectors and sets become lists (a set's order is its text's), maps objects; keywords
    /// are words with their colon; what has no number of its own (ratios, bignums) is a word as it stands there.
    pub(super) fn value(&mut self) -> Result<Value, Stop> {
        self.item().map(Item::into_value)
    }

    /// Takes a transaction apart where it is written as nearly all are: micro-operations of keywords and integers. Gives
    /// false for anything else, whose place is then for [`Cursor::value`] to read, from where this began.
    pub(super) fn txn(&mut self, kind: TxnKind, txn: &mut TxnBuffer) -> Result<bool, Stop> {
        txn.clear();
        let Some(close) = self.enter()? else { return Ok(false) };
        while self.peek()? != close {
            let Some(close) = self.enter()? else { return Ok(false) };
            if self.peek()? != b':' {
                return Ok(false);
            }
            let word = self.token()?;
            let Some(key) = self.plain_int()? else { return Ok(false) };
            match (kind, word) {
                (TxnKind::ListAppend, b":append") => {
                    let Some(element) = self.plain_int()? else { return Ok(false) };
                    txn.append(key, element);
                }
                (TxnKind::ListAppend, b":r") => {
                    if let Some(close) = self.enter()? {
                        let start = txn.elements_len();
                        while self.peek()? != close {
                            let Some(element) = self.plain_int()? else { return Ok(false) };
                            txn.element(element);
                        }
                        self.at += 1;
                        txn.end_list(key, start);
                    } else if self.nil()? {
                        txn.read_nil(key);
                    } else {
                        return Ok(false);
                    }
                }
                (TxnKind::RwRegister, b":w") => {
                    let Some(value) = self.plain_int()? else { return Ok(false) };
                    txn.write(key, value);
                }
                (TxnKind::RwRegister, b":r") => {
                    let value = if self.nil()? {
                        None
                    } else {
                        let Some(value) = self.plain_int()? else { return Ok(false) };
                        Some(value)
                    };
                    txn.get(key, value);
                }
                _ => return Ok(false),
            }
            if self.peek()? != close {
                return Ok(false);
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(true)
    }

    /// Enters a vector or list, if there is one.
    fn enter(&mut self) -> Result<Option<u8>, Stop> {
        let close = match self.peek()? {
            b'[' => b']',
            b'(' => b')',
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(close))
    }

    /// An integer that can be taken for nothing else.
    fn plain_int(&mut self) -> Result<Option<i64>, Stop> {
        if !matches!(self.peek()?, b'0'..=b'9' | b'-') {
            return Ok(None);
        }
        // Few digits and their end: without looking for the end first.
        let rest = &self.text[self.at..];
        let mut number: i64 = 0;
        for (at, byte) in rest.iter().enumerate().take(16) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                if at > 0 && is_delimiter(*byte) {
                    self.at += at;
                    return Ok(Some(number));
                }
                break;
            }
            number = number * 10 + i64::from(digit);
        }
        let int = int(self.token()?);
        Ok(int.filter(|int| *int > i64::MIN / 2))
    }

    /// Passes `nil`, if there is one.
    fn nil(&mut self) -> Result<bool, Stop> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        Ok(self.token()? == b"nil")
    }

    fn item(&mut self) -> Result<Item, Stop> {
        let byte = self.peek()?;
        match byte {
            b'[' | b'(' => self.deeper(Self::list),
            b'{' => self.deeper(Self::map),
            b'"' => Ok(Item::Value(text(string_word(self.string()?)))),
            b'\\' => Ok(Item::Value(text(format!("\\{}", self.character()?)))),
            b'#' => {
                let tag = self.tag()?;
                if tag == b"#" && self.text.get(self.at) == Some(&b'{') {
                    return self.deeper(Self::list);
                }
                if matches!(
                    tag,
                    b"#jepsen.independent.Tuple" | b"#jepsen.independent/Tuple" | b"#jepsen.independent/tuple"
                ) {
                    self.saw_tuple = true;
                }
                // Whatever the tag says of it.
                self.deeper(Self::item)
            }
            _ => self.token().and_then(|token| self.atom(token)),
        }
    }

    fn list(&mut self) -> Result<Item, Stop> {
        let close = self.open()?;
        // Most lists are a few integers: they need no items.
        let mut ints: Vec<i64> = Vec::new();
        let mut pair = [0; 2];
        let mut count = 0;
        let other = loop {
            if self.close(close)? {
                return Ok(Item::Value(match (count, i32::try_from(pair[0])) {
                    (2, Ok(first)) => Value::Pair(first, pair[1]),
                    (0..=2, _) => Value::ints(pair[..count].to_vec()),
                    _ => Value::Ints(Box::new(ints)),
                }));
            }
            match self.item()? {
                Item::Value(Value::Int(int)) => {
                    if count < 2 {
                        pair[count] = int;
                    } else {
                        if count == 2 {
                            ints.extend(pair);
                        }
                        ints.push(int);
                    }
                    count += 1;
                }
                other => break other,
            }
        };
        // Nor do the other values of keyed registers.
        if let (1, Item::Value(second @ (Value::Nil | Value::Pair(..)))) = (count, &other) {
            let second = second.clone();
            if self.close(close)? {
                return Ok(Item::Value(match second {
                    Value::Pair(old, new) => Value::cas(pair[0], old.into(), new),
                    _ => Value::keyed(pair[0], None),
                }));
            }
        }
        if count <= 2 {
            ints.extend(&pair[..count]);
        }
        let mut items: Vec<Item> = ints.into_iter().map(|int| Item::Value(Value::Int(int))).collect();
        items.push(other);
        while !self.close(close)? {
            items.push(self.item()?);
        }
        Ok(Item::from_list(items))
    }

    fn map(&mut self) -> Result<Item, Stop> {
        let close = self.open()?;
        let mut object = serde_json::Map::new();
        while !self.close(close)? {
            let name = match self.value()?.to_json() {
                serde_json::Value::String(word) => word.strip_prefix(':').map(str::to_owned).unwrap_or(word),
                other => other.to_string(),
            };
            if self.peek()? == close {
                return Err(self.malformed("a map with a key that has no value"));
            }
            object.insert(name, self.value()?.to_json());
        }
        Ok(Item::Value(Value::Other(Box::new(object.into()))))
    }

    fn atom(&self, token: &[u8]) -> Result<Item, Stop> {
        let value = match token {
            b"nil" => Value::Nil,
            b":append" => return Ok(Item::Word("append")),
            b":r" => return Ok(Item::Word("r")),
            b"true" => Value::Other(Box::new(true.into())),
            b"false" => Value::Other(Box::new(false.into())),
            _ => match int(token) {
                Some(int) => Value::Int(int),
                None => self.rare(token)?,
            },
        };
        Ok(Item::Value(value))
    }

    fn rare(&self, token: &[u8]) -> Result<Value, Stop> {
        let Ok(word) = std::str::from_utf8(token) else { return Err(self.malformed("text that is not UTF-8")) };
        let digits = word.trim_start_matches(['+', '-']);
        if !digits.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Ok(text(word.to_owned()));
        }
        // `5N` is five; one that does not fit stays a word, and so does a ratio.
        if let Some(int) = word.strip_suffix('N').and_then(|digits| int(digits.as_bytes())) {
            return Ok(Value::Int(int));
        }
        let number = word.strip_suffix('M').unwrap_or(word);
        let fraction = number.contains(['.', 'e', 'E']).then(|| number.parse::<f64>().ok()).flatten();
        match fraction.and_then(serde_json::Number::from_f64) {
            Some(fraction) => Ok(Value::Other(Box::new(fraction.into()))),
            None if digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/') => {
                Ok(text(word.to_owned()))
            }
            None => Err(self.malformed(format!("no number: {word}"))),
        }
    }
}

fn text(word: impl Into<String>) -> Value {
    Value::Other(Box::new(serde_json::Value::String(word.into())))
}

/// An integer that fits into 64 bits.
pub(super) fn int(token: &[u8]) -> Option<i64> {
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut number: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits fit into 64 bits without a sign.
        number = number * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

fn unescape(raw: &str) -> Result<String, String> {
    let mut out = String::with_capacity(raw.len());
    let mut letters = raw.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some(same @ ('"' | '\\')) => out.push(same),
            Some('u') => {
                let hex: String = letters.by_ref().take(4).collect();
                // Half of a surrogate pair has no letter of its own.
                let code = u32::from_str_radix(&hex, 16).map_err(|_| format!("no code: \\u{hex}"))?;
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // In a regex any letter may stand here.
            Some(other) => out.extend(['\\', other]),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<serde_json::Value, Stop> {
        // A form ends where the next begins.
        let text = format!("{text} ");
        let mut cursor = Cursor::new(text.as_bytes());
        let value = cursor.value()?;
        assert_eq!(cursor.peek(), Err(Stop::CutOff), "{text}");
        Ok(value.to_json())
    }

    #[test]
    fn forms() {
        for (text, json) in [
            ("nil", "null"),
            ("true", "true"),
            ("-17", "-17"),
            ("+5", "5"),
            ("5N", "5"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", r#""9223372036854775808""#),
            ("123456789012345678901234567890N", r#""123456789012345678901234567890N""#),
            ("1/3", r#""1/3""#),
            ("0x1F", r#""0x1F""#),
            ("1.5", "1.5"),
            ("1.5M", "1.5"),
            ("-2e3", "-2000.0"),
            (":a", r#"":a""#),
            (":a.b/c-d?", r#"":a.b/c-d?""#),
            ("sym", r#""sym""#),
            ("- ", r#""-""#),
            (r#""a\n\"b\" A""#, r#""a\n\"b\" A""#),
            (r#"":a""#, r#""\":a\"""#),
            (r"\a", r#""\\a""#),
            (r"\newline", r#""\\\n""#),
            (r"\(", r#""\\(""#),
            (r"\u0041", r#""\\A""#),
            ("[]", "[]"),
            ("()", "[]"),
            ("#{}", "[]"),
            ("[1]", "[1]"),
            ("[1 2]", "[1,2]"),
            ("[1,2,3]", "[1,2,3]"),
            ("#{3 1}", "[3,1]"),
            ("[1 [2 3]]", "[1,[2,3]]"),
            ("[1 nil]", "[1,null]"),
            ("[1 2 :a 3]", r#"[1,2,":a",3]"#),
            ("[[:append 1 2] [:r 1 [1 2]] [:r 2 nil]]", r#"[["append",1,2],["r",1,[1,2]],["r",2,null]]"#),
            ("[[:w :x 1]]", r#"[[":w",":x",1]]"#),
            (r#"{:a 1, "b c" [1] 5 nil}"#, r#"{"a":1,"b c":[1],"5":null}"#),
            (r#"#inst "2026-01-01""#, r#""\"2026-01-01\"""#),
            ("#jepsen.independent.Tuple[1 2]", "[1,2]"),
            ("#_ignored 5", "5"),
            ("[1 #_[2 3] #_ #_ 4 5 6]", "[1,6]"),
            ("; all\n 5 ; rest\n", "5"),
            ("#a #b 5", "5"),
            (r##"#"a\d+""##, r#""a\\d+""#),
        ] {
            let expected: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(value(text), Ok(expected), "{text}");
            // Passed as it is read.
            let text = format!("{text} 7 ");
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.skip().unwrap();
            assert_eq!(cursor.value(), Ok(Value::Int(7)), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for (text, message) in [
            ("]", "unexpected `]`"),
            ("[1 2)", "`)` where `]` closes"),
            ("{:a}", "a map with a key that has no value"),
            ("1a.b", "no number: 1a.b"),
            (r"\nothing", r"no character: \nothing"),
        ] {
            let Err(Stop::Malformed { message: found, .. }) = value(text) else { panic!("{text}: {:?}", value(text)) };
            assert_eq!(found, message, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(value(&deep), Err(Stop::Malformed { .. })));
        for deep in ["#a ", "#_ ", "{", "[("] {
            let deep = deep.repeat(100_000);
            assert!(matches!(value(&deep), Err(Stop::Malformed { .. })));
            assert!(matches!(Cursor::new(deep.as_bytes()).skip(), Err(Stop::Malformed { .. })));
        }
    }

    /// Cut anywhere, it says so, and never takes a part for the whole.
    #[test]
    fn every_cut_is_seen() {
        let text = r#"{:a [1 2 :b "c\"d" \newline #inst "x" #{1} #_ 5 nil] ; comment
            , "k" (1.5 -3)}"#;
        for end in 0..text.len() {
            if text.is_char_boundary(end) {
                assert_eq!(
                    Cursor::new(&text.as_bytes()[..end]).value().map(|value| value.to_json()),
                    Err(Stop::CutOff),
                    "{}",
                    &text[..end]
                );
                assert_eq!(Cursor::new(&text.as_bytes()[..end]).skip(), Err(Stop::CutOff), "{}", &text[..end]);
            }
        }
        assert!(Cursor::new(text.as_bytes()).value().is_ok());
    }
}
