//! Schedules as TOML: one `[[fault]]` per fault, nothing unknown accepted.
//!
//! ```toml
//! [[fault]]
//! at = "5s"              # or "500ms", "1.5s", "2m", or a number of milliseconds
//! for = "20s"
//! kind = "partition"
//! target = "primary"
//! clients = "with-node"  # partition, failover with a cut: with-node (default), majority
//! draw = 7               # chooses the victim of `one` and the like; without it the seed does
//!
//! [[fault]]
//! at = "30s"
//! for = "10s"
//! kind = "failover"
//! cut-for = "1s"         # isolate the primary so long before; default 0
//! kill = true            # default true
//! rejoin = "heal"        # or "never", only without the kill
//! ```

use std::collections::BTreeMap;

use schism_seed::Seed;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::{Entry, Schedule, ScheduleError};
use crate::{
    Fault, Kind, Target,
    options::{OptionError, Options},
};

impl Schedule {
    /// Reads a schedule file. Where an entry has no `draw` of its own, the seed's stream `faults` gives it.
    ///
    /// # Errors
    /// The first problem, with the fault and the line it is in.
    pub fn from_toml(text: &str, seed: Seed) -> Result<Self, ScheduleError> {
        let file: RawFile = toml::from_str(text).map_err(|error| located(text, &error))?;
        let mut stream = seed.stream("faults");
        let mut entries = Vec::new();
        for (number, spanned) in (1..).zip(file.fault) {
            let header = spanned.span().start;
            let fields = spanned.into_inner();
            // Drawn for every entry, used or not: giving one entry its number must not change the others'.
            let drawn = stream.below(1 << 32);
            let places: BTreeMap<String, usize> =
                fields.keys().map(|key| (key.get_ref().clone(), key.span().start)).collect();
            let values = fields.into_iter().map(|(key, value)| (key.into_inner(), value)).collect();
            let entry = read_entry(values, Some(drawn)).map_err(|OptionError { option, problem }| {
                let place = option.and_then(|option| places.get(&option).copied()).unwrap_or(header);
                ScheduleError::File { entry: Some(number), line: line_of(text, place), problem }
            })?;
            entries.push(entry);
        }
        Ok(Self::new(entries))
    }

    /// Writes a schedule file, complete with draws: read again, it gives the same schedule under every seed.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let raw: RawSchedule = self.clone().into();
        toml::to_string(&raw).expect("strings, small integers and booleans are all TOML")
    }
}

/// A schedule as plain data, inside a stored plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSchedule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fault: Vec<BTreeMap<String, Value>>,
}

/// The same as a file, where an error can name its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    fault: Vec<Spanned<BTreeMap<Spanned<String>, Value>>>,
}

/// When, what, whom; what is left over are the options of that kind.
fn read_entry(values: BTreeMap<String, Value>, drawn: Option<u64>) -> Result<Entry, OptionError> {
    let mut options = Options::new(values);
    let missing = |field: &str| OptionError::from(format!("missing field `{field}`"));
    let at_ms = options.millis("at")?.ok_or_else(|| missing("at"))?;
    let for_ms = options.millis("for")?.unwrap_or(0);
    let draw = options.word("draw")?.or(drawn).ok_or_else(|| missing("draw"))?;
    let kind = options.parsed("kind", Kind::parse)?.ok_or_else(|| missing("kind"))?;
    let target = match options.parsed("target", |name| kind.parse_target(name))? {
        Some(target) => target,
        None if kind == Kind::Failover => Target::Primary,
        None => return Err(format!("a {kind} in a schedule needs a `target`").into()),
    };
    let fault = Fault::read(kind, Some(&target), options)?;
    if for_ms == 0 && kind.info().needs_time {
        return Err(format!("a {kind} needs `for`: lifted at once it does nothing").into());
    }
    Ok(Entry { id: 0, at_ms, for_ms, fault, target, draw })
}

fn write_entry(entry: &Entry) -> BTreeMap<String, Value> {
    let mut options = entry.fault.write();
    options.set_millis("at", entry.at_ms);
    if entry.for_ms > 0 {
        options.set_millis("for", entry.for_ms);
    }
    options.set("kind", entry.fault.kind().name());
    options.set("target", entry.target.name());
    options.set("draw", entry.draw);
    options.into_values()
}

impl TryFrom<RawSchedule> for Schedule {
    type Error = ScheduleError;

    fn try_from(raw: RawSchedule) -> Result<Self, ScheduleError> {
        let entry = |(number, values): (usize, BTreeMap<String, Value>)| {
            // A stored plan says everything; a number made up here would be another plan.
            read_entry(values, None).map_err(|error| ScheduleError::Data { entry: number, problem: error.problem })
        };
        (1..).zip(raw.fault).map(entry).collect::<Result<_, _>>().map(Self::new)
    }
}

impl From<Schedule> for RawSchedule {
    fn from(schedule: Schedule) -> Self {
        Self { fault: schedule.entries.iter().map(write_entry).collect() }
    }
}

/// The parser's error with the fault it is in.
fn located(text: &str, error: &toml::de::Error) -> ScheduleError {
    let at = error.span().map_or(0, |span| span.start);
    // The parser counts bytes; headers before the place tell the entry. A missing field is reported at its header.
    let line = line_of(text, at);
    let headers = text.lines().take(line).filter(|line| line.trim_start().starts_with("[[fault]]")).count();
    ScheduleError::File { entry: (headers > 0).then_some(headers), line, problem: error.message().to_owned() }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clients, FailoverPlan, Rejoin};

    fn read(text: &str) -> Result<Schedule, ScheduleError> {
        Schedule::from_toml(text, Seed::new(1))
    }

    #[test]
    fn reads_every_option_and_sorts_by_time() {
        let schedule = read(
            r#"
            [[fault]]
            at = "30s"
            for = "10s"
            kind = "failover"
            cut-for = "1.5s"
            clients = "majority"
            kill = false
            rejoin = "never"
            draw = 7

            [[fault]]
            at = 500
            kind = "kill"
            target = "n2"

            [[fault]]
            at = "2m"
            for = "500ms"
            kind = "partition"
            target = "halves"
            "#,
        )
        .unwrap();
        let [kill, failover, partition] = schedule.entries() else { panic!("{schedule:?}") };
        assert_eq!((kill.id, kill.at_ms, kill.for_ms, &kill.fault), (0, 500, 0, &Fault::Kill));
        assert_eq!(kill.target, Target::Node("n2".into()));
        let plan = FailoverPlan { cut_for_ms: 1_500, clients: Clients::Majority, kill: false, rejoin: Rejoin::Never };
        assert_eq!((failover.id, failover.draw, &failover.fault), (1, 7, &Fault::Failover(plan)));
        assert_eq!((partition.at_ms, partition.for_ms), (120_000, 500));
        assert_eq!(schedule.end_ms(), 120_500);
    }

    #[test]
    fn what_is_written_reads_the_same_under_every_seed() {
        for name in super::super::names() {
            let schedule = super::super::named(name.name, Seed::new(3)).unwrap();
            let again = Schedule::from_toml(&schedule.to_toml(), Seed::new(4)).unwrap();
            assert_eq!(again, schedule);
            let stored: Schedule = toml::from_str(&toml::to_string(&schedule).unwrap()).unwrap();
            assert_eq!(stored, schedule);
            let json: Schedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
            assert_eq!(json, schedule);
        }
        assert_eq!(read(&Schedule::default().to_toml()), Ok(Schedule::default()));
    }

    #[test]
    fn an_own_draw_does_not_change_the_others() {
        let two = |draw: &str| {
            let kill = "kind = \"kill\"\ntarget = \"one\"\n";
            read(&format!("[[fault]]\nat = 1\n{kill}{draw}\n[[fault]]\nat = 2\n{kill}")).unwrap()
        };
        assert_eq!(two("").entries()[1], two("draw = 5").entries()[1]);
        assert_eq!(two("draw = 5").entries()[0].draw, 5);
    }

    #[test]
    fn stored_data_without_a_draw_is_refused() {
        let error = toml::from_str::<Schedule>("[[fault]]\nat = 1\nkind = \"kill\"\ntarget = \"one\"\n").unwrap_err();
        assert!(error.to_string().contains("fault 1: missing field `draw`"), "{error}");
    }

    /// Each line of the table: the second fault of a file, what the error must contain, and its line.
    #[test]
    fn errors_name_the_fault_and_the_line() {
        let first = "[[fault]]\nat = 1\nkind = \"kill\"\ntarget = \"one\"\n\n";
        for (second, expected, line) in [
            ("at = \"5x\"\nkind = \"kill\"\ntarget = \"one\"", "\"5x\" is no time; write \"500ms\"", 7),
            ("at = \"s\"\nkind = \"kill\"\ntarget = \"one\"", "is no time", 7),
            ("at = \"1.0001s\"\nkind = \"kill\"\ntarget = \"one\"", "finer than a millisecond", 7),
            ("at = \"1..5s\"\nkind = \"kill\"\ntarget = \"one\"", "is no time", 7),
            ("at = \"99999m\"\nkind = \"kill\"\ntarget = \"one\"", "longer than a day", 7),
            ("at = -5\nkind = \"kill\"\ntarget = \"one\"", "cannot be negative", 7),
            ("at = 1.5\nkind = \"kill\"\ntarget = \"one\"", "a time such as", 7),
            ("at = 1\nkind = \"kil\"\ntarget = \"one\"", "valid faults: kill, ", 8),
            ("at = 1\nkind = \"kill\"\ntarget = \"halves\"", "a kill has no target \"halves\"", 9),
            ("at = 1\nkind = \"kill\"", "a kill in a schedule needs a `target`", 6),
            ("at = 1\nkind = \"pause\"\ntarget = \"one\"", "a pause needs `for`", 6),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nforr = 1", "a kill has no option `forr`", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nrejoin = \"heal\"", "a kill has no option `rejoin`", 10),
            ("at = 1\nkind = \"failover\"\nrejoin = \"sometimes\"", "unknown variant `sometimes`", 9),
            ("at = 1\nkind = \"failover\"\nrejoin = \"never\"", "wants `kill = false`", 6),
            ("at = 1\nkind = \"failover\"\nclients = \"majority\"", "it wants `cut-for`", 6),
            (
                "at = 1\nfor = 1\nkind = \"partition\"\ntarget = \"bridge\"\nclients = \"majority\"",
                "wants two sides",
                6,
            ),
            ("kind = \"kill\"\ntarget = \"one\"", "missing field `at`", 6),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\ndraw = -1", "invalid value", 10),
        ] {
            let error = read(&format!("{first}[[fault]]\n{second}\n")).unwrap_err();
            let ScheduleError::File { entry, line: found, problem } = &error else { panic!("{error:?}") };
            assert!(problem.contains(expected), "{second}: {error}");
            assert_eq!((*entry, *found), (Some(2), line), "{second}: {error}");
        }
        assert_eq!(read("[[fault").unwrap_err().to_string().split(':').next(), Some("line 1"));
        assert!(read("faults = 1").unwrap_err().to_string().contains("unknown field `faults`"));
    }
}
