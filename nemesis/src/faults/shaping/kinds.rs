//! The kinds of fault of links, as they are told to users.

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
};

const LINKS: OptionInfo = OptionInfo {
    name: "links",
    meaning: "which links of the target nodes: \"peers\", to other nodes, \"clients\", or \"all\" [default: all]",
};
const DIRECTION: OptionInfo = OptionInfo {
    name: "direction",
    meaning: "which packets on them: \"to\" the target nodes, \"from\" them, or \"both\" [default: both]",
};
const PCAP: OptionInfo = OptionInfo {
    name: "pcap",
    meaning: "true: the packets of these links, as they came and as they left, go to files in nodes/ of the results \
              [default: false]",
};
const SHARE: OptionInfo = OptionInfo { name: "share", meaning: "how many packets, 0.1% to 100% [default: 10%]" };

const HOW: &str = "A process of ours, the switch, gets the packets of these links and of no others (an nftables table \
                   of our own diverts them from the bridge's ports) and does it; the lots of each directed link come \
                   from the fault's draw.";

const fn kind(kind: Kind, name: &'static str, description: &'static str, verified: &'static str) -> KindInfo {
    KindInfo {
        kind,
        name,
        family: Family::Network,
        description,
        how: HOW,
        verified,
        breaks: "",
        targets: &[One, Primary, Replica, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &["tun", "divert"],
    }
}

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        breaks: "Time-outs that assume a fast network, elections during which nobody leads, synchronous replication \
                 that everyone waits for, and with jitter whatever assumes that packets keep their order.",
        options: &[
            OptionInfo {
                name: "delay",
                meaning: "how much later each packet arrives, one way, 5ms to 10s: with both directions a round trip \
                          takes twice that longer [default: 100ms]",
            },
            OptionInfo {
                name: "jitter",
                meaning: "how far a packet's delay may be from that, at most the delay itself; packets then overtake \
                          one another [default: none]",
            },
            OptionInfo {
                name: "distribution",
                meaning: "of the jitter: \"uniform\", between delay - jitter and delay + jitter; \"normal\", jitter \
                          is the standard deviation; \"pareto\", the same with few packets that are very late \
                          [default: uniform]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("delay"),
        ..kind(
            Kind::Delay,
            "delay",
            "packets to and from the target nodes arrive later",
            "Of numbered datagrams over up to 4 of the links the median time is what was asked for (no less, and at \
             most 25 ms and a tenth more; with jitter the range of the middle half, too); at the end it is below.",
        )
    },
    KindInfo {
        breaks: "Retries that are not idempotent, heartbeats that are counted too strictly, throughput that \
                 collapses.",
        options: &[SHARE, LINKS, DIRECTION, PCAP],
        strength: Some("share"),
        ..kind(
            Kind::Loss,
            "loss",
            "packets to and from the target nodes are lost, each by itself",
            "Of numbered datagrams over up to 4 of the links as many are lost as chance allows for the share (a sound \
             fault fails this once in five million measurements); at the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "What survives single losses: time-outs that three lost packets in a row reach, failure detectors.",
        options: &[
            OptionInfo {
                name: "share",
                meaning: "how many packets, 0.1% and more; the less and the longer the bursts, the longer it takes to \
                          see them, and what takes more than a second is refused [default: 10%]",
            },
            OptionInfo { name: "burst", meaning: "how many packets in a row on average, 2 to 1000 [default: 5]" },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::BurstLoss,
            "burst-loss",
            "packets to and from the target nodes are lost, several in a row (Gilbert-Elliott)",
            "As `loss`, with so many datagrams that bursts even out; and that several are lost in a row.",
        )
    },
    KindInfo {
        breaks: "Protocols over UDP that take a copy for a new message; for TCP it costs little but load.",
        options: &[SHARE, LINKS, DIRECTION, PCAP],
        strength: Some("share"),
        ..kind(
            Kind::Duplicate,
            "duplicate",
            "packets to and from the target nodes arrive twice",
            "Of numbered datagrams over up to 4 of the links as many arrive twice as chance allows for the share; at \
             the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "Protocols over UDP that assume order; for TCP needless retransmissions and less throughput.",
        options: &[
            OptionInfo { name: "share", meaning: "how many packets, 0.1% to 50% [default: 10%]" },
            OptionInfo {
                name: "hold",
                meaning: "for how long a packet is held back while others pass, 5ms to 1s [default: 10ms]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::Reorder,
            "reorder",
            "packets to and from the target nodes are overtaken by later ones",
            "Of numbered datagrams over up to 4 of the links as many arrive after a later one as chance allows for \
             the share; at the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "With `checksum` what loss breaks. With `payload` whatever has no checksum of its own: wrong values \
                 stored and acknowledged, replicas that differ for ever, parsers that crash.",
        options: &[
            OptionInfo { name: "share", meaning: "how many packets, 0.1% to 100% [default: 1%]" },
            OptionInfo {
                name: "mode",
                meaning: "\"checksum\": the receiver's checksum finds the wrong bit, and the packet is lost; \
                          \"payload\": the checksum is made right again, and the application gets wrong bytes \
                          [default: checksum]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("share"),
        ..kind(
            Kind::Corrupt,
            "corrupt",
            "one bit is flipped in packets to and from the target nodes",
            "Of numbered datagrams over up to 4 of the links as many as chance allows for the share are lost, all of \
             them counted by the receiver's kernel as wrong checksums; with `payload` so many arrive with wrong \
             content. At the end fewer than a fifth of it.",
        )
    },
    KindInfo {
        breaks: "Replicas that fall behind for ever, base backups that never end, queues without a bound, heartbeats \
                 stuck behind data.",
        options: &[
            OptionInfo {
                name: "rate",
                meaning: "how much fits through each link in each direction, 64kbit to 100Mbit a second \
                          [default: 10Mbit]",
            },
            OptionInfo {
                name: "queue",
                meaning: "a packet that would have to wait for longer is dropped, 1ms to 10s [default: 100ms]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("rate"),
        ..kind(
            Kind::Bandwidth,
            "bandwidth",
            "little fits through each link to and from the target nodes",
            "Of twice as much, sent over up to 2 of the links for a second, no more than the rate arrives, and no \
             less than a third of it (the rest is the database's); at the end more than the rate does.",
        )
    },
    KindInfo {
        breaks: "Clients and pools that take a reset for a failed operation (it may have been done), drivers that \
                 retry what must not be done twice, replicas that never reconnect.",
        options: &[
            OptionInfo {
                name: "after",
                meaning: "how old a connection gets, counted from its first packet, 50ms to 60s [default: 1s]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("after"),
        ..kind(
            Kind::Reset,
            "reset",
            "connections to and from the target nodes are reset (RST to both ends): those that are there when they next speak, \
             new ones after a time",
            "A connection over up to 4 of the links on which bytes go back and forth is reset at that age, as both \
             ends' kernels say; at the end one lives longer.",
        )
    },
    KindInfo {
        breaks: "Pools that count a connection as free when they have closed it, servers that run out of connections, \
                 fail-over that waits for the old primary's connections to end.",
        options: &[
            OptionInfo {
                name: "hold",
                meaning: "how much later the end of a connection (FIN) arrives, 100ms to 10s [default: 5s]",
            },
            LINKS,
            DIRECTION,
            PCAP,
        ],
        strength: Some("hold"),
        ..kind(
            Kind::SlowClose,
            "slow-close",
            "connections to and from the target nodes take long to close; what was sent before arrives in time",
            "The end of a connection that is closed on one side of up to 4 of the links is seen on the other after \
             that time; at the end it is seen at once.",
        )
    },
    KindInfo {
        how: "The switch (see `delay`) drops FIN and RST that the target nodes send, and every process of theirs is \
              killed and at once started again: whoever was connected holds connections that nobody answers.",
        breaks: "Connections that look alive and are dead: clients without a deadline hang until the kernel gives up, \
                 pools hand out dead connections, replicas wait for a primary that forgot them.",
        options: &[LINKS, PCAP],
        ..kind(
            Kind::HalfOpen,
            "half-open",
            "the processes of the target nodes are killed and started again, and nobody is told that their \
             connections are gone",
            "Of connections over up to 4 of the links, closed at the target node by FIN and by RST, the other side \
             sees no end within 500 ms; at the end it sees them, and the database answers (30 s).",
        )
    },
];
