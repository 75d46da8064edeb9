//! What the fuzzers are given to begin with, and what they once found: `fuzz/corpus/TARGET/`, tried without libFuzzer.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{fs, path::Path};

use proptest::prelude::*;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the fuzzers take it as a library")]
mod targets;

#[test]
fn every_file_of_the_corpus_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let folders = fs::read_dir(&corpus).unwrap().count();
    assert_eq!(folders, targets::TARGETS.len(), "a folder for each target");
    for (name, target) in targets::TARGETS {
        let mut files = 0;
        for file in fs::read_dir(corpus.join(name)).unwrap() {
            let path = file.unwrap().path();
            // Printed only if it fails.
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files > 1, "{name}: {files} files");
    }
}

/// Values that are hard to write as they were read.
const VALUES: [&str; 16] = [
    "1",
    "2",
    "-3",
    ":a",
    "\":a\"",
    "\"b c\"",
    "\"7\"",
    "nil",
    "[1 2]",
    "\"[1 2]\"",
    "1.5",
    "1/3",
    "true",
    "\\newline",
    "{:k [\"v\" #{2}]}",
    "-9223372036854775808",
];

proptest! {
    /// The target that the fuzzers call `convert`, on histories that are mostly well formed.
    #[test]
    fn what_is_written_in_another_format_is_read_as_the_same(
        model in prop::sample::select(vec!["cas-register", "set", "fifo-queue", "kv", "rw-register", "list-append"]),
        is_keyed in any::<bool>(),
        is_plain in any::<bool>(),
        steps in prop::collection::vec((0_usize..4, 0_usize..3, 0..VALUES.len(), 0..VALUES.len(), 0_usize..5), 1..24),
    ) {
        let mut text = format!("{model}\n");
        let mut open: [Option<(&str, String)>; 4] = Default::default();
        for (process, f, first, second, end) in steps {
            // Plume and Porcupine have natural numbers only.
            let value = |at: usize| if is_plain { VALUES[at % 2] } else { VALUES[at] };
            let (first, second) = (value(first), value(second));
            let key = if is_plain { "1" } else { first };
            match open[process].take() {
                None => {
                    let (f, value) = match (model, f) {
                        ("cas-register", 2) if is_keyed => (":cas", format!("[{key} [{first} {second}]]")),
                        ("cas-register", 2) => (":cas", format!("[{first} {second}]")),
                        ("cas-register", f) if is_keyed => ([":read", ":write"][f], format!("[{key} {}]", ["nil", second][f])),
                        ("cas-register", f) => ([":read", ":write"][f], ["nil", second][f].to_owned()),
                        ("set", 0) => (":read", "nil".into()),
                        ("set", _) => (":add", first.into()),
                        ("fifo-queue", 0) => (":dequeue", "nil".into()),
                        ("fifo-queue", _) => (":enqueue", first.into()),
                        ("kv", f) => ([":get", ":put", ":append"][f], format!("[\"{process}\" {}]", ["nil", "\"x y\"", second][f])),
                        ("rw-register", 0) => (":txn", format!("[[:r {first} nil] [:r 1 nil]]")),
                        ("rw-register", _) => (":txn", format!("[[:w {first} {second}] [:r 3 nil]]")),
                        (_, _) => (":txn", format!("[[:append {first} {second}] [:r {second} nil]]")),
                    };
                    text += &format!("{{:type :invoke, :process {process}, :f {f}, :value {value}}}\n");
                    open[process] = Some((f, value));
                }
                Some((f, invoked)) => {
                    let kind = [":ok", ":ok", ":ok", ":info", ":fail"][end];
                    let value = match (model, f) {
                        ("cas-register", ":read") => invoked.replace("nil", second),
                        ("set", ":read") => format!("#{{{first} {second}}}"),
                        ("kv", ":get") => invoked.replace("nil", "\"x y\""),
                        (_, ":dequeue") => first.to_owned(),
                        ("rw-register", _) => invoked.replace(":r 3 nil", &format!(":r 3 {first}")),
                        ("list-append", _) => invoked.replace("nil", &format!("[{first}]")),
                        _ => invoked,
                    };
                    text += &format!("{{:type {kind}, :process {process}, :f {f}, :value {value}, :error [:x \"y\"]}}\n");
                }
            }
        }
        targets::convert(text.as_bytes());
    }
}
