//! Writes each event to disk as it happens, and builds the history that the checkers read from the same events.
//!
//! The loop only appends bytes to a buffer; a thread of its own swaps the buffer every [`FLUSH_EVERY`] and writes it
//! out, so that an event is at most 10 ms late in the file even when the loop is busy, and a slow disk stalls nobody
//! until [`BUFFER_BYTES_MAX`] are waiting.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use schism_checker::history::{
    Event, EventType, F, Header, History, HistoryBuilder, OpError, Process, Value, write_event, write_event_edn,
    write_header,
};

/// Half of the 10 ms that an event may be late, so that the write itself has the other half.
const FLUSH_EVERY: Duration = Duration::from_millis(5);

/// Beyond this the loop waits for the disk: at a million events a second it is a tenth of a second of history.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A file that is written behind the loop's back.
struct Sink {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<SinkState>,
    /// Signals the writer that it must stop, and the loop that there is room again.
    changed: Condvar,
}

#[derive(Default)]
struct SinkState {
    waiting: Vec<u8>,
    stop: bool,
    error: Option<io::Error>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SinkState> {
        // A panic while holding the lock leaves whole events behind: appends are the only thing done under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
        let shared = Arc::new(Shared::default());
        let writer = std::thread::Builder::new().name("recorder".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || write_until_stopped(&shared, file)
        })?;
        Ok(Self { shared, writer: Some(writer) })
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.shared.lock();
        while state.waiting.len() > BUFFER_BYTES_MAX && state.error.is_none() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.error.is_none() {
            write(&mut state.waiting);
        }
    }

    fn failure(&self) -> Option<String> {
        self.shared.lock().error.as_ref().map(io::Error::to_string)
    }

    fn finish(mut self) -> io::Result<()> {
        self.stop();
        self.shared.lock().error.take().map_or(Ok(()), Err)
    }

    fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been printed; its file ends at the last whole write.
            let _ = writer.join();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_until_stopped(shared: &Shared, mut file: File) {
    let mut writing = Vec::new();
    loop {
        let stop = {
            let mut state = shared.lock();
            if !state.stop {
                state = shared.changed.wait_timeout(state, FLUSH_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut state.waiting, &mut writing);
            state.stop
        };
        shared.changed.notify_all();
        if let Err(error) = file.write_all(&writing) {
            shared.lock().error = Some(error);
            shared.changed.notify_all();
            return;
        }
        writing.clear();
        if stop {
            if let Err(error) = file.sync_all() {
                shared.lock().error = Some(error);
            }
            return;
        }
    }
}

/// What the loop hands over: an event without its index.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) time_ns: u64,
    pub(crate) process: Process,
    pub(crate) kind: EventType,
    pub(crate) f: F,
    pub(crate) value: Value,
    pub(crate) error: Option<OpError>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) is_final: bool,
}

/// Numbers, stores and keeps events.
pub(crate) struct Recorder {
    jsonl: Sink,
    edn: Option<Sink>,
    builder: HistoryBuilder,
    next_index: u64,
}

impl Recorder {
    /// Creates the history file (and the EDN file, when asked) in the result folder, before the first op.
    pub(crate) fn create(directory: &Path, header: Header, with_edn: bool) -> anyhow::Result<Self> {
        let jsonl = Sink::create(&directory.join("history.jsonl"))?;
        let edn = with_edn.then(|| Sink::create(&directory.join("history.edn"))).transpose()?;
        jsonl.append(|buffer| write_header(buffer, &header));
        Ok(Self { jsonl, edn, builder: HistoryBuilder::new(header), next_index: 0 })
    }

    /// Numbers an event and writes it out; [`Recorder::keep`] it when everybody has seen it.
    pub(crate) fn write(&mut self, entry: Entry) -> Event {
        let event = Event {
            index: self.next_index,
            time_ns: entry.time_ns,
            process: entry.process,
            kind: entry.kind,
            f: entry.f,
            value: entry.value,
            error: entry.error,
            node: entry.node,
            is_final: entry.is_final,
            order: None,
        };
        self.next_index += 1;
        self.jsonl.append(|buffer| write_event(buffer, &event));
        if let Some(edn) = &self.edn {
            edn.append(|buffer| write_event_edn(buffer, &event));
        }
        event
    }

    /// Keeps a written event for the checkers. (Taken by value: a copy of a final read may be tens of megabytes.)
    pub(crate) fn keep(&mut self, event: Event) {
        self.builder.push(event);
    }

    /// Why a file could not be written; the run must end then.
    pub(crate) fn failure(&self) -> Option<String> {
        self.jsonl.failure().or_else(|| self.edn.as_ref()?.failure())
    }

    /// Ends the files and gives the history, with the error of a file that is incomplete.
    pub(crate) fn finish(self) -> (anyhow::Result<History>, Option<io::Error>) {
        let mut error = self.jsonl.finish().err();
        if let Some(edn) = self.edn {
            error = error.or(edn.finish().err());
        }
        let history = self.builder.finish().map_err(|problems| {
            anyhow::anyhow!("the recorded history is malformed, which is a bug of schism:\n{problems}")
        });
        (history, error)
    }
}
