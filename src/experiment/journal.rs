//! The journal of an experiment, as the toolkit writes it
//! (<https://chaostoolkit.org/reference/api/journal/>): `journal.json`.

use std::{path::Path, time::SystemTime};

use serde_json::{Value, json};

use super::{Activity, Experiment};
use crate::report::write_atomically;

/// The journal's file in the result folder.
pub(crate) const JOURNAL_FILE: &str = "journal.json";

/// How an experiment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// To its end; what its activities found is another question.
    Completed,
    /// The hypothesis was not met, before the method or after it.
    Failed,
    /// By a threshold, a limit of time, or a failure of ours.
    Aborted,
    /// By Ctrl-C or another signal.
    Interrupted,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What became of one activity.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) activity: Value,
    /// What it gave, or why it failed.
    pub(crate) result: Result<Value, String>,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    /// In the hypothesis: whether it was tolerated.
    pub(crate) tolerance_met: Option<bool>,
}

impl Record {
    /// An activity that begins now and has failed unless it is told otherwise.
    pub(crate) fn begin(activity: &Activity) -> Self {
        let now = SystemTime::now();
        let result = Err("it was not done".to_owned());
        Self { activity: activity.raw.clone(), result, start: now, end: now, tolerance_met: None }
    }

    /// It ends now, with this.
    pub(crate) fn end(mut self, result: Result<Value, String>) -> Self {
        (self.result, self.end) = (result, SystemTime::now());
        self
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "activity": self.activity,
            "output": self.result.as_ref().ok(),
            "status": if self.result.is_ok() { "succeeded" } else { "failed" },
        });
        if let Err(problem) = &self.result {
            // A list of lines, as a Python trace is.
            json["exception"] = json!([format!("ActivityFailed: {problem}\n")]);
        }
        json["start"] = time(self.start);
        json["end"] = time(self.end);
        json["duration"] = seconds(self.start, self.end).into();
        if let Some(met) = self.tolerance_met {
            json["tolerance_met"] = met.into();
        }
        json
    }
}

/// One look at the hypothesis.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) met: bool,
    /// Up to the first that was not tolerated.
    pub(crate) probes: Vec<Record>,
}

impl State {
    fn json(&self) -> Value {
        json!({
            "steady_state_met": self.met,
            "probes": self.probes.iter().map(Record::json).collect::<Vec<_>>(),
        })
    }
}

/// Everything that happened.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    experiment: Value,
    start: SystemTime,
    pub(crate) status: Status,
    pub(crate) deviated: bool,
    pub(crate) before: Option<State>,
    pub(crate) after: Option<State>,
    pub(crate) run: Vec<Record>,
    pub(crate) rollbacks: Vec<Record>,
}

impl Journal {
    pub(crate) fn begin(experiment: &Experiment) -> Self {
        Self {
            experiment: experiment.raw.clone(),
            start: SystemTime::now(),
            status: Status::Completed,
            deviated: false,
            before: None,
            after: None,
            run: Vec::new(),
            rollbacks: Vec::new(),
        }
    }

    fn json(&self, end: SystemTime) -> Value {
        let list = |records: &[Record]| records.iter().map(Record::json).collect::<Vec<_>>();
        let kernel = |name: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
            text.map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        json!({
            // Nobody claims to be the toolkit itself.
            "chaoslib-version": concat!("schism ", env!("CARGO_PKG_VERSION")),
            "platform": format!("{}-{}-{}", kernel("ostype"), kernel("osrelease"), std::env::consts::ARCH),
            "node": kernel("hostname"),
            "experiment": self.experiment,
            "start": time(self.start),
            "status": self.status.name(),
            "deviated": self.deviated,
            "steady_states": {
                "before": self.before.as_ref().map(State::json),
                "after": self.after.as_ref().map(State::json),
                "during": [],
            },
            "run": list(&self.run),
            "rollbacks": list(&self.rollbacks),
            "end": time(end),
            "duration": seconds(self.start, end),
        })
    }

    /// Ends it now and writes it into a result folder.
    pub(crate) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let json = self.json(SystemTime::now());
        write_atomically(&directory.join(JOURNAL_FILE), |out| Ok(serde_json::to_writer_pretty(out, &json)?))
    }
}

/// RFC 3339, in UTC.
fn time(at: SystemTime) -> Value {
    humantime::format_rfc3339_micros(at).to_string().into()
}

/// The clock of the machine may have been set back meanwhile.
fn seconds(start: SystemTime, end: SystemTime) -> f64 {
    end.duration_since(start).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;

    /// Type of each field, as deep as the reference tells it.
    fn shape(value: &Value) -> BTreeMap<String, &'static str> {
        let kind = |value: &Value| match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), kind(value))).collect()
    }

    fn record(result: Result<Value, String>, tolerance_met: Option<bool>) -> Record {
        let start = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000_250_000_123);
        let end = start + Duration::from_millis(1_500);
        Record { activity: json!({"type": "probe", "name": "p"}), result, start, end, tolerance_met }
    }

    #[test]
    fn a_journal_has_every_field_of_the_reference() {
        let met = State { met: true, probes: vec![record(Ok(json!({"status": 0})), Some(true))] };
        let failed = State { met: false, probes: vec![record(Err("too long".to_owned()), Some(false))] };
        let journal = Journal {
            experiment: json!({"title": "t"}),
            start: SystemTime::now(),
            status: Status::Failed,
            deviated: true,
            before: Some(met),
            after: Some(failed),
            run: vec![record(Ok(Value::Null), None)],
            rollbacks: vec![],
        };
        let json = journal.json(SystemTime::now());
        let required = [
            ("chaoslib-version", "string"),
            ("platform", "string"),
            ("node", "string"),
            ("experiment", "object"),
            ("start", "string"),
            ("status", "string"),
            ("deviated", "boolean"),
            ("steady_states", "object"),
            ("run", "array"),
            ("rollbacks", "array"),
            ("end", "string"),
            ("duration", "number"),
        ];
        assert_eq!(shape(&json), required.map(|(name, kind)| (name.to_owned(), kind)).into());
        assert_eq!((&json["status"], &json["deviated"]), (&json!("failed"), &json!(true)));
        let states = &json["steady_states"];
        assert_eq!(states["before"]["steady_state_met"], true);
        assert_eq!(states["after"]["steady_state_met"], false);
        assert_eq!(states["during"], json!([]));
        assert_eq!(
            states["before"]["probes"][0],
            json!({
                "activity": {"type": "probe", "name": "p"},
                "output": {"status": 0},
                "status": "succeeded",
                "start": "2017-07-14T02:44:10.000123Z",
                "end": "2017-07-14T02:44:11.500123Z",
                "duration": 1.5,
                "tolerance_met": true,
            })
        );
        let probe = &states["after"]["probes"][0];
        assert_eq!((&probe["status"], &probe["output"]), (&json!("failed"), &Value::Null));
        assert_eq!(probe["exception"], json!(["ActivityFailed: too long\n"]));
        assert!(json["run"][0].get("tolerance_met").is_none() && json["run"][0].get("exception").is_none());
    }

    #[test]
    fn the_four_words_of_the_reference() {
        let words = [Status::Completed, Status::Failed, Status::Aborted, Status::Interrupted].map(Status::name);
        assert_eq!(words, ["completed", "failed", "aborted", "interrupted"]);
    }
}
