use serde_json::json;

use super::*;

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn read(value: Value) -> Result<Experiment, String> {
    let nodes = NODES.map(str::to_owned);
    let circumstances = Circumstances { nodes: &nodes, seed: 1, duration_ms: 60_000 };
    parse(value, &BTreeMap::new(), &circumstances).map_err(|wrong| wrong.to_string())
}

/// One of everything that is supported.
fn whole() -> Value {
    json!({
        "version": "1.0.0",
        "title": "On ${where}",
        "description": "d",
        "tags": ["a"],
        "contributions": {"reliability": "high"},
        "extensions": [{"name": "vendor", "data": 1}],
        "configuration": {"where": "n2", "soon": 0.5},
        "secrets": {},
        "controls": [],
        "steady-state-hypothesis": {
            "title": "h",
            "probes": [
                {
                    "type": "probe", "name": "up", "tolerance": 200,
                    "provider": {"type": "http", "url": "http://${where}:8008/health?a=b#c", "timeout": [1, 2.5],
                                 "arguments": {"x y": ["1", 2], "none": null}},
                },
            ],
        },
        "method": [
            {
                "type": "action", "name": "cut", "background": true, "pauses": {"before": "${soon}", "after": 1},
                "provider": {"type": "schism", "fault": "partition", "target": "primary", "for": "10s"},
            },
            {"ref": "up"},
            {
                "type": "probe", "name": "list",
                "provider": {"type": "process", "path": "ls", "timeout": 3,
                             "arguments": ["-l", "", null, 5, true, "${where}"]},
            },
            {"type": "action", "name": "map",
             "provider": {"type": "process", "path": "ls", "arguments": {"-a": "", "-w": 5}}},
            {"type": "action", "name": "line",
             "provider": {"type": "process", "path": "ls", "arguments": "-l ${where}"}},
            {"type": "action", "name": "kill",
             "provider": {"type": "schism", "fault": "kill", "target": "one", "draw": 4}},
        ],
        "rollbacks": [
            {
                "type": "action", "name": "post",
                "provider": {"type": "http", "url": "http://10.84.0.3", "method": "post", "arguments": {"a": "b c"}},
            },
        ],
    })
}

#[test]
fn everything_that_is_supported() {
    let experiment = read(whole()).unwrap();
    assert_eq!(experiment.title, "On n2");
    assert_eq!(experiment.raw["title"], "On n2");
    let http = |activity: &Activity| match &activity.provider {
        Provider::Http(http) => http.clone(),
        other => panic!("{other:?}"),
    };
    let up = http(&experiment.hypothesis.as_ref().unwrap().probes[0]);
    assert_eq!((&*up.node, up.port, &*up.method), ("n2", 8008, "GET"));
    assert_eq!(up.target, "/health?a=b&x+y=1&x+y=2");
    assert_eq!(up.headers, [("Host".to_owned(), "n2:8008".to_owned())]);
    let timeouts = up.timeouts.unwrap();
    assert_eq!((timeouts.0.as_millis(), timeouts.1.as_millis()), (1_000, 2_500));
    assert_eq!(http(&experiment.method[1]), up, "what it refers to");
    assert_eq!((&*experiment.method[1].name, &*experiment.method[1].place), ("up", "method[1]"));
    let post = http(&experiment.rollbacks[0]);
    assert_eq!((&*post.node, post.port, &*post.method, &*post.target), ("n3", 80, "POST", "/"));
    assert_eq!(post.body, b"a=b+c");
    assert!(post.headers.iter().any(|(name, value)| name == "Content-Type" && value.contains("form-urlencoded")));

    let cut = &experiment.method[0];
    assert!(cut.background && matches!(cut.provider, Provider::Fault(0)));
    assert_eq!((cut.pause_before.as_millis(), cut.pause_after.as_millis()), (500, 1_000));
    let arguments = |index: usize| match &experiment.method[index].provider {
        Provider::Process(process) => process.arguments.clone(),
        other => panic!("{other:?}"),
    };
    let words = |words: &[&str]| Arguments::Words(words.iter().map(ToString::to_string).collect());
    assert_eq!(arguments(2), words(&["-l", "5", "True", "n2"]), "as Python's str, without the empty ones");
    assert_eq!(arguments(3), words(&["-a", "-w", "5"]));
    assert_eq!(arguments(4), Arguments::Shell("-l n2".to_owned()));

    let faults: Vec<_> = experiment.faults.iter().map(|entry| (entry.fault.kind().name(), entry.for_ms)).collect();
    assert_eq!(faults, [("partition", 10_000), ("kill", 0)]);
    assert_eq!(experiment.faults[1].draw, 4);
    assert!(experiment.faults.iter().all(|entry| entry.waits_for_signal() && entry.end_ms() == 60_000));
    assert_eq!(experiment.outline().len(), 10);
}

#[test]
fn a_source_is_repeated_without_its_file_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.yaml");
    let yaml = "title: ${home}\ndescription: d\nconfiguration:\n  home: {type: env, key: PATH}\n  not: {type: env, \
                key: SCHISM_NOT_SET, default: x}\nmethod: []\n";
    std::fs::write(&path, yaml).unwrap();
    let source = Source::read(&path).unwrap();
    assert_eq!(source.environment.keys().collect::<Vec<_>>(), ["PATH"]);
    let stored = toml::to_string(&source).unwrap();
    let again: Source = toml::from_str(&stored).unwrap();
    assert_eq!(again, source);
    let circumstances = Circumstances { nodes: &[], seed: 1, duration_ms: 1 };
    assert_eq!(again.experiment(&circumstances).unwrap().title, std::env::var("PATH").unwrap());
    std::fs::write(&path, "title: [").unwrap();
    let error = Source::read(&path).unwrap_err();
    assert!(error.is::<crate::exit::UsageError>() && error.to_string().contains("e.yaml: "), "{error}");
}

#[test]
fn the_example_of_the_documentation_is_an_experiment() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/experiments/isolate-primary.yaml");
    let nodes = NODES.map(str::to_owned);
    let circumstances = Circumstances { nodes: &nodes, seed: 1, duration_ms: 600_000 };
    let experiment = Source::read(&path).unwrap().experiment(&circumstances).unwrap();
    assert_eq!((experiment.faults.len(), experiment.activities().count()), (2, 6));
}

/// What is put where, and how the error begins.
#[test]
fn everything_else_is_one_error_with_its_place() {
    let probe = json!({"type": "probe", "name": "p", "tolerance": 0, "provider": {"type": "process", "path": "true"}});
    let provider = "/method/2/provider";
    for (at, value, why) in [
        ("", json!([]), "[] is no object"),
        ("/title", json!(null), "title: `title` is missing"),
        ("/description", json!(""), "description: `description` is missing"),
        ("/tags", json!([""]), "tags: tags are texts"),
        ("/extensions/0/name", json!(null), "extensions[0].name: `name` is missing"),
        ("/secrets", json!({"k": {"t": "x"}}), "secrets: `secrets` are not supported"),
        ("/controls", json!([{"name": "x"}]), "controls: `controls` are not supported"),
        ("/runtime", json!({}), "runtime: `runtime` is not supported; supported here: version, title"),
        ("/dry", json!("actions"), "dry: `dry` is not supported"),
        ("/method", json!(null), "method: an experiment has a method"),
        ("/method", json!({}), "method: {} is no list"),
        ("/method/0", json!("x"), "method[0]: \"x\" is no object"),
        ("/method/0/type", json!("python"), "method[0].type: \"python\" is not supported; supported: probe, action"),
        ("/method/0/name", json!(null), "method[0].name: `name` is missing"),
        ("/method/0/controls", json!([]), "method[0].controls: `controls` is not supported"),
        ("/method/0/secrets", json!("x"), "method[0].secrets: `secrets` is not supported"),
        ("/method/0/background", json!("yes"), "method[0].background: \"yes\" is neither true nor false"),
        ("/method/0/pauses/before", json!(-1), "method[0].pauses.before: -1 is no number of seconds"),
        ("/method/0/pauses/during", json!(1), "method[0].pauses.during: `during` is not supported"),
        ("/method/0/tolerance", json!(0), "method[0].tolerance: a fault has no output"),
        ("/method/1/ref", json!("nobody"), "method[1].ref: no activity is called \"nobody\""),
        ("/method/1/name", json!("x"), "method[1].name: `name` is not supported; supported here: ref"),
        ("/method/2/name", json!("up"), "method[1].ref: steady-state-hypothesis.probes[0] and method[2] are both"),
        ("/method/2/tolerance", json!({"type": "jsonpath"}), "method[2].tolerance.type: \"jsonpath\" is not supported"),
        (provider, json!(null), "method[2].provider: `provider` is missing"),
        (
            "/method/2/provider/type",
            json!("python"),
            "method[2].provider.type: \"python\" is not supported; supported: process, http, schism",
        ),
        ("/method/2/provider/type", json!("schism"), "method[2].provider.type: a fault is an action"),
        ("/method/2/provider/path", json!(null), "method[2].provider.path: `path` is missing"),
        (
            "/method/2/provider/path",
            json!("${nobody}"),
            "method[2].provider.path: ${nobody} is not in the configuration",
        ),
        ("/method/2/provider/arguments", json!([["a"]]), "method[2].provider.arguments: [\"a\"] is no argument"),
        ("/method/2/provider/arguments", json!(5), "method[2].provider.arguments: 5 is no list"),
        ("/method/2/provider/timeout", json!("5s"), "method[2].provider.timeout: \"5s\" is no number of seconds"),
        ("/method/2/provider/secrets", json!([]), "method[2].provider.secrets: `secrets` is not supported"),
        ("/method/0/provider/fault", json!(null), "method[0].provider.fault: `fault` is missing"),
        ("/method/0/provider/fault", json!("partitoin"), "method[0].provider.fault: unknown fault \"partitoin\""),
        ("/method/0/provider/kind", json!("kill"), "method[0].provider.kind: the kind of fault is called `fault`"),
        ("/method/0/provider/target", json!("moon"), "method[0].provider.target: a partition has no target"),
        ("/method/0/provider/for", json!(null), "method[0].provider.fault: a partition needs `for`"),
        ("/method/0/provider/for", json!("2m"), "method[0].provider.for: 120000 ms is longer than all of the run"),
        ("/method/0/provider/at", json!("5s"), "method[0].provider.at: `at` is for schedules"),
        ("/method/0/provider/every", json!("5s"), "method[0].provider.every: `every` is for schedules"),
        ("/method/0/provider/loss", json!("5%"), "method[0].provider.loss: a partition has no option `loss`"),
        (
            "/rollbacks/0/provider",
            json!({"type": "schism", "fault": "kill", "target": "n1"}),
            "rollbacks[0].provider.type: a rollback puts right",
        ),
        (
            "/rollbacks/0/provider/url",
            json!("https://n1/"),
            "rollbacks[0].provider.url: \"https://n1/\" does not begin",
        ),
        (
            "/rollbacks/0/provider/url",
            json!("http://example.org/"),
            "rollbacks[0].provider.url: \"example.org\" is no node",
        ),
        ("/rollbacks/0/provider/url", json!("http://n4/"), "rollbacks[0].provider.url: \"n4\" is no node"),
        (
            "/rollbacks/0/provider/url",
            json!("http://10.84.0.4/"),
            "rollbacks[0].provider.url: \"10.84.0.4\" is no node",
        ),
        ("/rollbacks/0/provider/url", json!("http://u:p@n1/"), "rollbacks[0].provider.url: \"u\" is no node"),
        ("/rollbacks/0/provider/url", json!("http://n1:http/"), "rollbacks[0].provider.url: \"http\" is no port"),
        ("/rollbacks/0/provider/url", json!("http://n1/a b"), "rollbacks[0].provider.url: \"/a b\" has letters"),
        ("/rollbacks/0/provider/method", json!("GET /"), "rollbacks[0].provider.method: \"GET /\" is no method"),
        ("/rollbacks/0/provider/headers", json!({"A": "b\r\nC: d"}), "rollbacks[0].provider.headers.A: "),
        (
            "/rollbacks/0/provider/headers",
            json!({"Content-length": "1"}),
            "rollbacks[0].provider.headers.Content-length: this one is written",
        ),
        ("/rollbacks/0/provider/timeout", json!([1]), "rollbacks[0].provider.timeout: two numbers"),
        (
            "/rollbacks/0/provider/expected_status",
            json!(200),
            "rollbacks[0].provider.expected_status: `expected_status` is not supported",
        ),
        (
            "/rollbacks/0/provider/verify_tls",
            json!(false),
            "rollbacks[0].provider.verify_tls: `verify_tls` is not supported",
        ),
        ("/steady-state-hypothesis/title", json!(null), "steady-state-hypothesis.title: `title` is missing"),
        (
            "/steady-state-hypothesis/controls",
            json!([]),
            "steady-state-hypothesis.controls: `controls` is not supported",
        ),
        (
            "/steady-state-hypothesis/probes/0/tolerance",
            json!(null),
            "steady-state-hypothesis.probes[0].tolerance: a probe of",
        ),
        (
            "/steady-state-hypothesis/probes/0/tolerance",
            json!(1.5),
            "steady-state-hypothesis.probes[0].tolerance: 1.5 is no integer",
        ),
        (
            "/steady-state-hypothesis/probes/0/type",
            json!("action"),
            "steady-state-hypothesis.probes[0].type: a hypothesis has",
        ),
        ("/steady-state-hypothesis/probes/0/background", json!(true), "steady-state-hypothesis.probes[0].background: "),
        (
            "/steady-state-hypothesis/probes",
            json!([probe, probe]),
            "steady-state-hypothesis.probes[1].name: two probes",
        ),
        ("/configuration/where", json!({"type": "vault"}), "configuration.where.type: \"vault\" is not supported"),
    ] {
        let mut experiment = whole();
        put(&mut experiment, at, value.clone());
        let error = read(experiment).map(|_| ()).unwrap_err();
        assert!(error.starts_with(why), "{at} = {value}: {error}");
    }
}

/// Puts a value at a JSON pointer whose last part may be new.
fn put(whole: &mut Value, at: &str, value: Value) {
    let Some((above, name)) = at.rsplit_once('/') else { return *whole = value };
    match whole.pointer_mut(above).unwrap() {
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        parent => parent[name] = value,
    }
}
