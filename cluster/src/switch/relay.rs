//! Packets from their arrival to their departure: each passes the rules of its link in the order of the faults, and
//! waits until it is due. Pure: frames and times in, frames out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;
use schism_seed::Seed;

use super::frame::{Layout, Link, parse};
use super::rule::{Fate, RuleState};
use super::table::Table;

/// Room for an Ethernet frame of the usual 1500 bytes of content; the kernel cuts what is longer before we see it.
pub(crate) const FRAME_MAX: usize = 2_048;
/// How many frames may wait: 128 MiB. A long delay on a fast link is bounded by this, as on a real one by its buffers.
const WAITING_MAX: usize = 65_536;

/// A frame in a buffer of its own, which is used again.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) bytes: Box<[u8; FRAME_MAX]>,
    pub(crate) length: usize,
}

impl Frame {
    fn empty() -> Self {
        Self { bytes: Box::new([0; FRAME_MAX]), length: 0 }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The rules of all links and the frames on their way.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    links: FxHashMap<Link, Vec<Placed>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Counts arrivals, so that of frames that are due together the first goes first.
    order: u64,
    spare: Vec<Frame>,
    pub(crate) counts: Counts,
}

/// A rule of a fault on a link.
#[derive(Debug)]
struct Placed {
    id: u32,
    seed: u64,
    state: RuleState,
}

#[derive(Debug)]
struct Waiting {
    due_ns: u64,
    order: u64,
    link: Link,
    frame: Frame,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.order).cmp(&(other.due_ns, other.order))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

/// What has gone through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Dropped because too many were waiting: not by any rule.
    pub(crate) overflowed: u64,
}

impl Relay {
    /// Takes these rules over. What a rule that was there before remembers stays; frames on links that have no rule
    /// any more are due at once.
    pub(crate) fn load(&mut self, table: &Table) {
        let mut before = std::mem::take(&mut self.links);
        for entry in &table.entries {
            for link in &entry.links {
                let key = (link.source, link.destination);
                let same = |placed: &Placed| {
                    placed.id == entry.id && placed.seed == entry.seed && placed.state.rule == entry.rule
                };
                let old = before.get_mut(&key).and_then(|rules| {
                    let at = rules.iter().position(same)?;
                    Some(rules.swap_remove(at))
                });
                let placed = old.unwrap_or_else(|| Placed {
                    id: entry.id,
                    seed: entry.seed,
                    // By fault too: two with the same number must not hit the same packets.
                    state: RuleState::new(
                        entry.rule,
                        Seed::new(entry.seed).stream(&format!("fault {} {}", entry.id, link.name())),
                    ),
                });
                self.links.entry(key).or_default().push(placed);
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting
            .into_iter()
            .map(|Reverse(mut waiting)| {
                if !self.links.contains_key(&waiting.link) {
                    waiting.due_ns = 0;
                }
                Reverse(waiting)
            })
            .collect();
    }

    /// A buffer to be filled.
    pub(crate) fn buffer(&mut self) -> Frame {
        self.spare.pop().unwrap_or_else(Frame::empty)
    }

    /// Gives a buffer back.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        self.spare.push(frame);
    }

    /// A frame has come.
    pub(crate) fn receive(&mut self, frame: Frame, now_ns: u64) {
        self.counts.received += 1;
        match parse(frame.as_slice()) {
            // Only packets of links with rules are diverted to us; this one was on its way when its rule went.
            Some(layout) if !self.links.contains_key(&layout.link) => self.wait(frame, layout.link, 0),
            Some(layout) => self.pass(frame, &layout, 0, now_ns),
            None => self.recycle(frame),
        }
    }

    /// Through the rules of its link, from this one on.
    fn pass(&mut self, mut frame: Frame, layout: &Layout, first: usize, mut at_ns: u64) {
        let mut number = first;
        loop {
            let rules = self.links.get_mut(&layout.link);
            let Some(placed) = rules.and_then(|rules| rules.get_mut(number)) else { break };
            number += 1;
            let length = frame.length;
            match placed.state.fate(layout, &mut frame.bytes[..length], at_ns) {
                Fate::Pass { at_ns: later_ns } => at_ns = later_ns,
                Fate::Drop => return self.recycle(frame),
                Fate::Twice { at_ns: later_ns } => {
                    at_ns = later_ns;
                    let copy = self.copy(frame.as_slice());
                    self.pass(copy, layout, number, at_ns);
                }
                Fate::Split { fin_at_ns } => {
                    let mut content = self.copy(frame.as_slice());
                    layout.clear_fin(&mut content.bytes[..length]);
                    self.pass(content, layout, number, at_ns);
                    at_ns = fin_at_ns;
                }
                Fate::Reset => {
                    for bytes in layout.resets(frame.as_slice()).into_iter().flatten() {
                        let reset = self.copy(&bytes);
                        self.wait(reset, layout.link, at_ns);
                    }
                    return self.recycle(frame);
                }
            }
        }
        self.wait(frame, layout.link, at_ns);
    }

    fn copy(&mut self, bytes: &[u8]) -> Frame {
        let mut copy = self.buffer();
        copy.bytes[..bytes.len()].copy_from_slice(bytes);
        copy.length = bytes.len();
        copy
    }

    fn wait(&mut self, frame: Frame, link: Link, due_ns: u64) {
        if self.waiting.len() >= WAITING_MAX {
            self.counts.overflowed += 1;
            return self.recycle(frame);
        }
        self.order += 1;
        self.waiting.push(Reverse(Waiting { due_ns, order: self.order, link, frame }));
    }

    /// When the next frame is due; `None` when none waits.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.peek().map(|Reverse(waiting)| waiting.due_ns)
    }

    /// The next frame that is due by now. To be given back when it is sent.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<Frame> {
        if self.next_due_ns()? > now_ns {
            return None;
        }
        self.waiting.pop().map(|Reverse(waiting)| {
            self.counts.sent += 1;
            waiting.frame
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Distribution;
    use super::super::frame::tests::{tcp_segment, udp};
    use super::super::frame::{FIN, SYN};
    use super::super::rule::Rule;
    use super::super::table::tests::entry;
    use super::*;

    const MS: u64 = 1_000_000;
    const ACK: u8 = 0x10;

    fn relay(rules: &[(u32, Rule)]) -> Relay {
        let mut relay = Relay::default();
        relay.load(&table(rules));
        relay
    }

    fn table(rules: &[(u32, Rule)]) -> Table {
        let mut table = Table::default();
        rules.iter().for_each(|&(id, rule)| table.put(entry(id, rule)));
        table
    }

    fn delay(delay_ms: u64) -> Rule {
        Rule::Delay { delay_ms, jitter_ms: 0, distribution: Distribution::Uniform }
    }

    fn send(relay: &mut Relay, bytes: &[u8], now_ns: u64) {
        let frame = relay.copy(bytes);
        relay.receive(frame, now_ns);
    }

    /// Everything that is due, in order.
    fn arrived(relay: &mut Relay, now_ns: u64) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(frame) = relay.due(now_ns) {
            all.push(frame.as_slice().to_vec());
            relay.recycle(frame);
        }
        all
    }

    #[test]
    fn frames_arrive_when_due_and_in_order() {
        let mut relay = relay(&[(0, delay(10))]);
        send(&mut relay, &udp(b"one"), 0);
        send(&mut relay, &udp(b"two"), 0);
        assert_eq!(relay.next_due_ns(), Some(10 * MS));
        assert_eq!(arrived(&mut relay, 10 * MS - 1), Vec::<Vec<u8>>::new());
        assert_eq!(arrived(&mut relay, 10 * MS), [udp(b"one"), udp(b"two")]);
        assert_eq!(relay.next_due_ns(), None);
    }

    #[test]
    fn rules_of_several_faults_add_up() {
        let mut relay = relay(&[(0, delay(10)), (1, Rule::Duplicate { share_ppm: 1_000_000 }), (2, delay(5))]);
        send(&mut relay, &udp(b"x"), 0);
        assert_eq!(arrived(&mut relay, 15 * MS - 1).len(), 0);
        assert_eq!(arrived(&mut relay, 15 * MS), [udp(b"x"), udp(b"x")]);
    }

    #[test]
    fn when_one_of_two_faults_ends_the_other_goes_on_as_if_nothing_had_happened() {
        let loss = Rule::Loss { share_ppm: 500_000 };
        let both = [(0, delay(10)), (1, loss)];
        let (mut alone, mut beside) = (relay(&[(1, loss)]), relay(&both));
        let mut lot = |number: u64| {
            [&mut alone, &mut beside].map(|relay| {
                send(relay, &udp(b"x"), number * 100 * MS);
                arrived(relay, (number + 1) * 100 * MS).len()
            })
        };
        let mut lots: Vec<_> = (0..50).map(&mut lot).collect();
        beside.load(&table(&[(1, loss)]));
        let mut lot = |number: u64| {
            [&mut alone, &mut beside].map(|relay| {
                send(relay, &udp(b"x"), number * 100 * MS);
                arrived(relay, (number + 1) * 100 * MS).len()
            })
        };
        lots.extend((50..100).map(&mut lot));
        assert!(lots.iter().all(|[alone, beside]| alone == beside));
        assert!((20..80).contains(&lots.iter().filter(|lot| lot[0] == 1).count()));
    }

    #[test]
    fn what_waits_on_a_link_without_rules_goes_at_once() {
        let mut relay = relay(&[(0, delay(10_000))]);
        send(&mut relay, &udp(b"x"), 5);
        relay.load(&Table::default());
        assert_eq!(arrived(&mut relay, 6), [udp(b"x")]);
        send(&mut relay, &udp(b"late"), 7);
        assert_eq!(arrived(&mut relay, 7), [udp(b"late")]);
    }

    #[test]
    fn a_reset_goes_to_both_ends_and_the_segment_to_nobody() {
        let mut relay = relay(&[(0, Rule::Reset { after_ms: 1 })]);
        send(&mut relay, &tcp_segment(SYN, b""), 0);
        assert_eq!(arrived(&mut relay, 0), [tcp_segment(SYN, b"")]);
        let segment = tcp_segment(ACK, b"x");
        send(&mut relay, &segment, 2 * MS);
        let resets = parse(&segment).unwrap().resets(&segment).unwrap();
        assert_eq!(arrived(&mut relay, 2 * MS), resets.map(|reset| reset.to_vec()));
    }

    #[test]
    fn the_last_words_arrive_before_the_end() {
        let mut relay = relay(&[(0, Rule::SlowClose { hold_ms: 5 })]);
        let last = tcp_segment(FIN | ACK, b"bye");
        send(&mut relay, &last, 0);
        assert_eq!(arrived(&mut relay, 0), [tcp_segment(ACK, b"bye")]);
        assert_eq!(arrived(&mut relay, 5 * MS), [last]);
    }

    #[test]
    fn too_many_frames_are_counted_and_not_kept() {
        let mut relay = relay(&[(0, delay(1_000))]);
        for _ in 0..WAITING_MAX + 3 {
            send(&mut relay, &udp(b"x"), 0);
        }
        assert_eq!(relay.counts.overflowed, 3);
        assert_eq!(arrived(&mut relay, u64::MAX).len(), WAITING_MAX);
    }

    #[test]
    fn what_is_no_packet_is_dropped() {
        let mut relay = relay(&[(0, delay(1))]);
        send(&mut relay, b"no packet", 0);
        assert_eq!(relay.next_due_ns(), None);
        assert_eq!(relay.counts, Counts { received: 1, sent: 0, overflowed: 0 });
    }
}
