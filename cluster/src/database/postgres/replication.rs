//! Fail-over and rejoin: what an operator (or a manager such as Patroni) does, step by step.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::files::{self, PORT, conninfo};
use super::{Node, Postgres, claim, sql};
use crate::cluster::{ClaimedRole, Failover, NodeState};
use crate::database::{ANSWER_WITHIN, POLL, run_tool};
use crate::disk::data;
use crate::error::{ClusterError, StepError};
use crate::fuse::empty_directory;
use crate::process;
use crate::step::start_process;

const PROMOTED_WITHIN: Duration = Duration::from_secs(20);
const DETACHED_WITHIN: Duration = Duration::from_secs(2);
const STOPPED_WITHIN: Duration = Duration::from_secs(5);
const COPIED_WITHIN: Duration = Duration::from_secs(60);
const STREAMING_WITHIN: Duration = Duration::from_secs(15);
/// A running standby that was pointed elsewhere follows within a retry interval or two, or never.
const REPOINTED_WITHIN: Duration = Duration::from_secs(3);

fn replication(what: impl Into<String>) -> impl FnOnce(String) -> ClusterError {
    let what = what.into();
    move |reason| ClusterError::Replication { what, reason }
}

/// A standby that could be promoted.
struct Candidate {
    index: usize,
    timeline: u64,
    /// Bytes since the beginning of time: received or, after a restart, replayed.
    received: u64,
    position: String,
}

impl Postgres {
    /// Promotes the most advanced standby that answers and is not in `avoid`, and points the other such standbys to
    /// it. Nothing is done to the old primary, nor to nodes in `avoid`: an operator could not reach them.
    pub(crate) async fn failover(&self, avoid: &[String]) -> Result<Failover, ClusterError> {
        let mut appointed = self.appointed.lock().await;
        let old_primary = &self.nodes[*appointed];
        let mut candidates = self.candidates(avoid).await;
        candidates.sort_by_key(|candidate| (candidate.timeline, candidate.received));
        let nobody = || replication("fail-over")("no standby that may be promoted answers".to_owned());
        let chosen = candidates.pop().ok_or_else(nobody)?;
        let primary = &self.nodes[chosen.index];
        if let Err(error) = primary.promote().await {
            // Back to where they were, as far as that goes: the error is what matters.
            for candidate in candidates.iter().chain([&chosen]) {
                let _ = self.nodes[candidate.index].repoint(old_primary).await;
            }
            return Err(error);
        }
        *appointed = chosen.index;
        let mut detail = format!("{} promoted at {}", primary.info.name, chosen.position);
        for other in candidates {
            let node = &self.nodes[other.index];
            node.repoint(primary).await.map_err(replication(format!("repoint {}", node.info.name)))?;
            detail += &format!("; {} (at {}) repointed", node.info.name, other.position);
        }
        let old_primary = old_primary.info.name.clone();
        Ok(Failover { old_primary, new_primary: primary.info.name.clone(), detail })
    }

    /// The standbys that answer, detached from their primary: one that went on receiving from a living old primary
    /// would be ahead of the new one by the time that it is pointed to it, and could never follow it.
    async fn candidates(&self, avoid: &[String]) -> Vec<Candidate> {
        let allowed = self.nodes.iter().enumerate().filter(|(_, node)| !avoid.contains(&node.info.name));
        // No answer, or no standby: no candidate.
        let found = futures::future::join_all(allowed.map(|(index, node)| node.candidate(index))).await;
        found.into_iter().flatten().collect()
    }

    /// Makes a node follow the present primary: as it is, by pg_rewind, or by a new base backup.
    pub(crate) async fn rejoin(&self, name: &str) -> Result<String, ClusterError> {
        // One change of roles at a time.
        let _appointed = self.appointed.lock().await;
        let unknown = || ClusterError::UnknownHost(name.to_owned());
        let node = self.nodes.iter().find(|node| node.info.name == name).ok_or_else(unknown)?;
        let (primary, timeline) = self.primary_for(node).await?;
        let fail = || replication(format!("rejoin {name} to {}", primary.info.name));
        let state = process::state(&node.info).map_err(|error| fail()(error.to_string()))?;
        if state == NodeState::Frozen {
            return Err(StepError::Frozen(name.to_owned()).into());
        }
        if claim(&node.admin, ANSWER_WITHIN).await.role == ClaimedRole::Replica {
            if node.follows(primary, timeline).await {
                return Ok(format!("{name} already follows {}", primary.info.name));
            }
            node.repoint(primary).await.map_err(fail())?;
            if self.wait_for(node, primary, timeline, REPOINTED_WITHIN).await.is_ok() {
                return Ok(format!("{name} repointed to {}", primary.info.name));
            }
        }
        node.stop().await?;
        // pg_rewind reads timelines from control files. A primary's own is only brought up to date by a checkpoint:
        // straight after a promotion it says "no rewind required", and the diverged node then streams, diverged.
        primary.query_within("CHECKPOINT", COPIED_WITHIN).await.map_err(fail())?;
        let how = match self.rewind(node, primary, timeline).await {
            Ok(how) => how,
            Err(reason) => {
                self.copy(node, primary).await?;
                format!("base backup, because {reason}")
            }
        };
        files::follow(&node.info, &primary.info)?;
        self.start(node).await?;
        self.wait_for(node, primary, timeline, STREAMING_WITHIN).await.map_err(fail())?;
        Ok(format!("{name} rejoined {} by {how}", primary.info.name))
    }

    /// The node to follow: of those that claim to be primary the one on the highest timeline.
    async fn primary_for(&self, node: &Node) -> Result<(&Node, u64), ClusterError> {
        let mut best = None;
        for other in self.nodes.iter().filter(|other| other.info.name != node.info.name) {
            let claim = claim(&other.admin, ANSWER_WITHIN).await;
            let term = claim.term.unwrap_or(0);
            if claim.role == ClaimedRole::Primary && best.as_ref().is_none_or(|(_, highest)| term > *highest) {
                best = Some((other, term));
            }
        }
        best.ok_or_else(|| replication(format!("rejoin {}", node.info.name))("no other node is a primary".to_owned()))
    }

    /// How it was done, or why it could not be.
    async fn rewind(&self, node: &Node, primary: &Node, timeline: u64) -> Result<String, String> {
        let control = self.control(node).await.map_err(|error| error.to_string())?;
        let source =
            format!("host={} port={PORT} user=postgres dbname=postgres connect_timeout=5", primary.info.address);
        let mut args = vec!["--target-pgdata".to_owned(), data(&node.info).display().to_string()];
        args.extend(["--source-server".to_owned(), source, "--no-sync".to_owned()]);
        if self.installation.major() >= 14 {
            // It may have to run the server once to finish a crashed node's recovery.
            args.extend(["--config-file".to_owned(), files::config_file(&node.info).display().to_string()]);
        }
        let program = self.installation.program("pg_rewind");
        let output = run_tool(&self.sandbox.helper, &node.info, program, args, COPIED_WITHIN).await;
        let output = output.map_err(|error| error.to_string())?;
        if !output.contains("no rewind required") {
            return Ok("pg_rewind".to_owned());
        }
        control.may_follow_unchanged(timeline, output.contains("same timeline"))?;
        Ok("pg_rewind, which found nothing to rewind".to_owned())
    }

    async fn control(&self, node: &Node) -> Result<Control, ClusterError> {
        let program = self.installation.program("pg_controldata");
        let args = vec![data(&node.info).display().to_string()];
        let text = run_tool(&self.sandbox.helper, &node.info, program, args, COPIED_WITHIN).await?;
        Control::parse(&text).ok_or(ClusterError::Tool { program: "pg_controldata".to_owned(), output: text })
    }

    async fn copy(&self, node: &Node, primary: &Node) -> Result<(), ClusterError> {
        let directory = data(&node.info);
        // The directory itself stays: a file system may be mounted on it.
        let gone = empty_directory(&directory);
        gone.map_err(|error| replication("remove the old data")(error.to_string()))?;
        let mut args = vec![format!("--pgdata={}", directory.display())];
        let source = format!("--dbname=host={} port={PORT} user=postgres connect_timeout=5", primary.info.address);
        args.extend([source, "--checkpoint=fast".to_owned(), "--wal-method=stream".to_owned(), "--no-sync".to_owned()]);
        let program = self.installation.program("pg_basebackup");
        run_tool(&self.sandbox.helper, &node.info, program, args, COPIED_WITHIN).await?;
        Ok(())
    }

    async fn start(&self, node: &Node) -> Result<(), ClusterError> {
        let (sandbox, node) = (self.sandbox.clone(), node.info.clone());
        let start = move || node.processes.iter().try_for_each(|process| start_process(&sandbox, &node, process));
        tokio::task::spawn_blocking(start).await.map_err(|_| StepError::Abandoned)??;
        Ok(())
    }

    async fn wait_for(&self, node: &Node, primary: &Node, timeline: u64, limit: Duration) -> Result<(), String> {
        let until = Instant::now() + limit;
        while !node.follows(primary, timeline).await {
            if Instant::now() > until {
                return Err(format!("{} did not stream from it within {} s", node.info.name, limit.as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

impl Node {
    async fn candidate(&self, index: usize) -> Option<Candidate> {
        // Before detaching: what a standby follows is forgotten then, and its control file lags behind.
        let sql = "SELECT coalesce((SELECT received_tli FROM pg_stat_wal_receiver), \
                   (SELECT timeline_id FROM pg_control_checkpoint())) WHERE pg_is_in_recovery()";
        let timeline = sql::text(&self.query(sql).await.ok()?, 0).parse().ok()?;
        self.detach().await.ok()?;
        let sql = "SELECT lsn, lsn - '0/0'::pg_lsn FROM \
                   (SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS lsn) AS received";
        let rows = self.query(sql).await.ok()?;
        let received = sql::text(&rows, 1).parse().ok()?;
        Some(Candidate { index, timeline, received, position: sql::text(&rows, 0).to_owned() })
    }

    /// Stops receiving.
    async fn detach(&self) -> Result<(), String> {
        self.set_conninfo("").await?;
        let until = Instant::now() + DETACHED_WITHIN;
        while !self.query("SELECT 1 FROM pg_stat_wal_receiver").await?.is_empty() {
            if Instant::now() > until {
                return Err(format!("{} goes on receiving", self.info.name));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn promote(&self) -> Result<(), ClusterError> {
        let fail = || replication(format!("promote {}", self.info.name));
        let rows = self.query_within("SELECT pg_promote(true, 15)", PROMOTED_WITHIN).await.map_err(fail())?;
        if sql::text(&rows, 0) != "t" {
            return Err(fail()("it did not leave recovery within 15 s".to_owned()));
        }
        self.query_within("CHECKPOINT", PROMOTED_WITHIN).await.map_err(fail())?;
        Ok(())
    }

    async fn repoint(&self, primary: &Self) -> Result<(), String> {
        self.set_conninfo(&conninfo(&self.info, &primary.info)).await
    }

    async fn set_conninfo(&self, conninfo: &str) -> Result<(), String> {
        self.query(&format!("ALTER SYSTEM SET primary_conninfo = {}", sql::literal(conninfo))).await?;
        self.query("SELECT pg_reload_conf()").await?;
        Ok(())
    }

    /// Both sides say so: the node that it receives from this primary on this timeline, the primary that it sends.
    async fn follows(&self, primary: &Self, timeline: u64) -> bool {
        let sql = format!(
            "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming' AND received_tli = {timeline} \
             AND sender_host = {}",
            sql::literal(&primary.info.address.to_string())
        );
        let receives = self.query(&sql).await.is_ok_and(|rows| !rows.is_empty());
        receives && primary.has_caught_up(&self.info.name, "0/0").await.is_ok()
    }

    /// A fast shutdown, so that pg_rewind finds a clean directory; after a while a kill.
    async fn stop(&self) -> Result<(), ClusterError> {
        if let Some(pid) = process::main_pid(&self.info, "postgres") {
            process::send(&[pid], Signal::SIGINT);
        }
        let until = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < until && process::pids(&self.info).is_ok_and(|pids| !pids.is_empty()) {
            tokio::time::sleep(POLL).await;
        }
        let node = self.info.clone();
        let killed = tokio::task::spawn_blocking(move || process::kill_all(&node)).await;
        Ok(killed.map_err(|_| StepError::Abandoned)??)
    }
}

/// What a stopped node's control file says.
#[derive(Debug, PartialEq, Eq)]
struct Control {
    timeline: u64,
    was_standby: bool,
}

impl Control {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        Some(Self {
            timeline: field("Latest checkpoint's TimeLineID:")?.parse().ok()?,
            was_standby: matches!(field("Database cluster state:")?, "in archive recovery" | "shut down in recovery"),
        })
    }

    /// Whether a node that pg_rewind found nothing to do on may follow as it is. "Same timeline" is believed only of a
    /// standby of that very timeline: an old primary, or one of two nodes that were promoted to the same number, may
    /// have diverged without pg_rewind being able to see it.
    fn may_follow_unchanged(&self, primary_timeline: u64, same: bool) -> Result<(), String> {
        if !same || (self.was_standby && self.timeline == primary_timeline) {
            return Ok(());
        }
        Err(format!(
            "pg_rewind called timelines {} and {primary_timeline} the same, which proves nothing for an old primary",
            self.timeline
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_primary_is_not_believed_to_be_on_the_same_timeline() {
        let text = "Database cluster state:               shut down\nLatest checkpoint's TimeLineID:       1\n";
        let primary = Control::parse(text).unwrap();
        assert_eq!(primary, Control { timeline: 1, was_standby: false });
        assert!(primary.may_follow_unchanged(2, true).is_err());
        assert!(primary.may_follow_unchanged(1, true).is_err());
        assert!(primary.may_follow_unchanged(2, false).is_ok());
        let standby = Control { timeline: 2, was_standby: true };
        assert!(standby.may_follow_unchanged(2, true).is_ok());
        assert!(standby.may_follow_unchanged(3, true).is_err());
        assert_eq!(Control::parse("nonsense"), None);
    }
}
