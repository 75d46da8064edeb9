//! A failover, which is more than steps: cut the primary off, kill it while it is cut off, promote, reconnect.
//!
//! One fault and not three timed ones, because the order is what it is about. Were the cut to heal a moment before the
//! kill, the replicas would catch up, and the run would show that nothing was lost.

use std::time::Duration;

use schism_cluster::Step;
use tokio::time::{Instant, sleep_until};

use super::{FAILOVER_LIMIT, InForce, Nemesis, Stop, bounded};
use crate::{
    Entry, FailoverPlan, Rejoin, Target,
    expect::{self, Expect, Seen},
    fabric::Fabric,
    faults, grudge,
    injection::Injection,
    overlap::{expect_beside, undo_beside},
    target::Role,
};

impl<F: Fabric> Nemesis<F> {
    /// The moment it takes hold is when the old primary is gone, or, where it is left alive, when another is promoted.
    pub(super) async fn fail_over(&mut self, entry: &Entry, plan: FailoverPlan, old: &str) -> Result<InForce, Stop> {
        let mut told = Progress::default();
        let result = self.replace_primary(entry.id, plan, old, &mut told).await;
        if result.is_err() && told.gone_ns.is_some() {
            self.bring_back(entry.id, old).await;
        }
        let effective_ns = result?;
        Ok(InForce { detail: told.done.join("; "), seen: told.seen, effective_ns })
    }

    async fn replace_primary(
        &mut self,
        id: u32,
        plan: FailoverPlan,
        old: &str,
        told: &mut Progress,
    ) -> Result<u64, Stop> {
        let nodes = self.fabric.node_names().to_vec();
        let victims = [old.to_owned()];
        let cut =
            (plan.cut_for_ms > 0).then(|| Injection::cut(grudge::isolate(&nodes, &victims, plan.clients), &nodes));
        if let Some(cut) = &cut {
            told.did(self.run_steps(&cut.steps).await?, &cut.detail);
            // Looking whether it bites takes a part of its time, not more of it.
            let until = Instant::now() + Duration::from_millis(plan.cut_for_ms);
            self.refuse_late(id)?;
            told.seen.and(self.see(id, &cut.bites).await?);
            self.unless_cancelled(sleep_until(until)).await.ok_or(Stop::Cancelled)?;
        }
        if plan.kill {
            let kill = faults::kill(&victims);
            let gone_ns = self.run_steps(&kill.steps).await?;
            told.gone_ns = Some(gone_ns);
            told.did(gone_ns, &kill.detail);
            self.refuse_late(id)?;
            told.seen.and(self.see(id, &kill.bites).await?);
        }
        let failover = bounded(FAILOVER_LIMIT, self.fabric.failover(&victims)).await;
        let promoted_ns = self.now_ns();
        let failover = failover.map_err(|problem| format!("no replica was promoted: {problem}"))?;
        if plan.rejoin == Rejoin::Heal
            && let Some(open) = self.open.get_mut(&id)
        {
            open.rejoin = Some(old.to_owned());
        }
        told.did(promoted_ns, &failover.detail);
        // Only now: the dead primary's kernel still delivers what its processes had written to their sockets. Were the
        // cut lifted before the replicas have turned to the new primary, they would receive in a moment what the cut
        // had kept from them, and the run would show that nothing was lost (seen 10 times of 10).
        if let Some(cut) = &cut {
            let undo = undo_beside(&cut.undo, &self.beside(id)).now;
            told.did(self.run_steps(&undo).await?, "reconnected");
            told.seen.and(self.see(id, &cut.heals).await?);
            self.forget_cut(id).await?;
        }
        told.seen.and(self.see(id, &[Expect::Primary { node: failover.new_primary }]).await?);
        Ok(told.gone_ns.unwrap_or(promoted_ns))
    }

    async fn see(&self, id: u32, expects: &[Expect]) -> Result<Seen, String> {
        expect::check(&self.fabric, &expect_beside(expects, &self.beside(id))).await
    }

    /// The cut is over long before the fault is; a partition that overlaps with the fault must not find its pairs
    /// still claimed by it.
    async fn forget_cut(&mut self, id: u32) -> Result<(), String> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        open.injection.steps.retain(|step| !matches!(step, Step::Cut { .. }));
        open.injection.undo.clear();
        open.injection.heals.clear();
        self.write_intent(id).await.map_err(|error| format!("the ledger cannot be written: {error}"))
    }

    /// The old primary was killed and then something failed. If nobody was promoted it is the primary still and may
    /// start again; otherwise, or half way, it would be a second one and has to rejoin.
    async fn bring_back(&mut self, id: u32, old: &str) {
        let claims = self.claims(&Target::Primary).await;
        let replaced = claims.iter().any(|claim| claim.node != old && claim.role == Role::Primary);
        let Some(open) = self.open.get_mut(&id) else { return };
        if replaced || open.rejoin.is_some() {
            open.rejoin = Some(old.to_owned());
        } else {
            let kill = faults::kill(&[old.to_owned()]);
            open.injection.undo.extend(kill.undo);
            open.injection.heals.extend(kill.heals);
        }
    }
}

/// What was done when, and what was seen.
#[derive(Default)]
struct Progress {
    done: Vec<String>,
    seen: Seen,
    /// When the old primary was killed.
    gone_ns: Option<u64>,
}

impl Progress {
    fn did(&mut self, at_ns: u64, what: &str) {
        self.done.push(format!("{what} at {}.{:03} s", at_ns / 1_000_000_000, at_ns / 1_000_000 % 1_000));
    }
}
