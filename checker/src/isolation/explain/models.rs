//! The table of consistency models: what each promises, and who offers it.

use super::{
    ADYA, AHAMAD, BAILIS, BERENSON, BERNSTEIN, CERONE, DAUDJEE, DAUDJEE_SI, ELLE, HERLIHY, LAMPORT, LIPTON, LIU,
    Promise, TERRY, ZUIKEVICIUTE,
};

/// By group, each group's weaker models first.
pub(super) const PROMISES: &[(&str, &[Promise])] = &[
    (
        "Isolation levels",
        &[
            Promise {
                name: "PL-1",
                promise: "Writes of different transactions do not interleave: all keys see them in one order. Reads \
                          may answer anything that was written.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-2",
                promise: "Only what was committed is read, and of each transaction only its last writes. Two reads may \
                          come from different times.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the default of PostgreSQL 9.2, Oracle 11g, SQL Server 2012 \
                     and SAP HANA",
                ),
            },
            Promise {
                name: "PL-CS",
                promise: "Read committed; and what a cursor stands on does not change before the cursor moves, so that \
                          no update through it is lost.",
                source: ADYA,
                databases: Some("by the survey in Bailis et al. 2014, the default of DB2 10 for z/OS"),
            },
            Promise {
                name: "PL-2L",
                promise: "Read committed; and once a transaction has seen another's effects, its later reads do not go \
                          back to before them.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-MSR",
                promise: "Read committed; each statement reads from a snapshot, and no later statement of a \
                          transaction from an older one.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-2+",
                promise: "A transaction that sees another's effects sees all of them, and those of all that it depends \
                          on. No read skew, no lost update.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-FCV",
                promise: "Consistent view; and nothing is missed of what had committed when the transaction began. It \
                          may also see later commits.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-3U",
                promise: "Transactions that write are serializable, and each that only reads sees one of their serial \
                          states; two readers may disagree on the order.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "monotonic-atomic-view",
                promise: "Read committed; and once a transaction has seen one write of another, it sees all of that \
                          other's writes.",
                source: BAILIS,
                databases: None,
            },
            Promise {
                name: "read-atomic",
                promise: "Transactions become visible as a whole, and each sees what it did itself. Old states may be \
                          read.",
                source: CERONE,
                databases: Some(
                    "RAMP transactions (Bailis et al.: \"Scalable atomic visibility with RAMP transactions\", 2014), \
                     where the name comes from",
                ),
            },
            Promise {
                name: "update-atomic",
                promise: "Read atomic; and no update is lost.",
                source: LIU,
                databases: Some("ROLA"),
            },
            Promise {
                name: "causal-cerone",
                promise: "Read atomic; and whoever sees a transaction sees all that it had seen. Transactions that \
                          know nothing of each other may be seen in different orders.",
                source: CERONE,
                databases: None,
            },
            Promise {
                name: "prefix",
                promise: "Every transaction sees a beginning of one and the same order of all transactions. Updates \
                          may be lost.",
                source: CERONE,
                databases: None,
            },
            Promise {
                name: "parallel-snapshot-isolation",
                promise: "Causal, and no update is lost; each site has its own order of transactions that know nothing \
                          of each other.",
                source: CERONE,
                databases: Some(
                    "Walter (Sovran et al.: \"Transactional storage for geo-replicated systems\", 2011), where it \
                     comes from",
                ),
            },
            Promise {
                name: "PL-SI",
                promise: "Each transaction reads from one snapshot, and of two at the same time that write the same \
                          key only one commits. Write skew is allowed.",
                source: BERENSON,
                databases: Some(
                    "what Oracle calls SERIALIZABLE (by the survey in Bailis et al. 2014, the strongest level of \
                     Oracle 11g and SAP HANA), and PostgreSQL REPEATABLE READ, as its documentation says",
                ),
            },
            Promise {
                name: "PL-2.99",
                promise: "Items that were read stay as they were until the transaction ends. Only what a predicate \
                          selects may change.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the name of MySQL 5.6's default; a name is no promise, and \
                     elsewhere it means snapshot isolation",
                ),
            },
            Promise {
                name: "view-serializable",
                promise: "There is a serial order in which each transaction reads the same values, and that leaves the \
                          same state.",
                source: BERNSTEIN,
                databases: None,
            },
            Promise {
                name: "PL-3",
                promise: "There is a serial order of all transactions that explains everything that was read. It need \
                          not agree with real time.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the default of VoltDB and Oracle Berkeley DB; PostgreSQL's \
                     SERIALIZABLE (Ports & Grittner: \"Serializable snapshot isolation in PostgreSQL\", 2012)",
                ),
            },
        ],
    ),
    (
        "With the order within each process (session)",
        &[
            Promise {
                name: "strong-session-PL-1",
                promise: "Read uncommitted; and writes of one process come in the order in which it made them.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-session-PL-2",
                promise: "Read committed; and the order of what was written and seen agrees with the order within each \
                          process.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-session-snapshot-isolation",
                promise: "Snapshot isolation; and each process' snapshots hold all that it did and saw before.",
                source: DAUDJEE_SI,
                databases: None,
            },
            Promise {
                name: "strong-session-serializable",
                promise: "Serializable, in an order that agrees with the order within each process.",
                source: DAUDJEE,
                databases: None,
            },
            Promise {
                name: "session-serializable",
                promise: "One copy serializable, and each session sees what it wrote.",
                source: ZUIKEVICIUTE,
                databases: None,
            },
        ],
    ),
    (
        "With real time",
        &[
            Promise {
                name: "strong-PL-1",
                promise: "Read uncommitted; and of two writes of which one ended before the other began, that one \
                          comes first.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-PL-2",
                promise: "Read committed; and the order of what was written and seen agrees with real time.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-snapshot-isolation",
                promise: "Snapshot isolation; and each snapshot holds all that had committed when the transaction \
                          began.",
                source: DAUDJEE_SI,
                databases: None,
            },
            Promise {
                name: "PL-SS",
                promise: "Serializable, in an order that agrees with real time: what had ended comes before what began \
                          later.",
                source: ADYA,
                databases: Some(
                    "Spanner calls it external consistency (Corbett et al.: \"Spanner: Google's globally-distributed \
                     database\", 2012)",
                ),
            },
        ],
    ),
    (
        "Of replicas and single objects",
        &[
            Promise {
                name: "1SR",
                promise: "Replicas behave as one copy on which the transactions ran one after the other.",
                source: BERNSTEIN,
                databases: None,
            },
            Promise {
                name: "monotonic-reads",
                promise: "A process' later reads are of no older state than its earlier ones.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "monotonic-writes",
                promise: "A process' writes take effect everywhere in the order in which it made them.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "read-your-writes",
                promise: "A process sees what it wrote.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "writes-follow-reads",
                promise: "A write comes, for everybody, after what its process had read before.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "PRAM",
                promise: "Each process' writes are seen by everybody in the order in which it made them; those of \
                          different processes in any.",
                source: LIPTON,
                databases: None,
            },
            Promise {
                name: "causal",
                promise: "Whoever sees something sees what led to it. What knows nothing of each other may be seen in \
                          different orders.",
                source: AHAMAD,
                databases: None,
            },
            Promise {
                name: "sequential",
                promise: "There is one order of all operations that agrees with that of each process and explains what \
                          was read.",
                source: LAMPORT,
                databases: None,
            },
            Promise {
                name: "linearizable",
                promise: "Each operation takes effect at one moment between its beginning and its end, on one object, \
                          for everybody.",
                source: HERLIHY,
                databases: None,
            },
        ],
    ),
];
