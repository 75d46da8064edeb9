//! The table of anomalies: what each is, its smallest case, and what the checker reports of that.

use super::{ADYA, Anomaly, BERENSON, CERONE, CERONE_SI, ELLE, Example, SCHISM};

/// By group. The order is that of `schism explain`.
pub(super) const ANOMALIES: &[(&str, &[Anomaly])] = &[
    (
        "Within one transaction, or of one key",
        &[
            Anomaly {
                name: "internal",
                what: "A transaction does not see what it did itself, or sees a key change between two of its own \
                       reads.",
                example: Some(Example::lists(&["T1: append x 1, r x nil", "T2: r x [1]"])),
                why: "T1 appended 1 and read x afterwards; whatever the others do, its own 1 must be at the end.",
                source: CERONE,
                reported: &["internal"],
                never_reported: None,
            },
            Anomaly {
                name: "future-read",
                what: "A transaction reads an element that it appends only later.",
                example: Some(Example::lists(&["T1: r x [1], append x 1", "T2: r x [1]"])),
                why: "T1 cannot know its own 1 before it has appended it; and nobody else did.",
                source: ELLE,
                reported: &["future-read"],
                never_reported: None,
            },
            Anomaly {
                name: "own-future-read",
                what: "A transaction reads a value of a register that nobody wrote but itself, and that later.",
                example: Some(Example::registers(&["T1: r x 1, w x 1", "T2: r x 1"])),
                why: "In no order that agrees with T1's own program can its read answer 1. Elle accepts it, so that it \
                      is named, but refutes nothing.",
                source: SCHISM,
                reported: &["own-future-read"],
                never_reported: None,
            },
            Anomaly {
                name: "garbage-read",
                what: "A read answers what nobody ever tried to write.",
                example: Some(Example::lists(&["T1: append x 1", "T2: r x [9 1]"])),
                why: "Nobody appended 9, committed or not.",
                source: SCHISM,
                reported: &["garbage-read"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-elements",
                what: "A list holds an element twice that was appended once.",
                example: Some(Example::lists(&["T1: append x 1", "T2: r x [1 1]"])),
                why: "One append leaves one element. Databases do this when a request that was carried out already is \
                      sent again.",
                source: ELLE,
                reported: &["duplicate-elements"],
                never_reported: None,
            },
            Anomaly {
                name: "incompatible-order",
                what: "Two reads of a list contradict each other: neither is a beginning of the other.",
                example: Some(Example::lists(&["T1: append x 1", "T2: append x 2, r x [2]", "T3: r x [1 2]"])),
                why: "Lists only grow at their end. T2 saw 2 come first, T3 saw 1 come first: one of the two saw a \
                      state that was later taken back.",
                source: ELLE,
                reported: &["incompatible-order"],
                never_reported: None,
            },
            Anomaly {
                name: "cyclic-versions",
                what: "The versions of a register go round: one is older than another and newer, too.",
                example: Some(Example::registers(&["T1: w x 1", "T2 (after T1): r x nil"]).with("--linearizable-keys")),
                why: "nil comes before every value; if each key is linearizable, as was assumed, 1 came before the nil \
                      that T2 read later. Either the database or the assumption is wrong.",
                source: ELLE,
                reported: &["cyclic-versions"],
                never_reported: None,
            },
        ],
    ),
    (
        "Of what was not committed",
        &[
            Anomaly {
                name: "G1a",
                what: "Aborted read: a committed transaction sees what an aborted one wrote.",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append y 1", "T3: r x [1], r y [1]"])),
                why: "T1 never happened, so that nobody may see its 1.",
                source: ADYA,
                reported: &["G1a"],
                never_reported: None,
            },
            Anomaly {
                name: "G1b",
                what: "Intermediate read: a transaction sees a value that its writer overwrote before it committed.",
                example: Some(Example::registers(&["T1: w x 1, w x 2, w y 1", "T2: r x 1, r y 1"])),
                why: "T1 leaves x at 2. To see 1 is to look into the middle of T1.",
                source: ADYA,
                reported: &["G1b"],
                never_reported: None,
            },
            Anomaly {
                name: "dirty-update",
                what: "A committed transaction's write stands on that of an aborted one.",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append x 2", "T3: r x [1 2]"])),
                why: "T2 committed on top of T1's 1, which should have vanished with T1. (Whoever reads the list has \
                      read something aborted, too: G1a.)",
                source: ELLE,
                reported: &["G1a", "dirty-update"],
                never_reported: None,
            },
        ],
    ),
    (
        "Lost updates",
        &[
            Anomaly {
                name: "lost-update",
                what: "Two transactions read the same version of a key and both write it: the later overwrites the \
                       earlier unseen.",
                example: Some(Example::lists(&["T1: r x nil, append x 1", "T2: r x nil, append x 2"])),
                why: "Whichever comes second must see what the first wrote; a counter would have lost one increment. \
                      (As a cycle it is G2-item, too.)",
                source: BERENSON,
                reported: &["G2-item", "lost-update"],
                never_reported: None,
            },
            Anomaly {
                name: "write-skew",
                what: "Two transactions each read what the other writes, and neither sees the other's write.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "Whichever comes second must see what the first wrote. So two doctors, each trusting that the \
                      other stays on call, both go home.",
                source: BERENSON,
                reported: &["G2-item"],
                never_reported: Some(
                    "the graph calls it G2-item; in runs of schism the check `list-append` uses this name",
                ),
            },
            Anomaly {
                name: "lost-append",
                what: "A write that was acknowledged is gone from the last state of the database.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): r x nil"])),
                why: "What was acknowledged was promised to stay, whatever the isolation level.",
                source: SCHISM,
                reported: &["G-single-item-realtime"],
                never_reported: Some(
                    "it is found by the check `list-append` of schism's own runs, which knows the final reads; the \
                     lattice has no row for it",
                ),
            },
        ],
    ),
    (
        "Cycles of dependencies",
        &[
            Anomaly {
                name: "G0",
                what: "Dirty write: two transactions write the same keys, in a different order each.",
                example: Some(Example::lists(&[
                    "T1: append x 1, append y 1",
                    "T2: append x 2, append y 2",
                    "T3: r x [1 2], r y [2 1]",
                ])),
                why: "On x T1 came before T2, on y after it. No order of the two writes both keys so.",
                source: ADYA,
                reported: &["G0"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c",
                what: "Circular information flow: transactions that all depend on what another of them wrote.",
                example: Some(Example::lists(&["T1: append x 1, r y [1]", "T2: append y 1, r x [1]"])),
                why: "Each saw the other's write, so that each must come after the other. One of them saw what was not \
                      yet committed.",
                source: ADYA,
                reported: &["G1c"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item",
                what: "Read skew: a cycle in which exactly one transaction overlooked a write that came before it.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 saw T1's write of x, and so comes after T1; yet it overlooked T1's write of y.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item",
                what: "Long fork: a cycle with several overlooked writes, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x [1], r y nil",
                    "T4: r x nil, r y [1]",
                ])),
                why: "For T3, T1 came first; for T4, T2 did. There is no single order of states of which each saw one.",
                source: CERONE_SI,
                reported: &["G-nonadjacent-item"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item",
                what: "Write skew and its like: a cycle with one or more overlooked writes.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "T1 overlooked T2's write and T2 overlooked T1's: whichever came second should have seen the \
                      other.",
                source: ADYA,
                reported: &["G2-item"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles with the order within each process (session)",
        &[
            Anomaly {
                name: "G0-process",
                what: "A process' later write comes before its earlier one.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (process of T1): append x 2", "T3: r x [2 1]"])),
                why: "One process appended 1 and then 2; the list has them the other way round.",
                source: ELLE,
                reported: &["G0-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c-process",
                what: "A cycle of writes, of reads that saw them, and of the order within processes.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (process of T1): append x 1"])),
                why: "One process read 1 and then appended it: it saw what it had yet to do.",
                source: ELLE,
                reported: &["G1c-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item-process",
                what: "A cycle with the order within processes and one overlooked write: a process does not see its \
                       own writes.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (process of T1): r x nil"])),
                why: "One process appended 1, and its next transaction does not see it.",
                source: ELLE,
                reported: &["G-single-item-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item-process",
                what: "A cycle with the order within processes and several overlooked writes, of which no two follow \
                       each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2 (process of T1): r y nil",
                    "T3: append y 1",
                    "T4 (process of T3): r x nil",
                ])),
                why: "Each process wrote and then overlooked the other's write. Whichever wrote first, the other \
                      should have seen it.",
                source: ELLE,
                reported: &["G-nonadjacent-item-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item-process",
                what: "A cycle with the order within processes and overlooked writes.",
                example: Some(Example::lists(&[
                    "T1: append y 1",
                    "T2 (process of T1): r x nil",
                    "T3: append x 1, r y nil",
                ])),
                why: "T3 overlooked T1 and T2 overlooked T3, so that T2 comes before T1; but one process did T1 first.",
                source: ELLE,
                reported: &["G2-item-process"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles with real time",
        &[
            Anomaly {
                name: "G0-realtime",
                what: "A write comes before another that had ended before it began.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): append x 2", "T3: r x [2 1]"])),
                why: "T1 had ended when T2 began; the list has their elements the other way round.",
                source: ELLE,
                reported: &["G0-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c-realtime",
                what: "A cycle of writes, of reads that saw them, and of real time.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (after T1): append x 1"])),
                why: "T1 read 1 and had ended before T2 began to append it.",
                source: ELLE,
                reported: &["G1c-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item-realtime",
                what: "Stale read: a cycle with real time and one overlooked write.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): r x nil"])),
                why: "T1 had ended when T2 began, and T2 does not see it: an old replica or snapshot answered.",
                source: ELLE,
                reported: &["G-single-item-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item-realtime",
                what: "A cycle with real time and several overlooked writes, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x nil, r y [1]",
                    "T4 (after T1): r y nil",
                ])),
                why: "T3 saw T2 and not T1, so that T2 comes before T1. T4, which began after T1 had ended, should \
                      have seen T2.",
                source: ELLE,
                reported: &["G-nonadjacent-item-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item-realtime",
                what: "A cycle with real time and overlooked writes.",
                example: Some(Example::lists(&["T1: append y 1", "T2 (after T1): r x nil", "T3: append x 1, r y nil"])),
                why: "T3 overlooked T1 and T2 overlooked T3, so that T2 comes before T1; but T1 had ended when T2 \
                      began.",
                source: ELLE,
                reported: &["G2-item-realtime"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles that refute more than their name says",
        &[
            Anomaly {
                name: "strong-session-PL-1-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-PL-1. Two transactions often depend on \
                       each other for several reasons; a cycle has its name from the strongest of each pair. Named by \
                       the others this one is G0-process, and refutes what its name does not.",
                example: Some(Example::lists(&[
                    "T1: append x 2, append y 1",
                    "T2 (process of T1): append x 1, r y [1]",
                    "T3: r x [1 2]",
                ])),
                why: "T2 saw T1's y, so that the cycle is called G1c. But T2's write of x comes before T1's, though \
                      one process did T1 first.",
                source: ELLE,
                reported: &["G1c", "strong-session-PL-1-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-PL-2-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-PL-2. Two transactions often depend on \
                       each other for several reasons; a cycle has its name from the strongest of each pair. Named by \
                       the others this one is G1c-process, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r x [1], r y nil", "T2 (process of T1): append x 1, append y 1"])),
                why: "T1 overlooked T2's y, so that the cycle is called G-single-item. But one process did T1 first, \
                      and it saw T2's x.",
                source: ELLE,
                reported: &["G-single-item", "strong-session-PL-2-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-snapshot-isolation-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-snapshot-isolation. Two transactions \
                       often depend on each other for several reasons; a cycle has its name from the strongest of each \
                       pair. Named by the others this one is G-single-item-process, and refutes what its name does \
                       not.",
                example: Some(Example::lists(&["T1: r y nil, append x 1", "T2 (process of T1): r x nil, append y 1"])),
                why: "Each overlooked the other, so that the cycle is called G2-item. But one process did T1 first: T2 \
                      should have seen it.",
                source: ELLE,
                reported: &["G2-item", "strong-session-snapshot-isolation-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-serializable-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-serializable.",
                example: None,
                why: "There is no serial order that keeps the order of each process.",
                source: ELLE,
                reported: &[],
                never_reported: Some("every cycle refutes strong-session-serializable by its own name"),
            },
            Anomaly {
                name: "strong-PL-1-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-PL-1. Two transactions often depend on each other \
                       for several reasons; a cycle has its name from the strongest of each pair. Named by the others \
                       this one is G0-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&[
                    "T1: append x 2, append y 1",
                    "T2 (after T1): append x 1, r y [1]",
                    "T3: r x [1 2]",
                ])),
                why: "T2 saw T1's y, so that the cycle is called G1c. But T2's write of x comes before T1's, which had \
                      ended when T2 began.",
                source: ELLE,
                reported: &["G1c", "strong-PL-1-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-PL-2-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-PL-2. Two transactions often depend on each other \
                       for several reasons; a cycle has its name from the strongest of each pair. Named by the others \
                       this one is G1c-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r x [1], r y nil", "T2 (after T1): append x 1, append y 1"])),
                why: "T1 overlooked T2's y, so that the cycle is called G-single-item. But T1 had ended when T2 began, \
                      and saw its x.",
                source: ELLE,
                reported: &["G-single-item", "strong-PL-2-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-snapshot-isolation-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-snapshot-isolation. Two transactions often depend \
                       on each other for several reasons; a cycle has its name from the strongest of each pair. Named \
                       by the others this one is G-single-item-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r y nil, append x 1", "T2 (after T1): r x nil, append y 1"])),
                why: "Each overlooked the other, so that the cycle is called G2-item. But T1 had ended when T2 began: \
                      T2 should have seen it.",
                source: ELLE,
                reported: &["G2-item", "strong-snapshot-isolation-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "PL-SS-cycle-exists",
                what: "A cycle that by weaker reasons refutes strict serializability.",
                example: None,
                why: "There is no serial order that keeps real time.",
                source: ELLE,
                reported: &[],
                never_reported: Some("every cycle refutes strict serializability by its own name"),
            },
            Anomaly {
                name: "PL-1-cycle-exists",
                what: "There is a cycle that refutes read uncommitted, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-2-cycle-exists",
                what: "There is a cycle that refutes read committed, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-2.99-cycle-exists",
                what: "There is a cycle that refutes repeatable read, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-SI-cycle-exists",
                what: "There is a cycle that refutes snapshot isolation, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-3-cycle-exists",
                what: "There is a cycle that refutes serializability, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
        ],
    ),
    (
        "Of what a predicate selects",
        &[
            Anomaly {
                name: "G-single",
                what: "A cycle of dependencies with exactly one overlooked write, of what a predicate selects.",
                example: Some(Example::rows(&["T1: insert x 1, insert y 2", "T2: select = 2 {}, r x 1"])),
                why: "One state was seen in part only, or too late.",
                source: ADYA,
                reported: &["G-single"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent",
                what: "A cycle of dependencies with overlooked writes, of which no two follow each other, and one at least is of what a predicate selects.",
                example: Some(Example::rows(&[
                    "T1: insert x 1",
                    "T2: insert y 2",
                    "T3: select true {x 1}",
                    "T4: select true {y 2}",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: CERONE_SI,
                reported: &["G-nonadjacent"],
                never_reported: None,
            },
            Anomaly {
                name: "G2",
                what: "A cycle of dependencies with overlooked writes, of which one at least is of what a predicate selects: a phantom.",
                example: Some(Example::rows(&["T1: select true {}, insert x 1", "T2: select true {}, insert y 2"])),
                why: "There is no serial order: whoever came later should have got what it lacks.",
                source: ADYA,
                reported: &["G2"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-process",
                what: "A cycle of dependencies and the order within each process with exactly one overlooked write, of what a predicate selects.",
                example: Some(Example::rows(&["T1: insert x 1", "T2 (process of T1): select true {}"])),
                why: "One state was seen in part only, or too late.",
                source: ELLE,
                reported: &["G-single-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-process",
                what: "A cycle of dependencies and the order within each process with overlooked writes, of which no two follow each other, and one at least is of what a predicate selects.",
                example: Some(Example::rows(&[
                    "T1: insert x 1",
                    "T2 (process of T1): select = 2 {}",
                    "T3: insert y 2",
                    "T4 (process of T3): select = 1 {}",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: ELLE,
                reported: &["G-nonadjacent-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-process",
                what: "A cycle of dependencies and the order within each process with overlooked writes, of which one at least is of what a predicate selects: a phantom.",
                example: Some(Example::rows(&[
                    "T1: insert y 1",
                    "T2 (process of T1): select = 2 {}",
                    "T3: insert x 2, select = 1 {}",
                ])),
                why: "There is no serial order: whoever came later should have got what it lacks.",
                source: ELLE,
                reported: &["G2-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-realtime",
                what: "A cycle of dependencies and real time with exactly one overlooked write, of what a predicate selects.",
                example: Some(Example::rows(&["T1: insert x 1", "T2 (after T1): select true {}"])),
                why: "One state was seen in part only, or too late.",
                source: ELLE,
                reported: &["G-single-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-realtime",
                what: "A cycle of dependencies and real time with overlooked writes, of which no two follow each other, and one at least is of what a predicate selects.",
                example: Some(Example::rows(&[
                    "T1: insert x 1",
                    "T2: insert y 2",
                    "T3: select true {y 2}",
                    "T4 (after T1): select = 2 {}",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: ELLE,
                reported: &["G-nonadjacent-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-realtime",
                what: "A cycle of dependencies and real time with overlooked writes, of which one at least is of what a predicate selects: a phantom.",
                example: Some(Example::rows(&[
                    "T1: insert y 1",
                    "T2 (after T1): select = 2 {}",
                    "T3: insert x 2, select = 1 {}",
                ])),
                why: "There is no serial order: whoever came later should have got what it lacks.",
                source: ELLE,
                reported: &["G2-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "predicate-read-miss",
                what: "A read by predicate lacks a row, though every version of it that there ever was fits the \
                       predicate.",
                example: Some(Example::rows(&["T1 (init): insert x 1", "T2: select true {}"])),
                why: "Whichever state was read, the row should have been there.",
                source: ELLE,
                reported: &["predicate-read-miss"],
                never_reported: None,
            },
        ],
    ),
    (
        "Wider names, of which those above are cases",
        &[
            Anomaly {
                name: "G1",
                what: "Any of G1a (aborted read), G1b (intermediate read) and G1c (circular information flow).",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append y 1", "T3: r x [1], r y [1]"])),
                why: "Something was seen that was not, or not yet, committed.",
                source: ADYA,
                reported: &["G1a"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c"),
            },
            Anomaly {
                name: "G1-process",
                what: "G1, or G1c with the order within each process.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (process of T1): append x 1"])),
                why: "Something was seen that this process had yet to do.",
                source: ELLE,
                reported: &["G1c-process"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c, G1c-process"),
            },
            Anomaly {
                name: "G1-realtime",
                what: "G1, or G1c with the order within each process or real time.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (after T1): append x 1"])),
                why: "Something was seen that nobody had begun to do.",
                source: ELLE,
                reported: &["G1c-realtime"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c, G1c-realtime"),
            },
        ],
    ),
    (
        "Adya's and others' that a history does not show",
        &[
            Anomaly {
                name: "G-SI",
                what: "Adya's two phenomena of snapshot isolation together: G-SIa, something seen or overwritten that \
                       was not committed when the reader began; G-SIb, missed effects.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 saw neither the state before T1 nor that after it, and so no snapshot.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; what of it shows in \
                     dependencies alone is G-single-item",
                ),
            },
            Anomaly {
                name: "G-SIb",
                what: "Missed effects: a cycle of dependencies and of commits before starts, with exactly one \
                       overlooked write.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 began after T1, whose x it saw, had committed, and yet overlooked T1's y.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; what of it shows in \
                     dependencies alone is G-single-item",
                ),
            },
            Anomaly {
                name: "GSI",
                what: "Another spelling of G-SI.",
                example: None,
                why: "As of G-SI.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "GSIa",
                what: "Interference, the first part of G-SI: a transaction depends on one that had not committed when \
                       it began.",
                example: None,
                why: "A snapshot holds only what was committed when it was taken.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "GSIb",
                what: "Another spelling of G-SIb: missed effects.",
                example: None,
                why: "As of G-SIb.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "G-cursor",
                what: "A lost update of one object, of which a cursor had read it first.",
                example: Some(Example::lists(&["T1: r x nil, append x 1", "T2: r x nil, append x 2", "T3: r x [1 2]"])),
                why: "T2 overwrote T1's write of x without having seen it, though a cursor should have held x.",
                source: ADYA,
                reported: &["G-single-item", "lost-update"],
                never_reported: Some("a history knows no cursors; of any two transactions it is lost-update"),
            },
            Anomaly {
                name: "G-monotonic",
                what: "A transaction sees another's write and later, within itself, an older state: a cycle with one \
                       overlooked write between single reads.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "After T2 had seen T1's x, its next read went back to before T1.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "the order of a transaction's own reads is not looked at; without it, it is G-single-item",
                ),
            },
            Anomaly {
                name: "G-MSR",
                what: "A statement of a transaction reads from no snapshot, or from an older one than the statement \
                       before.",
                example: None,
                why: "Each statement was promised one state, never an older one than before.",
                source: ADYA,
                reported: &[],
                never_reported: Some("a history does not say which reads were one statement"),
            },
            Anomaly {
                name: "G-update",
                what: "A cycle with one or more overlooked writes among transactions that write and at most one that \
                       only reads.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "Those that write are to be serializable, and each reader is to see one of their serial states.",
                source: ADYA,
                reported: &["G2-item"],
                never_reported: Some(
                    "transactions that write are not told from those that only read; it is one of the kinds of cycles",
                ),
            },
        ],
    ),
    (
        "What keeps a verdict from being reached",
        &[
            Anomaly {
                name: "empty-transaction-graph",
                what: "No transaction depends on another.",
                example: Some(Example::lists(&["T1: append x 1", "T2: append y 1"])),
                why: "Nothing is wrong, but nothing is shown either: nobody read what another wrote.",
                source: ELLE,
                reported: &["empty-transaction-graph"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-appends",
                what: "An element was appended to a list more than once.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append x 1, append y 1",
                    "T3: r x [1], r y [1]",
                ])),
                why: "Whose 1 was read cannot be told. It is a fault of the test, not of the database.",
                source: ELLE,
                reported: &["duplicate-appends"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-writes",
                what: "Several transactions wrote the same value to a register, and somebody read it.",
                example: Some(Example::registers(&["T1: w x 1", "T2: w x 1, w y 1", "T3: r x 1, r y 1"])),
                why: "Whose 1 was read cannot be told. It is a fault of the test, not of the database.",
                source: ELLE,
                reported: &["duplicate-writes"],
                never_reported: None,
            },
            Anomaly {
                name: "cycle-search-timeout",
                what: "The search for cycles used up its budget and left some kinds undecided.",
                example: None,
                why: "Nothing need be wrong, but what was not searched may be there: a longer --cycle-search-timeout \
                      decides it. It takes so large a graph that there is no example.",
                source: ELLE,
                reported: &[],
                never_reported: None,
            },
        ],
    ),
];
