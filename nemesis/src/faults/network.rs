//! Faults of what is between nodes, and between nodes and clients.

use schism_cluster::Step;
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{self, Bridge, Halves, MajoritiesRing, Minority, One, OneWay, Primary, Replica},
    grudge::{self, Grudge, Pairs},
    injection::{Injection, Pulse, Scene},
    options::{OptionError, Options},
};

pub(super) const CLIENTS: OptionInfo = OptionInfo {
    name: "clients",
    meaning: "on which side of the cut clients are: \"with-node\", each beside its node, or \"majority\" \
              [default: with-node]",
};

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::Partition,
        name: "partition",
        family: Family::Network,
        description: "drop packets: the target nodes (with the clients beside them) from the rest, or a shape",
        how: "A set of (source, destination) addresses in an nftables table of our own, whose packets the bridge \
              drops; changed in one transaction, so that there is no moment with half a partition.",
        verified: "Probes across the cut, in every cut direction, get no answer within 300 ms while probes on one side \
                   do; at the end probes across get one.",
        breaks: "Two primaries that both acknowledge writes, acknowledged writes thrown away when the cut heals, stale \
                 reads on the minority's side.",
        // Isolating a majority is the same cut as isolating the minority it leaves: one name is enough.
        targets: &[Primary, Replica, One, Minority, Halves, OneWay, MajoritiesRing, Bridge],
        takes_node: true,
        // It wants somebody on the other side.
        nodes_min: 2,
        options: &[CLIENTS],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Flap,
        name: "flap",
        family: Family::Network,
        description: "a partition that comes and goes: cut for half of every period, whole for the other half",
        how: "The cut of `partition`, lifted and laid again by transactions of the same table at planned moments.",
        verified: "The first cut as `partition`'s; of every later one a probe across gets no answer, and of every \
                   mending a probe gets one.",
        breaks: "Elections that never end, time-outs that are reset by every short mending, replicas that are thrown \
                 out and taken back over and over, Sentinel's and Raft's pre-vote logic.",
        targets: &[Primary, Replica, One, Minority, Halves, OneWay, MajoritiesRing, Bridge],
        takes_node: true,
        nodes_min: 2,
        options: &[
            OptionInfo { name: "period", meaning: "from one cut to the next, at least 500ms [default: 2s]" },
            CLIENTS,
        ],
        strength: Some("period"),
        needs_time: true,
        capabilities: &[],
    },
];

/// Below this the cuts, each verified, would run into each other.
const PERIOD_MIN_MS: u64 = 500;
const PERIOD_MS: u64 = 2_000;

/// On which side of a cut the clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    /// Each client site stays with the node it is beside.
    #[default]
    WithNode,
    /// All client sites are on the side with the most nodes.
    Majority,
}

pub(super) fn read_clients(target: Option<&Target>, options: &mut Options) -> Result<Clients, OptionError> {
    let clients = options.word("clients")?.unwrap_or_default();
    match target {
        Some(target @ (OneWay | MajoritiesRing | Bridge)) if clients == Clients::Majority => {
            Err(format!("`clients = \"majority\"` wants two sides; partition:{target} has none").into())
        }
        _ => Ok(clients),
    }
}

pub(super) fn partition(scene: &Scene<'_>, clients: Clients) -> Injection {
    Injection::cut(grudge_of(scene, clients), scene.nodes)
}

fn grudge_of(scene: &Scene<'_>, clients: Clients) -> Grudge {
    let Scene { target, chosen, nodes, draw, .. } = *scene;
    match target {
        Halves => grudge::halves(chosen, clients),
        // The low bit also takes part in shuffling the order; whoever comes first, both directions occur.
        OneWay => grudge::one_way(chosen, draw.is_multiple_of(2)),
        MajoritiesRing => grudge::majorities_ring(chosen),
        Bridge => grudge::bridge(chosen),
        _ => grudge::isolate(nodes, chosen, clients),
    }
}

/// A partition that comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flap {
    /// From one cut to the next; cut for the first half of it.
    pub period_ms: u64,
    /// On which side of the cut the clients are.
    pub clients: Clients,
}

impl Flap {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const PERIODS_MS: [u64; 4] = [500, 1_000, 2_000, 5_000];
        Self { period_ms: PERIODS_MS[stream.index(PERIODS_MS.len())], clients: Clients::default() }
    }

    pub(super) fn read(target: Option<&Target>, options: &mut Options) -> Result<Self, OptionError> {
        let period_ms = options.millis("period")?.unwrap_or(PERIOD_MS);
        if period_ms < PERIOD_MIN_MS {
            let problem = format!("a cut can come and go every {PERIOD_MIN_MS} ms at most, not every {period_ms} ms");
            return Err(OptionError { option: Some("period".to_owned()), problem });
        }
        Ok(Self { period_ms, clients: read_clients(target, options)? })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set_millis("period", self.period_ms);
        options.set("clients", self.clients);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let mut injection = partition(scene, self.clients);
        let pairs = || match injection.undo.first() {
            Some(Step::Uncut { pairs }) => pairs.clone(),
            _ => Pairs::new(),
        };
        let pulse = |number: u64| {
            let cut = number.is_multiple_of(2);
            let step = if cut { Step::Cut { pairs: pairs() } } else { Step::Uncut { pairs: pairs() } };
            // One probe: a sample of all would take a good part of a short period.
            let seen = if cut { &injection.bites } else { &injection.heals };
            Pulse {
                after_ms: number * self.period_ms / 2,
                steps: vec![step],
                bites: seen.iter().take(1).cloned().collect(),
            }
        };
        injection.pulses = (1..).map(pulse).take_while(|pulse| pulse.after_ms < scene.for_ms).collect();
        injection.detail = format!("every {} ms for half of that time: {}", self.period_ms, injection.detail);
        injection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flap_ends_whole_and_its_pulses_alternate() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        let flap = Flap { period_ms: 2_000, clients: Clients::WithNode };
        let injection = flap.inject(&Scene::of(&Primary, &nodes[..1], &nodes));
        let times: Vec<u64> = injection.pulses.iter().map(|pulse| pulse.after_ms).collect();
        assert_eq!(times, [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000]);
        for (number, pulse) in injection.pulses.iter().enumerate() {
            assert_eq!(matches!(pulse.steps[..], [Step::Uncut { .. }]), number.is_multiple_of(2));
            assert_eq!(pulse.bites.len(), 1);
        }
        assert!(matches!(injection.undo[..], [Step::Uncut { .. }]));
    }
}
