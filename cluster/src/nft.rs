//! Cuts: one bridge-family table of our own, with a set of (source, destination) addresses whose packets are dropped
//! where the bridge forwards. A change to the set is one transaction, whatever its size: no moment in which one half
//! of a partition is in force.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;

use crate::error::{Doing, StepError};
use crate::path;

/// Source and destination.
pub(crate) type Pair = (Ipv4Addr, Ipv4Addr);

/// The forward hook of the bridge sees all that goes from host to host; what is for the bridge itself does not pass
/// it, which is why clients have hosts of their own. Only IP is dropped: ARP goes through, so that a cut looks like
/// silence and not like a host that does not exist.
const TABLE: &str = "\
table bridge schism {
    set cut {
        type ipv4_addr . ipv4_addr
        counter
    }
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip saddr . ip daddr @cut counter drop
    }
}
";

pub(crate) fn create_table() -> Result<(), StepError> {
    apply(TABLE)
}

pub(crate) fn cut(pairs: &[Pair]) -> Result<(), StepError> {
    if pairs.is_empty() {
        return Ok(());
    }
    apply(&element("add", pairs))
}

pub(crate) fn uncut(pairs: &[Pair]) -> Result<(), StepError> {
    if pairs.is_empty() {
        return Ok(());
    }
    // Deleting what is not there is an error, adding what is there is none: add first, in the same transaction.
    apply(&(element("add", pairs) + &element("delete", pairs)))
}

fn element(verb: &str, pairs: &[Pair]) -> String {
    let mut text = format!("{verb} element bridge schism cut {{ ");
    for (from, to) in pairs {
        // Writing to a string cannot fail.
        let _ = write!(text, "{from} . {to}, ");
    }
    text.truncate(text.len() - 2);
    text + " }\n"
}

pub(crate) fn apply(script: &str) -> Result<(), StepError> {
    let mut command = path::command("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command.spawn().doing(|| "run nft".to_owned())?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(script.as_bytes()).doing(|| "write to nft".to_owned())?;
    }
    let output = nft.wait_with_output().doing(|| "wait for nft".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(StepError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Packets that each cut has dropped so far.
pub(crate) fn counters() -> Result<Vec<(Pair, u64)>, StepError> {
    let listed = path::command("nft").args(["-j", "list", "set", "bridge", "schism", "cut"]).output();
    let output = listed.doing(|| "run nft".to_owned())?;
    parse_counters(&output.stdout).ok_or_else(|| {
        StepError::Nft(format!("unexpected listing: {}", String::from_utf8_lossy(&output.stderr).trim()))
    })
}

fn parse_counters(json: &[u8]) -> Option<Vec<(Pair, u64)>> {
    let listing: serde_json::Value = serde_json::from_slice(json).ok()?;
    let set = listing["nftables"].as_array()?.iter().find_map(|item| item.get("set"))?;
    let Some(elements) = set.get("elem") else { return Some(Vec::new()) };
    let pair = |element: &serde_json::Value| {
        let concat = &element["val"]["concat"];
        let address = |index: usize| concat[index].as_str()?.parse().ok();
        Some(((address(0)?, address(1)?), element["counter"]["packets"].as_u64()?))
    };
    elements.as_array()?.iter().map(|item| pair(&item["elem"])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 84, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 84, 0, 102);

    #[test]
    fn a_change_is_one_statement_for_all_pairs() {
        let both = element("add", &[(A, B), (B, A)]);
        assert_eq!(both, "add element bridge schism cut { 10.84.0.1 . 10.84.0.102, 10.84.0.102 . 10.84.0.1 }\n");
    }

    #[test]
    fn reads_counters_of_a_listing() {
        let json = br#"{"nftables":[{"metainfo":{}},{"set":{"name":"cut","elem":[{"elem":{"val":{"concat":
            ["10.84.0.1","10.84.0.102"]},"counter":{"packets":7,"bytes":420}}}]}}]}"#;
        assert_eq!(parse_counters(json), Some(vec![((A, B), 7)]));
        assert_eq!(parse_counters(br#"{"nftables":[{"set":{"name":"cut"}}]}"#), Some(vec![]));
        assert_eq!(parse_counters(b"{}"), None);
    }
}
