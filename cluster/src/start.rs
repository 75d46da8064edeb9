//! From a specification to a cluster that serves.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::database::postgres::{self, Postgres};
use crate::database::redis::{self, Redis};
use crate::database::{Backend, Fabric, POLL, log_tails, make_directory};
use crate::disk::{self, DiskKind};
use crate::error::{ClusterError, Doing, StepError};
use crate::fuse;
use crate::info::{ClusterSpec, NodeInfo, ProcessSpec, SandboxInfo, SiteInfo};
use crate::network::{self, netns_file, node_address, site_address};
use crate::process;
use crate::sandbox::{FILES, cgroup, read_init};
use crate::step::start_process;
use crate::target::{Database, TargetName};

/// Client sites have the addresses from 101 to 199.
const SITES_MAX: u32 = 99;

/// What is settled before anything is made.
#[derive(Debug)]
pub(crate) enum Plan {
    Postgres(postgres::Plan),
    Redis(redis::Plan),
}

impl Plan {
    pub(crate) fn new(spec: &ClusterSpec) -> Result<Self, ClusterError> {
        check(spec)?;
        Ok(match spec.target.database() {
            Database::Postgres => Self::Postgres(postgres::Plan::new(spec)?),
            Database::Redis => Self::Redis(redis::Plan::new(spec)?),
        })
    }
}

/// Whether the database's settings can be passed on to this target; whether the database knows them, it says itself.
pub fn check_settings(target: TargetName, settings: &BTreeMap<String, String>) -> Result<(), ClusterError> {
    match target.database() {
        Database::Postgres => postgres::check_settings(settings).map(drop),
        Database::Redis => redis::check_settings(settings, target.topology()),
    }
}

fn check(spec: &ClusterSpec) -> Result<(), ClusterError> {
    let fail = |reason: String| Err(ClusterError::Spec(reason));
    if !cgroup::is_valid_run_id(&spec.run_id) {
        return fail(format!("a run id has 1 to 64 letters, digits, '.', '_' or '-', not {:?}", spec.run_id));
    }
    if spec.client_sites > SITES_MAX {
        return fail(format!("{} client sites are too many: at most {SITES_MAX}", spec.client_sites));
    }
    if !spec.nodes_dir.is_absolute() || spec.nodes_dir.starts_with("/run") || spec.nodes_dir.starts_with("/var/run") {
        let path = spec.nodes_dir.display();
        return fail(format!("results cannot be written to {path}: an absolute path outside /run is needed"));
    }
    Ok(())
}

/// The network and each node's private directories and cgroup; nothing runs in them yet.
pub(crate) async fn build_fabric(spec: &ClusterSpec, helper: &Path, links: Handle) -> Result<Fabric, ClusterError> {
    let outside = || ClusterError::Spec("a cluster starts inside a sandbox only, after prepare_inside".to_owned());
    let init = read_init().ok_or_else(outside)?;
    let cgroup_root = cgroup::root_of(&spec.run_id).filter(|root| root.is_dir());
    let nodes = (0..spec.target.nodes()).map(|index| node(index, cgroup_root.as_deref())).collect::<Vec<_>>();
    let sites = (0..spec.client_sites).map(site).collect::<Vec<_>>();
    for node in &nodes {
        make_node_directories(node, &spec.nodes_dir)?;
    }
    let named: Vec<(String, Ipv4Addr)> = (nodes.iter().map(|node| (node.name.clone(), node.address)))
        .chain(sites.iter().map(|site| (site.name.clone(), site.address)))
        .collect();
    let built = tokio::task::spawn_blocking(|| network::build(named)).await;
    let hosts = built.map_err(|_| StepError::Abandoned)??;
    let info = SandboxInfo {
        run_id: spec.run_id.clone(),
        init_pid: init.pid,
        init_start_ticks: init.start_ticks,
        cgroup_root,
        helper: helper.to_owned(),
        nodes_dir: spec.nodes_dir.clone(),
        nodes,
        sites,
    };
    make_disks(spec.disk, &info).await?;
    Ok(Fabric { info, hosts: hosts.into_iter().map(|host| (host.name.clone(), Arc::new(host))).collect(), links })
}

async fn make_disks(kind: DiskKind, info: &SandboxInfo) -> Result<(), ClusterError> {
    let DiskKind::Ext4 { size_mb } = kind else { return Ok(()) };
    let info = info.clone();
    let make = move || info.nodes.iter().try_for_each(|node| disk::ext4::create(&info, node, size_mb));
    Ok(tokio::task::spawn_blocking(make).await.map_err(|_| StepError::Abandoned)??)
}

fn node(index: u32, cgroup_root: Option<&Path>) -> NodeInfo {
    let name = format!("n{}", index + 1);
    NodeInfo {
        address: node_address(index),
        netns: netns_file(&name),
        cgroup: cgroup_root.map(|root| root.join(&name)),
        directory: PathBuf::from(FILES).join("nodes").join(&name),
        processes: Vec::new(),
        fuse: None,
        name,
    }
}

fn site(index: u32) -> SiteInfo {
    let name = format!("c{}", index + 1);
    SiteInfo { address: site_address(index), netns: netns_file(&name), name }
}

fn make_node_directories(node: &NodeInfo, nodes_dir: &Path) -> Result<(), ClusterError> {
    make_directory(&node.directory, 0o755)?;
    for (name, mode) in [("tmp", 0o1777), ("shm", 0o1777), ("socket", 0o700), ("disk", 0o755)] {
        make_directory(&node.directory.join(name), mode)?;
    }
    if let Some(cgroup) = &node.cgroup {
        fs::create_dir(cgroup).doing(|| format!("make {}", cgroup.display()))?;
    }
    let results = nodes_dir.join(&node.name);
    Ok(fs::create_dir_all(&results).doing(|| format!("make {}", results.display()))?)
}

/// Writes all files, and notes in the fabric how to start each process.
pub(crate) async fn prepare(plan: Plan, spec: &ClusterSpec, fabric: &mut Fabric) -> Result<Backend, ClusterError> {
    let helper = fabric.info.helper.clone();
    match &plan {
        Plan::Postgres(plan) => postgres::prepare(plan, spec, &helper, &mut fabric.info.nodes).await?,
        Plan::Redis(plan) => redis::prepare(plan, spec, &mut fabric.info.nodes)?,
    }
    // What we put there is not what a power loss is about.
    let info = fabric.info.clone();
    tokio::task::spawn_blocking(move || disk::sync_all(&info)).await.map_err(|_| StepError::Abandoned)??;
    if spec.fuse {
        // Over the files that are there now: copying a template through it would only take longer.
        fuse::mount_all(&mut fabric.info, &spec.nodes_dir).await?;
    }
    Ok(match plan {
        Plan::Postgres(plan) => Backend::Postgres(Box::new(Postgres::new(plan, fabric))),
        Plan::Redis(plan) => Backend::Redis(Redis::new(&plan, fabric)),
    })
}

/// Starts all processes and waits until the database is whole: one primary, everyone else attached to it.
pub(crate) async fn start(backend: &Backend, fabric: &Fabric, target: TargetName) -> Result<(), ClusterError> {
    let wait = Wait::new(fabric, target);
    match backend {
        Backend::Postgres(_) => start_everywhere(fabric, &["postgres"]).await?,
        Backend::Redis(redis) if target.nodes() > 1 => {
            start_everywhere(fabric, &["redis"]).await?;
            attach_replicas(redis, &wait).await?;
            // Sentinels ask a new primary for its replicas at once and then only every ten seconds: so only now.
            start_everywhere(fabric, &["sentinel"]).await?;
        }
        Backend::Redis(_) => start_everywhere(fabric, &["redis"]).await?,
    }
    wait.until(async || backend.one_primary().await).await
}

/// Lets replicas attach without the delay in which a primary waits for more of them, and puts the delay back.
async fn attach_replicas(redis: &Redis, wait: &Wait<'_>) -> Result<(), ClusterError> {
    let before = wait.until(async || redis.without_sync_delay().await).await?;
    wait.until(async || redis.servers_agree().await).await?;
    wait.until(async || redis.set_sync_delay(&before).await).await
}

async fn start_everywhere(fabric: &Fabric, names: &[&str]) -> Result<(), ClusterError> {
    let mut starting = Vec::new();
    for node in &fabric.info.nodes {
        let wanted = node.processes.iter().filter(|process| names.contains(&process.name.as_str()));
        let wanted: Vec<ProcessSpec> = wanted.cloned().collect();
        let (info, node) = (fabric.info.clone(), node.clone());
        let start = move || wanted.iter().try_for_each(|process| start_process(&info, &node, process));
        starting.push(tokio::task::spawn_blocking(start));
    }
    for started in starting {
        started.await.map_err(|_| StepError::Abandoned)??;
    }
    Ok(())
}

/// Waits for conditions under one common time limit.
struct Wait<'a> {
    fabric: &'a Fabric,
    target: TargetName,
    limit: Duration,
    until: Instant,
}

impl<'a> Wait<'a> {
    fn new(fabric: &'a Fabric, target: TargetName) -> Self {
        let limit = Duration::from_secs(if target.nodes() == 1 { 15 } else { 30 });
        Self { fabric, target, limit, until: Instant::now() + limit }
    }

    async fn until<T>(&self, condition: impl AsyncFn() -> Result<T, String>) -> Result<T, ClusterError> {
        loop {
            let missing = match condition().await {
                Ok(value) => return Ok(value),
                Err(missing) => missing,
            };
            self.nobody_died()?;
            if Instant::now() > self.until {
                return Err(ClusterError::NotReady {
                    target: self.target.to_string(),
                    limit_s: self.limit.as_secs(),
                    missing,
                    logs: log_tails(&self.fabric.info.nodes),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A server that refuses its settings ends at once: nothing to wait for.
    fn nobody_died(&self) -> Result<(), ClusterError> {
        for node in &self.fabric.info.nodes {
            let started = |process: &&ProcessSpec| process::pid_file(node, &process.name).exists();
            let ended = |process: &&ProcessSpec| process::main_pid(node, &process.name).is_none();
            if let Some(process) = node.processes.iter().filter(started).find(ended) {
                return Err(ClusterError::Died {
                    node: node.name.clone(),
                    process: process.name.clone(),
                    logs: log_tails(&self.fabric.info.nodes),
                });
            }
        }
        Ok(())
    }
}
