//! One Ethernet frame with an IPv4 packet in it: as much of it as a rule may want to know or change.
//!
//! Headers as in RFC 791 (IPv4), RFC 9293 (TCP) and RFC 768 (UDP). IPv6 is off in the sandbox.

use std::net::Ipv4Addr;

const ETHERNET: usize = 14;
const IPV4_MIN: usize = 20;
const TCP_MIN: usize = 20;
const UDP: usize = 8;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Source and destination.
pub(crate) type Link = (Ipv4Addr, Ipv4Addr);

/// Where the parts of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) link: Link,
    /// Where the IP packet's content begins.
    content: usize,
    /// Where it ends; what follows is padding.
    end: usize,
    transport: Transport,
}

/// What the IP packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp(Tcp),
    Udp,
    /// Another protocol, or a fragment without the transport's header.
    Other,
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) flags: u8,
    /// Source and destination port: with the link's addresses, the connection and its direction.
    pub(crate) ports: (u16, u16),
    header: usize,
}

/// What is a whole IPv4 packet; anything else is none of ours.
pub(crate) fn parse(frame: &[u8]) -> Option<Layout> {
    let ip = frame.get(ETHERNET..)?;
    if frame[12..14] != [0x08, 0x00] || ip.len() < IPV4_MIN || ip[0] >> 4 != 4 {
        return None;
    }
    let header = usize::from(ip[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    if header < IPV4_MIN || total < header || ip.len() < total {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    let content = &ip[header..total];
    let transport = match ip[9] {
        6 if !fragment => tcp(content).map_or(Transport::Other, Transport::Tcp),
        17 if !fragment && content.len() >= UDP => Transport::Udp,
        _ => Transport::Other,
    };
    Some(Layout { link: (address(12), address(16)), content: ETHERNET + header, end: ETHERNET + total, transport })
}

fn tcp(segment: &[u8]) -> Option<Tcp> {
    if segment.len() < TCP_MIN {
        return None;
    }
    let header = usize::from(segment[12] >> 4) * 4;
    let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
    (TCP_MIN..=segment.len()).contains(&header).then(|| Tcp { flags: segment[13], ports: (port(0), port(2)), header })
}

impl Layout {
    pub(crate) const fn tcp(&self) -> Option<Tcp> {
        match self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            Transport::Udp | Transport::Other => None,
        }
    }

    /// The bytes that an application would read.
    fn payload(&self) -> std::ops::Range<usize> {
        match self.transport {
            Transport::Tcp(tcp) => self.content + tcp.header..self.end,
            Transport::Udp => self.content + UDP..self.end,
            Transport::Other => self.end..self.end,
        }
    }

    pub(crate) fn has_payload(&self) -> bool {
        !self.payload().is_empty()
    }

    /// Where a flipped bit is found by the receiver's checksum and by nothing else before it: in the payload, else in
    /// TCP's sequence numbers or UDP's source port. A flipped length or header length would be caught as malformed.
    fn checked_bytes(&self) -> std::ops::Range<usize> {
        let payload = self.payload();
        match self.transport {
            _ if !payload.is_empty() => payload,
            Transport::Tcp(_) => self.content + 4..self.content + 12,
            Transport::Udp => self.content..self.content + 2,
            Transport::Other => self.content..self.end,
        }
    }

    /// Flips one bit that the receiver's checksum covers, and leaves the checksum as it is. `draw` gives a number
    /// below its argument. False where there is nothing to flip.
    pub(crate) fn corrupt(&self, frame: &mut [u8], draw: impl FnMut(u64) -> u64) -> bool {
        flip(frame, self.checked_bytes(), draw).is_some()
    }

    /// Flips one bit of the payload and makes the checksum right again: what a broken memory of a switch or network
    /// card does, and no checksum finds (J. Stone, C. Partridge, "When the CRC and TCP Checksum Disagree", 2000).
    /// False where there is no payload.
    pub(crate) fn corrupt_unnoticed(&self, frame: &mut [u8], draw: impl FnMut(u64) -> u64) -> bool {
        let payload = self.payload();
        // The bit is drawn first, on a look at where it will be, since the sum is over words.
        let word = |frame: &[u8], at: usize| {
            let even = at - (at - self.content) % 2;
            let low = if even + 1 < self.end { frame[even + 1] } else { 0 };
            [frame[even], low]
        };
        let Some((at, bit)) = choose(payload, draw) else { return false };
        let before = word(frame, at);
        frame[at] ^= bit;
        let after = word(frame, at);
        self.fix_checksum(frame, before, after);
        true
    }

    /// Takes FIN out of a segment, for the part of it that is delivered before the end of the connection.
    pub(crate) fn clear_fin(&self, frame: &mut [u8]) {
        if self.tcp().is_none() {
            return;
        }
        let at = self.content + 12;
        let before = [frame[at], frame[at + 1]];
        frame[at + 1] &= !FIN;
        self.fix_checksum(frame, before, [frame[at], frame[at + 1]]);
    }

    /// RFC 1624, equation 3: a sum of which one word has changed.
    fn fix_checksum(&self, frame: &mut [u8], before: [u8; 2], after: [u8; 2]) {
        let at = match self.transport {
            Transport::Tcp(_) => self.content + 16,
            Transport::Udp => self.content + 6,
            Transport::Other => return,
        };
        let old = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let udp = self.transport == Transport::Udp;
        // A UDP datagram without a checksum stays without one.
        if udp && old == 0 {
            return;
        }
        let sum = u32::from(!old) + u32::from(!u16::from_be_bytes(before)) + u32::from(u16::from_be_bytes(after));
        let new = !fold(sum);
        // And one with a checksum keeps one: zero means none.
        let new = if udp && new == 0 { 0xffff } else { new };
        frame[at..at + 2].copy_from_slice(&new.to_be_bytes());
    }

    /// The two frames that tell both ends of a segment's connection that it is reset: to the segment's sender, as if
    /// from its peer, and to its receiver, as if from the sender. Each has the one sequence number that its receiver
    /// accepts (RFC 5961, section 3): what it has acknowledged, or what it is about to receive.
    pub(crate) fn resets(&self, frame: &[u8]) -> Option<[[u8; RESET_LEN]; 2]> {
        let tcp = self.tcp()?;
        let (source, destination) = self.link;
        let number = |at: usize| {
            let at = self.content + at;
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let (seq, ack) = (number(4), number(8));
        let (to, from): (&[u8], &[u8]) = (&frame[0..6], &frame[6..12]);
        let (near, far) = tcp.ports;
        let back = reset(from, to, (destination, source), (far, near), ack, seq);
        let forth = reset(to, from, (source, destination), (near, far), seq, ack);
        Some([back, forth])
    }
}

/// Ethernet, IP and TCP headers without options.
pub(crate) const RESET_LEN: usize = ETHERNET + IPV4_MIN + TCP_MIN;

fn reset(to: &[u8], from: &[u8], link: Link, ports: (u16, u16), seq: u32, ack: u32) -> [u8; RESET_LEN] {
    let mut frame = [0; RESET_LEN];
    frame[0..6].copy_from_slice(to);
    frame[6..12].copy_from_slice(from);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip = &mut frame[ETHERNET..ETHERNET + IPV4_MIN];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&((IPV4_MIN + TCP_MIN) as u16).to_be_bytes());
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&link.0.octets());
    ip[16..20].copy_from_slice(&link.1.octets());
    let sum = checksum(ip, 0);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let tcp = &mut frame[ETHERNET + IPV4_MIN..];
    tcp[0..2].copy_from_slice(&ports.0.to_be_bytes());
    tcp[2..4].copy_from_slice(&ports.1.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = (TCP_MIN as u8 / 4) << 4;
    tcp[13] = RST | ACK;
    let sum = checksum(tcp, pseudo_header(link, 6, TCP_MIN as u16));
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn pseudo_header(link: Link, protocol: u8, length: u16) -> u32 {
    let words = |address: Ipv4Addr| (u32::from(address) >> 16) + (u32::from(address) & 0xffff);
    words(link.0) + words(link.1) + u32::from(protocol) + u32::from(length)
}

fn checksum(bytes: &[u8], begin: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    !fold(begin + words.sum::<u32>())
}

const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn choose(range: std::ops::Range<usize>, mut draw: impl FnMut(u64) -> u64) -> Option<(usize, u8)> {
    if range.is_empty() {
        return None;
    }
    let bit = draw(8 * range.len() as u64) as usize;
    Some((range.start + bit / 8, 1 << (bit % 8)))
}

fn flip(frame: &mut [u8], range: std::ops::Range<usize>, draw: impl FnMut(u64) -> u64) -> Option<()> {
    let (at, bit) = choose(range, draw)?;
    frame[at] ^= bit;
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const A: Ipv4Addr = Ipv4Addr::new(10, 84, 0, 1);
    pub(crate) const B: Ipv4Addr = Ipv4Addr::new(10, 84, 0, 2);

    /// A frame from A to B with a right checksum.
    pub(crate) fn frame(protocol: u8, header: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
        let mut ip = [0_u8; IPV4_MIN];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&((IPV4_MIN + header.len() + payload.len()) as u16).to_be_bytes());
        ip[8] = 64;
        ip[9] = protocol;
        ip[12..16].copy_from_slice(&A.octets());
        ip[16..20].copy_from_slice(&B.octets());
        frame.extend(ip);
        frame.extend(header);
        frame.extend(payload);
        let at = if protocol == 6 { 16 } else { 6 };
        let sum = checksum(&frame[34..], pseudo_header((A, B), protocol, (header.len() + payload.len()) as u16));
        frame[34 + at..34 + at + 2].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
        let length = (UDP + payload.len()) as u16;
        frame(17, &[[0, 7, 0, 9], [(length >> 8) as u8, length as u8, 0, 0]].concat(), payload)
    }

    pub(crate) fn tcp_segment(flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = [0; TCP_MIN];
        header[0..4].copy_from_slice(&[0x10, 0, 0x20, 0]);
        header[4..8].copy_from_slice(&1_000_u32.to_be_bytes());
        header[8..12].copy_from_slice(&2_000_u32.to_be_bytes());
        header[12] = 5 << 4;
        header[13] = flags;
        frame(6, &header, payload)
    }

    /// As the receiver's kernel judges it.
    fn is_sound(frame: &[u8]) -> bool {
        let layout = parse(frame).unwrap();
        let (protocol, content) = (frame[ETHERNET + 9], &frame[layout.content..layout.end]);
        checksum(content, pseudo_header(layout.link, protocol, content.len() as u16)) == 0
    }

    #[test]
    fn only_whole_ipv4_packets_are_parsed() {
        let whole = tcp_segment(SYN, b"");
        assert_eq!(parse(&whole).unwrap().link, (A, B));
        assert_eq!(parse(&whole).unwrap().tcp().unwrap().ports, (0x1000, 0x2000));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let mut arp = whole.clone();
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(parse(&arp), None);
        let mut fragment = whole;
        fragment[ETHERNET + 7] = 1;
        assert_eq!(parse(&fragment).unwrap().tcp(), None);
    }

    #[test]
    fn resets_have_the_numbers_that_both_ends_accept() {
        let segment = tcp_segment(ACK, b"data");
        let [back, forth] = parse(&segment).unwrap().resets(&segment).unwrap();
        assert!(is_sound(&back) && is_sound(&forth));
        assert_eq!(checksum(&back[ETHERNET..ETHERNET + IPV4_MIN], 0), 0);
        assert_eq!((parse(&back).unwrap().link, parse(&forth).unwrap().link), ((B, A), (A, B)));
        assert_eq!(parse(&back).unwrap().tcp().unwrap().ports, (0x2000, 0x1000));
        let seq = |frame: &[u8]| u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
        assert_eq!((seq(&back), seq(&forth)), (2_000, 1_000));
        assert_eq!(&back[0..6], &segment[6..12]);
    }

    #[test]
    fn without_its_fin_a_segment_is_sound() {
        let mut segment = tcp_segment(FIN | ACK, b"last words");
        let layout = parse(&segment).unwrap();
        layout.clear_fin(&mut segment);
        assert!(is_sound(&segment));
        assert_eq!(parse(&segment).unwrap().tcp().unwrap().flags, ACK);
    }

    #[test]
    fn what_has_no_payload_cannot_be_corrupted_unnoticed() {
        let mut segment = tcp_segment(ACK, b"");
        let before = segment.clone();
        let layout = parse(&segment).unwrap();
        assert!(!layout.corrupt_unnoticed(&mut segment, |_| 0));
        assert_eq!(segment, before);
        assert!(layout.corrupt(&mut segment, |_| 0));
        assert!(!is_sound(&segment));
    }

    proptest! {
        #[test]
        fn one_bit_is_found_by_the_checksum_unless_that_is_mended(
            payload in proptest::collection::vec(any::<u8>(), 1..100), draw: u64, tcp: bool,
        ) {
            let whole = if tcp { tcp_segment(ACK, &payload) } else { udp(&payload) };
            prop_assert!(is_sound(&whole));
            let layout = parse(&whole).unwrap();
            let mut noticed = whole.clone();
            prop_assert!(layout.corrupt(&mut noticed, |below| draw % below));
            prop_assert!(!is_sound(&noticed));
            let mut unnoticed = whole.clone();
            prop_assert!(layout.corrupt_unnoticed(&mut unnoticed, |below| draw % below));
            prop_assert!(is_sound(&unnoticed));
            let (before, after) = (&whole[layout.payload()], &unnoticed[layout.payload()]);
            let flipped: u32 = before.iter().zip(after).map(|(one, other)| (one ^ other).count_ones()).sum();
            prop_assert_eq!(flipped, 1);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), draw: u64) {
            let mut frame = bytes;
            if frame.len() > 14 {
                frame[12] = 0x08;
                frame[13] = 0x00;
                frame[14] = 0x45;
            }
            if let Some(layout) = parse(&frame) {
                layout.resets(&frame);
                layout.clear_fin(&mut frame);
                layout.corrupt(&mut frame, |below| draw % below);
                layout.corrupt_unnoticed(&mut frame, |below| draw % below);
            }
        }
    }
}
