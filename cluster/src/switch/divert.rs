//! Which packets go through the switch: a netdev-family table of our own, whose chain sees what enters the bridge's
//! ports before the bridge does, and hands packets of shaped links to the switch's TAP device. Links without rules
//! stay on the kernel's path, at its speed. ARP and whatever else is no IP packet is never diverted.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::DEVICE;
use crate::error::{Doing, StepError};
use crate::info::SandboxInfo;
use crate::network::port_of;
use crate::nft::{self, Pair};
use crate::path;

/// Diverts these links and no others, in one transaction: there is no moment at which a link that stays diverted is
/// not.
pub(super) fn divert(info: &SandboxInfo, links: &[Pair]) -> Result<(), StepError> {
    nft::apply(&script(info, links))
}

fn script(info: &SandboxInfo, links: &[Pair]) -> String {
    if links.is_empty() {
        // Deleting what is not there is an error, adding what is there is none.
        return "add table netdev schism\ndelete table netdev schism\n".to_owned();
    }
    let hosts = info.nodes.iter().map(|node| &node.name).chain(info.sites.iter().map(|site| &site.name));
    let ports: Vec<String> = hosts.map(|host| port_of(host)).collect();
    let mut elements = String::new();
    for (from, to) in links {
        // Writing to a string cannot fail.
        let _ = write!(elements, "{}{from} . {to}", if elements.is_empty() { "" } else { ", " });
    }
    format!(
        "add table netdev schism
add set netdev schism shaped {{ type ipv4_addr . ipv4_addr; }}
add chain netdev schism ingress {{ type filter hook ingress devices = {{ {} }} priority 0; }}
flush chain netdev schism ingress
add rule netdev schism ingress ip saddr . ip daddr @shaped fwd to \"{DEVICE}\"
flush set netdev schism shaped
add element netdev schism shaped {{ {elements} }}
",
        ports.join(", ")
    )
}

/// The links that are diverted now.
pub(super) fn diverted() -> Result<Vec<Pair>, StepError> {
    let tables = path::command("nft").args(["-j", "list", "tables", "netdev"]).output();
    let tables = tables.doing(|| "run nft".to_owned())?;
    if !String::from_utf8_lossy(&tables.stdout).contains("\"schism\"") {
        return Ok(Vec::new());
    }
    let listed = path::command("nft").args(["-j", "list", "set", "netdev", "schism", "shaped"]).output();
    let output = listed.doing(|| "run nft".to_owned())?;
    parse(&output.stdout).ok_or_else(|| {
        StepError::Nft(format!("unexpected listing: {}", String::from_utf8_lossy(&output.stderr).trim()))
    })
}

fn parse(json: &[u8]) -> Option<Vec<Pair>> {
    let listing: serde_json::Value = serde_json::from_slice(json).ok()?;
    let set = listing["nftables"].as_array()?.iter().find_map(|item| item.get("set"))?;
    let Some(elements) = set.get("elem") else { return Some(Vec::new()) };
    let address = |element: &serde_json::Value, index: usize| element["concat"][index].as_str()?.parse().ok();
    let pair = |element| -> Option<(Ipv4Addr, Ipv4Addr)> { Some((address(element, 0)?, address(element, 1)?)) };
    elements.as_array()?.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_links_no_table() {
        let info = crate::info::tests::empty();
        assert_eq!(script(&info, &[]), "add table netdev schism\ndelete table netdev schism\n");
    }

    #[test]
    fn reads_a_listing() {
        let json = br#"{"nftables": [{"metainfo": {}}, {"set": {"family": "netdev", "name": "shaped",
            "elem": [{"concat": ["10.84.0.1", "10.84.0.2"]}]}}]}"#;
        assert_eq!(parse(json), Some(vec![(Ipv4Addr::new(10, 84, 0, 1), Ipv4Addr::new(10, 84, 0, 2))]));
        assert_eq!(parse(br#"{"nftables": [{"set": {"name": "shaped"}}]}"#), Some(vec![]));
        assert_eq!(parse(b"{}"), None);
    }
}
