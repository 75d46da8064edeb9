//! The monitor: asks every node, all the time and from within the node, what it claims to be.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schism_checker::history::{ClaimEvent, ClaimedRole};
use schism_cluster::Cluster;
use tokio::{sync::mpsc, time::Instant};

use super::{clock::Clock, interpreter::Side, routing::Routing};

/// Time between two questions to one node: the resolution of every split-brain window and of routing.
const POLL: Duration = Duration::from_millis(100);

/// The claims as they stand.
#[derive(Debug)]
pub(super) struct Monitor {
    claims: Mutex<Vec<Standing>>,
    tasks: Vec<tokio::task::AbortHandle>,
}

#[derive(Debug, Clone)]
struct Standing {
    claim: ClaimEvent,
    since: Instant,
}

impl Monitor {
    /// Starts a task per node on the current runtime. Each change of a claim goes to the loop and to the routing.
    pub(super) fn start(
        cluster: &Arc<Cluster>,
        clock: Clock,
        side: &mpsc::UnboundedSender<Side>,
        routing: &Arc<Routing>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|monitor| {
            let watch = |node: &String| {
                let (cluster, side, routing) = (Arc::clone(cluster), side.clone(), Arc::clone(routing));
                let (node, monitor) = (node.clone(), monitor.clone());
                let task = async move {
                    let mut last = None;
                    loop {
                        let next = Instant::now() + POLL;
                        let asked_ns = clock.now_ns();
                        let claim = cluster.claim(&node).await;
                        let said = (claim.role, claim.term);
                        let event =
                            ClaimEvent { node: node.clone(), role: role_of(claim.role), term: claim.term, asked_ns };
                        let Some(monitor): Option<Arc<Self>> = std::sync::Weak::upgrade(&monitor) else { return };
                        monitor.note(event.clone(), &routing);
                        if last != Some(said) {
                            last = Some(said);
                            if side.send(Side::Claim(event)).is_err() {
                                return;
                            }
                        }
                        tokio::time::sleep_until(next).await;
                    }
                };
                tokio::spawn(task).abort_handle()
            };
            Self { claims: Mutex::default(), tasks: cluster.node_names().iter().map(watch).collect() }
        })
    }

    fn note(&self, claim: ClaimEvent, routing: &Routing) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match claims.iter_mut().find(|standing| standing.claim.node == claim.node) {
            Some(standing) => {
                if standing.claim.role != claim.role {
                    standing.since = Instant::now();
                }
                standing.claim = claim;
            }
            None => claims.push(Standing { claim, since: Instant::now() }),
        }
        if let Some(primary) = newest_primary(&claims) {
            routing.set_primary(primary);
        }
    }

    /// Stops asking; the last answers by node.
    pub(super) fn stop(&self) -> Vec<ClaimEvent> {
        for task in &self.tasks {
            task.abort();
        }
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Vec<ClaimEvent> = claims.iter().map(|standing| standing.claim.clone()).collect();
        last.sort_by(|left, right| left.node.cmp(&right.node));
        last
    }
}

/// The primary that a smart client follows: of several the one with the highest term, as its coordinator would tell
/// it; without terms the one that came last.
fn newest_primary(claims: &[Standing]) -> Option<&str> {
    claims
        .iter()
        .filter(|standing| standing.claim.role == ClaimedRole::Primary)
        .max_by_key(|standing| (standing.claim.term, standing.since))
        .map(|standing| standing.claim.node.as_str())
}

const fn role_of(role: schism_cluster::ClaimedRole) -> ClaimedRole {
    match role {
        schism_cluster::ClaimedRole::Primary => ClaimedRole::Primary,
        schism_cluster::ClaimedRole::Replica => ClaimedRole::Replica,
        schism_cluster::ClaimedRole::Neither => ClaimedRole::Neither,
        schism_cluster::ClaimedRole::Unreachable => ClaimedRole::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(node: &str, role: ClaimedRole, term: Option<u64>, after_ms: u64) -> Standing {
        let claim = ClaimEvent { node: node.to_owned(), role, term, asked_ns: 0 };
        Standing { claim, since: Instant::now() + Duration::from_millis(after_ms) }
    }

    #[test]
    fn clients_follow_the_highest_term_then_the_latest() {
        use ClaimedRole::{Primary, Replica};
        let old = standing("n1", Primary, Some(1), 100);
        let new = standing("n2", Primary, Some(2), 0);
        assert_eq!(newest_primary(&[old.clone(), new]), Some("n2"));
        let termless = [standing("n1", Primary, None, 0), standing("n3", Primary, None, 50)];
        assert_eq!(newest_primary(&termless), Some("n3"));
        assert_eq!(newest_primary(&[standing("n1", Replica, Some(9), 0)]), None);
        assert_eq!(newest_primary(&[old]), Some("n1"));
    }
}
