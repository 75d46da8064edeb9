//! Faults of what runs on a node.

use schism_cluster::Step;
use serde::{Deserialize, Serialize};

use super::{Clients, network};
use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    grudge,
    injection::{Injection, Scene, each},
    options::{OptionError, Options},
};

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::Kill,
        name: "kill",
        family: Family::Process,
        description: "SIGKILL every process of the target nodes; they are started again when the fault ends",
        how: "One write to `cgroup.kill` of the node's cgroup, or SIGKILL to every process of its network namespace \
              until none is left. The machine lives on: what the server had written but not synced is kept, and what \
              it had handed to its sockets is still delivered.",
        verified: "The kernel shows no process of the node; at the end they run and the database answers (30 s).",
        breaks: "Acknowledged writes that only the dead primary had, fail-over that does not happen or happens twice, \
                 recovery that takes longer than its time-out.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: false,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Pause,
        name: "pause",
        family: Family::Process,
        description: "freeze every process of the target nodes; they go on, unaware, when the fault ends",
        how: "The cgroup's freezer, or SIGSTOP to every process of the node's network namespace. Its kernel goes on \
              accepting connections and acknowledging packets, as with a long collection of garbage or a migrated \
              machine. To outlive a lease, give it a `for` longer than the time after which others take the node for \
              dead: it then goes on in the middle of what it was doing, and believes that it holds the lease.",
        verified: "The kernel shows all its processes stopped, and the database does not answer; at the end they run \
                   and it answers (30 s).",
        breaks: "Leases and locks that are used after they ran out, a deposed primary that answers from what it last \
                 knew, clients without a deadline of their own.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Failover,
        name: "failover",
        family: Family::Process,
        description: "kill the primary and promote the most advanced replica; the old primary rejoins at the end",
        how: "As an operator does it: the primary is (cut off and) killed, the replica that received most is promoted, \
              the others follow it, and the old primary rejoins by pg_rewind or a fresh copy. Needs a database whose \
              replicas we can promote.",
        verified: "The old primary has no process and the new one claims to be primary; at the end the old one claims \
                   to be a replica (30 s).",
        breaks: "Acknowledged writes that no replica had received (asynchronous replication), two primaries where \
                 nobody was fenced.",
        targets: &[Primary],
        takes_node: false,
        nodes_min: 2,
        options: &[
            OptionInfo {
                name: "cut-for",
                meaning: "isolate the primary so long before the rest [default: not at all]",
            },
            network::CLIENTS,
            OptionInfo { name: "kill", meaning: "kill it, still cut off [default: true]" },
            OptionInfo {
                name: "rejoin",
                meaning: "\"heal\": at the end it rejoins; \"never\": it stays a second primary, wants kill = false \
                          [default: heal]",
            },
        ],
        strength: None,
        needs_time: false,
        capabilities: &[],
    },
];

/// How a replica takes the primary's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverPlan {
    /// For how long the primary is isolated before anything else: what it acknowledges in this time no replica has.
    pub cut_for_ms: u64,
    /// On which side of that cut the clients are.
    pub clients: Clients,
    /// Whether the old primary is killed (while still cut off) before a replica is promoted. It is never started as a
    /// primary again, only by rejoining. Without the kill, two nodes take writes: what happens to a team that
    /// promotes without fencing.
    pub kill: bool,
    /// Whether the old primary is made to follow the new one at the end.
    pub rejoin: Rejoin,
}

impl Default for FailoverPlan {
    /// The orderly emergency: kill, promote, rejoin.
    fn default() -> Self {
        Self { cut_for_ms: 0, clients: Clients::WithNode, kill: true, rejoin: Rejoin::Heal }
    }
}

/// Whether a deposed primary comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejoin {
    /// It is made to follow the new primary when the fault ends.
    #[default]
    Heal,
    /// It is left as it is, a second primary.
    Never,
}

impl FailoverPlan {
    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        let default = Self::default();
        let clients = options.word("clients")?;
        let plan = Self {
            cut_for_ms: options.millis("cut-for")?.unwrap_or(0),
            clients: clients.unwrap_or_default(),
            kill: options.word("kill")?.unwrap_or(default.kill),
            rejoin: options.word("rejoin")?.unwrap_or(default.rejoin),
        };
        if plan.kill && plan.rejoin == Rejoin::Never {
            let problem = "a killed primary that never rejoins stays dead: `rejoin = \"never\"` wants `kill = false`";
            return Err(problem.to_owned().into());
        }
        if plan.cut_for_ms == 0 && clients.is_some() {
            return Err("`clients` says who is cut off together: it wants `cut-for`".to_owned().into());
        }
        Ok(plan)
    }

    pub(super) fn write(&self, options: &mut Options) {
        if self.cut_for_ms > 0 {
            options.set_millis("cut-for", self.cut_for_ms);
            options.set("clients", self.clients);
        }
        options.set("kill", self.kill);
        options.set("rejoin", self.rejoin);
    }

    /// What a failover does to the old primary, for the ledger: all of it at once, so that the cut is lifted whatever
    /// becomes of the rest. There is no undo for the kill: a deposed primary that is simply started again is a second
    /// primary; it comes back by rejoining only.
    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let (old, nodes) = (scene.chosen, scene.nodes);
        let mut whole = Injection { victims: old.to_vec(), ..Injection::default() };
        if self.cut_for_ms > 0 {
            whole = Injection::cut(grudge::isolate(nodes, old, self.clients), nodes);
            whole.detail = format!("{} for {} ms, then ", whole.detail, self.cut_for_ms);
        }
        if self.kill {
            let kill = kill(old);
            whole.steps.extend(kill.steps);
            whole.detail = format!("{}{}, then ", whole.detail, kill.detail);
        }
        whole.detail.push_str("a replica promoted");
        whole
    }
}

pub(crate) fn kill(victims: &[String]) -> Injection {
    Injection {
        steps: each(victims, |node| Step::Kill { node }),
        undo: each(victims, |node| Step::Start { node }),
        victims: victims.to_vec(),
        detail: format!("SIGKILL to every process of {}", victims.join(", ")),
        bites: each(victims, |node| Expect::Dead { node }),
        heals: serving(victims),
        ..Injection::default()
    }
}

pub(super) fn pause(victims: &[String]) -> Injection {
    let mut bites = each(victims, |node| Expect::Frozen { node });
    bites.extend(each(victims, |node| Expect::Mute { node }));
    Injection {
        steps: each(victims, |node| Step::Freeze { node }),
        undo: each(victims, |node| Step::Thaw { node }),
        victims: victims.to_vec(),
        detail: format!("every process of {} frozen", victims.join(", ")),
        bites,
        heals: serving(victims),
        ..Injection::default()
    }
}

/// The processes run and the database answers.
pub(super) fn serving(nodes: &[String]) -> Vec<Expect> {
    let mut expects = each(nodes, |node| Expect::Running { node });
    expects.extend(each(nodes, |node| Expect::Answers { node }));
    expects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_never_starts_the_old_primary() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        for cut_for_ms in [0, 1_000] {
            let plan = FailoverPlan { cut_for_ms, ..FailoverPlan::default() };
            let injection = plan.inject(&Scene::of(&Primary, &nodes[..1], &nodes));
            assert_eq!(injection.steps.last(), Some(&Step::Kill { node: "n1".into() }));
            assert_eq!(injection.steps.len(), 1 + usize::from(cut_for_ms > 0));
            assert!(!injection.undo.iter().any(|step| matches!(step, Step::Start { .. })));
        }
    }
}
