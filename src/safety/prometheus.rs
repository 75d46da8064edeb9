//! Thresholds on what a Prometheus says, asked each second from outside of the sandbox, which has no way out: by the
//! launcher. It tells the controller over a pipe, a line for each thing it has to say, so that neither has to be quick.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, PipeWriter, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::usage;

const ASK_EVERY: Duration = Duration::from_secs(1);
/// A Prometheus that takes longer than this has not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Each has a thread of its own, so that a slow one does not delay the others.
const QUERIES_MAX: usize = 16;

/// An instant query and where its value must stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Prometheus {
    /// Where it is: `http://127.0.0.1:9090`, and a path if it has one.
    pub(crate) url: String,
    /// What is asked; a scalar or a vector.
    pub(crate) query: String,
    /// Crossed when a value is more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) above: Option<f64>,
    /// Crossed when a value is less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) below: Option<f64>,
}

/// What the launcher tells the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Alarm {
    /// A threshold is crossed.
    Crossed(String),
    /// A query could not be asked or its answer not be understood.
    Warning(String),
}

/// Refuses what can never be asked.
pub(super) fn validate(all: &[Prometheus]) -> anyhow::Result<()> {
    if all.len() > QUERIES_MAX {
        return Err(usage(format!("at most {QUERIES_MAX} queries of a Prometheus, not {}", all.len())));
    }
    all.iter().enumerate().try_for_each(|(index, one)| {
        one.validate().map_err(|problem| usage(format!("abort.prometheus[{index}]: {problem}")))
    })
}

impl Prometheus {
    fn validate(&self) -> Result<(), String> {
        let uri: ureq::http::Uri = self.url.parse().map_err(|error| format!("{:?} is no URL: {error}", self.url))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(format!("{:?} is no http URL with a host: write for example http://127.0.0.1:9090", self.url));
        }
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("{:?} has a query or a user: write the host, its port and a path", self.url));
        }
        if self.query.trim().is_empty() {
            return Err("`query` is empty".to_owned());
        }
        match (self.above, self.below) {
            (Some(limit), None) | (None, Some(limit)) if limit.is_finite() => Ok(()),
            _ => Err("give `above` or `below`, one of them, a number".to_owned()),
        }
    }

    /// Asks once. `Ok` says what is crossed, if something is; `Err` why nothing is known.
    fn look(&self, agent: &ureq::Agent) -> Result<Option<String>, String> {
        let url = format!("{}/api/v1/query", self.url.trim_end_matches('/'));
        let asked = agent.get(&url).query("query", &self.query).call();
        let mut answer = asked.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| format!("status {status}: {error}"))?;
        let json: Value =
            serde_json::from_str(&body).map_err(|_| format!("status {status}, and its body is no JSON"))?;
        if json["status"] != "success" {
            let why = json["error"].as_str().unwrap_or("it does not say why");
            return Err(format!("status {status}: {why}"));
        }
        let crossing = samples(&json["data"])?.into_iter().find(|sample| self.is_crossed_by(sample.value));
        Ok(crossing.map(|Sample { value, labels }| {
            let (bound, limit) = match (self.above, self.below) {
                (Some(above), _) => ("most", above),
                (None, below) => ("least", below.unwrap_or(f64::NAN)),
            };
            format!("{:?} at {} gave {value}{labels}, and at {bound} {limit} may be", self.query, self.url)
        }))
    }

    /// NaN crosses nothing.
    fn is_crossed_by(&self, value: f64) -> bool {
        self.above.is_some_and(|above| value > above) || self.below.is_some_and(|below| value < below)
    }
}

struct Sample {
    value: f64,
    labels: String,
}

/// <https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats>
fn samples(data: &Value) -> Result<Vec<Sample>, String> {
    let unknown = || "the answer is neither a scalar nor a vector".to_owned();
    let value = |pair: &Value| pair[1].as_str().and_then(|text| text.parse::<f64>().ok()).ok_or_else(unknown);
    match (data["resultType"].as_str(), &data["result"]) {
        (Some("scalar"), pair) => Ok(vec![Sample { value: value(pair)?, labels: String::new() }]),
        (Some("vector"), Value::Array(list)) => {
            let sample = |one: &Value| {
                let labels = one["metric"].as_object().filter(|labels| !labels.is_empty());
                let labels = labels.map(|_| format!(" for {}", one["metric"])).unwrap_or_default();
                Ok(Sample { value: value(&one["value"])?, labels })
            };
            list.iter().map(sample).collect()
        }
        _ => Err(unknown()),
    }
}

/// Begins to ask, each query on a thread of its own, until the process ends or nobody listens at the pipe any more.
pub(crate) fn watch(all: &[Prometheus], pipe: PipeWriter) {
    let pipe = Arc::new(Mutex::new(pipe));
    for one in all {
        let (one, pipe) = (one.clone(), Arc::clone(&pipe));
        std::thread::spawn(move || ask_on(&one, &pipe));
    }
}

fn ask_on(one: &Prometheus, pipe: &Mutex<PipeWriter>) {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut warned = false;
    loop {
        let begin = Instant::now();
        let alarm = match one.look(&agent) {
            Ok(None) => None,
            Ok(Some(crossed)) => Some(Alarm::Crossed(crossed)),
            Err(_) if warned => None,
            Err(problem) => {
                warned = true;
                Some(Alarm::Warning(format!("no threshold on {:?} at {}: {problem}", one.query, one.url)))
            }
        };
        let crossed = matches!(alarm, Some(Alarm::Crossed(_)));
        // A pipe that nobody reads: the run is over.
        if alarm.is_some_and(|alarm| tell(pipe, &alarm).is_err()) || crossed {
            return;
        }
        std::thread::sleep(ASK_EVERY.saturating_sub(begin.elapsed()));
    }
}

fn tell(pipe: &Mutex<PipeWriter>, alarm: &Alarm) -> std::io::Result<()> {
    let line = serde_json::to_string(alarm)? + "\n";
    pipe.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
}

/// Hears what the launcher has to say, until it is gone.
pub(crate) fn listen(pipe: File, mut heard: impl FnMut(Alarm) + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            let alarm = serde_json::from_str(&line);
            heard(alarm.unwrap_or_else(|_| Alarm::Warning(format!("the launcher said {line:?}"))));
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::*;

    fn threshold(url: &str, limit: &str) -> Prometheus {
        toml::from_str(&format!("url = \"{url}\"\nquery = \"up == 1\"\n{limit}")).unwrap()
    }

    #[test]
    fn what_can_never_be_asked_is_refused() {
        let check = |toml: &str| {
            let one: Prometheus = toml::from_str(toml).map_err(|error| error.to_string())?;
            validate(&[one]).map_err(|error| error.to_string())
        };
        for right in [
            "url = \"http://127.0.0.1:9090\"\nquery = \"up\"\nabove = 1",
            "url = \"http://prometheus/p/\"\nquery = \"up\"\nbelow = 0.5",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, why) in [
            ("url = \"https://h\"\nquery = \"up\"\nabove = 1", "no http URL"),
            ("url = \"h:9090\"\nquery = \"up\"\nabove = 1", "no http URL"),
            ("url = \"http://\"\nquery = \"up\"\nabove = 1", "no URL"),
            ("url = \"http://u:p@h\"\nquery = \"up\"\nabove = 1", "has a query or a user"),
            ("url = \"http://h/?a=b\"\nquery = \"up\"\nabove = 1", "has a query or a user"),
            ("url = \"http://h\"\nquery = \" \"\nabove = 1", "`query` is empty"),
            ("url = \"http://h\"\nquery = \"up\"", "give `above` or `below`"),
            ("url = \"http://h\"\nquery = \"up\"\nabove = 1\nbelow = 0", "give `above` or `below`"),
            ("url = \"http://h\"\nquery = \"up\"\nabove = nan", "give `above` or `below`"),
            ("url = \"http://h\"\nquery = \"up\"\nabov = 1", "unknown field"),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    /// Answers as often as there are bodies, and tells what it was asked.
    fn server(bodies: &'static [&'static str]) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, questions) = mpsc::channel();
        std::thread::spawn(move || {
            for body in bodies {
                let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let _ = asked.send(String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned());
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (url, questions)
    }

    const CALM: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"0.5"]}}"#;
    const NOTHING: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    const NAN: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#;
    const HIGH: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"job":"a"},"value":[1.5,"0.1"]},{"metric":{"job":"b"},"value":[1.5,"+Inf"]}]}}"#;
    const REFUSED: &str = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;

    #[test]
    fn a_crossing_is_told_and_a_bad_answer_once() {
        let (url, questions) = server(&["busy", REFUSED, CALM, NOTHING, NAN, HIGH]);
        let (reader, writer) = std::io::pipe().unwrap();
        watch(&[threshold(&url, "above = 0.9")], writer);
        let (send, heard) = mpsc::channel();
        listen(File::from(std::os::fd::OwnedFd::from(reader)), move |alarm| drop(send.send(alarm)));
        let next = || heard.recv_timeout(Duration::from_secs(30)).unwrap();
        let warning = format!("no threshold on \"up == 1\" at {url}: status 200 OK, and its body is no JSON");
        assert_eq!(next(), Alarm::Warning(warning));
        let crossed = format!("\"up == 1\" at {url} gave inf for {{\"job\":\"b\"}}, and at most 0.9 may be");
        assert_eq!(next(), Alarm::Crossed(crossed));
        let asked: Vec<String> = questions.iter().collect();
        assert_eq!(asked.len(), 6);
        assert_eq!(asked[0], "GET /api/v1/query?query=up%20%3D%3D%201 HTTP/1.1");
        assert!(heard.recv_timeout(Duration::from_secs(30)).is_err(), "then it is silent and the pipe is closed");
    }

    #[test]
    fn nobody_there_is_a_warning_and_below_is_below() {
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).proxy(None).build();
        let agent = ureq::Agent::new_with_config(config);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(threshold(&format!("http://{free}"), "below = 1").look(&agent).is_err());
        let (url, _questions) = server(&[CALM, CALM]);
        assert_eq!(threshold(&url, "below = 0.5").look(&agent), Ok(None));
        let crossed = threshold(&url, "below = 0.6").look(&agent).unwrap().unwrap();
        assert!(crossed.ends_with("gave 0.5, and at least 0.6 may be"), "{crossed}");
    }
}
