//! Numbered UDP datagrams from host to host: what a link does to packets, seen by their receiver. UDP and not TCP,
//! which hides what is measured here.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::DatagramGauge;
use crate::network::Host;

/// All of them within about this time.
const SENT_WITHIN: Duration = Duration::from_secs(1);
/// Never further apart than this, so that later ones overtake those that are held back.
const APART_MAX: Duration = Duration::from_millis(1);
/// Datagrams that are sent after the counted ones, a millisecond apart, so that the last of those can be overtaken.
const TRAILING: u32 = 100;
/// When all have arrived, a second copy of one may still come within this time.
const COPIES_WITHIN: Duration = Duration::from_millis(200);
/// Room for all datagrams of a measurement while nobody reads them.
const RECEIVE_BUFFER: usize = 32 << 20;
/// Ethernet, IP and UDP headers.
const HEADERS: usize = 42;
const SIZE: usize = 64;
/// How long a throughput is measured.
const BURST: Duration = Duration::from_secs(1);
const BURST_SIZE: std::ops::RangeInclusive<usize> = 64..=1_400;

/// What came of datagrams.
#[derive(Debug, Default)]
struct Arrivals {
    /// In order of arrival: number, and how long it took.
    all: Vec<(u32, Duration)>,
    /// How many had wrong content.
    wrong: u32,
    /// How many the receiver's kernel threw away because of their checksum, whoever sent them.
    bad_checksums: u64,
}

pub(super) async fn measure(
    from: &Host,
    to: &Host,
    count: u32,
    quiet: Duration,
    of: DatagramGauge,
) -> Result<f64, String> {
    let trailing = if of == DatagramGauge::Overtaken { TRAILING } else { 0 };
    let before = bad_checksums(to).await?;
    let (sender, receiver) = sockets(from, to).await?;
    let job = move || exchange(&sender, &receiver, count, trailing, quiet);
    let exchanged = tokio::task::spawn_blocking(job).await.map_err(|error| error.to_string())?;
    let mut arrivals = exchanged.map_err(|error| format!("no datagrams from {} to {}: {error}", from.name, to.name))?;
    arrivals.bad_checksums = bad_checksums(to).await?.saturating_sub(before);
    arrivals.gauge(of, count)
}

impl Arrivals {
    fn gauge(&self, of: DatagramGauge, count: u32) -> Result<f64, String> {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        let mut copies = vec![0_u32; count as usize];
        for (number, _) in &self.all {
            copies.get_mut(*number as usize).into_iter().for_each(|copies| *copies += 1);
        }
        let lost = copies.iter().filter(|copies| **copies == 0).count();
        match of {
            DatagramGauge::Delay => Ok(quantile(&self.times_ms()?, 0.5)),
            DatagramGauge::DelaySpread => {
                let times = self.times_ms()?;
                Ok(quantile(&times, 0.75) - quantile(&times, 0.25))
            }
            DatagramGauge::Lost => Ok(percent(lost, copies.len())),
            DatagramGauge::LossRun => {
                let begins = |at: &usize| copies[*at] == 0 && (*at == 0 || copies[at - 1] != 0);
                let runs = (0..copies.len()).filter(begins).count();
                Ok(lost as f64 / runs.max(1) as f64)
            }
            DatagramGauge::Duplicated => Ok(percent(copies.iter().filter(|copies| **copies > 1).count(), copies.len())),
            DatagramGauge::Overtaken => Ok(percent(self.overtaken(count), copies.len())),
            DatagramGauge::CorruptedNoticed if self.bad_checksums < lost as u64 => {
                Err(format!("{lost} datagrams lost, but only {} with a wrong checksum", self.bad_checksums))
            }
            DatagramGauge::CorruptedNoticed => Ok(percent(lost, copies.len())),
            DatagramGauge::CorruptedUnnoticed => Ok(percent(self.wrong as usize, self.all.len())),
        }
    }

    /// Sorted. Of a datagram that came twice the first time counts.
    fn times_ms(&self) -> Result<Vec<f64>, String> {
        let mut seen = std::collections::BTreeSet::new();
        let first = self.all.iter().filter(|(number, _)| seen.insert(*number));
        let mut times: Vec<f64> = first.map(|(_, time)| time.as_secs_f64() * 1_000.0).collect();
        if times.is_empty() {
            return Err("no datagram arrived".to_owned());
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    fn overtaken(&self, count: u32) -> usize {
        let mut latest = 0;
        let mut overtaken = std::collections::BTreeSet::new();
        for &(number, _) in &self.all {
            if number < latest && number < count {
                overtaken.insert(number);
            }
            latest = latest.max(number);
        }
        overtaken.len()
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A pair of sockets that belong to the hosts' namespaces; the first is connected to the second.
async fn sockets(from: &Host, to: &Host) -> Result<(UdpSocket, UdpSocket), String> {
    let bound = |host: &Host| {
        let address = SocketAddr::from((host.address, 0));
        host.run(move || -> io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            // Beyond the system's limit; without the right to that, up to it.
            if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            socket.bind(&address.into())?;
            Ok(socket.into())
        })
    };
    let told = |error: io::Error| error.to_string();
    let receiver = bound(to).await.map_err(|_| "a host's thread has ended".to_owned())?.map_err(told)?;
    let sender = bound(from).await.map_err(|_| "a host's thread has ended".to_owned())?.map_err(told)?;
    sender.connect(receiver.local_addr().map_err(told)?).map_err(told)?;
    Ok((sender, receiver))
}

/// Of all datagrams that the host's kernel ever received.
async fn bad_checksums(host: &Host) -> Result<u64, String> {
    let read = host.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
    let text = read.await.map_err(|_| "a host's thread has ended".to_owned())?.map_err(|error| error.to_string())?;
    udp_counter(&text, "InCsumErrors").ok_or_else(|| "/proc/net/snmp has no InCsumErrors".to_owned())
}

fn udp_counter(snmp: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let at = lines.next()?.split(' ').position(|column| column == name)?;
    lines.next()?.split(' ').nth(at)?.parse().ok()
}

/// The content of a datagram is a function of its number, which is in it three times: one flipped bit leaves two.
fn content(number: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        let word = if at < 3 { number } else { (number ^ at as u32).wrapping_mul(0x9e37_79b9) };
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn number_of(bytes: &[u8]) -> Option<u32> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(4 * at..4 * at + 4)?.try_into().ok()?));
    let (one, two, three) = (word(0)?, word(1)?, word(2)?);
    Some(if one == two || one == three { one } else { two })
}

/// Sends on one thread, receives on another.
fn exchange(
    sender: &UdpSocket,
    receiver: &UdpSocket,
    count: u32,
    trailing: u32,
    quiet: Duration,
) -> io::Result<Arrivals> {
    let begin = Instant::now();
    let sent_ns: Arc<[AtomicU64]> = (0..count + trailing).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(receiver, begin, &sent_ns, count, quiet, &done));
        let sent = send(sender, begin, &sent_ns, count);
        done.store(true, Ordering::Release);
        let received = receiving.join().map_err(|_| io::Error::other("the receiving thread ended"))?;
        sent.and(received)
    })
}

fn send(socket: &UdpSocket, begin: Instant, sent_ns: &[AtomicU64], count: u32) -> io::Result<()> {
    let apart = (SENT_WITHIN / count.max(1)).min(APART_MAX);
    for (number, sent) in (0..).zip(sent_ns) {
        let due = if number < count { apart * number } else { apart * count + APART_MAX * (number - count) };
        // In small bunches when they are many: a sleep takes its time, too.
        let ahead = due.saturating_sub(begin.elapsed());
        if ahead > Duration::from_micros(200) {
            std::thread::sleep(ahead);
        }
        sent.store(begin.elapsed().as_nanos() as u64, Ordering::Release);
        match socket.send(&content(number)) {
            Ok(_) => {}
            // Nobody listens any more: the receiver has heard enough.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive(
    socket: &UdpSocket,
    begin: Instant,
    sent_ns: &[AtomicU64],
    count: u32,
    quiet: Duration,
    done: &AtomicBool,
) -> io::Result<Arrivals> {
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut arrivals = Arrivals::default();
    let mut arrived = vec![false; sent_ns.len()];
    let mut missing = count;
    let mut last = begin.elapsed();
    let mut bytes = [0; 2 * SIZE];
    loop {
        match socket.recv(&mut bytes) {
            Ok(length) => {
                last = begin.elapsed();
                let number = number_of(&bytes[..length]);
                let Some((number, sent)) = number.and_then(|number| Some((number, sent_ns.get(number as usize)?)))
                else {
                    // Two bits were flipped, by two faults.
                    arrivals.wrong += 1;
                    continue;
                };
                arrivals.wrong += u32::from(bytes[..length] != content(number));
                let taken = last.saturating_sub(Duration::from_nanos(sent.load(Ordering::Acquire)));
                arrivals.all.push((number, taken));
                if !std::mem::replace(&mut arrived[number as usize], true) && number < count {
                    missing -= 1;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let over = if missing == 0 { COPIES_WITHIN.min(quiet) } else { quiet };
                if !done.load(Ordering::Acquire) {
                    last = begin.elapsed();
                } else if begin.elapsed().saturating_sub(last) > over {
                    return Ok(arrivals);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Megabits a second that arrive of those that are offered.
pub(super) async fn throughput(from: &Host, to: &Host, offered: u64, quiet: Duration) -> Result<f64, String> {
    let (sender, receiver) = sockets(from, to).await?;
    let job = move || flood(&sender, &receiver, offered, quiet);
    let measured = tokio::task::spawn_blocking(job).await.map_err(|error| error.to_string())?;
    measured.map_err(|error| format!("no datagrams from {} to {}: {error}", from.name, to.name))
}

fn flood(sender: &UdpSocket, receiver: &UdpSocket, offered: u64, quiet: Duration) -> io::Result<f64> {
    let begin = Instant::now();
    let done = AtomicBool::new(false);
    let bytes_per_s = offered / 8;
    // Small where little fits through, so that there are enough to count.
    let frame = (bytes_per_s as usize / 200).clamp(*BURST_SIZE.start(), *BURST_SIZE.end());
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| count_bytes(receiver, begin, quiet, &done));
        let datagram = vec![0x5a; frame - HEADERS];
        let mut sent = 0;
        while begin.elapsed() < BURST {
            if sent > (begin.elapsed().as_secs_f64() * bytes_per_s as f64) as u64 {
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
            sender.send(&datagram)?;
            sent += frame as u64;
        }
        done.store(true, Ordering::Release);
        let (bytes, last) = receiving.join().map_err(|_| io::Error::other("the receiving thread ended"))??;
        // From the first sent to the last received: a receiver that is late makes a link seem slower, never faster.
        Ok(if bytes == 0 { 0.0 } else { bytes as f64 * 8.0 / 1e6 / last.as_secs_f64() })
    })
}

fn count_bytes(socket: &UdpSocket, begin: Instant, quiet: Duration, done: &AtomicBool) -> io::Result<(u64, Duration)> {
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let (mut bytes, mut last) = (0, Duration::ZERO);
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                last = begin.elapsed();
                bytes += (length + HEADERS) as u64;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let silent = begin.elapsed().saturating_sub(last.max(BURST));
                if done.load(Ordering::Acquire) && silent > quiet {
                    return Ok((bytes, last));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u32]) -> Arrivals {
        let all = numbers.iter().map(|&number| (number, Duration::from_millis(10 + u64::from(number)))).collect();
        Arrivals { all, ..Arrivals::default() }
    }

    #[test]
    fn every_quantity_is_told_from_the_arrivals() {
        let some = arrivals(&[0, 1, 3, 2, 2, 7, 9]);
        let gauge = |of| some.gauge(of, 10).unwrap();
        assert_eq!(gauge(DatagramGauge::Lost), 40.0);
        // 4, 5, 6 and 8.
        assert_eq!(gauge(DatagramGauge::LossRun), 2.0);
        assert_eq!(gauge(DatagramGauge::Duplicated), 10.0);
        assert_eq!(gauge(DatagramGauge::Overtaken), 10.0);
        assert_eq!(gauge(DatagramGauge::Delay), 13.0);
        assert_eq!(gauge(DatagramGauge::DelaySpread), 17.0 - 11.0);
        assert_eq!(gauge(DatagramGauge::CorruptedUnnoticed), 0.0);
        assert!(some.gauge(DatagramGauge::CorruptedNoticed, 10).unwrap_err().contains("only 0 with a wrong checksum"));
        let noticed = Arrivals { bad_checksums: 4, ..arrivals(&[0, 1, 3, 2, 7, 9]) };
        assert_eq!(noticed.gauge(DatagramGauge::CorruptedNoticed, 10), Ok(40.0));
        assert!(arrivals(&[]).gauge(DatagramGauge::Delay, 10).is_err());
        assert_eq!(arrivals(&[]).gauge(DatagramGauge::Lost, 10), Ok(100.0));
        assert_eq!(arrivals(&[0, 1, 2]).gauge(DatagramGauge::LossRun, 3), Ok(0.0));
    }

    #[test]
    fn trailing_datagrams_only_overtake() {
        let some = arrivals(&[0, 2, 11, 1, 10]);
        assert_eq!(some.gauge(DatagramGauge::Overtaken, 10).unwrap(), 10.0);
    }

    #[test]
    fn a_flipped_bit_changes_the_content_and_not_the_number() {
        for bit in 0..8 * SIZE {
            let mut bytes = content(77);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(number_of(&bytes), Some(77));
            assert_ne!(bytes, content(77));
        }
        assert_eq!(number_of(b"short"), None);
    }

    #[test]
    fn reads_the_kernels_counters() {
        let snmp =
            "Tcp: InCsumErrors\nTcp: 9\nUdp: InDatagrams InCsumErrors\nUdp: 5 3\nUdpLite: InCsumErrors\nUdpLite: 1\n";
        assert_eq!(udp_counter(snmp, "InCsumErrors"), Some(3));
        assert_eq!(udp_counter(snmp, "Nothing"), None);
    }

    #[test]
    fn datagrams_on_this_host_all_arrive_in_time() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let arrivals = exchange(&sender, &receiver, 100, 10, Duration::from_secs(1)).unwrap();
        assert_eq!(arrivals.all.len(), 110);
        assert_eq!(arrivals.gauge(DatagramGauge::Lost, 100), Ok(0.0));
        let measured = flood(&sender, &receiver, 8_000_000, Duration::from_millis(100)).unwrap();
        assert!((4.0..9.0).contains(&measured), "{measured}");
    }
}
