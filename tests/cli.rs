//! The command line from outside, without root and without a database: what it says, what it refuses, what it repeats.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::{fs, io::Write as _, path::Path, time::Duration};

use serde_json::Value;

use support::{Ended, call, check_named, json_lines, result_of, run, run_folder, schism, scratch, tree};

/// A short honest run in memory, and where its results are.
fn memory_run(results: &Path, args: &[&str]) -> Ended {
    let duration = if args.contains(&"--duration") { &[][..] } else { &["--duration", "300ms"] };
    run(schism().args(["run", "memory", "--rate", "300"]).args(duration).args(args).arg("--results").arg(results))
}

/// Runs it in an empty folder, which has to stay empty.
#[track_caller]
fn refused(args: &[&str], says: &[&str]) {
    refused_beside(&[], args, says);
}

/// The same with some files in the folder.
#[track_caller]
fn refused_beside(files: &[(&str, &str)], args: &[&str], says: &[&str]) {
    let folder = scratch();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let before = tree(folder.path());
    let ended = run(schism().args(args).current_dir(folder.path())).expect(254);
    assert_eq!(ended.stdout, "", "{args:?}");
    assert!(ended.stderr.starts_with("schism: ") || ended.stderr.starts_with("error: "), "{args:?}: {}", ended.stderr);
    for text in says {
        assert!(ended.stderr.contains(text), "{args:?} does not say {text:?}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    assert_eq!(tree(folder.path()), before, "{args:?}");
}

#[test]
fn unknown_names_list_the_valid_ones_nearest_first() {
    for (args, says) in [
        ("run redis/sentinal", "no target `redis/sentinal`; choose one of: redis/sentinel, "),
        ("run memroy", "choose one of: memory, "),
        ("plan postgres/asinc", "choose one of: postgres/async, "),
        ("run memory -w sett", "no workload `sett`; choose one of: set, "),
        ("run memory --workload registr", "choose one of: register, "),
        ("run redis/sentinel --faults kil", "--faults: unknown fault \"kil\"; valid faults: kill, "),
        ("run redis/sentinel --faults kill,parttion", "valid faults: partition, "),
        (
            "run redis/sentinel --faults kill:primry",
            "--faults: a kill has no target \"primry\"; valid targets: primary, ",
        ),
        ("run redis/sentinel --faults partition:halve", "valid targets: halves, "),
        (
            "run redis/sentinel --schedule isolate-primry",
            "--schedule: unknown schedule \"isolate-primry\"; valid schedules: isolate-primary, ",
        ),
        ("run memory --set lye=x", "no setting of the memory target `lye`; choose one of: lie, "),
        ("run memory --set lie=lost-wirte", "no lie \"lost-wirte\"; the lies are lost-write, "),
        ("run memory -o keyz=1", "workload set has no option \"keyz\"; its options are ops-per-read"),
        ("run memory -w register -o keyz=1", "workload register has no option \"keyz\"; its options are keys, "),
        ("run postgres/single --isolation seriable", "no isolation level `seriable`; choose one of: serializable, "),
        (
            "run memory -w list-append --consistency-models serialisable",
            "no consistency model `serialisable`; choose one of: serializable, ",
        ),
        ("check --model sets x", "no model `sets`; choose one of: set, "),
        ("explain G-sngle", "no anomaly, consistency model or fault `G-sngle`; choose one of: G-single, "),
        ("explain serialisable --json", "choose one of: serializable, "),
        ("list tragets", "'tragets' for '<WHAT>'"),
        ("run memory --route primry", "primary"),
        ("completions bsh", "bash"),
        ("rum memory", "run"),
        ("run memory --durration 3s", "--duration"),
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), &[says]);
    }
}

#[test]
fn bad_values_name_their_flag_and_the_way_out() {
    for (args, says) in [
        ("run memory --set lie", "--set takes KEY=VALUE, not `lie`"),
        ("run memory --set =x", "--set takes KEY=VALUE, not `=x`"),
        ("run memory --set lie=none --set lie=none", "--set lie is given twice"),
        ("run memory -o keys", "--option takes KEY=VALUE"),
        ("run memory --set latency-min-us=fast", "--set latency-min-us takes a number of microseconds, not `fast`"),
        ("run memory --set latency-min-us=9000", "latency-min-us must not be more than latency-max-us"),
        ("run memory -w register -o keys=abc", "option keys cannot be \"abc\"; it takes 1..=1000000"),
        ("run memory -w register -o keys=0", "option keys cannot be \"0\""),
        ("run memory -w register -o read-weight=0 -o write-weight=0 -o cas-weight=0", "are all 0"),
        (
            "run memory --set lie=stale-read",
            "workload set cannot show the lie stale-read, which fits register; the lies that fit set are ",
        ),
        ("run memory --duration 5x", "'5x' for '--duration <TIME>'"),
        ("run memory --duration 5", "write a number with its unit, for example 500ms, 5s or 2m"),
        ("run memory --duration 99years", "longer than a week"),
        ("run memory --duration 0s", "--duration"),
        ("run memory --op-timeout 0s", "--op-timeout"),
        ("run memory --rate -1", "--rate must be 0 (as fast as possible) or a positive number"),
        ("run memory --rate NaN", "--rate must be"),
        ("run memory --rate inf", "--rate must be"),
        ("run memory --rate fast", "--rate"),
        ("run memory --clients 0", "'0' for '--clients <N>': clients are a whole number from 1 to 10000"),
        ("run memory --clients -3", "--clients"),
        ("run memory --clients 10001", "--clients"),
        ("run memory --seed -1", "'-1' for '--seed <N>': a seed is a whole number"),
        ("run memory --seed abc", "--seed"),
        ("run redis/sentinel --blast-radius 0%", "'0%' for '--blast-radius <SHARE>'"),
        ("run redis/sentinel --blast-radius lots", "more than 0 and at most 100"),
        ("run redis/sentinel --spacing evenly", "'evenly' for '--spacing <HOW>'"),
        ("run redis/sentinel --fault-concurrency 0", "--fault-concurrency"),
        ("run redis/sentinel --on-log (", "--on-log: \"(\" is no regular expression"),
        ("run redis/sentinel --faults flap=1ms", "flap: a cut can come and go every 500 ms at most"),
        ("run memory --abort-p99 61s", "between 1 ms and 60 s"),
        ("run memory --abort-error-rate 5", "'5' for '--abort-error-rate <SHARE>'"),
        ("run memory --safety no-such.toml", "cannot read the safety file no-such.toml"),
        ("run redis/single --set port=3", "--set port: schism sets this itself"),
        ("run postgres/single --set data_directory=/x", "--set data_directory: schism sets this itself"),
        ("run redis/single --set down-after=3s", "--set down-after: only redis/sentinel has it"),
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), &[says]);
    }
}

#[test]
fn a_safety_file_is_checked_before_anything_starts() {
    let folder = scratch();
    let path = folder.path().join("safety.toml");
    let file = path.to_str().unwrap();
    for (text, says) in [
        ("[[probe]]\nname = \"p\"\n", "probe 1 (\"p\")"),
        ("[[probe]]\nname = \"p\"\nsql = \"select 1\"\n", "for SQL databases"),
        ("[[probe]]\nname = \"p\"\ntcp = 1\n[[probe]]\nname = \"p\"\ntcp = 2\n", "two probes are called \"p\""),
        ("[[probe]]\nname = \"p\"\ntcp = 1\nexpct = 3\n", "unknown field `expct`"),
        ("[abort]\nerror-rate = 5\n", "error-rate"),
        ("[abort]\nwindow-ms = 5000\n", "watches nothing"),
    ] {
        fs::write(&path, text).unwrap();
        refused(&["run", "redis/sentinel", "--safety", file], &[says]);
    }
    fs::write(&path, "[[probe]]\nname = \"p\"\ntcp = 1\n").unwrap();
    refused(&["run", "memory", "--safety", file], &["no nodes to probe"]);
}

#[test]
fn a_mix_says_what_the_seed_made_of_it() {
    let text = call(&["plan", "redis/sentinel", "--faults", "process,flap=1s", "--seed", "5"]).expect(0).stdout;
    assert!(text.contains("# left out: failover (no replica here can be promoted by us)"), "{text}");
    assert!(text.contains("# drawn by weight from: ") && text.contains("flap ("), "{text}");
    assert_eq!(text, call(&["plan", "redis/sentinel", "--faults", "process,flap=1s", "--seed", "5"]).stdout);
}

#[test]
fn faults_that_wait_are_drawn_as_waiting() {
    let text =
        call(&["plan", "redis/sentinel", "--faults", "kill", "--seed", "5", "--on-role-change"]).expect(0).stdout;
    assert!(text.contains("when = { role-change = true }") || text.contains("[schedule.fault.when]"), "{text}");
    assert!(
        text.lines().any(|line| line.contains("??#####") && line.contains("once another node becomes primary")),
        "{text}"
    );
}

#[test]
fn options_that_could_do_nothing_are_refused() {
    for (args, says) in [
        (
            "run redis/single --isolation serializable",
            "--isolation is for SQL databases; `redis/single` has no isolation levels",
        ),
        ("run memory --isolation serializable", "--isolation is for SQL databases"),
        ("run postgres/single --wait 1", "--wait is Redis' WAIT; `postgres/single` has none"),
        ("run memory --wait 1", "--wait is Redis' WAIT"),
        ("run redis/single --wait-timeout 1s", "--wait <N>"),
        ("run memory --consistency-models serializable", "--consistency-models is for transactions"),
        ("run redis/sentinel -w list-append", "cannot run the workload `list-append`; it runs: set, register"),
        ("run postgres/single -w mutex", "cannot run the workload `mutex`; it runs: set, register"),
        ("run memory -w mutex -o lease-ms=500", "the memory target has no leases: leave `lease-ms` out"),
        ("run memory --faults kill", "the memory target has no nodes to hurt: use `--faults none`"),
        ("run memory --schedule kill-restart", "the memory target has no nodes to hurt"),
        ("run memory --interval 3s", "--interval is about drawn faults, and this test has none"),
        ("run redis/single --faults none --fault-duration 3s", "--fault-duration is about drawn faults"),
        ("run memory --steady 3s", "--steady is about drawn faults"),
        ("run memory --spacing fixed", "--spacing is about drawn faults"),
        ("run redis/single --faults none --fault-concurrency 2", "--fault-concurrency is about drawn faults"),
        ("run redis/single --faults none --on-log x", "--on-log is about drawn faults"),
        ("run redis/single --faults none --on-role-change", "--on-role-change is about drawn faults"),
        ("run redis/single --faults none --keep-majority", "limits what faults may hurt, and this test has none"),
        ("run memory --blast-radius 50%", "limits what faults may hurt, and this test has none"),
        ("run memory --abort-window 5s", "watches nothing"),
        ("run redis/single --faults kill --keep-majority", "leave no node of 1 that a fault may hurt"),
        ("run redis/single --schedule kill-restart --fault-concurrency 2", "--schedule"),
        ("run redis/single --schedule kill-restart --steady 3s", "--schedule"),
        ("run redis/single --schedule kill-restart --faults kill", "--faults"),
        ("run --plan x.toml --seed 3", "--plan"),
        ("run --plan x.toml memory", "--plan"),
        ("run --plan x.toml --wait-timeout 3s", "--plan"),
        ("plan --plan x.toml --clients 3", "--plan"),
        ("run", "<TARGET>"),
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), &[says]);
    }
}

#[test]
fn faults_must_fit_the_time_and_the_cluster() {
    for (args, says) in [
        (
            "run redis/sentinel --duration 6s",
            "no fault of 5000 ms fits between --steady 5000 ms and --duration 6000 ms",
        ),
        ("run redis/sentinel --steady 70s", "give a longer --duration, a shorter --fault-duration, or `--faults none`"),
        ("run redis/sentinel --fault-duration 0s", "--fault-duration must be longer than 0"),
        (
            "run redis/sentinel --schedule isolate-primary --duration 6s",
            "the schedule ends after 25000 ms, but the clients stop after --duration 6000 ms",
        ),
        ("run redis/single --faults partition", "at least 2 nodes"),
        ("run redis/sentinel --faults kill:n9", "a node n9; this cluster has n1, n2, n3"),
        ("run redis/sentinel --faults failover", "whose replicas can be promoted by us"),
        ("run redis/sentinel --schedule cut-then-failover", "whose replicas can be promoted by us"),
        ("run redis/single --schedule isolate-primary", "at least 2 nodes"),
    ] {
        refused(&args.split(' ').collect::<Vec<_>>(), &[says]);
    }
}

#[test]
fn errors_of_an_experiment_name_the_place() {
    let experiment = |method: &str| format!(r#"{{"title": "t", "description": "d", "method": [{method}]}}"#);
    let python = r#"{"type": "action", "name": "a", "provider": {"type": "python", "module": "os", "func": "remove"}}"#;
    let program = r#"{"type": "action", "name": "a", "provider": {"type": "process", "path": "no-such-program"}}"#;
    let kill = r#"{"type": "action", "name": "a", "provider": {"type": "schism", "fault": "kill", "target": "n4"}}"#;
    let run = ["run", "redis/sentinel", "--experiment", "e.json"];
    for (content, says) in [
        (experiment(python), "method[0].provider.type: \"python\" is not supported; supported: process, http, schism"),
        (experiment(kill), "n4"),
        ("{".to_owned(), "e.json: EOF"),
    ] {
        refused_beside(&[("e.json", &content)], &run, &[says]);
    }
    refused_beside(
        &[("e.json", &experiment(""))],
        &["run", "memory", "--experiment", "e.json"],
        &["the memory target"],
    );
    refused_beside(
        &[("e.json", &experiment(""))],
        &[&run[..], &["--faults", "kill"]].concat(),
        &["cannot be used with"],
    );
    refused(&run, &["cannot read the experiment e.json"]);
    let folder = scratch();
    let file = folder.path().join("e.json");
    fs::write(&file, experiment(program)).unwrap();
    // A plan may run elsewhere.
    let planned = run_plan(&["redis/single", "--experiment", file.to_str().unwrap()]);
    assert!(planned.contains("# method[0]: a (process no-such-program)"), "{planned}");
}

fn run_plan(args: &[&str]) -> String {
    run(schism().arg("plan").args(args)).expect(0).stdout
}

#[test]
fn thresholds_of_a_prometheus_are_checked() {
    let file = "[[abort.prometheus]]\nurl = \"https://h\"\nquery = \"up\"\nabove = 1\n";
    let args = ["run", "redis/single", "--safety", "s.toml"];
    refused_beside(&[("s.toml", file)], &args, &["abort.prometheus[0]: \"https://h\" is no http URL"]);
    let file = file.replace("https", "http");
    refused_beside(&[("s.toml", &file)], &["run", "memory", "--safety", "s.toml"], &["no faults that a Prometheus"]);
}

#[test]
fn errors_of_a_schedule_file_name_the_line() {
    let good = "[[fault]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"one\"\n\n";
    for (second, says) in [
        ("[[fault]]\nat = \"5x\"\nkind = \"kill\"\ntarget = \"one\"\n", "s.toml: fault 2, line 7: \"5x\" is no time"),
        (
            "[[fault]]\nat = 1\nkind = \"kil\"\ntarget = \"one\"\n",
            "s.toml: fault 2, line 8: unknown fault \"kil\"; valid faults: kill, ",
        ),
        (
            "[[fault]]\nat = 1\nkind = \"kill\"\ntarget = \"primry\"\n",
            "line 9: a kill has no target \"primry\"; valid targets: primary, ",
        ),
        ("[[fault]]\nat = 1\nkind = \"kill\"\ntarget = \"one\"\nforr = 3\n", "line 10: a kill has no option `forr`"),
        ("[[fault\n", "s.toml: "),
    ] {
        let content = format!("{good}{second}");
        refused_beside(&[("s.toml", &content)], &["run", "redis/sentinel", "--schedule", "s.toml"], &[says]);
    }
    refused(
        &["run", "redis/sentinel", "--schedule", "nowhere.toml"],
        &["cannot read the schedule nowhere.toml: No such file"],
    );
    refused(&["run", "redis/sentinel", "--schedule", "no/where"], &["cannot read the schedule no/where"]);
    refused(&["run", "redis/sentinel", "--schedule", "/"], &["cannot read the schedule /"]);
}

#[test]
fn a_plan_that_cannot_be_repeated_is_refused() {
    let folder = scratch();
    memory_run(folder.path(), &["--seed", "1"]).expect(0);
    let good = fs::read_to_string(run_folder(folder.path()).unwrap().join("plan.toml")).unwrap();
    let args = ["run", "--plan", "p.toml"];
    for (plan, says) in [
        ("\0\u{1}garbage".to_owned(), "p.toml is not a plan"),
        (String::new(), "p.toml is not a plan: "),
        (
            good.replace("schema = 1", "schema = 2"),
            "has schema 2, this schism reads 1; use the version of schism that wrote it",
        ),
        (format!("colour = \"red\"\n{good}"), "unknown field `colour`"),
        (good.replace("clients = 12", "clients = 0"), "--clients must be between 1 and 10000"),
        (good.replace("target = \"memory\"", "target = \"memroy\""), "choose one of: memory, "),
        (good.replace("duration-ms = 300", "duration-ms = 999999999999999"), "longer than a week"),
        (good.replace("seed = 1", "seed = -1"), "seed"),
    ] {
        refused_beside(&[("p.toml", &plan)], &args, &[says]);
    }
    refused(&args, &["cannot read the plan p.toml: No such file"]);
}

#[test]
fn a_results_folder_that_cannot_be_written_is_refused() {
    refused_beside(
        &[("file", "")],
        &["run", "memory", "--results", "file"],
        &["cannot create a result folder in file", "--results DIR"],
    );
    refused(&["run", "memory", "--results", "/proc/nowhere"], &["cannot create a result folder in /proc/nowhere"]);
    refused(&["run", "redis/single", "--results", "/run/schism-test-nowhere"], &["a /run and a /proc of its own"]);
    assert!(!Path::new("/run/schism-test-nowhere").exists());
}

#[test]
fn files_that_are_no_histories_are_refused() {
    for (content, says) in [
        ("", "the file is empty"),
        ("garbage\n", "begins like no history; the formats are jsonl, edn, json, porcupine"),
        ("garbage\n", "--format"),
        ("{:type :invoke}\n", "no header"),
        ("{:type :invoke}\n", "--model"),
        ("\u{0}\u{1}\u{2}", "f is not a history that can be read"),
        (
            "{\"schism-history\":9,\"workload\":\"set\",\"target\":\"x\",\"seed\":1,\"clients\":1,\"nodes\":[]}\n",
            "version 9 of the history format is not supported",
        ),
    ] {
        refused_beside(&[("f", content)], &["check", "f"], &[says]);
    }
    refused(&["check", "nowhere"], &["cannot read nowhere: No such file"]);
    refused(&["check", "."], &["cannot read ./history.jsonl"]);
    refused(&["check"], &["<FILE>"]);
    refused(&["report", "nowhere"], &["there is no result folder nowhere"]);
    refused(&["report", "."], &["result.json"]);
}

#[test]
fn every_problem_of_a_malformed_history_has_its_line() {
    let header = r#"{"schism-history":1,"workload":"set","target":"x","seed":1,"clients":1,"nodes":["n1"]}"#;
    let invoke = r#"{"index":0,"time_ns":1,"process":0,"type":"invoke","f":"add","value":1}"#;
    let twice = r#"{"index":1,"time_ns":2,"process":0,"type":"invoke","f":"add","value":2}"#;
    let content = format!("{header}\n{invoke}\n{twice}\nnonsense\n");
    refused_beside(&[("f", &content)], &["check", "f"], &["line 3", "line 4"]);
}

/// A verdict is certified, whichever it is, and the certificate is of this history and no other.
#[test]
fn certificates_are_verified() {
    let edn = "{:type :invoke, :process 0, :f :write, :value 1}\n{:type :ok, :process 0, :f :write, :value 1}\n\
               {:type :invoke, :process 1, :f :read, :value nil}\n{:type :ok, :process 1, :f :read, :value 2}\n";
    let folder = scratch();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("bad"), edn).unwrap();
    fs::write(path("good"), edn.replace(":value 2", ":value 1")).unwrap();
    for (name, code, says) in [("good", 0, "the history is valid"), ("bad", 1, "the history is invalid")] {
        let certificate = path(&format!("{name}.certificate"));
        call(&["check", "--model", "cas-register", "--certificate", &certificate, &path(name)]).expect(code);
        let ended = call(&["verify", &path(name), &certificate]).expect(0);
        assert!(ended.stdout.contains(says), "{}", ended.stdout);
    }
    let ended = call(&["verify", "--json", &path("bad"), &path("good.certificate")]).expect(1).json();
    assert_eq!((&ended["holds"], ended["reason"].as_str()), (&Value::Bool(false), Some("it is of another history")));
    // The picture of what makes it invalid, and none of a valid one.
    let drawn = path("drawn");
    let ended =
        call(&["check", "--model", "cas-register", "--directory", &drawn, &path("good"), &path("bad")]).expect(1);
    assert!(ended.stdout.contains("drawn/bad/linearizability.html"), "{}", ended.stdout);
    let page = fs::read_to_string(path("drawn/bad/linearizability.html")).unwrap();
    assert!(page.contains("read 2") && page.contains("<svg"), "{page}");
    assert!(!Path::new(&path("drawn/good")).exists());
    // Of transactions: words, a drawing of each cycle, and all of it for machines.
    let skew = "{:type :invoke :process 0 :f :txn :value [[:r 1 nil] [:append 2 20]]}\n\
                {:type :invoke :process 1 :f :txn :value [[:r 2 nil] [:append 1 10]]}\n\
                {:type :ok :process 0 :f :txn :value [[:r 1 nil] [:append 2 20]]}\n\
                {:type :ok :process 1 :f :txn :value [[:r 2 nil] [:append 1 10]]}\n\
                {:type :invoke :process 0 :f :txn :value [[:r 1 nil] [:r 2 nil]]}\n\
                {:type :ok :process 0 :f :txn :value [[:r 1 [10]] [:r 2 [20]]]}\n";
    fs::write(path("skew.edn"), skew).unwrap();
    let check = |options: &[&str]| {
        run(schism().args(["check", "--model", "list-append"]).args(options).arg(path("skew.edn"))).expect(1)
    };
    let ended = check(&["--directory", &drawn]);
    assert!(ended.stdout.contains("evidence in ") && ended.stderr.is_empty(), "{}{}", ended.stdout, ended.stderr);
    let read = |name: &str| fs::read_to_string(path(&format!("drawn/skew/{name}"))).unwrap();
    assert!(read("G2-item.txt").contains("T1 before T2 (rw)") && read("G2-item-1.svg").starts_with("<svg"));
    assert!(serde_json::from_str::<Value>(&read("isolation.json")).is_ok());
    check(&["-d", &drawn, "-p", "dot"]);
    assert!(read("G2-item-1.dot").starts_with("digraph"));
    // And the verdict can be checked again.
    let certificate = path("skew.certificate");
    check(&["--certificate", &certificate]);
    let ended = call(&["verify", &path("skew.edn"), &certificate]).expect(0);
    assert!(ended.stdout.contains("the history is invalid, for G2-item is there"), "{}", ended.stdout);
    let forged = fs::read_to_string(&certificate).unwrap().replace("\"G2-item\"", "\"G1c\"");
    fs::write(&certificate, forged).unwrap();
    let ended = call(&["verify", &path("skew.edn"), &certificate]).expect(1);
    assert!(ended.stdout.contains("its steps are those of G2-item"), "{}", ended.stdout);
    // As scripts for elle-cli have it.
    let ended = check(&["--plot-format", "png"]);
    assert!(ended.stderr.contains("--plot-format png has no effect: cycles are drawn as SVG"), "{}", ended.stderr);
    // Cut off, or none at all.
    let whole = fs::read_to_string(path("good.certificate")).unwrap();
    fs::write(path("cut"), &whole[..whole.len() - 5]).unwrap();
    for (certificate, says) in [("cut", "it was cut off"), ("good", "no certificate of schism"), ("no", "cannot read")]
    {
        let ended = call(&["verify", &path("good"), &path(certificate)]).expect(254);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
    for (args, says) in [
        (vec!["--certificate", "no/such/folder", "bad"], "no file in a folder that exists"),
        (vec!["--certificate", "c", "bad", "good"], "is of one history, and 2 files are given"),
    ] {
        let args = args.iter().map(|arg| if arg.len() < 5 { path(arg) } else { (*arg).to_owned() });
        let ended = run(schism().args(["check", "--model", "cas-register"]).args(args)).expect(254);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}

/// Another tool's history, as it is, packed, and from standard input.
#[test]
fn check_reads_what_other_tools_wrote() {
    let edn = "{:type :invoke, :process 0, :f :write, :value 1}\n{:type :ok, :process 0, :f :write, :value 1}\n\
               {:type :invoke, :process 1, :f :read, :value nil}\n{:type :ok, :process 1, :f :read, :value 2}\n";
    let folder = scratch();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(edn.as_bytes()).unwrap();
    let good = edn.replace(":value 2", ":value 1");
    let files = [
        write("plain", edn.as_bytes()),
        write("packed.gz", &gzip.finish().unwrap()),
        write("packed.zst", &zstd::encode_all(good.as_bytes(), 1).unwrap()),
    ];
    let ended = run(schism().args(["check", "--model", "cas-register", "--quiet"]).args(&files)).expect(1);
    let expected = [false, false, true];
    let lines = files.iter().zip(expected).map(|(file, valid)| format!("{}\t{valid}\n", file.display()));
    assert_eq!(ended.stdout, lines.collect::<String>());
    let line = run(schism().args(["check", "--model", "cas-register", "--json"]).arg(&files[0])).expect(1).json();
    assert_eq!((line["valid"].as_bool(), line["model"].as_str()), (Some(false), Some("cas-register")));
    assert_eq!(line["evidence"][0]["ops"][0]["op"], "read 2");
    let input = fs::File::open(&files[0]).unwrap();
    let ended = run(schism().args(["check", "--model", "register", "-q", "-"]).stdin(input)).expect(1);
    assert_eq!(ended.stdout, "-\tfalse\n");
    // A pack that is cut off is no history that ended.
    let packed = fs::read(&files[1]).unwrap();
    let cut = write("cut.gz", &packed[..packed.len() - 9]);
    let ended = run(schism().args(["check", "--model", "register"]).arg(cut)).expect(254);
    assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
    for (args, says) in [
        (["--format", "xml"], "there is no format `xml`; choose one of: edn"),
        (["--memory-limit", "5X"], "`X` is no unit"),
        (["--time-limit", "fast"], "write a number with its unit"),
    ] {
        let ended = run(schism().arg("check").args(args).arg(&files[0])).expect(254);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}

/// What a script made for elle-cli gives, and what it reads.
#[test]
fn check_takes_the_options_of_elle_cli_and_prints_its_lines() {
    let folder = scratch();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let bank = write(
        "bank.json",
        r#"[{"type":"invoke","f":"read","process":0,"time":1,"index":0},
            {"type":"ok","f":"read","process":0,"time":2,"value":{"0":100,"7":0},"index":1},
            {"type":"invoke","f":"read","process":0,"time":3,"index":2},
            {"type":"ok","f":"read","process":0,"time":4,"value":{"0":101,"7":-1},"index":3}]"#,
    );
    let fork = write(
        "fork.edn",
        "[{:type :invoke, :f :read, :value [[:r 0 nil] [:r 1 nil]]} {:type :ok, :f :read, :value [[:r 0 1] [:r 1 nil]]}
          {:type :invoke, :f :read, :value [[:r 1 nil] [:r 0 nil]]} {:type :ok, :f :read, :value [[:r 1 1] [:r 0 nil]]}]",
    );
    let unread =
        write("set.edn", "{:type :invoke :process 0 :f :add :value 1} {:type :ok :process 0 :f :add :value 1}");
    let none = write("none.json", "[]");
    for (args, file, code, word) in [
        (&["--model", "cas-register"][..], &none, 0, "true"),
        (&["--model", "list-append"], &none, 2, "unknown"),
        (&["--model", "list-append", "--consistency-models", "", "-a", "G-single-process"], &none, 2, "unknown"),
        (&["--model", "bank"], &bank, 1, "false"),
        (&["-m", "bank", "-n", "-f", "json"], &bank, 0, "true"),
        (&["--model", "bank", "--allow-negative-balances", "--total-amount", "99"], &bank, 1, "false"),
        (&["-m", "bank", "-n", "-o", "100", "--max-transfer", "5"], &bank, 0, "true"),
        (&["--model", "long-fork"], &fork, 1, "false"),
        (&["--model", "long-fork", "--group-size", "2"], &fork, 1, "false"),
        (&["--model", "long-fork", "-g", "3"], &fork, 2, "unknown"),
        (&["--model", "set"], &unread, 2, "unknown"),
        (&["--model", "jepsen-bank"], &bank, 1, "false"),
        (&["--model", "counter", "-v", "text"], &unread, 0, "true"),
    ] {
        let ended = run(schism().arg("check").args(args).arg(file)).expect(code);
        assert_eq!(ended.stdout.lines().next(), Some(format!("{file}\t{word}").as_str()), "{args:?}");
        assert_eq!(ended.stderr, "", "{args:?}");
        let quiet = run(schism().args(["check", "--quiet"]).args(args).arg(file)).expect(code);
        assert_eq!(quiet.stdout, format!("{file}\t{word}\n"), "{args:?}");
    }
    // JSON, with Jepsen's names.
    for args in [&["--verbose"][..], &["--output", "json"], &["-v", "json"]] {
        let found = run(schism().args(["check", "-m", "bank"]).args(args).arg(&bank)).expect(1).json();
        assert_eq!((&found["valid?"], &found["error-count"]), (&Value::from(false), &Value::from(1)));
        assert_eq!(found["first-error"]["negative"][0], -1);
        assert_eq!(
            (&found["file"], &found["model"], found.get("of")),
            (&Value::from(bank.as_str()), &Value::from("bank"), None)
        );
    }
    let found = run(schism().args(["check", "-m", "set", "--verbose"]).arg(&unread)).expect(2).json();
    assert_eq!((&found["valid?"], &found["error"]), (&Value::from("unknown"), &Value::from("the set was never read")));
    // An option that the model has no use for does not stop a script, and is not passed over in silence.
    let options = ["-g", "2", "--total-amount", "1", "--max-transfer", "1", "-n", "-t", "5000", "-b", "65536"];
    let ended = run(schism().args(["check", "-m", "set", "-q"]).args(options).args([&unread, &unread])).expect(2);
    assert_eq!(
        ended.stderr.lines().filter(|line| line.starts_with("schism: warning: --")).count(),
        6,
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("--group-size has no effect on set: it is an option of long-fork"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout.lines().count(), 2);
    // What cannot be done says so, and judges the other files.
    for (args, says) in [
        (&["-m", "bank", "--group-size", "many"][..], "--group-size"),
        (&["-m", "bank", "--verbose", "--quiet"], "cannot be used with"),
        (&["-m", "bank", "-v", "json", "-q"], "--output json is one of three ways to print"),
        (&["-m", "bank", "-v", "xml"], "invalid value 'xml'"),
        (&["-m", "knossos-lock"], "there is no model `lock`"),
        (&["-m", "counter", "nowhere"], "cannot read nowhere: No such file"),
        (&["-m", "set"], "read: the value of an ok read or drain must be a list"),
        (&["-m", "rw-register"], "\nAs it begins, it could be of --model register|cas-register|bank\n"),
    ] {
        let ended = run(schism().arg("check").args(args).arg(&bank)).expect(254);
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
    let ended = run(schism().args(["check", "--version"])).expect(0);
    assert!(ended.stdout.ends_with(&format!(" {}\n", env!("CARGO_PKG_VERSION"))), "{}", ended.stdout);
}

#[test]
fn check_judges_each_file_and_its_exit_code_is_the_worst() {
    let (good, bad) = (scratch(), scratch());
    memory_run(good.path(), &["--seed", "1"]).expect(0);
    memory_run(bad.path(), &["--seed", "1", "--set", "lie=lost-write"]).expect(1);
    let good = run_folder(good.path()).unwrap();
    let bad = run_folder(bad.path()).unwrap();
    let history = fs::read_to_string(good.join("history.jsonl")).unwrap();
    let half = history.len() / 2;
    let cut = bad.join("cut.jsonl");
    // In the middle of a line, as a run that was killed leaves it.
    let end = history[..half].rfind('\n').unwrap() + 20;
    fs::write(&cut, &history[..end]).unwrap();
    let headless = bad.join("headless.jsonl");
    fs::write(&headless, history.split_once('\n').unwrap().1).unwrap();

    let ended = run(schism().arg("check").arg("--json").args([&good, &bad]).arg(&cut)).expect(1);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let valid: Vec<&Value> = lines.iter().map(|line| &line["valid"]).collect();
    assert_eq!(valid, [&Value::from(true), &Value::from(false), &Value::from("unknown")]);
    for (line, path) in lines.iter().zip([good.join("history.jsonl"), bad.join("history.jsonl"), cut.clone()]) {
        assert_eq!(line["file"], path.to_str().unwrap());
        assert_eq!(line["model"], "set");
        assert!(line["checks"].as_array().is_some_and(|checks| checks.len() == 5), "{line}");
    }
    assert!(lines[1]["checks"][0]["findings"].as_array().is_some_and(|findings| !findings.is_empty()));
    assert!(lines[2]["warnings"][0].as_str().unwrap().contains("cut off"), "{}", lines[2]["warnings"]);
    assert!(lines[2]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));

    run(schism().arg("check").arg(&good)).expect(0);
    let unknown = run(schism().arg("check").arg(&cut)).expect(2);
    assert!(unknown.stdout.contains("warning: line "), "{}", unknown.stdout);
    // One bad file does not keep the others from being judged.
    let ended = run(schism().arg("check").arg("nowhere").arg(&bad)).expect(254);
    assert!(ended.stdout.contains("invalid") && ended.stderr.contains("nowhere"));
    run(schism().arg("check").arg(&headless)).expect(254);
    run(schism().args(["check", "--model", "set"]).arg(&headless)).expect(0);
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    for target in ["memory", "redis/sentinel", "postgres/async"] {
        let plan = |seed: &str| call(&["plan", target, "--seed", seed, "--ops", "100"]).expect(0).stdout;
        assert_eq!(plan("42"), plan("42"), "{target}");
        assert_ne!(plan("42"), plan("43"), "{target}");
        for workload in ["set", "register"] {
            let plan = || call(&["plan", target, "--seed", "7", "-w", workload, "--json"]).expect(0);
            assert_eq!(plan().stdout, plan().stdout, "{target} {workload}");
        }
    }
}

#[test]
fn one_more_fault_does_not_change_the_ops() {
    let plan = |faults: &str| {
        call(&["plan", "redis/sentinel", "--seed", "42", "--ops", "50", "--faults", faults, "-w", "register", "--json"])
            .expect(0)
            .json()
    };
    let (none, one, two) = (plan("none"), plan("kill"), plan("kill,partition:primary"));
    assert_eq!(none["ops"], one["ops"]);
    assert_eq!(one["ops"], two["ops"]);
    assert_ne!(one["plan"]["schedule"], two["plan"]["schedule"]);
    assert_eq!(one["ops"].as_array().unwrap().len(), 12);
    assert!(one["ops"].as_array().unwrap().iter().all(|ops| ops.as_array().unwrap().len() == 50));
}

/// A time that says how long something takes is no part of an operation.
fn invocations(folder: &Path, client: u64, clients: u64) -> Vec<Value> {
    json_lines(&folder.join("history.jsonl"))
        .into_iter()
        .filter(|event| event["type"] == "invoke" && event.get("final").is_none())
        .filter(|event| event["process"].as_u64().is_some_and(|process| process % clients == client))
        .map(|event| serde_json::json!({ "f": event["f"], "value": event["value"] }))
        .collect()
}

#[test]
fn a_stored_plan_repeats_itself_and_its_operations() {
    for workload in ["set", "register", "list-append", "closed-predicate"] {
        let (first, second) = (scratch(), scratch());
        memory_run(first.path(), &["-w", workload, "--clients", "3", "--seed", "11"]).expect(0);
        let first = run_folder(first.path()).unwrap();
        let plan = first.join("plan.toml");
        run(schism().args(["run", "--plan"]).arg(&plan).arg("--results").arg(second.path())).expect(0);
        let second = run_folder(second.path()).unwrap();
        assert_eq!(fs::read(&plan).unwrap(), fs::read(second.join("plan.toml")).unwrap());

        let planned = run(schism().args(["plan", "--json", "--ops", "10", "--plan"]).arg(&plan)).expect(0).json();
        for client in 0..3 {
            let (one, two) = (invocations(&first, client, 3), invocations(&second, client, 3));
            let length = one.len().min(two.len()).min(10);
            assert!(length >= 5, "{workload}: {length} operations of client {client}");
            assert_eq!(one[..length], two[..length], "{workload}");
            let ops = planned["ops"][client as usize].as_array().unwrap();
            assert_eq!(one[..length], ops[..length], "{workload}");
        }
    }
}

#[test]
fn lists_hold_what_can_be_chosen() {
    for (what, some) in [
        ("targets", &["memory", "redis/sentinel", "postgres/sync"][..]),
        ("workloads", &["set", "register", "list-append", "closed-predicate", "mutex", "fenced-lock"]),
        ("faults", &["kill", "pause", "partition", "failover"]),
        ("schedules", &["isolate-primary", "cut-then-failover", "promote-during-cut", "kill-restart"]),
        ("lies", &["lost-write", "split-brain"]),
    ] {
        let text = call(&["list", what]).expect(0).stdout;
        let rows = call(&["list", what, "--json"]).expect(0).json();
        let rows = rows.as_array().unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        for name in some {
            assert!(names.contains(name), "{what}: {names:?}");
        }
        for row in rows {
            assert!(row["description"].as_str().is_some_and(|text| !text.is_empty()), "{row}");
            assert!(text.lines().any(|line| line.starts_with(row["name"].as_str().unwrap())), "{text}");
        }
    }
}

#[test]
fn every_listed_target_workload_and_schedule_can_be_planned() {
    let names = |what: &str| -> Vec<String> {
        let rows = call(&["list", what, "--json"]).expect(0).json();
        rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    for target in names("targets") {
        call(&["plan", &target]).expect(0);
    }
    for workload in names("workloads") {
        call(&["plan", "memory", "-w", &workload]).expect(0);
    }
    for schedule in names("schedules") {
        call(&["plan", "postgres/async", "--schedule", &schedule]).expect(0);
    }
}

#[test]
fn completions_offer_the_commands_and_nothing_internal() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = call(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("isolation") && script.contains("leftovers"), "{shell}");
        assert!(!script.contains("internal"), "{shell}");
    }
}

#[test]
fn every_command_explains_itself() {
    let all = call(&["--help"]).expect(0).stdout;
    assert!(all.contains("Exit codes: 0 valid, 1 invalid, 2 unknown, 254") && all.contains("Examples:"), "{all}");
    for command in ["run", "plan", "check", "report", "list", "explain", "doctor", "heal", "completions"] {
        assert!(all.contains(command), "{all}");
        let help = call(&[command, "--help"]).expect(0).stdout;
        assert!(help.contains(&format!("Usage: schism {command}")) && help.lines().count() > 4, "{help}");
    }
    assert!(call(&["run", "--help"]).expect(0).stdout.contains("schism run redis/sentinel --workload set"));
    assert!(call(&["--version"]).expect(0).stdout.starts_with("schism "));
    assert!(call(&[]).expect(254).stderr.contains("Usage"));
}

#[test]
fn a_report_rendered_again_says_the_same() {
    let results = scratch();
    let ended = memory_run(results.path(), &["--seed", "5", "--set", "lie=split-brain", "--duration", "2s"]).expect(1);
    let latest = results.path().join("latest");
    assert_eq!(fs::canonicalize(&latest).unwrap(), fs::canonicalize(run_folder(results.path()).unwrap()).unwrap());
    let before = result_of(&latest);
    fs::remove_file(latest.join("report.html")).unwrap();
    let again = run(schism().arg("report").arg(&latest)).expect(0).stdout;
    let after = result_of(&latest);
    assert_eq!((&before["valid"], &before["checks"]), (&after["valid"], &after["checks"]));
    assert_eq!(check_named(&after, "split-brain")["valid"], false);
    assert!(latest.join("report.html").exists());
    // What the run printed at its end is what the report prints.
    assert!(ended.stdout.ends_with(&again), "{}\n---\n{again}", ended.stdout);
}

#[test]
fn json_is_the_result_and_nothing_else() {
    let results = scratch();
    let ended = memory_run(results.path(), &["--seed", "5", "--json"]).expect(0);
    let result = ended.json();
    let folder = run_folder(results.path()).unwrap();
    assert_eq!(result["valid"], true);
    assert_eq!(result["exit-code"], 0);
    assert_eq!(result["directory"], fs::canonicalize(&folder).unwrap().to_str().unwrap());
    assert_eq!(ended.stderr, "");
    assert_eq!(result["checks"], result_of(&folder)["checks"]);
    // The command repeats the plan; without --json, which is no part of it.
    assert!(!result["command"].as_str().unwrap().contains("--json"));
    for file in ["report.html", "junit.xml", "plan.toml", "history.jsonl"] {
        assert!(folder.join(file).exists(), "{file}");
    }
}

#[test]
fn a_drawn_seed_is_printed_stored_and_repeats() {
    let results = scratch();
    let ended = memory_run(results.path(), &["--json"]).expect(0);
    let seed = ended.json()["seed"].as_u64().unwrap();
    let command = ended.json()["command"].as_str().unwrap().to_owned();
    assert!(command.ends_with(&format!("--seed {seed}")), "{command}");
    let plan = fs::read_to_string(results.path().join("latest/plan.toml")).unwrap();
    assert!(plan.contains(&format!("\nseed = {seed}\n")), "{plan}");
}

#[test]
fn a_reader_that_goes_away_changes_no_verdict() {
    let results = scratch();
    let script = r#""$0" run memory --duration 300ms --seed 1 --set lie=lost-write --results "$1" | head -n 1; echo ${PIPESTATUS[0]}"#;
    let ended = run(std::process::Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_schism")])
        .arg(results.path())
        .env_remove("SCHISM_RESULTS"));
    assert!(ended.stdout.ends_with("\n1\n"), "{} {}", ended.stdout, ended.stderr);
    assert_eq!(ended.stderr, "");
}

#[test]
fn ctrl_c_ends_a_run_with_what_is_known_by_then() {
    let results = scratch();
    let started = std::time::Instant::now();
    let running = support::Running::start(
        schism()
            .args(["run", "memory", "--duration", "60s", "--seed", "1", "--set", "lie=split-brain", "--results"])
            .arg(results.path()),
    );
    support::eventually("a history", Duration::from_secs(10), || {
        let folder = run_folder(results.path())?;
        (json_lines(&folder.join("history.jsonl")).len() > 1_500).then_some(())
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.pid()), nix::sys::signal::Signal::SIGINT).unwrap();
    let ended = running.wait(Duration::from_secs(20));
    assert!(started.elapsed() < Duration::from_secs(40));
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    let result = result_of(&run_folder(results.path()).unwrap());
    assert_eq!(result["outcome"], "interrupted");
    assert!(ended.stdout.contains("interrupted"), "{}", ended.stdout);
}

/// Packed or not, from a file or standard input, to a file or standard output; what cannot be said writes nothing.
#[test]
fn histories_are_converted() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let convert = |args: &[&str]| run(schism().arg("convert").args(args).current_dir(folder.path()));
    fs::write(
        path("h.edn"),
        "{:type :invoke :process 0 :f :write :value 3}\n{:type :info :process :nemesis :f :start :value nil}
         {:type :ok :process 0 :f :write :value 3}\n",
    )
    .unwrap();
    let ended = convert(&["--to", "porcupine", "--model", "register", "h.edn"]).expect(0);
    assert_eq!(ended.stdout, "INFO  jepsen.util - 0\t:invoke\t:write\t3\nINFO  jepsen.util - 0\t:ok\t:write\t3\n");
    assert_eq!(ended.stderr, "schism: left out: 1 event of faults, claims, phases and the like\n");
    let ended = convert(&["--to", "jsonl", "--model", "register", "h.edn", "-o", "h.jsonl"]).expect(0);
    assert_eq!((ended.stdout.as_str(), path("h.jsonl").exists()), ("", true));
    run(schism().args(["check", "--quiet"]).arg(path("h.jsonl"))).expect(0);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"w(1,2,3,4)\n").unwrap();
    fs::write(path("p.gz"), packed.finish().unwrap()).unwrap();
    let ended = convert(&["--to", "plume", "p.gz"]).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("w(1,2,3,0)\n", ""));

    // What was there before is still there after a refusal.
    for (args, says) in [
        (
            &["--to", "porcupine", "p.gz", "-o", "h.edn"][..],
            "cannot be written as porcupine: Porcupine's logs are of a register",
        ),
        (&["--to", "pluem", "p.gz"], "no format `pluem`; choose one of: plume, "),
        (
            &["--to", "edn", "--from", "json", "p.gz"],
            "no header: another tool's history does not say what it is of\nSay what",
        ),
        (&["--to", "edn", "--model", "regster", "h.edn"], "no model `regster`; choose one of: register, "),
        (&["--to", "edn", "--model", "register", "none"], "cannot read none"),
    ] {
        let ended = convert(args).expect(254);
        assert!(ended.stdout.is_empty() && ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(path("h.edn")).unwrap().lines().count(), 3);
}

#[test]
fn explain_teaches_anomalies_and_models() {
    let ended = call(&["explain", "g-nonadjacent-ITEM"]).expect(0);
    for says in [
        "G-nonadjacent-item: an anomaly\n\nLong fork: ",
        "\n    T3: r x [1], r y nil\n    T4: r x nil, r y [1]\n",
        "\nreported as     G-nonadjacent-item (list-append)\n",
        "\nforbidden by    repeatable-read, snapshot-isolation\n",
        "\nallowed by ",
        "Analysing snapshot isolation",
    ] {
        assert!(ended.stdout.contains(says), "{says:?} is not in {}", ended.stdout);
    }
    assert!(call(&["explain", "G-cursor"]).expect(0).stdout.contains("never: a history knows no cursors"));
    assert!(call(&["explain", "GSIa"]).expect(0).stdout.contains("\nforbidden by    no model: the lattice draws no "));
    let anomaly = call(&["explain", "G1a", "--json"]).expect(0).json();
    assert_eq!(anomaly["kind"], "anomaly");
    assert_eq!(anomaly["forbidden-by-weakest"][0], "read-committed");
    assert_eq!(anomaly["allowed-by"][0], "read-uncommitted");
    assert_eq!(anomaly["example"]["transactions"][0], "T1 (aborted): append x 1");

    let ended = call(&["explain", "pl-si"]).expect(0);
    for says in [
        "snapshot-isolation: a consistency model, also called PL-SI\n",
        "\nforbids         internal, G1, G-SI, G-nonadjacent, ",
        "\nimplied by      serializable, strong-session-snapshot-isolation, strong-serializable\n",
    ] {
        assert!(ended.stdout.contains(says), "{says:?} is not in {}", ended.stdout);
    }
    let model = call(&["explain", "PRAM", "--json"]).expect(0).json();
    assert_eq!(model["kind"], "model");
    assert_eq!(model["implied-by"][0], "causal");
    assert!(call(&["explain", "PRAM"]).expect(0).stdout.contains("the lattice ties no anomaly to it"));
}

#[test]
fn explain_lists_every_name_in_groups() {
    let text = call(&["explain"]).expect(0).stdout;
    let json = call(&["explain", "--json"]).expect(0).json();
    let names: Vec<&str> = json["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let in_groups = ["anomalies", "models"].iter().flat_map(|of| json[of].as_array().unwrap());
    let in_groups = in_groups.flat_map(|group| group["names"].as_array().unwrap()).filter_map(Value::as_str);
    assert!(in_groups.into_iter().all(|name| names.contains(&name)));
    assert!(names.len() > 90, "{names:?}");
    for name in &names {
        assert!(text.contains(name), "{name}");
    }
    // Of workloads and faults what `list` says.
    assert!(call(&["explain", "list-append"]).expect(0).stdout.contains("transactions append to lists"));
    assert!(call(&["explain", "partition"]).expect(0).stdout.starts_with("partition: a fault of the family network"));
}

#[test]
fn transactions_in_the_order_that_the_database_tells() {
    let folder = scratch();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let history = "{:type :invoke, :process 0, :f :txn, :value [[:r :x nil] [:w :y 2]]}
        {:type :invoke, :process 1, :f :txn, :value [[:w :x 3] [:w :y 4]]}
        {:type :ok, :process 0, :f :txn, :value [[:r :x nil] [:w :y 2]], :order 8}
        {:type :ok, :process 1, :f :txn, :value [[:w :x 3] [:w :y 4]], :order 7}";
    let told = write("told.edn", history);
    let untold = write("untold.edn", &history.replace(", :order 8", "").replace(", :order 7", ""));
    let check = |path: &Path| {
        run(schism().args(["check", "--model", "rw-register", "-c", "serializable", "--transaction-order"]).arg(path))
    };
    assert!(check(&told).expect(1).stdout.contains("G-single-item"));
    let refused = check(&untold).expect(254).stderr;
    assert!(refused.contains("no transaction says where the database placed it"), "{refused}");
    let lists = write("lists.edn", "[]");
    let ended = run(schism().args(["check", "--model", "list-append", "--transaction-order"]).arg(&lists)).expect(2);
    assert!(ended.stderr.contains("--transaction-order has no effect on list-append"), "{}", ended.stderr);
}

/// jepsen.mysql's histories, each with many universes.
#[test]
fn reads_by_predicate_of_another_tool() {
    let folder = scratch();
    let path = folder.path().join("phantoms.edn");
    let history =
        "{:type :invoke, :process 9, :f :init, :value [1 {5 3}]} {:type :ok, :process 9, :f :init, :value [1 {5 3}]}
        {:type :invoke, :process 0, :f :txn, :value [1 [[:rp [:= 4] nil] [:insert 6 4]]]}
        {:type :invoke, :process 1, :f :txn, :value [1 [[:rp [:= 4] nil] [:insert 7 4]]]}
        {:type :ok, :process 0, :f :txn, :value [1 [[:rp [:= 4] {}] [:insert 6 4]]]}
        {:type :ok, :process 1, :f :txn, :value [1 [[:rp [:= 4] {}] [:insert 7 4]]]}";
    fs::write(&path, history).unwrap();
    let call = |options: &[&str]| run(schism().args(["check", "--model", "closed-predicate"]).args(options).arg(&path));
    let evidence = folder.path().join("evidence");
    let refuted = call(&["-c", "serializable", "--directory", evidence.to_str().unwrap()]).expect(1).stdout;
    assert!(
        refuted.contains("T1 before T2 (rwp)") && refuted.contains("of its versions (nil, 4) only nil"),
        "{refuted}"
    );
    assert!(fs::read_to_string(evidence.join("phantoms/G2-1.svg")).unwrap().contains("rwp"));
    call(&["-c", "repeatable-read"]).expect(0);
    let (certificate, serializable) = (folder.path().join("certificate"), ["-c", "serializable"]);
    call(&[&serializable[..], &["--certificate", certificate.to_str().unwrap()]].concat()).expect(1);
    let converted =
        run(schism().args(["convert", "--to", "jsonl", "--model", "closed-predicate"]).arg(&path)).expect(0);
    let ours = folder.path().join("phantoms.jsonl");
    fs::write(&ours, converted.stdout).unwrap();
    let verified = run(schism().arg("verify").args([&ours, &certificate])).expect(0).stdout;
    assert!(verified.contains("G2 is there"), "{verified}");
    // The shape and the words of its transactions tell what it is of.
    let unnamed = run(schism().arg("check").arg(&path)).expect(254).stderr;
    assert!(unnamed.contains("--model"), "{unnamed}");
}
