//! What the checkers find, found again from the history by a few plain lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

/// The events of a run's history file that hold all of these words, read with nothing of the checker's.
pub(crate) fn events_with(directory: &Path, words: &[&str]) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(directory.join("history.jsonl")).map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
}

fn elements(event: &Value) -> impl Iterator<Item = i64> + '_ {
    event["value"].as_array().into_iter().flatten().filter_map(Value::as_i64)
}

/// Elements that some but not all nodes hold at the end.
pub(crate) fn differences_by_hand(directory: &Path) -> Result<usize, String> {
    let finals = events_with(directory, &["\"final\":true", "\"type\":\"ok\""])?;
    let mut holders: BTreeMap<i64, usize> = BTreeMap::new();
    for element in finals.iter().flat_map(elements) {
        *holders.entry(element).or_default() += 1;
    }
    Ok(holders.values().filter(|&&count| count != finals.len()).count())
}

/// Elements that were read and never acknowledged, and that no final read holds. (All nodes agree in the end here.)
pub(crate) fn vanished_by_hand(directory: &Path) -> Result<usize, String> {
    let reads = events_with(directory, &["\"type\":\"ok\"", "\"f\":\"read\""])?;
    let adds = events_with(directory, &["\"type\":\"ok\"", "\"f\":\"add\""])?;
    let mut seen: BTreeSet<i64> = reads.iter().flat_map(elements).collect();
    for gone in adds.iter().filter_map(|add| add["value"].as_i64()) {
        seen.remove(&gone);
    }
    for held in reads.iter().filter(|read| read["final"] == true).flat_map(elements) {
        seen.remove(&held);
    }
    Ok(seen.len())
}

/// The most clients that held the lock at once: from the ok of an acquire until the release is invoked.
pub(crate) fn holders_by_hand(directory: &Path) -> Result<usize, String> {
    let mut holders: BTreeSet<u64> = BTreeSet::new();
    let mut most = 0;
    for event in events_with(directory, &["\"process\":"])? {
        let Some(process) = event["process"].as_u64() else { continue };
        match (event["f"].as_str(), event["type"].as_str()) {
            (Some("acquire"), Some("ok")) => {
                holders.insert(process);
            }
            (Some("release"), Some("invoke")) => {
                holders.remove(&process);
            }
            _ => {}
        }
        most = most.max(holders.len());
    }
    Ok(most)
}
