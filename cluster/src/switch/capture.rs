//! What goes over shaped links, as files for Wireshark or tcpdump: packets as they came to the switch and as they left
//! it, so that what a fault did is the difference. The format is libpcap's classic one with nanoseconds
//! (pcap-savefile(5)).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashMap;

use super::frame::{Link, parse};
use super::table::Table;

const MAGIC_NS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
const SNAP_LENGTH: u32 = 65_535;
/// A file that would grow beyond this gets no more packets: results must not fill a disk.
const BYTES_MAX: u64 = 256 << 20;

/// The files that are being written.
#[derive(Debug, Default)]
pub(super) struct Captures {
    files: BTreeMap<PathBuf, Capture>,
    by_link: FxHashMap<Link, Vec<PathBuf>>,
}

#[derive(Debug)]
struct Capture {
    came: Pcap<BufWriter<File>>,
    left: Pcap<BufWriter<File>>,
}

/// Where the packets of a capture are as they came, and as they left.
pub(super) fn paths(capture: &Path) -> [PathBuf; 2] {
    ["in.pcap", "out.pcap"].map(|end| capture.with_extension(end))
}

impl Captures {
    /// Opens what is new and closes what is over.
    pub(super) fn load(&mut self, table: &Table) -> io::Result<()> {
        self.by_link.clear();
        let mut before = std::mem::take(&mut self.files);
        for entry in &table.entries {
            let Some(path) = &entry.capture else { continue };
            let capture = match before.remove(path) {
                Some(open) => open,
                None => {
                    let [came, left] = paths(path).map(Pcap::create);
                    Capture { came: came?, left: left? }
                }
            };
            self.files.insert(path.clone(), capture);
            for link in &entry.links {
                self.by_link.entry((link.source, link.destination)).or_default().push(path.clone());
            }
        }
        before.into_values().for_each(Capture::flush);
        Ok(())
    }

    pub(super) fn came(&mut self, frame: &[u8]) {
        self.note(frame, |capture| &mut capture.came);
    }

    pub(super) fn left(&mut self, frame: &[u8]) {
        self.note(frame, |capture| &mut capture.left);
    }

    fn note(&mut self, frame: &[u8], side: impl Fn(&mut Capture) -> &mut Pcap<BufWriter<File>>) {
        if self.by_link.is_empty() {
            return;
        }
        let Some(layout) = parse(frame) else { return };
        for path in self.by_link.get(&layout.link).into_iter().flatten() {
            if let Some(capture) = self.files.get_mut(path) {
                side(capture).packet(frame, SystemTime::now());
            }
        }
    }

    /// While there is nothing else to do: what is in the files is then whole up to now, however we end.
    pub(super) fn flush(&mut self) {
        for capture in self.files.values_mut() {
            capture.came.flush();
            capture.left.flush();
        }
    }
}

impl Capture {
    fn flush(mut self) {
        self.came.flush();
        self.left.flush();
    }
}

#[derive(Debug)]
struct Pcap<W> {
    output: W,
    bytes: u64,
}

impl Pcap<BufWriter<File>> {
    /// Appends to a file that is there: a switch that was started anew goes on with it.
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        let mut pcap = Self { output: BufWriter::new(file), bytes };
        if bytes == 0 {
            pcap.header()?;
        }
        Ok(pcap)
    }
}

impl<W: Write> Pcap<W> {
    fn header(&mut self) -> io::Result<()> {
        let mut header = Vec::new();
        header.extend(MAGIC_NS.to_le_bytes());
        header.extend([2, 0, 4, 0]);
        header.extend([0; 8]);
        header.extend(SNAP_LENGTH.to_le_bytes());
        header.extend(ETHERNET.to_le_bytes());
        self.bytes += header.len() as u64;
        self.output.write_all(&header)
    }

    /// A disk that is full costs packets of the capture, never packets of the network.
    fn packet(&mut self, frame: &[u8], time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = frame.len() as u32;
        if self.bytes + 16 + u64::from(length) > BYTES_MAX {
            return;
        }
        self.bytes += 16 + u64::from(length);
        let mut header = [0; 16];
        let words = [since.as_secs() as u32, since.subsec_nanos(), length, length];
        for (bytes, word) in header.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let _ = self.output.write_all(&header).and_then(|()| self.output.write_all(frame));
    }

    fn flush(&mut self) {
        let _ = self.output.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::udp;
    use super::super::rule::Rule;
    use super::super::table::tests::entry;
    use super::*;

    #[test]
    fn a_capture_has_what_came_and_what_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fault-1");
        let mut table = Table::default();
        table.put(super::super::table::Entry { capture: Some(path.clone()), ..entry(1, Rule::HalfOpen) });
        let mut captures = Captures::default();
        captures.load(&table).unwrap();
        captures.came(&udp(b"one"));
        captures.came(&udp(b"three"));
        captures.left(&udp(b"one"));
        captures.left(b"no packet");
        captures.load(&Table::default()).unwrap();
        captures.came(&udp(b"later"));
        let sizes = paths(&path).map(|path| std::fs::metadata(path).unwrap().len());
        assert_eq!(sizes, [24 + 2 * 16 + 2 * 42 + 8, 24 + 16 + 42 + 3]);
        let bytes = std::fs::read(&paths(&path)[1]).unwrap();
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(bytes[32..40], [45, 0, 0, 0, 45, 0, 0, 0]);
        assert_eq!(bytes[40..], udp(b"one"));
        // Again: it goes on, without a second header.
        captures.load(&table).unwrap();
        captures.left(&udp(b"one"));
        captures.flush();
        assert_eq!(std::fs::metadata(&paths(&path)[1]).unwrap().len(), 24 + 2 * (16 + 45));
    }
}
