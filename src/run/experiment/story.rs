//! What became of each fault, from the nemesis' events: when it is over, and whether it went as asked.

use std::collections::BTreeMap;

use schism_nemesis::{NemesisEvent, NemesisStage};
use serde_json::{Value, json};

/// Every fault so far, by its id.
#[derive(Debug, Default)]
pub(crate) struct Stories(BTreeMap<u32, Story>);

#[derive(Debug, Default)]
struct Story {
    kind: String,
    victims: Vec<String>,
    verified: String,
    begun: bool,
    healing: bool,
    over: bool,
    problem: Option<String>,
}

impl Stories {
    pub(crate) fn tell(&mut self, event: &NemesisEvent) {
        let story = self.0.entry(event.id).or_default();
        story.kind.clone_from(&event.kind);
        if !event.victims.is_empty() {
            story.victims.clone_from(&event.victims);
        }
        match event.stage {
            NemesisStage::Inject => story.begun = true,
            NemesisStage::Injected => story.verified.clone_from(&event.verified),
            NemesisStage::Heal => story.healing = true,
            NemesisStage::Healed => story.over = true,
            NemesisStage::Skipped => {
                story.problem.get_or_insert_with(|| format!("it did not happen: {}", event.detail));
                story.over = true;
            }
            NemesisStage::Failed => {
                story.problem.get_or_insert_with(|| event.detail.clone());
                // What did not bite is healed next; what was never begun, or cannot be healed, is not.
                story.over |= !story.begun || story.healing;
            }
        }
    }

    pub(crate) fn is_over(&self, id: u32) -> bool {
        self.0.get(&id).is_some_and(|story| story.over)
    }

    /// The output of the activity, or why it failed.
    pub(crate) fn outcome(&self, id: u32) -> Result<Value, String> {
        let story = self.0.get(&id).ok_or_else(|| format!("nothing is known of fault {id}"))?;
        match &story.problem {
            Some(problem) => Err(format!("fault {id} ({}): {problem}", story.kind)),
            None => {
                let Story { kind, victims, verified, .. } = story;
                Ok(json!({"fault": kind, "id": id, "victims": victims, "verified": verified}))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use NemesisStage::{Failed, Heal, Healed, Inject, Injected, Skipped};

    use super::*;

    /// After each of these stages, whether it is over; and how it went.
    fn told(stages: &[NemesisStage]) -> (Vec<bool>, bool) {
        let mut stories = Stories::default();
        let after = stages.iter().map(|&stage| {
            stories.tell(&NemesisEvent {
                id: 3,
                kind: "kill".to_owned(),
                stage,
                target: "one".to_owned(),
                victims: vec!["n2".to_owned()],
                detail: "why".to_owned(),
                verified: "n2 has no process".to_owned(),
                measured: vec![],
                effective_ns: None,
            });
            stories.is_over(3)
        });
        let after = after.collect();
        assert!(!stories.is_over(4));
        (after, stories.outcome(3).is_ok())
    }

    #[test]
    fn a_fault_is_over_when_it_is_healed_or_will_never_be() {
        assert_eq!(told(&[Inject, Injected, Heal, Healed]), (vec![false, false, false, true], true));
        assert_eq!(told(&[Skipped]), (vec![true], false));
        assert_eq!(told(&[Failed]), (vec![true], false), "no victim");
        assert_eq!(told(&[Inject, Failed, Heal, Healed]), (vec![false, false, false, true], false), "no bite");
        assert_eq!(told(&[Inject, Injected, Failed, Heal, Healed]).0, [false, false, false, false, true], "a pulse");
        assert_eq!(told(&[Inject, Injected, Heal, Failed]), (vec![false, false, false, true], false), "no heal");
    }
}
