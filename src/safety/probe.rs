//! Probes: questions with a tolerance, which together are the steady state (the "steady-state hypothesis" of chaos
//! engineering: A. Basiri et al., "Chaos Engineering", IEEE Software 33(3), 2016).

use std::{io, process::Stdio, sync::Arc, time::Duration};

use regex::Regex;
use schism_cluster::{ClaimedRole, Cluster};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{exit::usage, plan::Target};

const TIMEOUT_MS: u64 = 1_000;
const TIMEOUT_MAX_MS: u64 = 60_000;
/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A question and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Probe {
    /// What the result calls it.
    pub(crate) name: String,
    /// A query; its answer is the first column of the first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sql: Option<String>,
    /// A command, its words apart by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<String>,
    /// A port and a path, `8008/primary`; the answer is the status code, and `body` of it with `expect = "~ …"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// A port that must accept connections; it has no `expect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<u16>,
    /// A command for `sh -c`, run beside the cluster with the node's name in SCHISM_NODE and its address in
    /// SCHISM_ADDRESS. It must end with 0; its answer is the first line of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shell: Option<String>,
    /// Who is asked.
    #[serde(default)]
    pub(crate) on: On,
    /// What the answer must be: `"= 3"`, `"!= 0"`, `">= 1"`, `"< 2.5"`, `"~ REGEX"`, or the text itself; without it any
    /// answer will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<Tolerance>,
    /// How long an answer may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum On {
    /// Every node, and every one must answer right.
    #[default]
    Each,
    /// Every node, and one right answer will do.
    Any,
    /// The node that claims to be primary; if several do, each of them must answer right.
    Primary,
    /// This node.
    Node(String),
}

impl Serialize for On {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Each => "each",
            Self::Any => "any",
            Self::Primary => "primary",
            Self::Node(name) => name,
        })
    }
}

impl<'de> Deserialize<'de> for On {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "each" => Self::Each,
            "any" => Self::Any,
            "primary" => Self::Primary,
            node => Self::Node(node.to_owned()),
        })
    }
}

/// What an answer must be.
#[derive(Debug, Clone)]
pub(crate) struct Tolerance {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Text { wanted: String, equal: bool },
    Number { than: f64, fits: fn(f64, f64) -> bool },
    Matches(Regex),
}

impl PartialEq for Tolerance {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Tolerance {}

impl Tolerance {
    fn parse(text: &str) -> Result<Self, String> {
        let number = |rest: &str, fits| {
            let than = rest.parse().map_err(|_| format!("{text:?} compares with {rest:?}, which is no number"))?;
            Ok::<_, String>(Rule::Number { than, fits })
        };
        let rule = match text.split_once(' ').map(|(sign, rest)| (sign, rest.trim())) {
            Some(("=", wanted)) => Rule::Text { wanted: wanted.to_owned(), equal: true },
            Some(("!=", wanted)) => Rule::Text { wanted: wanted.to_owned(), equal: false },
            Some(("<", rest)) => number(rest, |got, than| got < than)?,
            Some(("<=", rest)) => number(rest, |got, than| got <= than)?,
            Some((">", rest)) => number(rest, |got, than| got > than)?,
            Some((">=", rest)) => number(rest, |got, than| got >= than)?,
            Some(("~", pattern)) => {
                let pattern = Regex::new(pattern).map_err(|error| format!("no regular expression: {error}"))?;
                Rule::Matches(pattern)
            }
            _ => Rule::Text { wanted: text.to_owned(), equal: true },
        };
        Ok(Self { text: text.to_owned(), rule })
    }

    fn holds(&self, answer: &str) -> bool {
        match &self.rule {
            Rule::Text { wanted, equal } => (answer.trim() == wanted) == *equal,
            Rule::Number { than, fits } => answer.trim().parse().is_ok_and(|got| fits(got, *than)),
            Rule::Matches(pattern) => pattern.is_match(answer),
        }
    }
}

impl Serialize for Tolerance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Probe {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.unwrap_or(TIMEOUT_MS))
    }

    pub(super) fn validate(&self, target: &Target) -> anyhow::Result<()> {
        let asked =
            [self.sql.is_some(), self.redis.is_some(), self.http.is_some(), self.tcp.is_some(), self.shell.is_some()];
        if asked.iter().filter(|given| **given).count() != 1 {
            return Err(usage("a probe asks one thing: give one of `sql`, `redis`, `http`, `tcp`, `shell`"));
        }
        if self.sql.is_some() && !target.is_sql() {
            return Err(usage("`sql` is for SQL databases; this target has none"));
        }
        if self.redis.as_ref().is_some_and(|command| command.split_whitespace().next().is_none() || !target.is_redis())
        {
            return Err(usage("`redis` is a command for Redis; this target has none, or the command is empty"));
        }
        if self.tcp.is_some() && self.expect.is_some() {
            return Err(usage("`tcp` has no answer to expect anything of: leave `expect` out"));
        }
        if let Some(http) = &self.http {
            http_parts(http).map_err(usage)?;
        }
        if !(1..=TIMEOUT_MAX_MS).contains(&self.timeout_ms.unwrap_or(TIMEOUT_MS)) {
            return Err(usage(format!("`timeout-ms` is between 1 and {TIMEOUT_MAX_MS}")));
        }
        match &self.on {
            On::Node(node) if !target.nodes().iter().any(|known| **known == **node) => {
                let nodes = target.nodes().join(", ");
                Err(usage(format!("there is nobody called {node:?} to ask; valid: each, any, primary, {nodes}")))
            }
            _ => Ok(()),
        }
    }
}

fn http_parts(http: &str) -> Result<(u16, String), String> {
    let (port, path) = http.split_once('/').unwrap_or((http, ""));
    let port = port.parse().map_err(|_| format!("`http` is a port and a path, \"8008/health\", not {http:?}"))?;
    if path.chars().any(|letter| letter.is_ascii_control() || letter == ' ') {
        return Err(format!("{http:?} has a path that cannot be asked for"));
    }
    Ok((port, format!("/{path}")))
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Whether it is as it must be.
    pub(crate) held: bool,
    /// The answers, by node.
    pub(crate) got: String,
}

/// Asks on a running cluster.
#[derive(Clone)]
pub(crate) struct Prober {
    cluster: Arc<Cluster>,
}

impl Prober {
    pub(crate) const fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Asks once; takes as long as the probe's time limit at most, and a moment.
    pub(crate) async fn look(&self, probe: &Probe) -> Sample {
        let nodes = self.asked(&probe.on).await;
        if nodes.is_empty() {
            return Sample { held: false, got: "no node claims to be primary".to_owned() };
        }
        let answers = nodes.iter().map(|node| async move {
            let asked = tokio::time::timeout(probe.timeout(), self.ask(probe, node)).await;
            let late = |_| Err(format!("no answer within {} ms", probe.timeout().as_millis()));
            let answer = asked.unwrap_or_else(late);
            match (answer, &probe.expect) {
                (Err(problem), _) => (false, format!("{node}: {problem}")),
                (Ok(answer), Some(tolerance)) => (tolerance.holds(&answer), format!("{node}: {}", shown(&answer))),
                (Ok(answer), None) => (true, format!("{node}: {}", shown(&answer))),
            }
        });
        let answers = futures::future::join_all(answers).await;
        let held = match probe.on {
            On::Any => answers.iter().any(|(held, _)| *held),
            _ => answers.iter().all(|(held, _)| *held),
        };
        Sample { held, got: answers.into_iter().map(|(_, got)| got).collect::<Vec<_>>().join(", ") }
    }

    async fn asked(&self, on: &On) -> Vec<String> {
        let nodes = self.cluster.node_names();
        match on {
            On::Each | On::Any => nodes.to_vec(),
            On::Node(node) => vec![node.clone()],
            On::Primary => {
                let claims = nodes.iter().map(|node| async move { (node, self.cluster.claim(node).await.role) });
                let claims = futures::future::join_all(claims).await;
                let primaries = claims.into_iter().filter(|(_, role)| *role == ClaimedRole::Primary);
                primaries.map(|(node, _)| node.clone()).collect()
            }
        }
    }

    async fn ask(&self, probe: &Probe, node: &str) -> Result<String, String> {
        if let Some(question) = probe.sql.as_ref().or(probe.redis.as_ref()) {
            self.cluster.ask(node, question).await
        } else if let Some(http) = &probe.http {
            let (port, path) = http_parts(http)?;
            let stream = self.dial(node, port).await?;
            let get = get(stream, node, &path).await.map_err(|error| error.to_string())?;
            let (status, body) = get;
            Ok(if matches!(&probe.expect, Some(Tolerance { rule: Rule::Matches(_), .. })) { body } else { status })
        } else if let Some(port) = probe.tcp {
            self.dial(node, port).await.map(|_| "accepts connections".to_owned())
        } else {
            let command = probe.shell.as_deref().unwrap_or("true");
            let address = self.cluster.info().address(node).map_or_else(String::new, |address| address.to_string());
            shell(command, node, &address).await
        }
    }

    /// From the client site beside the node, as its clients come.
    async fn dial(&self, node: &str, port: u16) -> Result<TcpStream, String> {
        let site = self.cluster.node_names().iter().position(|name| name == node).unwrap_or(0);
        self.cluster.dial(site as u32, node, port).await.map_err(|error| error.to_string())
    }
}

/// HTTP 1.0, in which an answer ends with its connection.
async fn get(mut stream: TcpStream, host: &str, path: &str) -> io::Result<(String, String)> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: schism\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    let status = status.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    Ok((status.to_owned(), body.to_owned()))
}

/// Whoever drops this ends the command: a probe that takes too long must not pile up.
async fn shell(command: &str, node: &str, address: &str) -> Result<String, String> {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", command]).env("SCHISM_NODE", node).env("SCHISM_ADDRESS", address);
    shell.stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await.map_err(|error| format!("sh: {error}"))?;
    let first = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
    if output.status.success() {
        return Ok(first(&output.stdout));
    }
    Err(format!("{} {}", output.status, first(&output.stderr)))
}

/// An answer in a sentence.
fn shown(answer: &str) -> String {
    const CHARS_MAX: usize = 80;
    let line = answer.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= CHARS_MAX {
        line.to_owned()
    } else {
        line.chars().take(CHARS_MAX).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(tolerance: &str, answer: &str) -> bool {
        Tolerance::parse(tolerance).unwrap().holds(answer)
    }

    #[test]
    fn tolerances_compare_numbers_texts_and_patterns() {
        assert!(holds(">= 2", "2") && holds(">= 2", "10") && !holds(">= 2", "1") && !holds(">= 2", "many"));
        assert!(holds("< 2.5", "2") && !holds("< 2.5", "2.5") && holds("<= 2.5", "2.5") && holds("> -1", "0"));
        assert!(holds("= PONG", "PONG\n") && holds("PONG", "PONG") && !holds("PONG", "pong"));
        assert!(holds("!= 0", "1") && !holds("!= 0", "0"));
        assert!(holds("~ ^role:(master|slave)$", "role:master") && !holds("~ x", "y"));
        assert!(Tolerance::parse("< few").is_err() && Tolerance::parse("~ (").is_err());
    }

    #[test]
    fn a_probe_asks_one_thing_of_somebody_who_is_there() {
        let target = Target::parse("postgres/async").unwrap();
        let validate = |text: &str| {
            let probe: Probe = toml::from_str(&format!("name = \"p\"\n{text}")).map_err(|error| error.to_string())?;
            let again: Probe = toml::from_str(&toml::to_string(&probe).unwrap()).unwrap();
            assert_eq!(again, probe);
            probe.validate(&target).map_err(|error| error.to_string())
        };
        for right in
            ["sql = \"select 1\"\nexpect = \"= 1\"", "tcp = 5432\non = \"n2\"", "shell = \"true\"", "http = \"80/x\""]
        {
            assert_eq!(validate(right), Ok(()), "{right}");
        }
        for (wrong, why) in [
            ("", "asks one thing"),
            ("sql = \"select 1\"\ntcp = 1", "asks one thing"),
            ("redis = \"PING\"", "for Redis"),
            ("tcp = 1\nexpect = \"= 1\"", "no answer to expect"),
            ("http = \"x/y\"", "a port and a path"),
            ("http = \"80/a b\"", "cannot be asked for"),
            ("tcp = 1\non = \"n7\"", "nobody called \"n7\""),
            ("tcp = 1\ntimeout-ms = 0", "between 1 and"),
            ("tcp = 1\nexpct = \"1\"", "unknown field"),
            ("sql = \"select 1\"\nexpect = \"> x\"", "no number"),
        ] {
            let error = validate(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[tokio::test]
    async fn a_command_tells_its_first_line_or_why_it_failed() {
        assert_eq!(shell("echo $SCHISM_NODE; echo more", "n2", "").await, Ok("n2".to_owned()));
        assert!(shell("echo bad >&2; exit 3", "n2", "").await.unwrap_err().contains("bad"));
    }

    #[tokio::test]
    async fn http_gives_status_and_body() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 503 Busy\r\nX: y\r\n\r\nnot primary").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let got = get(TcpStream::connect(address).await.unwrap(), "n1", "/primary").await.unwrap();
        assert_eq!(got, ("503".to_owned(), "not primary".to_owned()));
        assert!(server.await.unwrap().starts_with("GET /primary HTTP/1.0\r\nHost: n1\r\n"));
    }
}
