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

use std::fmt;

use schism_seed::Seed;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::Spanned;

use super::{Clients, Entry, FailoverPlan, Fault, Rejoin, Schedule, ScheduleError};
use crate::{Kind, Target};

/// A day: longer than any run, and far from where sums of times overflow.
const TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

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
            let start = spanned.span().start;
            // Drawn for every entry, used or not: giving one entry its number must not change the others'.
            let drawn = stream.below(1 << 32);
            let entry = spanned.into_inner().into_entry(drawn).map_err(|problem| ScheduleError::File {
                entry: Some(number),
                line: line_of(text, start),
                problem,
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
    fault: Vec<RawEntry>,
}

/// The same as a file, where an error can name its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    fault: Vec<Spanned<RawEntry>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawEntry {
    at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#for: Option<Millis>,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clients: Option<Clients>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut_for: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kill: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejoin: Option<Rejoin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draw: Option<u64>,
}

impl RawEntry {
    fn into_entry(self, drawn: u64) -> Result<Entry, String> {
        let kind = Kind::parse(&self.kind)?;
        let target = self.target(kind)?;
        let fault = self.fault(kind, &target)?;
        let for_ms = self.r#for.map_or(0, |time| time.0);
        if for_ms == 0 && matches!(kind, Kind::Pause | Kind::Partition) {
            return Err(format!("a {kind} needs `for`: lifted at once it does nothing"));
        }
        Ok(Entry { id: 0, at_ms: self.at.0, for_ms, fault, target, draw: self.draw.unwrap_or(drawn) })
    }

    fn target(&self, kind: Kind) -> Result<Target, String> {
        match (&self.target, kind) {
            (Some(name), _) => kind.parse_target(name),
            (None, Kind::Failover) => Ok(Target::Primary),
            (None, _) => Err(format!("a {kind} in a schedule needs a `target`")),
        }
    }

    fn fault(&self, kind: Kind, target: &Target) -> Result<Fault, String> {
        self.refuse_foreign_options(kind)?;
        let clients = self.clients.unwrap_or_default();
        match kind {
            Kind::Kill => Ok(Fault::Kill),
            Kind::Pause => Ok(Fault::Pause),
            Kind::Partition => {
                let sides = !matches!(target, Target::OneWay | Target::MajoritiesRing | Target::Bridge);
                if clients == Clients::Majority && !sides {
                    return Err(format!("`clients = \"majority\"` wants two sides; partition:{target} has none"));
                }
                Ok(Fault::Partition { clients })
            }
            Kind::Failover => self.failover(clients).map(Fault::Failover),
        }
    }

    fn failover(&self, clients: Clients) -> Result<FailoverPlan, String> {
        let default = FailoverPlan::default();
        let plan = FailoverPlan {
            cut_for_ms: self.cut_for.map_or(0, |time| time.0),
            clients,
            kill: self.kill.unwrap_or(default.kill),
            rejoin: self.rejoin.unwrap_or(default.rejoin),
        };
        if plan.kill && plan.rejoin == Rejoin::Never {
            return Err(
                "a killed primary that never rejoins stays dead: `rejoin = \"never\"` wants `kill = false`".into()
            );
        }
        if plan.cut_for_ms == 0 && self.clients.is_some() {
            return Err("`clients` says who is cut off together: it wants `cut-for`".into());
        }
        Ok(plan)
    }

    fn refuse_foreign_options(&self, kind: Kind) -> Result<(), String> {
        let failover = kind == Kind::Failover;
        let given = [
            ("clients", self.clients.is_some(), failover || kind == Kind::Partition),
            ("cut-for", self.cut_for.is_some(), failover),
            ("kill", self.kill.is_some(), failover),
            ("rejoin", self.rejoin.is_some(), failover),
        ];
        match given.iter().find(|(_, given, allowed)| *given && !allowed) {
            Some((option, ..)) => Err(format!("a {kind} has no option `{option}`")),
            None => Ok(()),
        }
    }
}

impl TryFrom<RawSchedule> for Schedule {
    type Error = ScheduleError;

    fn try_from(raw: RawSchedule) -> Result<Self, ScheduleError> {
        let entry = |(number, raw): (usize, RawEntry)| {
            // A stored plan says everything; a number made up here would be another plan.
            let draw = raw.draw.ok_or_else(|| "missing field `draw`".to_owned());
            draw.and_then(|draw| raw.into_entry(draw)).map_err(|problem| ScheduleError::Data { entry: number, problem })
        };
        (1..).zip(raw.fault).map(entry).collect::<Result<_, _>>().map(Self::new)
    }
}

impl From<Schedule> for RawSchedule {
    fn from(schedule: Schedule) -> Self {
        Self { fault: schedule.entries.into_iter().map(RawEntry::from).collect() }
    }
}

impl From<Entry> for RawEntry {
    fn from(entry: Entry) -> Self {
        let mut raw = Self {
            at: Millis(entry.at_ms),
            r#for: (entry.for_ms > 0).then_some(Millis(entry.for_ms)),
            kind: entry.fault.kind().name().to_owned(),
            target: Some(entry.target.name().to_owned()),
            clients: None,
            cut_for: None,
            kill: None,
            rejoin: None,
            draw: Some(entry.draw),
        };
        match entry.fault {
            Fault::Kill | Fault::Pause => {}
            Fault::Partition { clients } => raw.clients = Some(clients),
            Fault::Failover(plan) => {
                if plan.cut_for_ms > 0 {
                    raw.cut_for = Some(Millis(plan.cut_for_ms));
                    raw.clients = Some(plan.clients);
                }
                raw.kill = Some(plan.kill);
                raw.rejoin = Some(plan.rejoin);
            }
        }
        raw
    }
}

/// A time in milliseconds: `"5s"`, `"500ms"`, `"1.5s"`, `"2m"`, or a bare number.
#[derive(Debug, Clone, Copy)]
struct Millis(u64);

impl Millis {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time; write \"500ms\", \"1.5s\", \"2m\" or a number of milliseconds");
        let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit_at);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
        let digits = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        // In whole numbers, because 0.1 has no exact fraction and 1.1s must be 1100 ms.
        let scale = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
        let numbers = (whole.parse::<u64>(), fraction.parse::<u64>());
        let (Ok(whole), Ok(fraction)) = numbers else { return Err(wrong()) };
        if fraction * unit_ms % scale != 0 {
            return Err(format!("{text:?} is finer than a millisecond"));
        }
        Self::bounded(whole * unit_ms + fraction * unit_ms / scale)
    }

    fn bounded(millis: u64) -> Result<Self, String> {
        if millis > TIME_MAX_MS {
            Err("no time in a schedule is longer than a day".to_owned())
        } else {
            Ok(Self(millis))
        }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = if self.0.is_multiple_of(1_000) { format!("{}s", self.0 / 1_000) } else { format!("{}ms", self.0) };
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Millis;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a time such as \"5s\", \"500ms\" or a number of milliseconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                Millis::parse(text).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Millis, E> {
                Millis::bounded(millis).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Millis, E> {
                let millis = u64::try_from(millis).map_err(|_| E::custom("a time cannot be negative"))?;
                self.visit_u64(millis)
            }
        }

        deserializer.deserialize_any(Visitor)
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
        assert_eq!((kill.id, kill.at_ms, kill.for_ms, kill.fault), (0, 500, 0, Fault::Kill));
        assert_eq!(kill.target, Target::Node("n2".into()));
        let plan = FailoverPlan { cut_for_ms: 1_500, clients: Clients::Majority, kill: false, rejoin: Rejoin::Never };
        assert_eq!((failover.id, failover.draw, failover.fault), (1, 7, Fault::Failover(plan)));
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
            ("at = 1\nkind = \"kil\"\ntarget = \"one\"", "valid faults: kill, ", 6),
            ("at = 1\nkind = \"kill\"\ntarget = \"halves\"", "a kill has no target \"halves\"", 6),
            ("at = 1\nkind = \"kill\"", "a kill in a schedule needs a `target`", 6),
            ("at = 1\nkind = \"pause\"\ntarget = \"one\"", "a pause needs `for`", 6),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nforr = 1", "unknown field `forr`", 10),
            ("at = 1\nkind = \"kill\"\ntarget = \"one\"\nrejoin = \"heal\"", "a kill has no option `rejoin`", 6),
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
