//! Histories of transactions: an honest store carries each out whole, at a moment between its ends.

use std::io::{self, Write};

use schism_seed::{Seed, Stream};

/// What transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    ListAppend,
    RwRegister,
}

impl Workload {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ListAppend => "list-append",
            Self::RwRegister => "rw-register",
        }
    }
}

/// How a history is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Edn,
    /// schism's own lines.
    Json,
}

/// A history as Elle's own generator draws it: one to four micro-operations a transaction, half of them reads, on ten keys
/// of which one is drawn twice as often as the next; each key is written 32 times and then gives way to a new one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transactions {
    pub(crate) workload: Workload,
    pub(crate) form: Form,
    pub(crate) txns: u64,
}

/// Drawn like Elle's.
const CLIENTS: u64 = 20;
const KEYS: usize = 10;
const WRITES_MAX: u32 = 32;
/// Of a hundred transactions, so many are said to have failed, and so many get no answer.
const FAIL_PERCENT: u64 = 1;
const INFO_PERCENT: u64 = 1;

/// A micro-operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mop {
    pub(crate) key: u32,
    /// What it writes; `None` of a read.
    pub(crate) element: Option<u32>,
    /// How many writes a read saw.
    pub(crate) seen: u32,
}

impl Mop {
    pub(crate) const fn write(key: u32, element: u32) -> Self {
        Self { key, element: Some(element), seen: 0 }
    }

    pub(crate) const fn read(key: u32, seen: u32) -> Self {
        Self { key, element: None, seen }
    }
}

/// By key: what was written, in order.
pub(crate) type Store = Vec<Vec<u32>>;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Fail,
    Info,
}

/// Writes events one after the other.
pub(crate) struct Events<W> {
    out: W,
    workload: Workload,
    form: Form,
    index: u64,
}

impl<W: Write> Events<W> {
    pub(crate) fn new(mut out: W, workload: Workload, form: Form) -> io::Result<Self> {
        if form == Form::Json {
            let workload = workload.name();
            writeln!(
                out,
                r#"{{"schism-history":1,"workload":"{workload}","target":"simulated","seed":1,"clients":{CLIENTS},"nodes":["n1"]}}"#
            )?;
        }
        Ok(Self { out, workload, form, index: 0 })
    }

    pub(crate) fn invoke(&mut self, process: u64, mops: &[Mop]) -> io::Result<()> {
        self.event(process, "invoke", mops, None)
    }

    pub(crate) fn complete(&mut self, process: u64, end: End, mops: &[Mop], store: &Store) -> io::Result<()> {
        match end {
            End::Ok => self.event(process, "ok", mops, Some(store)),
            End::Fail => self.event(process, "fail", mops, None),
            End::Info => self.event(process, "info", mops, None),
        }
    }

    /// `store`: reads show what they saw of it.
    fn event(&mut self, process: u64, kind: &str, mops: &[Mop], store: Option<&Store>) -> io::Result<()> {
        let Self { out, index, .. } = self;
        let time = *index * 1000;
        match self.form {
            Form::Edn => {
                write!(out, "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :txn, :value [")?;
            }
            Form::Json => write!(
                out,
                r#"{{"index":{index},"time_ns":{time},"process":{process},"type":"{kind}","f":"txn","value":["#
            )?,
        }
        let between = if self.form == Form::Edn { " " } else { "," };
        for (at, mop) in mops.iter().enumerate() {
            let word = match (mop.element, self.workload) {
                (None, _) => "r",
                (Some(_), Workload::ListAppend) => "append",
                (Some(_), Workload::RwRegister) => "w",
            };
            let key = mop.key;
            let separator = if at == 0 { "" } else { between };
            match self.form {
                Form::Edn => write!(out, "{separator}[:{word} {key} ")?,
                Form::Json => write!(out, "{separator}[\"{word}\",{key},")?,
            }
            let nil = if self.form == Form::Edn { "nil" } else { "null" };
            match (mop.element, store) {
                (Some(element), _) => write!(out, "{element}]")?,
                (None, None) => write!(out, "{nil}]")?,
                (None, Some(store)) => {
                    let list = &store[key as usize][..mop.seen as usize];
                    match (self.workload, list) {
                        (Workload::RwRegister, []) => write!(out, "{nil}]")?,
                        (Workload::RwRegister, [.., last]) => write!(out, "{last}]")?,
                        (Workload::ListAppend, list) => {
                            write!(out, "[")?;
                            for (at, element) in list.iter().enumerate() {
                                write!(out, "{}{element}", if at == 0 { "" } else { between })?;
                            }
                            write!(out, "]]")?;
                        }
                    }
                }
            }
        }
        writeln!(out, "]}}")?;
        *index += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The keys that are drawn from.
struct Keys {
    /// The key in each place, and how often it was written.
    places: [(u32, u32); KEYS],
    next: u32,
}

impl Keys {
    fn new() -> Self {
        Self { places: std::array::from_fn(|at| (at as u32, 0)), next: KEYS as u32 }
    }

    fn draw(&mut self, stream: &mut Stream) -> Mop {
        // Each place half as often as the one before it.
        let place = &mut self.places[(stream.next_u64().trailing_zeros() as usize) % KEYS];
        let (key, written) = *place;
        if stream.chance(1, 2) {
            return Mop::read(key, 0);
        }
        *place = if written + 1 == WRITES_MAX { (self.next, 0) } else { (key, written + 1) };
        self.next = self.next.max(place.0 + 1);
        Mop::write(key, written + 1)
    }
}

/// What a client does.
enum Client {
    Idle,
    Invoked(Vec<Mop>),
    Done(Vec<Mop>, End),
}

impl Transactions {
    /// The longest that a history gets, to know beforehand whether there is room for it.
    pub(crate) const fn bytes_max(&self) -> u64 {
        self.txns * 1000
    }

    pub(crate) fn write(&self, seed: u64, out: impl Write) -> io::Result<()> {
        let mut stream = Seed::new(seed).stream("bench-checker-transactions");
        let mut events = Events::new(out, self.workload, self.form)?;
        let mut keys = Keys::new();
        let mut store = Store::new();
        let mut clients: Vec<(u64, Client)> = (0..CLIENTS).map(|process| (process, Client::Idle)).collect();
        let (mut begun, mut ended) = (0, 0);
        while ended < self.txns {
            let (process, client) = &mut clients[stream.below(CLIENTS) as usize];
            *client = match std::mem::replace(client, Client::Idle) {
                Client::Idle if begun == self.txns => Client::Idle,
                Client::Idle => {
                    begun += 1;
                    let mops: Vec<Mop> = (0..=stream.below(4)).map(|_| keys.draw(&mut stream)).collect();
                    events.invoke(*process, &mops)?;
                    Client::Invoked(mops)
                }
                Client::Invoked(mut mops) => {
                    let of_hundred = stream.below(100);
                    let (end, happens) = if of_hundred < FAIL_PERCENT {
                        (End::Fail, false)
                    } else if of_hundred < FAIL_PERCENT + INFO_PERCENT {
                        (End::Info, stream.chance(1, 2))
                    } else {
                        (End::Ok, true)
                    };
                    if happens {
                        store.resize(store.len().max(keys.next as usize), Vec::new());
                        carry_out(&mut mops, &mut store);
                    }
                    Client::Done(mops, end)
                }
                Client::Done(mops, end) => {
                    ended += 1;
                    events.complete(*process, end, &mops, &store)?;
                    if end == End::Info {
                        *process += CLIENTS;
                    }
                    Client::Idle
                }
            };
        }
        events.finish()
    }
}

fn carry_out(mops: &mut [Mop], store: &mut Store) {
    for mop in mops {
        let list = &mut store[mop.key as usize];
        match mop.element {
            Some(element) => list.push(element),
            None => mop.seen = list.len() as u32,
        }
    }
}
