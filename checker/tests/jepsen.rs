//! Jepsen's own checkers of simple objects: each verdict and each finding by hand.
#![allow(clippy::unwrap_used)]

mod support;

use schism_checker::{Check, CheckError, Details, Options, Validity, check, jepsen::JepsenOptions};
use serde_json::{Value as Json, json};
use support::{
    foreign,
    jepsen::{edn, judge, judge_history, judge_with},
};

/// Its verdict, and the kinds of its findings.
#[track_caller]
fn expect(model: &str, text: &str, valid: Validity, kinds: &[&str]) -> Check {
    let check = judge(model, text);
    assert_eq!(check.valid, valid, "{text}: {}", check.summary);
    let found: Vec<&str> = check.findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(found, kinds, "{text}");
    assert_eq!(check.reason.is_some(), valid == Validity::Unknown, "{text}");
    check
}

fn details(check: &Check) -> Json {
    let Details::Jepsen(result) = &check.details else { panic!("{:?}", check.details) };
    let json = serde_json::to_value(result).unwrap();
    // It can be read back.
    assert_eq!(&serde_json::from_value::<schism_checker::jepsen::JepsenResult>(json.clone()).unwrap(), result);
    json
}

use Validity::{Invalid, Unknown, Valid};

#[test]
fn counter_by_hand() {
    // Nothing was read: nothing is out of bounds.
    expect("counter", "0> add 1; 0+ add 1", Valid, &[]);
    expect("counter", "0> read; 0+ read 0", Valid, &[]);
    let check = expect("counter", "0> add 2; 0+ add 2; 1> read; 1+ read 3", Invalid, &["counter-out-of-bounds"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 1's read (event 3, 0.000 s) is 3, but what had been added was from 2 to 2."
    );
    assert_eq!(details(&check)["errors"], json!([[2, 3, 2]]));
    // Concurrent, indeterminate and failed adds.
    for (value, valid) in [(0, Invalid), (1, Valid), (5, Valid), (6, Invalid)] {
        let text = format!("0> add 1; 0+ add 1; 1> read; 2> add 4; 2? add; 3> add 9; 3- add; 1+ read {value}");
        assert_eq!(judge("counter", &text).valid, valid, "{text}");
    }
    // An add that began after the read had ended is not there, and one acknowledged during it may be missing.
    assert_eq!(judge("counter", "1> read; 1+ read 1; 0> add 1; 0+ add 1").valid, Invalid);
    assert_eq!(judge("counter", "0> add 1; 1> read; 0+ add 1; 1+ read 0").valid, Valid);
    // Decrements, at which Jepsen's checker stops.
    for (value, valid) in [(-4, Invalid), (-3, Valid), (0, Valid), (1, Invalid)] {
        let text = format!("0> add -3; 1> read; 0+ add -3; 1+ read {value}");
        assert_eq!(judge("counter", &text).valid, valid, "{text}");
    }
    assert_eq!(judge("counter", "0> add -3; 0+ add -3; 1> read; 1+ read 0").valid, Invalid);
    // A failed read says nothing; an ok one without a value cannot be judged, and hides nothing.
    assert_eq!(judge("counter", "0> read; 0- read; 1> read; 1? read").valid, Valid);
    expect("counter", "0> read; 0+ read", Unknown, &[]);
    assert_eq!(judge("counter", "0> read; 0+ read; 0> read; 0+ read 1").valid, Invalid);
    // An ok without a value is of what was invoked; sums do not overflow.
    let most = i64::MAX;
    let text = format!("0> add {most}; 0+ add; 0> add {most}; 0+ add; 0> read; 0+ read {most}");
    assert_eq!(judge("counter", &text).valid, Invalid);
}

#[test]
fn bank_by_hand() {
    expect("bank", "0> transfer {:from 0 :to 1 :amount 5}; 0? transfer", Valid, &[]);
    let read = |first: &str, second: &str| format!("0> read; 0+ read {first}; 1> read; 1+ read {second}");
    let ok = "{0 10, 1 20}";
    let check = expect("bank", &read(ok, "{1 25 0 5}"), Valid, &[]);
    assert_eq!(details(&check)["total-amount"], 30);
    let check = expect("bank", &read(ok, "{0 10 1 19}"), Invalid, &["wrong-total"]);
    assert_eq!(check.findings[0].sentence, "Process 1's read (event 3, 0.000 s) sums to 29, not to 30.");
    assert_eq!(details(&check)["errors"]["wrong-total"]["worst"]["total"], 29);
    let check = expect("bank", &read(ok, "{0 10 2 20}"), Invalid, &["unexpected-key"]);
    assert_eq!(details(&check)["first-error"]["unexpected"], json!(["2"]));
    let check = expect("bank", &read(ok, "{0 10 1 nil}"), Invalid, &["nil-balance"]);
    assert_eq!(details(&check)["first-error"]["nils"], json!(["1"]));
    let check = expect("bank", &read(ok, "{0 31 1 -1}"), Invalid, &["negative-value"]);
    assert!(check.findings[0].sentence.ends_with("has balances below zero: -1."), "{}", check.findings[0].sentence);
    // In this order, one error a read.
    expect("bank", &read(ok, "{0 10 1 nil 2 -5}"), Invalid, &["unexpected-key"]);
    expect("bank", &read(ok, "{0 nil 1 -1}"), Invalid, &["nil-balance"]);
    expect("bank", &read(ok, "{0 30 1 -1}"), Invalid, &["wrong-total"]);
    // A missing account is missing money, unless it held none.
    expect("bank", &read(ok, "{0 10}"), Invalid, &["wrong-total"]);
    expect("bank", &read("{0 10, 1 0}", "{0 10}"), Valid, &[]);
    expect("bank", &read(ok, "nil"), Invalid, &["wrong-total"]);
    // The first read lacks a balance: it is an error, and not the end of the check.
    expect("bank", &read("{0 10 1 nil}", "{0 10 1 20}"), Invalid, &["nil-balance"]);
    expect("bank", &read("{0 nil}", "{0 nil}"), Invalid, &["nil-balance", "nil-balance"]);
    // Only ok reads count.
    expect("bank", "0> read; 0+ read {0 1}; 0> read; 0- read {0 2}; 0> read; 0? read {0 2}", Valid, &[]);
    let options = JepsenOptions { allow_negative_balances: true, ..JepsenOptions::default() };
    assert_eq!(judge_with("bank", &read(ok, "{0 31 1 -1}"), options).valid, Valid);
    let options = JepsenOptions { total_amount: Some(31), ..JepsenOptions::default() };
    assert_eq!(judge_with("bank", &read(ok, "{0 31 1 0}"), options).findings_total, 1);
    let options = JepsenOptions { max_transfer: Some(4), ..JepsenOptions::default() };
    let transfers =
        "0> transfer {:from 0 :to 1 :amount 5}; 0+ transfer 7; 0> transfer {:from 0 :to 1 :amount 4}; 0- transfer";
    let check = judge_with("bank", transfers, options);
    assert_eq!((check.valid, details(&check)["transfers-above-max"].as_u64()), (Valid, Some(1)));
    // Several errors of a type: first, worst, last, lowest, highest.
    let text = "0> read; 0+ read {0 10}; 0> read; 0+ read {0 12}; 0> read; 0+ read {0 3}; 0> read; 0+ read {0 11}";
    let check = judge("bank", text);
    let wrong = &details(&check)["errors"]["wrong-total"];
    let totals = ["first", "worst", "last", "lowest", "highest"].map(|which| wrong[which]["total"].as_i64().unwrap());
    assert_eq!((totals, &wrong["count"]), ([12, 3, 11, 3, 12], &json!(3)));
    // schism's own format, in which maps stay maps.
    let header = r#"{"schism-history":1,"workload":"bank","target":"x","seed":1,"clients":1,"nodes":["n1"]}"#;
    let read = |at: u64, value: &str| {
        format!(
            r#"{{"index":{},"time_ns":1,"process":0,"type":"invoke","f":"read"}}
               {{"index":{},"time_ns":1,"process":0,"type":"ok","f":"read","value":{value}}}"#,
            2 * at,
            2 * at + 1
        )
    };
    let text = format!("{header}\n{}\n{}\n", read(0, r#"{"a":1,"0":2}"#), read(1, r#"{"a":1,"0":3}"#));
    let loaded = schism_checker::history::read(text.as_bytes(), &Default::default()).unwrap();
    let bank = &schism_checker::check(&loaded.history, &Options::default()).unwrap()[0];
    assert_eq!((bank.valid, bank.findings[0].kind.as_str()), (Invalid, "wrong-total"));
    assert_eq!(details(bank)["first-error"]["op"]["value"], json!({"a": 1, "0": 3}));
    // Accounts of any kind.
    expect("bank", "0> read; 0+ read {:a 1 \"b\" 2}; 0> read; 0+ read {\"b\" 3 :a 0}", Valid, &[]);
    let huge = i64::MIN;
    let check = expect(
        "bank",
        &format!("0> read; 0+ read {{:a 1 {huge} 2}}; 0> read; 0+ read {{:a 1 {huge} 1}}"),
        Invalid,
        &["wrong-total"],
    );
    assert_eq!(details(&check)["first-error"]["op"]["value"], json!({"a": 1, huge.to_string(): 1}));
}

#[test]
fn long_fork_by_hand() {
    expect("long-fork", "0> write [[:w 0 1]]; 0+ write [[:w 0 1]]", Valid, &[]);
    let reads = |first: &str, second: &str| {
        format!("0> read [[:r 0 nil] [:r 1 nil]]; 1> read [[:r 1 nil] [:r 0 nil]]; 0+ read {first}; 1+ read {second}")
    };
    let check = expect("long-fork", &reads("[[:r 0 1] [:r 1 nil]]", "[[:r 1 1] [:r 0 nil]]"), Invalid, &["long-fork"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 0's read (event 2, 0.000 s) holds key 0 and lacks 1; process 1's read (event 3, 0.000 s) holds 1 and \
         lacks 0: no order of the writes is both."
    );
    assert_eq!(details(&check)["forks"][0][1]["value"], json!([["r", 1, 1], ["r", 0, null]]));
    let check = expect("long-fork", &reads("[[:r 0 1] [:r 1 nil]]", "[[:r 1 1] [:r 0 1]]"), Valid, &[]);
    let found = details(&check);
    assert_eq!(
        (&found["reads-count"], &found["early-read-count"], &found["late-read-count"]),
        (&json!(2), &json!(0), &json!(1))
    );
    expect("long-fork", &reads("[[:r 0 nil] [:r 1 nil]]", "[[:r 1 1] [:r 0 nil]]"), Valid, &[]);
    // Transactions, as older versions name them, and keys of any kind.
    let txn = reads("[[:r 0 1] [:r 1 nil]]", "[[:r 1 1] [:r 0 nil]]").replace("read", "txn").replace(":r 0", ":r :x");
    assert_eq!(judge("long-fork", &txn).valid, Invalid);
    // Different groups do not meet.
    let text = "0> read; 0+ read [[:r 0 1] [:r 1 nil]]; 0> read; 0+ read [[:r 2 nil] [:r 1 1]]";
    expect("long-fork", &text.replace("read;", "read [];"), Valid, &[]);
    // What is no such history.
    let fork = reads("[[:r 0 1] [:r 1 nil]]", "[[:r 1 1] [:r 0 nil]]");
    let twice = format!("2> write [[:w 5 1]]; 2? write; 3> write [[:w 5 1]]; {fork}");
    let check = expect("long-fork", &twice, Unknown, &[]);
    assert_eq!(check.reason.unwrap(), "key 5 is written twice, at events 0 and 2");
    // A write that failed is none.
    expect("long-fork", &twice.replace('?', "-"), Invalid, &["long-fork"]);
    let odd = format!("{fork}; 2> read [[:r 7 nil]]; 2+ read [[:r 7 nil]]");
    let check = expect("long-fork", &odd, Unknown, &[]);
    assert!(check.reason.unwrap().contains("is of 1 key, but a group has 2 (--group-size)"));
    let options = |size| JepsenOptions { group_size: Some(size), ..JepsenOptions::default() };
    for (size, valid) in [(0, Invalid), (2, Invalid), (3, Unknown)] {
        assert_eq!(judge_with("long-fork", &fork, options(size)).valid, valid, "{size}");
    }
    let check = expect("long-fork", &reads("[[:r 0 1] [:r 1 nil]]", "[[:r 0 2] [:r 1 1]]"), Unknown, &[]);
    assert!(check.reason.unwrap().starts_with("key 0 is 1 for process 0's read"));
    // A transaction that also writes is no read, but writes.
    let mixed = format!("2> txn [[:r 0 nil] [:w 9 1]]; 2+ txn [[:r 0 nil] [:w 9 1]]; {fork}");
    expect("long-fork", &mixed, Invalid, &["long-fork"]);
    expect("long-fork", &format!("3> write [[:w 9 1]]; 3? write; {mixed}"), Unknown, &[]);
    // Without processes, as elle-cli's own test has it.
    let text = "_> read [[:r 0 nil] [:r 1 nil] [:r 2 nil]]; _+ read [[:r 0 1] [:r 1 1] [:r 2 nil]];
                _> read [[:r 0 nil] [:r 1 nil] [:r 2 nil]]; _+ read [[:r 2 1] [:r 1 nil] [:r 0 1]]";
    let check = expect("long-fork", text, Invalid, &["long-fork"]);
    assert!(check.findings[0].sentence.starts_with("The read (event 1) holds key 1 and lacks 2; the read (event 3)"));
}

#[test]
fn comments_by_hand() {
    let text = "0> write 1; 0+ write 1; 0> write 2; 1> read; 1+ read #{2}; 0+ write 2";
    let check = expect("comments", text, Invalid, &["missing-write"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 1's read (event 4, 0.000 s) holds 2 and lacks 1, acknowledged before the write of 2 began."
    );
    assert_eq!(
        (&details(&check)["errors"][0]["missing"], &details(&check)["errors"][0]["expected-count"]),
        (&json!([1]), &json!(1))
    );
    expect("comments", &text.replace("#{2}", "[1 2]"), Valid, &[]);
    expect("comments", &text.replace("#{2}", "#{}"), Valid, &[]);
    expect("comments", &text.replace("#{2}", "#{1}"), Valid, &[]);
    expect("comments", &text.replace("#{2}", "nil"), Valid, &[]);
    // What nobody wrote says nothing.
    expect("comments", &text.replace("#{2}", "#{7}"), Valid, &[]);
    // Concurrent writes, and one that is not acknowledged.
    expect("comments", "0> write 1; 1> write 2; 0+ write 1; 1+ write 2; 1> read; 1+ read #{2}", Valid, &[]);
    expect("comments", "0> write 1; 0? write 1; 1> write 2; 1+ write 2; 1> read; 1+ read #{2}", Valid, &[]);
    expect("comments", "0> write 1; 0- write 1; 1> write 2; 1+ write 2; 1> read; 1+ read #{2}", Valid, &[]);
    // Written twice: the first of them may be what is seen.
    let twice = "1> write 2; 0> write 1; 0+ write 1; 1+ write 2; 1> read; 1+ read #{2}; 1> write 2; 1+ write 2";
    expect("comments", twice, Valid, &[]);
    // Not so if the first one failed.
    let failed = "1> write 2; 0> write 1; 0+ write 1; 1- write 2; 1> write 2; 1+ write 2; 1> read; 1+ read #{2}";
    expect("comments", failed, Invalid, &["missing-write"]);
    // Without processes, nested, as elle-cli's own example has it.
    let text = "_> read; _> write 5; _+ write 5; _> write 6; _+ write 6; _+ read #{1 2 6}";
    let check = expect("comments", text, Invalid, &["missing-write"]);
    assert!(check.findings[0].sentence.starts_with("The read (event 5) holds 6 and lacks 5"));
    assert_eq!(details(&check)["errors"][0]["process"], Json::Null);
}

#[test]
fn sequential_by_hand() {
    let read = |value: &str| format!("0> add [0 \"0_0\"]; 0+ add [0 \"0_0\"]; 1> read [0 nil]; 1+ read [0 {value}]");
    for (value, valid, figures) in [
        ("[\"0_2\" \"0_1\" \"0_0\"]", Valid, [1, 0, 0, 0]),
        ("[nil \"0_1\" \"0_0\"]", Valid, [0, 1, 0, 0]),
        ("[nil nil nil]", Valid, [0, 1, 1, 0]),
        ("[]", Valid, [0, 0, 1, 0]),
        ("nil", Valid, [0, 0, 1, 0]),
        ("[\"0_2\" nil \"0_0\"]", Invalid, [0, 1, 0, 1]),
        ("[nil \"0_1\" nil]", Invalid, [0, 1, 0, 1]),
        ("[1 2]", Valid, [1, 0, 0, 0]),
    ] {
        let check = judge("sequential", &read(value));
        let found = details(&check);
        let counts = ["all-count", "some-count", "none-count", "bad-count"].map(|name| found[name].as_u64().unwrap());
        assert_eq!((check.valid, counts), (valid, figures), "{value}");
    }
    let check = expect("sequential", &read("[nil \"0_1\" nil]"), Invalid, &["later-without-earlier"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 1's read (event 3, 0.000 s) of key 0 holds subkey 2 of 3 and lacks subkey 1, which was added before."
    );
    expect("sequential", "0> read; 0- read; 0> read; 0? read", Valid, &[]);
}

#[test]
fn set_by_hand() {
    let check = expect("set", "0> add 1; 0+ add 1", Unknown, &[]);
    assert_eq!(check.reason.unwrap(), "the set was never read");
    expect("set", "0> add 1; 0+ add 1; 0> read; 0+ read nil", Unknown, &[]);
    let adds = "0> add 1; 0+ add 1; 0> add 2; 0+ add 2; 1> add 3; 1? add; 2> add 4; 2- add; ";
    let check = expect("set", &format!("{adds} 0> read; 0+ read #{{1 2}}"), Valid, &[]);
    assert_eq!(details(&check)["attempt-count"], 4);
    let check = expect("set", &format!("{adds} 0> read; 0+ read [1 3 2 4]"), Valid, &[]);
    assert_eq!((&details(&check)["recovered"], &details(&check)["ok-count"]), (&json!([3, 4]), &json!(4)));
    let check = expect("set", &format!("{adds} 0> read; 0+ read #{{2 3}}"), Invalid, &["lost"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 0's add (event 1, 0.000 s) of 1 was acknowledged, and process 0's read (event 9, 0.000 s) lacks it."
    );
    assert_eq!(details(&check)["lost"], json!([1]));
    let check = expect("set", &format!("{adds} 0> read; 0+ read #{{1 2 9}}"), Invalid, &["unexpected"]);
    assert_eq!(details(&check)["unexpected"], json!([9]));
    // Only the last ok read counts.
    expect("set", &format!("{adds} 0> read; 0+ read #{{}}; 0> read; 0+ read #{{1 2}}; 0> read; 0- read"), Valid, &[]);
    // What was acknowledged after the read had begun, it need not hold.
    expect("set", "1> read; 0> add 1; 0+ add 1; 1+ read #{}", Unknown, &[]);
    expect("set", "1> read; 0> add 1; 0+ add 1; 1+ read #{1}", Valid, &[]);
    expect("set", "0> add 2; 0+ add 2; 1> read; 0> add 1; 0+ add 1; 1+ read #{}", Invalid, &["lost"]);
    // Elements of any kind, and no reading between the lines: a key that reads left out makes other elements.
    expect("set", "0> add :a; 0+ add :a; 0> add \"a\"; 0+ add \"a\"; 0> read; 0+ read #{:a \"a\"}", Valid, &[]);
    let check = expect("set", "0> add [0 1]; 0+ add [0 1]; 0> read; 0+ read [0 1]", Invalid, &["lost", "unexpected"]);
    assert_eq!(details(&check)["lost"], json!([[0, 1]]));
    expect("set", "_> add 1; _+ add 1; _> read; _+ read [1]", Valid, &[]);
}

#[test]
fn set_full_by_hand() {
    expect("set-full", "0> add 1; 0+ add 1", Unknown, &[]);
    let check = expect("set-full", "0> add 1; 0+ add 1; 0> read; 0+ read [1]", Valid, &[]);
    assert_eq!((&details(&check)["stable-count"], &details(&check)["stable-latencies"]["1"]), (&json!(1), &json!(0)));
    let check = expect("set-full", "0> add 1; 0+ add 1; 0> read; 0+ read []", Invalid, &["lost"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 0's add (event 1, 0.000 s) of 1: known, but the read that began with event 2 lacks it, and so does \
         every one after (no read ever held it)."
    );
    assert_eq!(details(&check)["lost"], json!([1]));
    let check = judge("set-full", "0> add 1; 0+ add 1; 0> read; 0+ read [1]; 0> read; 0+ read nil");
    assert!(check.findings[0].sentence.contains("last seen by the read that began with event 2"));
    // Of two reads at once either may have been first: the one that began later decides.
    expect("set-full", "0> add 1; 0+ add 1; 1> read; 2> read; 1+ read []; 2+ read [1]", Valid, &[]);
    expect("set-full", "0> add 1; 0+ add 1; 1> read; 2> read; 2+ read []; 1+ read [1]", Invalid, &["lost"]);
    // A read that began before the element was known says nothing by its absence.
    let check = expect("set-full", "1> read; 0> add 1; 0+ add 1; 1+ read []", Unknown, &[]);
    assert_eq!(details(&check)["never-read"], json!([1]));
    // Known by having been read, though nobody was told.
    expect("set-full", "0> add 1; 0? add; 1> read; 1+ read [1]; 1> read; 1+ read []", Invalid, &["lost"]);
    expect("set-full", "0> add 1; 0? add; 1> read; 1+ read []", Unknown, &[]);
    expect("set-full", "0> add 1; 0- add; 0> add 2; 0+ add; 1> read; 1+ read [2]", Valid, &[]);
    // Read before it was added: not yet of this world, and no more than counted.
    let check = expect("set-full", "1> read; 1+ read [1]; 0> add 1; 0+ add 1; 1> read; 1+ read [1 7]", Valid, &[]);
    assert_eq!(details(&check)["unexpected-count"], 1);
    let check = expect("set-full", "0> add 1; 0+ add 1; 1> read; 1+ read [1 1]", Invalid, &["duplicated"]);
    assert_eq!(details(&check)["duplicated"], json!([[1, 2]]));
    assert_eq!(check.findings[0].sentence, "Process 1's read (event 3, 0.000 s) holds 1 2 times.");
    expect("set-full", "0> add 1; 0+ add 1; 1> read; 1+ read [1 8 8]", Invalid, &["duplicated"]);
    // A second add does not make good what was lost.
    expect("set-full", "0> add 1; 0+ add 1; 0> add 1; 0? add; 1> read; 1+ read []", Invalid, &["lost"]);
    // The tuples of elle-cli's own history: its reads lack the key, and so each element.
    expect(
        "set-full",
        "0> add [0 0]; 0+ add [0 0]; 0> add [0 1]; 0+ add [0 1]; 0> read [0 nil]; 0+ read [0 1]",
        Invalid,
        &["lost", "lost"],
    );
}

#[test]
fn set_full_tells_how_long_elements_were_away() {
    let at = |ms: u64, kind: &str, f: &str, value: &str| {
        format!("{{:process 0 :type :{kind} :f :{f} :value {value} :time {}}}\n", ms * 1_000_000)
    };
    let text = [
        at(0, "invoke", "add", "1"),
        at(10, "ok", "add", "1"),
        at(20, "invoke", "read", "nil"),
        at(30, "ok", "read", "[]"),
        at(40, "invoke", "read", "nil"),
        at(50, "ok", "read", "[1]"),
    ];
    let check = judge_history(&foreign("set-full", &text.concat()).unwrap(), JepsenOptions::default());
    assert_eq!(check.valid, Valid);
    let found = details(&check);
    assert_eq!((&found["stale"], &found["stable-latencies"]["0.5"]), (&json!([1]), &json!(10)));
    assert_eq!(
        found["worst-stale"],
        json!([{"element": 1, "stable-latency-ms": 10, "known-index": 1, "last-absent-index": 2}])
    );
}

#[test]
fn unique_ids_by_hand() {
    let check = expect("unique-ids", "0> generate; 0+ generate 5; 1> generate; 1? generate", Valid, &[]);
    assert_eq!((&details(&check)["attempted-count"], &details(&check)["range"]), (&json!(2), &json!([5, 5])));
    expect("unique-ids", "0> generate; 0- generate", Valid, &[]);
    let check =
        expect("unique-ids", "0> generate; 0+ generate 5; 1> generate; 1+ generate 5", Invalid, &["duplicate-id"]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 1's generate (event 3, 0.000 s) was given 5, as was process 0's generate (event 1, 0.000 s)."
    );
    assert_eq!(details(&check)["duplicated"], json!([[5, 2]]));
    let check = expect("unique-ids", "0> generate; 0+ generate \"a\"; 1> generate; 1+ generate :a", Valid, &[]);
    assert_eq!(details(&check)["range"], Json::Null);
    expect("unique-ids", "0> generate; 0+ generate", Unknown, &[]);
    expect(
        "unique-ids",
        "0> generate; 0+ generate; 0> generate; 0+ generate 1; 0> generate; 0+ generate 1",
        Invalid,
        &["duplicate-id"],
    );
}

#[test]
fn queue_by_hand() {
    expect("queue", "0> enqueue 1; 0+ enqueue 1; 0> enqueue 2; 0+ enqueue 2; 1> dequeue; 1+ dequeue 2", Valid, &[]);
    // Not yet acknowledged, or never.
    expect("queue", "0> enqueue 1; 1> dequeue; 1+ dequeue 1; 0? enqueue", Valid, &[]);
    let nowhere = &["dequeued-from-nowhere"];
    let check = expect("queue", "1> dequeue; 1+ dequeue 1; 0> enqueue 1; 0+ enqueue 1", Invalid, nowhere);
    assert_eq!(
        check.findings[0].sentence,
        "Process 1's dequeue (event 1, 0.000 s) answered 1, but nobody had enqueued it."
    );
    let twice = "0> enqueue 1; 0+ enqueue 1; 1> dequeue; 1+ dequeue 1; 1> dequeue; 1+ dequeue 1";
    let check = expect("queue", twice, Invalid, nowhere);
    assert!(check.findings[0].sentence.ends_with("but it had been taken as often as put."));
    expect("queue", "0> enqueue 1; 0- enqueue 1; 1> dequeue; 1+ dequeue 1", Invalid, nowhere);
    expect("queue", "0> enqueue 1; 1> dequeue; 1+ dequeue nil; 1> dequeue; 1? dequeue", Valid, &[]);
    expect("queue", "0> enqueue 1; 0+ enqueue 1; 1> drain; 1+ drain [1]; 1> dequeue; 1- dequeue", Valid, &[]);
    expect("queue", "0> enqueue 1; 0+ enqueue 1; 1> drain; 1+ drain [1 1 7]", Invalid, &["dequeued-from-nowhere"; 2]);
    let check = judge("queue", "0> enqueue :a; 0+ enqueue :a; 0> enqueue :a; 0? enqueue");
    assert_eq!(details(&check)["final-queue"], json!([[":a", 2]]));
}

#[test]
fn total_queue_by_hand() {
    let check = expect("total-queue", "0> enqueue 1; 0+ enqueue 1; 1> dequeue; 1+ dequeue 1", Valid, &[]);
    assert_eq!((&details(&check)["ok-count"], &details(&check)["lost"]), (&json!(1), &json!([])));
    let check = expect(
        "total-queue",
        "0> enqueue 1; 0+ enqueue 1; 0> enqueue 1; 0+ enqueue; 1> dequeue; 1+ dequeue 1",
        Invalid,
        &["lost"],
    );
    assert_eq!(
        check.findings[0].sentence,
        "Process 0's enqueue (event 3, 0.000 s) of 1 was acknowledged, but of 2 acknowledged enqueues of it only 1 came out."
    );
    assert_eq!(details(&check)["lost"], json!([[1, 1]]));
    let check = expect("total-queue", "1> dequeue; 1+ dequeue 1", Invalid, &["unexpected"]);
    assert_eq!(check.findings[0].sentence, "Process 1's dequeue (event 1, 0.000 s) answered 1, which nobody enqueued.");
    // What came out twice, what nobody was told is in, and what failed, are no fault by this rule.
    let check = expect("total-queue", "0> enqueue 1; 0+ enqueue 1; 1> drain; 1+ drain [1 1]", Valid, &[]);
    assert_eq!(details(&check)["duplicated"], json!([[1, 1]]));
    let check = expect("total-queue", "0> enqueue 1; 0? enqueue; 1> dequeue; 1+ dequeue 1", Valid, &[]);
    assert_eq!(details(&check)["recovered"], json!([[1, 1]]));
    expect("total-queue", "0> enqueue 1; 0- enqueue; 1> dequeue; 1+ dequeue 1", Valid, &[]);
    expect("total-queue", "0> enqueue 1; 0- enqueue; 1> dequeue; 1+ dequeue nil", Valid, &[]);
    // An indeterminate dequeue is no excuse; an indeterminate drain may have taken it.
    let lost = "0> enqueue 1; 0+ enqueue 1; 1> dequeue; 1? dequeue";
    expect("total-queue", lost, Invalid, &["lost"]);
    let check = expect("total-queue", &lost.replace("dequeue", "drain"), Unknown, &[]);
    assert!(check.reason.unwrap().contains("1 indeterminate drain"));
    expect("total-queue", "1> drain; 1? drain; 0> dequeue; 0+ dequeue 1", Invalid, &["unexpected"]);
    expect("total-queue", "1> drain; 1? drain; 0> enqueue 1; 0+ enqueue 1; 2> drain; 2+ drain [1]", Valid, &[]);
    expect("total-queue", "0> enqueue 1; 0+ enqueue 1; 1> drain; 1- drain", Invalid, &["lost"]);
}

#[test]
fn what_a_model_does_not_have_is_refused_with_its_place() {
    for (model, text, says) in [
        ("counter", "0> cas 1", "line 1 (event 0): cas: the model has no f cas; it has add and read"),
        ("counter", "0> add :a", "the value must be a whole number of at most 64 bits"),
        ("counter", "0> read; 0+ read 1.5", "line 2 (event 1): read: the value must be a whole number"),
        ("bank", "0> read; 0+ read [1 2]", "the value of an ok read must be a map of accounts to balances"),
        ("bank", "0> read; 0+ read {0 1.5}", "each a whole number or nil"),
        ("bank", "0> add 1", "it has read and transfer"),
        ("set", "0> add", "the value must be an element"),
        ("set-full", "0> read; 0+ read 7", "the value of an ok read or drain must be a list"),
        ("set", "0> write 1", "the model has no f write; it has add and read"),
        ("queue", "0> pop", "it has enqueue, dequeue and drain"),
        ("long-fork", "0> read [[:append 0 1]]", "the value must be a list of [:r key value] and [:w key value]"),
        ("long-fork", "0> read [0 1]", "the value must be a list of"),
        ("sequential", "0> read; 0+ read [0 1 2]", "the value of an ok read must be [key, list of subkeys"),
        ("comments", "0> write 1; 0+ write 2", "write ends ok with another value than it was invoked with"),
        ("unique-ids", "0> next", "it has generate"),
        ("counter", "_> add 1", "an operation without :process: which one ends when is not told"),
        ("set-full", "_> add 1", "an operation without :process"),
        ("cas-register", "_> write 1", "an operation without :process"),
        ("set", "0> add 1; _+ add 1", "line 2 (event 1): an operation without :process"),
        ("set", "_> add 1; 0+ add 1", "an operation with :process, where the first one has none"),
        ("set", "_+ add 1", "add ends, but none was invoked that it could be"),
        ("set", "_> add 1; _+ add 2", "add ends, but none was invoked that it could be"),
        ("set", "_> add 1; _> add 2; _+ add", "it is not told which add ends"),
    ] {
        let said = foreign(model, &edn(text)).map(drop).unwrap_err();
        assert!(said.contains(says), "{model}: {text}: {said}");
    }
    // Of our own files the event is named.
    let history = schism_checker::history::notation::history("counter", "0: w 1 5").unwrap();
    let said = check(&history, &Options::default()).unwrap_err();
    assert_eq!(said.to_string(), "event 0: write: the model has no f write; it has add and read");
    assert!(matches!(said, CheckError::DoesNotFit { event_index: 0, .. }));
}

/// The same operations as JSON.
#[test]
fn json_says_the_same() {
    for (model, text, valid) in [
        (
            "bank",
            r#"[{"type":"invoke","f":"read","process":0,"time":1,"index":0},
                {"type":"ok","f":"read","process":0,"time":2,"value":{"0":100,"7":0},"index":1},
                {"type":"invoke","f":"read","process":0,"time":3,"index":2},
                {"type":"ok","f":"read","process":0,"time":4,"value":{"0":101,"7":-1},"index":3}]"#,
            Invalid,
        ),
        (
            "long-fork",
            r#"{"type":"invoke","f":"read","value":[["r",0,null],["r",1,null]]}
               {"type":"ok","f":"read","value":[["r",0,1],["r",1,null]]}
               {"type":"invoke","f":"read","value":[["r",0,null],["r",1,null]]}
               {"type":"ok","f":"read","value":[["r",1,1],["r",0,null]]}"#,
            Invalid,
        ),
        (
            "set-full",
            r#"{"type":"invoke","f":"add","process":0,"value":[0,1]}
               {"type":"ok","f":"add","process":0,"value":[0,1]}
               {"type":"invoke","f":"read","process":0,"value":[0,null]}
               {"type":"ok","f":"read","process":0,"value":[[0,1],2]}"#,
            Valid,
        ),
        (
            "counter",
            r#"{"type":"invoke","f":"add","value":1,"op-index":1,"process":0,"time":1,"index":0}
               {"type":"ok","f":"add","value":1,"op-index":1,"process":0,"time":2,"index":1}"#,
            Valid,
        ),
        (
            "sequential",
            r#"{"type":"invoke","f":"read","process":0,"value":[0,null]}
               {"type":"ok","f":"read","process":0,"value":[0,["0_1",null]]}"#,
            Invalid,
        ),
        (
            "comments",
            r#"{"type":"invoke","f":"write","process":null,"value":"a"}
               {"type":"ok","f":"write","process":null,"value":"a"}
               {"type":"invoke","f":"write","process":null,"value":"b"}
               {"type":"invoke","f":"read","process":null,"value":null}
               {"type":"ok","f":"read","process":null,"value":["b"]}"#,
            Invalid,
        ),
    ] {
        let history = foreign(model, text).unwrap_or_else(|why| panic!("{model}: {why}"));
        assert_eq!(judge_history(&history, JepsenOptions::default()).valid, valid, "{model}");
    }
}

/// Registers and mutexes as elle-cli's own histories write them, in both formats.
#[test]
fn registers_and_mutexes_of_elle_cli() {
    let text = "1> read nil; 1+ read nil; 1> cas [nil 1]; 1+ cas [nil 1]; 2> cas [nil 2]; 2- cas [nil 2];
                3> write 2; 3? write 2; 4> read nil; 4+ read 2";
    let nemesis = "{:type :info, :f :start, :process :nemesis, :value {\"n1\" \"\"}}\n";
    for (change, to, valid) in [("", "", Valid), ("2- cas", "2+ cas", Invalid), ("4+ read 2", "4+ read 3", Invalid)] {
        let edn = format!("{nemesis}{}", edn(&text.replace(change, to)));
        // The same as JSON: every word is a string.
        let mut json = String::new();
        for line in edn.lines() {
            let line = line.replace("nil", "null").replace("{\"n1\" \"\"}", "\"paused\"");
            let fields = line.trim_matches(['{', '}']).split(", ").map(|field| {
                let (name, value) = field.trim_start_matches(':').split_once(' ').unwrap();
                let value = match value.strip_prefix(':') {
                    Some(word) => format!("{word:?}"),
                    None => value.replace(' ', ","),
                };
                format!("{name:?}:{value}")
            });
            json.push_str(&format!("{{{}}},", fields.collect::<Vec<_>>().join(",")));
        }
        let json = format!("[{}]", json.trim_end_matches(','));
        for file in [edn, json] {
            let history = foreign("cas-register", &file).unwrap_or_else(|why| panic!("{file}: {why}"));
            assert_eq!(judge_history(&history, JepsenOptions::default()).valid, valid, "{file}");
        }
    }
    let mutex = |second: &str| {
        format!(
            r#"[{{"type":"invoke","f":"release","process":1,"time":1,"index":0}},
                {{"type":"fail","f":"release","process":1,"time":2,"error":"not-held","index":1}},
                {{"type":"info","f":"start","process":"nemesis","time":3,"index":2}},
                {{"type":"invoke","f":"acquire","process":3,"time":4,"index":3}},
                {{"type":"ok","f":"acquire","process":3,"time":5,"index":4}},
                {{"type":"invoke","f":"acquire","process":2,"time":4,"index":5}},
                {{"type":"{second}","f":"acquire","process":2,"time":6,"error":"already-held","index":6}}]"#
        )
    };
    for (second, valid) in [("fail", Valid), ("info", Valid), ("ok", Invalid)] {
        let history = foreign("mutex", &mutex(second)).unwrap();
        assert_eq!(judge_history(&history, JepsenOptions::default()).valid, valid, "{second}");
    }
}
