//! What faults are made with. The nemesis needs ten things of a cluster, no more; a test gives it a cluster of its
//! own, in memory, which may also lie.

use std::{future::Future, time::Duration};

use schism_cluster::{Claim, Cluster, Failover, Gauge, NodeState, Probe, SandboxInfo, Step};

/// A running cluster, as far as faults go.
pub trait Fabric: Send + Sync + 'static {
    /// Does one step.
    fn run(&self, step: Step) -> impl Future<Output = Result<(), FabricError>> + Send;
    /// Tries to reach host `to` from host `from`.
    fn probe(&self, from: &str, to: &str, timeout: Duration) -> impl Future<Output = Probe> + Send;
    /// Measures something, in the gauge's unit; `Err` says why it could not be measured.
    fn measure(&self, gauge: &Gauge) -> impl Future<Output = Result<f64, String>> + Send;
    /// What the node's processes are doing, as the kernel sees them.
    fn node_state(&self, node: &str) -> NodeState;
    /// What the node says it is.
    fn claim(&self, node: &str) -> impl Future<Output = Claim> + Send;
    /// Promotes the most advanced replica that is not in `avoid`.
    fn failover(&self, avoid: &[String]) -> impl Future<Output = Result<Failover, FabricError>> + Send;
    /// Makes a node follow the present primary; says how.
    fn rejoin(&self, node: &str) -> impl Future<Output = Result<String, FabricError>> + Send;
    /// What a fault's steps have to tell that only they know; told once.
    fn take_notes(&self, _fault: u32) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
    /// `n1`, `n2`, …
    fn node_names(&self) -> &[String];
    /// What another process needs to undo a fault.
    fn info(&self) -> SandboxInfo;
}

/// The cluster refused or failed, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FabricError(pub String);

fn told(error: impl std::fmt::Display) -> FabricError {
    FabricError(error.to_string())
}

impl Fabric for Cluster {
    async fn run(&self, step: Step) -> Result<(), FabricError> {
        Self::run(self, step).await.map_err(told)
    }

    async fn probe(&self, from: &str, to: &str, timeout: Duration) -> Probe {
        Self::probe(self, from, to, timeout).await
    }

    async fn measure(&self, gauge: &Gauge) -> Result<f64, String> {
        Self::measure(self, gauge).await
    }

    fn node_state(&self, node: &str) -> NodeState {
        Self::node_state(self, node)
    }

    async fn claim(&self, node: &str) -> Claim {
        Self::claim(self, node).await
    }

    async fn failover(&self, avoid: &[String]) -> Result<Failover, FabricError> {
        Self::failover(self, avoid).await.map_err(told)
    }

    async fn rejoin(&self, node: &str) -> Result<String, FabricError> {
        Self::rejoin(self, node).await.map_err(told)
    }

    async fn take_notes(&self, fault: u32) -> Vec<String> {
        Self::take_notes(self, fault).await
    }

    fn node_names(&self) -> &[String] {
        Self::node_names(self)
    }

    fn info(&self) -> SandboxInfo {
        Self::info(self)
    }
}
