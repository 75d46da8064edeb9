//! Jepsen's own checkers of simple objects: each rule against its definition, on random small histories.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use schism_checker::Validity::{self, Invalid, Unknown, Valid};
use support::jepsen::judge;

/// A value in all the shapes that there are.
#[derive(Debug, Clone, PartialEq)]
enum V {
    Nil,
    Int(i64),
    List(Vec<Option<i64>>),
    Map(Vec<(i64, Option<i64>)>),
    Mops(Vec<(&'static str, i64, Option<i64>)>),
    Keyed(i64, Vec<Option<i64>>),
}

impl V {
    fn edn(&self) -> String {
        let or_nil = |value: &Option<i64>| value.map_or_else(|| "nil".to_owned(), |value| value.to_string());
        let list = |list: &[Option<i64>]| format!("[{}]", list.iter().map(or_nil).collect::<Vec<_>>().join(" "));
        match self {
            Self::Nil => "nil".into(),
            Self::Int(int) => int.to_string(),
            Self::List(items) => list(items),
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} {}", or_nil(value))).collect();
                format!("{{{}}}", pairs.join(" "))
            }
            Self::Mops(mops) => {
                let mops: Vec<String> =
                    mops.iter().map(|(f, key, value)| format!("[:{f} {key} {}]", or_nil(value))).collect();
                format!("[{}]", mops.join(" "))
            }
            Self::Keyed(key, items) => format!("[{key} {}]", list(items)),
        }
    }

    fn int(&self) -> i64 {
        let Self::Int(int) = self else { panic!("{self:?}") };
        *int
    }

    fn ints(&self) -> Vec<i64> {
        let Self::List(items) = self else { panic!("{self:?}") };
        items.iter().flatten().copied().collect()
    }
}

/// An operation with the places of its events; `ended`: its kind.
#[derive(Debug, Clone)]
struct O {
    f: &'static str,
    value: V,
    began: usize,
    ended: Option<(usize, char)>,
}

impl O {
    fn is(&self, f: &str, kind: char) -> bool {
        self.f == f && self.ended.is_some_and(|(_, of)| of == kind)
    }

    fn may_be(&self, f: &str) -> bool {
        self.f == f && !self.is(f, '-')
    }

    fn ok_at(&self) -> usize {
        self.ended.map_or(usize::MAX, |(at, kind)| if kind == '+' { at } else { usize::MAX })
    }
}

/// Random choices, from which everything follows.
struct Choices<'c> {
    bytes: &'c [u8],
    at: usize,
}

impl Choices<'_> {
    fn below(&mut self, limit: u8) -> i64 {
        self.at += 1;
        i64::from(self.bytes[(self.at - 1) % self.bytes.len()] % limit)
    }

    fn list(&mut self, most: u8, limit: u8) -> Vec<Option<i64>> {
        (0..self.below(most + 1)).map(|_| Some(self.below(limit))).collect()
    }
}

/// A function, the value it is invoked with, and the value it answers.
type Draw = fn(&mut Choices<'_>) -> (&'static str, V, V);

/// A random history of three processes, as text and as operations.
fn random(bytes: &[u8], events: usize, draw: Draw) -> (String, Vec<O>) {
    let mut choices = Choices { bytes, at: 0 };
    let mut text = String::new();
    let mut ops: Vec<O> = Vec::new();
    let mut workers: [(u32, Option<(usize, V)>); 3] = [(0, None), (1, None), (2, None)];
    for at in 0..events {
        let worker = choices.below(3) as usize;
        let (process, open) = &mut workers[worker];
        match open.take() {
            None => {
                let (f, value, answer) = draw(&mut choices);
                text.push_str(&format!("{process}> {f} {};", value.edn()));
                *open = Some((ops.len(), answer));
                ops.push(O { f, value, began: at, ended: None });
            }
            Some((op, answer)) => {
                let mark = ['+', '+', '+', '+', '-', '?'][choices.below(6) as usize];
                let op = &mut ops[op];
                if mark == '+' {
                    op.value = answer;
                }
                text.push_str(&format!("{process}{mark} {} {};", op.f, op.value.edn()));
                op.ended = Some((at, mark));
                if mark == '?' {
                    *process += 3;
                }
            }
        }
    }
    (text, ops)
}

fn verdict(invalid: bool, unknown: bool) -> Validity {
    if invalid {
        Invalid
    } else if unknown {
        Unknown
    } else {
        Valid
    }
}

/// What one goes into another as often as.
fn minus(mut from: Vec<i64>, what: &[i64]) -> Vec<i64> {
    for item in what {
        if let Some(at) = from.iter().position(|of| of == item) {
            from.swap_remove(at);
        }
    }
    from
}

fn queue_op(choices: &mut Choices<'_>) -> (&'static str, V, V) {
    match choices.below(5) {
        0 | 1 => {
            let element = V::Int(choices.below(4));
            ("enqueue", element.clone(), element)
        }
        2 | 3 => ("dequeue", V::Nil, V::Int(choices.below(4))),
        _ => ("drain", V::Nil, V::List(choices.list(3, 4))),
    }
}

fn set_op(choices: &mut Choices<'_>) -> (&'static str, V, V) {
    if choices.below(2) == 0 {
        let element = V::Int(choices.below(5));
        ("add", element.clone(), element)
    } else {
        ("read", V::Nil, V::List(choices.list(4, 6)))
    }
}

/// Tries a rule against its definition.
fn twin(model: &str, bytes: &[u8], draw: Draw, definition: fn(&[O]) -> Validity) -> Result<(), TestCaseError> {
    for events in [4, 8, 16, 30] {
        let (text, ops) = random(bytes, events, draw);
        prop_assert_eq!(judge(model, &text).valid, definition(&ops), "{}: {}", model, text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Each add is certainly in, perhaps in, or not.
    #[test]
    fn counter_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("counter", &bytes, |choices| {
            if choices.below(2) == 0 {
                let amount = V::Int(choices.below(6) - 2);
                ("add", amount.clone(), amount)
            } else {
                ("read", V::Nil, V::Int(choices.below(12) - 3))
            }
        }, |ops| {
            verdict(ops.iter().filter(|op| op.is("read", '+')).any(|read| {
                let (mut low, mut high) = (0, 0);
                for add in ops.iter().filter(|op| op.may_be("add")) {
                    let amount = add.value.int();
                    if add.ok_at() < read.began {
                        (low, high) = (low + amount, high + amount);
                    } else if add.began < read.ok_at() {
                        (low, high) = (low + amount.min(0), high + amount.max(0));
                    }
                }
                !(low..=high).contains(&read.value.int())
            }), false)
        })?;
    }

    #[test]
    fn bank_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("bank", &bytes, |choices| {
            let odd = choices.below(12);
            let first = choices.below(5);
            let second = 4 - first + i64::from(odd == 0);
            let second = if odd == 1 { None } else { Some(second - 5 * i64::from(odd == 2)) };
            let mut map = vec![(0, Some(first + 5 * i64::from(odd == 2))), (if odd == 3 { 2 } else { 1 }, second)];
            map.truncate(if odd == 4 { 1 } else { 2 });
            ("read", V::Nil, V::Map(map))
        }, |ops| {
            let mut reads: Vec<&O> = ops.iter().filter(|op| op.is("read", '+')).collect();
            reads.sort_by_key(|read| read.ok_at());
            let maps: Vec<&Vec<(i64, Option<i64>)>> = reads.iter().map(|read| match &read.value {
                V::Map(map) => map,
                other => panic!("{other:?}"),
            }).collect();
            let sum = |map: &[(i64, Option<i64>)]| map.iter().map(|(_, balance)| *balance).sum::<Option<i64>>();
            let total = maps.iter().find_map(|map| sum(map));
            let wrong = maps.iter().any(|map| {
                map.iter().any(|(account, balance)| {
                    balance.is_none_or(|balance| balance < 0) || maps[0].iter().all(|(known, _)| known != account)
                }) || sum(map) != total
            });
            verdict(wrong, false)
        })?;
    }

    /// Every pair of reads.
    #[test]
    fn long_fork_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("long-fork", &bytes, |choices| {
            if choices.below(6) == 0 {
                let mops = V::Mops(vec![("w", choices.below(40), Some(1))]);
                return ("write", mops.clone(), mops);
            }
            let group = choices.below(2) * 3;
            // Mostly in the order of the keys, so that not all histories have a fork.
            let orderly = choices.below(4) > 0;
            let held = choices.below(4);
            let value = |choices: &mut Choices<'_>, key: i64| {
                let holds = if orderly { key < held } else { choices.below(2) == 0 };
                holds.then(|| 1 + i64::from(choices.below(60) == 0))
            };
            let mut mops: Vec<_> = (0..3).map(|key| ("r", group + key, value(choices, key))).collect();
            mops.rotate_left(choices.below(3) as usize);
            let blank = mops.iter().map(|(f, key, _)| (*f, *key, None)).collect();
            ("read", V::Mops(blank), V::Mops(mops))
        }, |ops| {
            fn mops(op: &O) -> &[(&'static str, i64, Option<i64>)] {
                let V::Mops(mops) = &op.value else { panic!("{op:?}") };
                mops
            }
            let writes: Vec<i64> = ops.iter().filter(|op| op.may_be("write")).map(|op| mops(op)[0].1).collect();
            let twice = writes.iter().any(|key| writes.iter().filter(|other| *other == key).count() > 1);
            let of = |op: &O, key: i64| mops(op).iter().find(|mop| mop.1 == key).map(|mop| mop.2);
            let reads: Vec<&O> = ops.iter().filter(|op| op.is("read", '+')).collect();
            let (mut fork, mut disagree) = (false, false);
            for one in &reads {
                for other in &reads {
                    let pairs: Vec<_> =
                        mops(one).iter().filter_map(|(_, key, mine)| Some((*mine, of(other, *key)?))).collect();
                    let only_mine = pairs.iter().any(|(mine, theirs)| mine.is_some() && theirs.is_none());
                    let only_theirs = pairs.iter().any(|(mine, theirs)| mine.is_none() && theirs.is_some());
                    fork |= only_mine && only_theirs;
                    disagree |= pairs.iter().any(|(mine, theirs)| mine.is_some() && theirs.is_some() && mine != theirs);
                }
            }
            if twice { Unknown } else { verdict(fork, disagree) }
        })?;
    }

    /// Some value that is seen was written after another had been acknowledged, which is not seen.
    #[test]
    fn comments_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("comments", &bytes, |choices| {
            if choices.below(3) > 0 {
                let value = V::Int(choices.below(8));
                ("write", value.clone(), value)
            } else {
                ("read", V::Nil, V::List(choices.list(6, 8)))
            }
        }, |ops| {
            let writes = |value: i64| ops.iter().filter(move |op| op.f == "write" && op.value.int() == value);
            let began = |value: i64| {
                writes(value).filter(|op| op.may_be("write")).map(|op| op.began).min()
                    .or_else(|| writes(value).map(|op| op.began).min())
            };
            let bad = ops.iter().filter(|op| op.is("read", '+')).any(|read| {
                let seen = read.value.ints();
                seen.iter().filter_map(|value| began(*value)).any(|began| {
                    ops.iter().any(|op| op.is("write", '+') && op.ok_at() < began && !seen.contains(&op.value.int()))
                })
            });
            verdict(bad, false)
        })?;
    }

    /// A later one is there and an earlier one is not.
    #[test]
    fn sequential_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("sequential", &bytes, |choices| {
            let held = choices.below(5);
            let mut list: Vec<Option<i64>> = (0..4).rev().map(|at| (at < held).then_some(at)).collect();
            if choices.below(8) == 0 {
                let at = choices.below(4) as usize;
                list[at] = None;
            }
            ("read", V::Nil, V::Keyed(7, list))
        }, |ops| {
            let bad = ops.iter().filter(|op| op.is("read", '+')).any(|read| {
                let V::Keyed(_, list) = &read.value else { panic!("{read:?}") };
                (0..4).any(|later| (later..4).any(|earlier| list[later].is_some() && list[earlier].is_none()))
            });
            verdict(bad, false)
        })?;
    }

    #[test]
    fn set_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("set", &bytes, set_op, |ops| {
            let Some(read) = ops.iter().filter(|op| op.is("read", '+')).max_by_key(|op| op.ok_at()) else {
                return Unknown;
            };
            let seen = read.value.ints();
            let adds = |kind| ops.iter().filter(move |op| op.is("add", kind)).filter(|op| !seen.contains(&op.value.int()));
            let lost = adds('+').any(|op| op.ok_at() < read.began);
            let late = adds('+').any(|op| op.ok_at() > read.began);
            let tried = |element: &i64| ops.iter().any(|op| op.f == "add" && op.value.int() == *element);
            verdict(lost || !seen.iter().all(tried), late)
        })?;
    }

    /// Every element at every event, as Jepsen does it.
    #[test]
    fn set_full_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("set-full", &bytes, set_op, |ops| {
            let (mut stable, mut lost, mut duplicated) = (false, false, false);
            let reads: Vec<&O> = ops.iter().filter(|op| op.is("read", '+')).collect();
            for element in 0..6 {
                duplicated |= reads.iter().any(|read| read.value.ints().iter().filter(|of| **of == element).count() > 1);
                let adds = || ops.iter().filter(|op| op.f == "add" && op.value.int() == element);
                let Some(began) = adds().map(|op| op.began).min() else { continue };
                let after = || reads.iter().filter(|read| read.ok_at() > began);
                let present = |read: &&&&O| read.value.ints().contains(&element);
                let known = adds().map(|op| op.ok_at()).chain(after().filter(|read| present(&read)).map(|read| read.ok_at())).min();
                let last_present = after().filter(|read| present(&read)).map(|read| read.began).max();
                let last_absent = after().filter(|read| !present(&read)).map(|read| read.began).max();
                stable |= last_present > last_absent;
                lost |= known.is_some_and(|known| last_absent > Some(known)) && last_absent > last_present;
            }
            verdict(lost || duplicated, !stable)
        })?;
    }

    #[test]
    fn unique_ids_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("unique-ids", &bytes, |choices| ("generate", V::Nil, V::Int(choices.below(60))), |ops| {
            let ids: Vec<i64> = ops.iter().filter(|op| op.is("generate", '+')).map(|op| op.value.int()).collect();
            verdict(ids.iter().any(|id| ids.iter().filter(|other| *other == id).count() > 1), false)
        })?;
    }

    /// The bag after every event.
    #[test]
    fn queue_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("queue", &bytes, queue_op, |ops| {
            let ends = ops.iter().map(|op| op.ok_at()).filter(|at| *at < usize::MAX);
            let broken = |end: usize| {
                let put: Vec<i64> =
                    ops.iter().filter(|op| op.may_be("enqueue") && op.began < end).map(|op| op.value.int()).collect();
                let taken: Vec<i64> = ops.iter().filter(|op| op.ok_at() <= end).flat_map(|op| match op.f {
                    "dequeue" => vec![op.value.int()],
                    "drain" => op.value.ints(),
                    _ => Vec::new(),
                }).collect();
                !minus(taken, &put).is_empty()
            };
            verdict(ends.into_iter().any(broken), false)
        })?;
    }

    #[test]
    fn total_queue_by_definition(bytes in proptest::collection::vec(any::<u8>(), 40..120)) {
        twin("total-queue", &bytes, queue_op, |ops| {
            let of = |f: &'static str, kind| ops.iter().filter(move |op| op.is(f, kind));
            let tried: Vec<i64> = ops.iter().filter(|op| op.f == "enqueue").map(|op| op.value.int()).collect();
            let put: Vec<i64> = of("enqueue", '+').map(|op| op.value.int()).collect();
            let taken: Vec<i64> = of("dequeue", '+').map(|op| op.value.int())
                .chain(of("drain", '+').flat_map(|op| op.value.ints())).collect();
            let unexpected = taken.iter().any(|element| !tried.contains(element));
            let lost = !minus(put, &taken).is_empty();
            let drains = ops.iter().any(|op| op.f == "drain" && (op.ended.is_none() || op.is("drain", '?')));
            verdict(unexpected || (lost && !drains), lost && drains)
        })?;
    }
}
