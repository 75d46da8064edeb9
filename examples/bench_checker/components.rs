//! Histories whose ten thousand transactions all depend on each other, and of whose cycles only the mildest kind is there:
//! G2-item. Every other kind must be refuted.

use std::io::{self, Write};

use schism_seed::Seed;

use crate::transactions::{End, Events, Form, Mop, Store, Workload};

/// How a component looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Component {
    /// Two lanes. The upper one's transactions follow one another, and each reads what the three before it appended. The
    /// lower one's all run meanwhile; each misses what the one before it appended, and what one of the upper lane did. The
    /// upper lane's last one misses what the lower lane's last one appended. So every cycle goes up to the end of the
    /// upper lane and back by way of the lower one's last: two rw edges one after the other at least.
    Long,
    /// A store of snapshots, some of them old, in which the first committer wins: whatever goes round has two rw edges
    /// one after the other (Fekete et al., "Making snapshot isolation serializable", 2005). All run at once.
    Dense,
}

impl Component {
    pub(crate) const TXNS: u32 = 10_000;

    pub(crate) fn write(self, seed: u64, out: impl Write) -> io::Result<()> {
        let events = Events::new(out, Workload::ListAppend, Form::Edn)?;
        match self {
            Self::Long => long(events),
            Self::Dense => dense(seed, events),
        }
    }
}

fn long(mut events: Events<impl Write>) -> io::Result<()> {
    const UPPER: u32 = 6_000;
    const LOWER: u32 = Component::TXNS - UPPER;
    // Key `n` is what the upper lane's transaction `n` appends to; the lower lane's come after those.
    let store: Store = vec![vec![1]; Component::TXNS as usize];
    let lower: Vec<Vec<Mop>> = (0..LOWER)
        .map(|at| {
            let mut mops = vec![Mop::read(at, 0), Mop::write(UPPER + at, 1)];
            mops.extend(at.checked_sub(1).map(|before| Mop::read(UPPER + before, 0)));
            mops
        })
        .collect();
    let process = |at: usize| 1 + at as u64;
    for (at, mops) in lower.iter().enumerate() {
        events.invoke(process(at), mops)?;
    }
    for at in 0..UPPER {
        let mut mops: Vec<Mop> = (at.saturating_sub(3)..at).map(|before| Mop::read(before, 1)).collect();
        mops.push(Mop::write(at, 1));
        if at == UPPER - 1 {
            mops.push(Mop::read(Component::TXNS - 1, 0));
        }
        events.invoke(0, &mops)?;
        events.complete(0, End::Ok, &mops, &store)?;
    }
    for (at, mops) in lower.iter().enumerate() {
        events.complete(process(at), End::Ok, mops, &store)?;
    }
    events.finish()
}

fn dense(seed: u64, mut events: Events<impl Write>) -> io::Result<()> {
    const KEYS: u32 = 2_000;
    const READS: usize = 16;
    const WRITES: usize = 8;
    /// A snapshot lacks so many commits at most.
    const LACKS_MAX: u64 = 100;
    let mut stream = Seed::new(seed).stream("bench-checker-component");
    // A key of its own for each makes it one component: each misses what the one before it appended there, and the first
    // what the last did. Nobody can see that but those two.
    let mut store: Store = vec![Vec::new(); (KEYS + Component::TXNS) as usize];
    // By key: who committed each element.
    let mut committed: Vec<Vec<u32>> = vec![Vec::new(); KEYS as usize];
    let mut txns: Vec<Vec<Mop>> = Vec::new();
    for at in 0..Component::TXNS {
        let snapshot = at.saturating_sub(1 + stream.below(LACKS_MAX) as u32);
        let mut mops = vec![Mop::read(KEYS + at, 0)];
        for _ in 0..READS {
            let key = stream.below(u64::from(KEYS)) as u32;
            let seen = committed[key as usize].partition_point(|commit| *commit < snapshot);
            mops.push(Mop::read(key, seen as u32));
        }
        let next = KEYS + (at + 1) % Component::TXNS;
        store[next as usize].push(1);
        mops.push(Mop::write(next, 1));
        for _ in 0..WRITES {
            let key = stream.below(u64::from(KEYS)) as u32;
            let commits = &mut committed[key as usize];
            if commits.last().is_none_or(|last| *last < snapshot) {
                commits.push(at);
                let element = commits.len() as u32;
                store[key as usize].push(element);
                mops.push(Mop::write(key, element));
            }
        }
        txns.push(mops);
    }
    for (process, mops) in txns.iter().enumerate() {
        events.invoke(process as u64, mops)?;
    }
    for (process, mops) in txns.iter().enumerate() {
        events.complete(process as u64, End::Ok, mops, &store)?;
    }
    events.finish()
}
