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
//!
//! [[fault]]
//! when = { log = "checkpoint starting" }   # or { role-change = true }, { ops-ok = 5000 }
//! at = "10s"             # not before; default 0
//! until = "60s"          # not after: then it does not happen; default 30 s after `at`
//! for = "2s"
//! kind = "kill"
//! target = "primary"
//!
//! [[fault]]
//! at = "10s"
//! every = "20s"          # begins again so long after its last beginning,
//! times = 3              # so often in all
//! for = "10s"
//! kind = "flap"
//! period = "4s"
//! ramp = { to = "1s", steps = 3 }   # the kind's strength in three equal parts of `for`: 4s, 2.5s, 1s
//! target = "primary"
//! ```
//!
//! Faults are parallel where their times overlap.

use std::collections::BTreeMap;

use schism_seed::Seed;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::{Entry, Schedule, ScheduleError, When};
use crate::{
    Condition, Fault, Kind, Target,
    options::{OptionError, Options},
    units,
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
            let read = expand(values, drawn).map_err(|OptionError { option, problem }| {
                let place = option.and_then(|option| places.get(&option).copied()).unwrap_or(header);
                ScheduleError::File { entry: Some(number), line: line_of(text, place), problem }
            })?;
            if read.iter().any(Entry::waits_for_signal) {
                let place = places.get("when").copied().unwrap_or(header);
                let problem = "`signal` is for experiments: nobody would give it".to_owned();
                return Err(ScheduleError::File { entry: Some(number), line: line_of(text, place), problem });
            }
            entries.extend(read);
        }
        Ok(Self::new(entries))
    }

    /// A fault that begins when it is asked for by this number ([`crate::Signals`]) and is over by `until_ms`, in
    /// milliseconds since the run started. It says what a `[[fault]]` says, except when it begins.
    ///
    /// # Errors
    /// What is wrong, and with which option.
    pub fn asked(
        mut values: BTreeMap<String, Value>,
        signal: u32,
        until_ms: u64,
        drawn: u64,
    ) -> Result<Entry, OptionError> {
        const TIMES: [&str; 6] = ["at", "when", "until", "every", "times", "ramp"];
        if let Some(option) = TIMES.into_iter().find(|option| values.contains_key(*option)) {
            let problem = format!("`{option}` is for schedules: here a fault begins when its turn comes");
            return Err(OptionError { option: Some(option.to_owned()), problem });
        }
        values.insert("at".to_owned(), 0.into());
        let mut entry = read_entry(Options::new(values), Some(drawn))?;
        let Some(latest_ms) = until_ms.checked_sub(entry.for_ms) else {
            let problem = format!("{} ms is longer than all of the run, {until_ms} ms", entry.for_ms);
            return Err(OptionError { option: Some("for".to_owned()), problem });
        };
        entry.when = Some(When { condition: Condition::Signal(signal), until_ms: latest_ms });
        Ok(entry)
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

/// The entries that one of a file stands for: repetitions of it, and the steps of a ramp.
fn expand(values: BTreeMap<String, Value>, drawn: u64) -> Result<Vec<Entry>, OptionError> {
    let mut options = Options::new(values);
    let repetition = Repetition::read(&mut options)?;
    let ramp: Option<Ramp> = options.word("ramp")?;
    let first = read_entry(options.clone(), Some(drawn))?;
    repetition.check(&first)?;
    let parts = match ramp {
        Some(ramp) => ramp.parts(&first, options)?,
        None => vec![first],
    };
    let repeated = (0..repetition.times).flat_map(|number| {
        parts.iter().map(move |part| {
            let mut entry = part.clone();
            entry.at_ms += number * repetition.every_ms;
            // Each time anew, and yet decided by the first one's number.
            entry.draw = Seed::new(part.draw).stream("every").below(1 << 32).wrapping_add(number) % (1 << 32);
            if number == 0 {
                entry.draw = part.draw;
            }
            entry
        })
    });
    Ok(repeated.collect())
}

/// `every` and `times`.
#[derive(Clone, Copy)]
struct Repetition {
    every_ms: u64,
    times: u64,
}

impl Repetition {
    /// More of one fault than any run has time for.
    const TIMES_MAX: u64 = 10_000;

    fn read(options: &mut Options) -> Result<Self, OptionError> {
        let wrong = |option: &str, problem: String| OptionError { option: Some(option.to_owned()), problem };
        match (options.millis("every")?, options.word("times")?) {
            (None, None) => Ok(Self { every_ms: 0, times: 1 }),
            (Some(_), None) => Err(wrong("every", "`every` wants `times`: a schedule has an end".to_owned())),
            (None, Some(_)) => Err(wrong("times", "`times` wants `every`: how long after each other".to_owned())),
            (Some(_), Some(times)) if !(1..=Self::TIMES_MAX).contains(&times) => {
                Err(wrong("times", format!("`times` is between 1 and {}, not {times}", Self::TIMES_MAX)))
            }
            (Some(every_ms), Some(times)) => {
                let whole_ms = units::bounded_millis(every_ms.saturating_mul(times));
                whole_ms.map_err(|problem| wrong("every", problem)).map(|_| Self { every_ms, times })
            }
        }
    }

    fn check(self, first: &Entry) -> Result<(), OptionError> {
        let problem = if self.times > 1 && first.when.is_some() {
            "a fault that waits for something has no `every`: write it again with a later `at`".to_owned()
        } else if self.times > 1 && self.every_ms < first.for_ms.max(1) {
            format!("`every` {} ms is shorter than `for`: it would overlap with itself", self.every_ms)
        } else {
            return Ok(());
        };
        Err(OptionError { option: Some("every".to_owned()), problem })
    }
}

/// A strength that grows or shrinks in steps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ramp {
    /// The last strength; the first is the option's.
    to: String,
    /// How many strengths there are in all.
    steps: u64,
}

impl Ramp {
    const STEPS_MAX: u64 = 100;

    fn parts(&self, first: &Entry, options: Options) -> Result<Vec<Entry>, OptionError> {
        let wrong = |problem: String| OptionError { option: Some("ramp".to_owned()), problem };
        let kind = first.fault.kind();
        let option = kind.info().strength.ok_or_else(|| wrong(format!("a {kind} has no strength to ramp")))?;
        if !(2..=Self::STEPS_MAX).contains(&self.steps) {
            return Err(wrong(format!("a ramp has 2 to {} steps, not {}", Self::STEPS_MAX, self.steps)));
        }
        if first.when.is_some() || first.for_ms < self.steps {
            return Err(wrong("a ramp wants a time of its own: `for`, and no `when`".to_owned()));
        }
        let values = first.fault.write().into_values();
        let from = values.get(option).and_then(Value::as_str).unwrap_or_default();
        let part = |number: u64| {
            let strength = units::between(from, &self.to, number, self.steps - 1).map_err(wrong)?;
            let mut options = options.clone();
            options.set(option, strength);
            let mut entry = read_entry(options, Some(first.draw))?;
            let (begin, end) = (first.for_ms * number / self.steps, first.for_ms * (number + 1) / self.steps);
            (entry.at_ms, entry.for_ms) = (first.at_ms + begin, end - begin);
            Ok(entry)
        };
        (0..self.steps).map(part).collect()
    }
}

/// How long a fault waits for its condition unless told.
const WAIT_MS: u64 = 30_000;

/// When, what, whom; what is left over are the options of that kind.
fn read_entry(mut options: Options, drawn: Option<u64>) -> Result<Entry, OptionError> {
    let missing = |field: &str| OptionError::from(format!("missing field `{field}`"));
    let condition: Option<Condition> = options.word("when")?;
    let at_ms = options.millis("at")?.or(condition.is_some().then_some(0)).ok_or_else(|| missing("at"))?;
    let when = read_when(condition, at_ms, &mut options)?;
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
    Ok(Entry { id: 0, at_ms, when, for_ms, fault, target, draw })
}

fn read_when(condition: Option<Condition>, at_ms: u64, options: &mut Options) -> Result<Option<When>, OptionError> {
    let until_ms = options.millis("until")?;
    let wrong = |option: &str, problem: String| OptionError { option: Some(option.to_owned()), problem };
    let Some(condition) = condition else {
        let unasked =
            until_ms.map(|_| wrong("until", "`until` is how long to wait for something: it wants `when`".to_owned()));
        return unasked.map_or(Ok(None), Err);
    };
    condition.check().map_err(|problem| wrong("when", problem))?;
    let until_ms = until_ms.unwrap_or(at_ms + WAIT_MS);
    if until_ms < at_ms {
        return Err(wrong("until", "`until` comes before `at`".to_owned()));
    }
    Ok(Some(When { condition, until_ms }))
}

fn write_entry(entry: &Entry) -> BTreeMap<String, Value> {
    let mut options = entry.fault.write();
    options.set_millis("at", entry.at_ms);
    if entry.for_ms > 0 {
        options.set_millis("for", entry.for_ms);
    }
    if let Some(When { condition, until_ms }) = &entry.when {
        options.set("when", condition);
        options.set_millis("until", *until_ms);
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
            read_entry(Options::new(values), None)
                .map_err(|error| ScheduleError::Data { entry: number, problem: error.problem })
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
    fn one_entry_may_stand_for_many() {
        let schedule = read(
            "[[fault]]\nat = \"10s\"\nevery = \"20s\"\ntimes = 3\nfor = \"9s\"\nkind = \"flap\"\n\
             target = \"one\"\nperiod = \"4s\"\nramp = { to = \"1s\", steps = 3 }\ndraw = 5\n",
        )
        .unwrap();
        let told: Vec<(u64, u64, u64)> = schedule
            .entries()
            .iter()
            .map(|entry| match &entry.fault {
                Fault::Flap(flap) => (entry.at_ms, entry.for_ms, flap.period_ms),
                other => panic!("{other:?}"),
            })
            .collect();
        let once = [(10_000, 3_000, 4_000), (13_000, 3_000, 2_500), (16_000, 3_000, 1_000)];
        let thrice =
            (0..3).flat_map(|number| once.map(|(at_ms, for_ms, period)| (at_ms + number * 20_000, for_ms, period)));
        assert_eq!(told, thrice.collect::<Vec<_>>());
        let draws: Vec<u64> = schedule.entries().iter().map(|entry| entry.draw).collect();
        assert!(draws[..3] == [5, 5, 5] && draws[3] != 5 && draws[3] == draws[5] && draws[3] != draws[6], "{draws:?}");
        assert_eq!(Schedule::from_toml(&schedule.to_toml(), Seed::new(9)), Ok(schedule));
    }

    #[test]
    fn a_fault_that_waits_is_stored_with_what_it_waits_for() {
        let when = |text: &str| {
            read(&format!("[[fault]]\nwhen = {text}\nfor = 1\nkind = \"pause\"\ntarget = \"one\"\n")).unwrap()
        };
        for text in ["{ log = \"checkpoint (starting|complete)\" }", "{ role-change = true }", "{ ops-ok = 500 }"] {
            let schedule = when(text);
            let entry = &schedule.entries()[0];
            assert_eq!((entry.at_ms, entry.end_ms()), (0, WAIT_MS + 1));
            assert_eq!(Schedule::from_toml(&schedule.to_toml(), Seed::new(9)), Ok(schedule.clone()));
            let json = serde_json::to_string(&schedule).unwrap();
            assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        }
    }

    #[test]
    fn a_fault_that_is_asked_for_says_all_but_when() {
        let values = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap();
        let cut = r#"{"kind": "partition", "target": "primary", "for": "10s", "clients": "majority"}"#;
        let entry = Schedule::asked(values(cut), 3, 60_000, 7).unwrap();
        assert_eq!((entry.at_ms, entry.for_ms, entry.draw, entry.end_ms()), (0, 10_000, 7, 60_000));
        assert_eq!(entry.when, Some(When { condition: Condition::Signal(3), until_ms: 50_000 }));
        assert_eq!(entry.fault, Fault::Partition { clients: Clients::Majority });
        let schedule = Schedule::new(vec![entry.clone(), entry]);
        let json = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        for (wrong, option) in [
            (r#"{"kind": "kill", "target": "one", "at": 5}"#, Some("at")),
            (r#"{"kind": "kill", "target": "one", "ramp": {}}"#, Some("ramp")),
            (r#"{"kind": "kill", "target": "one", "for": "61s"}"#, Some("for")),
            (r#"{"kind": "kil", "target": "one"}"#, Some("kind")),
            (r#"{"kind": "kill"}"#, None),
        ] {
            let error = Schedule::asked(values(wrong), 0, 60_000, 7).unwrap_err();
            assert_eq!(error.option.as_deref(), option, "{}", error.problem);
        }
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
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nevery = 5", "`every` wants `times`", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\ntimes = 5", "`times` wants `every`", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nevery = 5\ntimes = 0", "between 1 and", 11),
            ("at = 1\nfor = 9\nkind = \"kill\"\ntarget = \"one\"\nevery = 5\ntimes = 2", "overlap with itself", 11),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nramp = { to = \"9\", steps = 2 }", "no strength", 10),
            (
                "at = 1\nfor = 9\nkind = \"flap\"\ntarget = \"one\"\nramp = { to = \"9%\", steps = 2 }",
                "no way from",
                11,
            ),
            ("at = 1\nfor = 9\nkind = \"flap\"\ntarget = \"one\"\nperiod = \"1ms\"", "every 500 ms at most", 11),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nwhen = { log = \"(\" }", "no regular expression", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nwhen = { moon = \"full\" }", "unknown variant", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nwhen = { signal = 0 }", "`signal` is for experiments", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nuntil = 5", "it wants `when`", 10),
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
