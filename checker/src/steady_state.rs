//! The steady state: probes that must hold before the first fault and again after the last. What they find in between is
//! told and judged by nobody: that a probe fails while a node is dead is what the fault is for.

use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity,
    history::{History, ProbeStage},
    say::{self, Findings},
};

/// What became of each probe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SteadyStateResult {
    /// By name.
    pub probes: Vec<ProbeResult>,
}

/// One probe over the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeResult {
    /// Its name.
    pub name: String,
    /// Whether it held before the first fault; `None`: not asked.
    pub before: Option<bool>,
    /// How often it held while faults came and went.
    pub during_held: u64,
    /// How often it did not.
    pub during_failed: u64,
    /// Whether it held after the recovery; `None`: not asked.
    pub after: Option<bool>,
    /// The answers when it was asked last.
    pub got: String,
}

/// `None` where nothing was probed.
#[must_use]
pub fn check(history: &History) -> Option<Check> {
    let mut result = SteadyStateResult::default();
    let mut findings = Findings::default();
    for event in history.probes() {
        let value = &event.value;
        let index = result.probes.iter().position(|probe| probe.name == value.probe).unwrap_or_else(|| {
            result.probes.push(ProbeResult {
                name: value.probe.clone(),
                before: None,
                during_held: 0,
                during_failed: 0,
                after: None,
                got: String::new(),
            });
            result.probes.len() - 1
        });
        let probe = &mut result.probes[index];
        probe.got.clone_from(&value.got);
        match value.stage {
            ProbeStage::Before => probe.before = Some(value.held),
            ProbeStage::During if value.held => probe.during_held += 1,
            ProbeStage::During => probe.during_failed += 1,
            ProbeStage::After => probe.after = Some(value.held),
        }
        if value.stage == ProbeStage::After && !value.held {
            findings.push("steady-state", vec![event.index], || {
                let at_s = say::as_seconds(event.time_ns);
                format!("After the recovery, at {at_s:.3} s, the probe {:?} does not hold: {}.", value.probe, value.got)
            });
        }
    }
    if result.probes.is_empty() {
        return None;
    }
    let names = |fits: fn(&ProbeResult) -> bool| {
        let names: Vec<&str> = result.probes.iter().filter(|probe| fits(probe)).map(|probe| &*probe.name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let (valid, reason, summary) = if let Some(names) = names(|probe| probe.before == Some(false)) {
        let reason = format!("it did not hold before the first fault: {names}");
        (Validity::Unknown, Some(reason.clone()), format!("Undecided: {reason}."))
    } else if let Some(names) = names(|probe| probe.after == Some(false)) {
        (Validity::Invalid, None, format!("It did not come back after the faults: {names}."))
    } else if let Some(names) = names(|probe| probe.after.is_none()) {
        let reason = format!("the run ended before it was asked for again: {names}");
        (Validity::Unknown, Some(reason.clone()), format!("Undecided: {reason}."))
    } else {
        (Validity::Valid, None, "It held before the faults and holds again after them.".to_owned())
    };
    Some(findings.into_check("steady-state", valid, reason, summary, Details::SteadyState(result)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, EventType, F, Header, HistoryBuilder, ProbeEvent, Process, Value};

    fn judged(samples: &[(&str, ProbeStage, bool)]) -> Option<Check> {
        let header = Header {
            schism_history: Header::VERSION,
            workload: "set".into(),
            target: "memory".into(),
            seed: 1,
            clients: 1,
            nodes: vec!["n1".into()],
            consistency_models: vec![],
        };
        let mut builder = HistoryBuilder::new(header);
        for (index, &(probe, stage, held)) in (0..).zip(samples) {
            let value = ProbeEvent { probe: probe.into(), stage, held, got: format!("n1: {held}") };
            builder.push(Event {
                index,
                time_ns: index * 1_000_000_000,
                process: Process::Harness,
                kind: EventType::Info,
                f: F::from_name("probe"),
                value: Value::Other(Box::new(serde_json::to_value(value).unwrap())),
                error: None,
                node: None,
                is_final: false,
                order: None,
            });
        }
        check(&builder.finish().unwrap())
    }

    #[test]
    fn it_must_hold_before_and_after_and_may_fail_in_between() {
        use ProbeStage::{After, Before, During};
        assert_eq!(judged(&[]), None);
        let valid =
            judged(&[("p", Before, true), ("p", During, false), ("p", During, true), ("p", After, true)]).unwrap();
        assert_eq!(valid.valid, Validity::Valid);
        let Details::SteadyState(found) = &valid.details else { panic!() };
        assert_eq!((found.probes[0].during_held, found.probes[0].during_failed), (1, 1));

        let broken =
            judged(&[("p", Before, true), ("q", Before, true), ("p", After, true), ("q", After, false)]).unwrap();
        assert_eq!((broken.valid, broken.findings_total), (Validity::Invalid, 1));
        assert!(broken.findings[0].sentence.contains("at 3.000 s, the probe \"q\" does not hold: n1: false"));

        for undecided in [&[("p", Before, false), ("p", After, false)][..], &[("p", Before, true)][..]] {
            assert_eq!(judged(undecided).unwrap().valid, Validity::Unknown);
        }
    }
}
