//! Decides whether a finished history keeps a promise, and why.
//!
//! A [`History`](history::History) goes in; out comes a [`Check`] from each checker that its workload calls for: a
//! verdict with its evidence in words, and figures for a report. Nothing here touches a file, a clock or the network,
//! and the same history always gives the same answer.
//!
//! ```
//! use schism_checker::{Options, Validity, check, history};
//!
//! // Two clients add to a set; the second add is acknowledged by n1, which is then cut off and deposed.
//! let file = br#"{"schism-history":1,"workload":"set","target":"example","seed":1,"clients":2,"nodes":["n1","n2"]}
//! {"index":0,"time_ns":0,"process":"monitor","type":"info","f":"claim","value":{"node":"n1","role":"primary","asked-ns":0}}
//! {"index":1,"time_ns":1000,"process":0,"type":"invoke","f":"add","value":1}
//! {"index":2,"time_ns":2000,"process":0,"type":"ok","f":"add","value":1,"node":"n1"}
//! {"index":3,"time_ns":3000,"process":1,"type":"invoke","f":"add","value":2}
//! {"index":4,"time_ns":4000,"process":1,"type":"ok","f":"add","value":2,"node":"n1"}
//! {"index":5,"time_ns":5000,"process":"monitor","type":"info","f":"claim","value":{"node":"n1","role":"replica","asked-ns":4500}}
//! {"index":6,"time_ns":6000,"process":"monitor","type":"info","f":"claim","value":{"node":"n2","role":"primary","asked-ns":5500}}
//! {"index":7,"time_ns":7000,"process":0,"type":"invoke","f":"read","final":true}
//! {"index":8,"time_ns":8000,"process":0,"type":"ok","f":"read","value":[1],"node":"n1","final":true}
//! {"index":9,"time_ns":8000,"process":1,"type":"invoke","f":"read","final":true}
//! {"index":10,"time_ns":9000,"process":1,"type":"ok","f":"read","value":[1],"node":"n2","final":true}
//! "#;
//! let loaded = history::read(&file[..], &history::ReadOptions::default())?;
//! let checks = check(&loaded.history, &Options::default())?;
//! let set = &checks[0];
//! assert_eq!(set.valid, Validity::Invalid);
//! assert_eq!(
//!     set.findings[0].sentence,
//!     "Process 1 was told ok for add 2 by n1 at 0.000 s; the final read of every primary lacks it \
//!      (no read ever held it)."
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authority;
pub mod availability;
pub mod divergence;
pub mod durability;
mod histogram;
pub mod history;
pub mod isolation;
pub mod jepsen;
pub mod linearizability;
mod say;
pub mod steady_state;
mod verdict;
pub mod verify;

pub use verdict::{Check, Details, Finding, Validity};

/// How to check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What the search for a linearization may cost.
    pub linearizability: linearizability::Budget,
    /// What Jepsen's own checkers of simple objects are told.
    pub jepsen: jepsen::JepsenOptions,
    /// What is asked of transactions.
    pub isolation: isolation::Settings,
}

/// Why a history could not be checked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The header names a workload that no checker knows.
    #[error("no checker for the workload {workload:?}; known are {}", WORKLOADS.join(", "))]
    UnknownWorkload {
        /// The name.
        workload: String,
    },
    /// The history is of something else than the model.
    #[error("event {event_index}: {f}: {complaint}")]
    DoesNotFit {
        /// Index of the event.
        event_index: u64,
        /// What the operation does.
        f: String,
        /// What the model has against it.
        complaint: String,
    },
    /// The history does not say what happened first.
    #[error(
        "{model} is a promise about real time, of which the history says nothing but the order within each process; \
         transactions can be judged by models without it, such as serializable"
    )]
    NoRealTime {
        /// The model that was asked for.
        model: String,
    },
}

/// The workloads that have checkers.
pub const WORKLOADS: &[&str] =
    &joined::<{ OWN.len() + linearizability::models::NAMES.len() + jepsen::NAMES.len() }>(&[
        OWN,
        linearizability::models::NAMES,
        jepsen::NAMES,
    ]);

const OWN: &[&str] = &["register", "cas-register", "list-append", "rw-register", "closed-predicate"];

const fn joined<const LEN: usize>(lists: &[&[&'static str]]) -> [&'static str; LEN] {
    let mut names = [""; LEN];
    let (mut list, mut at, mut len) = (0, 0, 0);
    while len < LEN {
        if at == lists[list].len() {
            (list, at) = (list + 1, 0);
        } else {
            names[len] = lists[list][at];
            (at, len) = (at + 1, len + 1);
        }
    }
    names
}

/// Runs the checkers that the history's workload calls for: its own first, then split brain, divergence, recovery,
/// activity and, where it was probed, the steady state. Of another tool's history only its own: nothing is known there of nodes, claims and faults.
pub fn check(history: &history::History, options: &Options) -> Result<Vec<Check>, CheckError> {
    check_keeping(history, options, None)
}

/// The same, with what bears out the decision on each key where the workload's own check is one of linearizability; of
/// other workloads there is none.
///
/// # Errors
/// As [`check`].
pub fn check_with_witnesses(
    history: &history::History,
    options: &Options,
) -> Result<(Vec<Check>, Vec<linearizability::KeyWitness>), CheckError> {
    let mut witnesses = Vec::new();
    let checks = check_keeping(history, options, Some(&mut witnesses))?;
    Ok((checks, witnesses))
}

fn check_keeping(
    history: &history::History,
    options: &Options,
    keep: Option<&mut Vec<linearizability::KeyWitness>>,
) -> Result<Vec<Check>, CheckError> {
    if let Some(model) = asked_of_real_time(history, options).filter(|_| !history.has_real_time()) {
        return Err(CheckError::NoRealTime { model });
    }
    let own = match history.header().workload.as_str() {
        // Of our own runs it is known which reads are final, and of whom.
        "set" if !history.is_foreign() => durability::set::check(history),
        "register" | "cas-register" => linearizability::check_keeping(history, &options.linearizability, keep),
        other if isolation::judges(other) => isolation::check(history, &options.isolation),
        other => match (jepsen::by_name(other), linearizability::models::by_name(other)) {
            (Some(model), _) => model.check(history, &options.jepsen)?,
            (None, Some(model)) => {
                model.fits(history)?;
                model.check(other, history, &options.linearizability, keep)
            }
            (None, None) => return Err(CheckError::UnknownWorkload { workload: other.into() }),
        },
    };
    if history.is_foreign() {
        return Ok(vec![own]);
    }
    // Beside the graph, what an acknowledgement promised.
    let lists = (history.header().workload == "list-append").then(|| isolation::list_append::check(history));
    Ok(lists
        .into_iter()
        .chain([
            own,
            divergence::split_brain::check(history),
            divergence::final_state::check(history),
            availability::recovery_check(history),
            availability::activity_check(history),
        ])
        .chain(steady_state::check(history))
        .collect())
}

/// The model asked for whose verdict depends on what happened first in different processes.
fn asked_of_real_time(history: &history::History, options: &Options) -> Option<String> {
    let header = history.header();
    if !isolation::judges(&header.workload) {
        return Some(header.workload.clone());
    }
    let needs = |model: &&String| {
        isolation::anomalies_forbidden_by(std::slice::from_ref(*model)).iter().any(|a| a.ends_with("-realtime"))
    };
    match &options.isolation.consistency_models.as_ref().unwrap_or(&header.consistency_models)[..] {
        _ if options.isolation.linearizable_keys => Some("linearizable-keys".into()),
        [] if options.isolation.consistency_models.is_none() => Some("strict-serializable".into()),
        models => models.iter().find(needs).cloned(),
    }
}
