//! Combinators by what they make of small generators: each expected history is written out.

use schism_checker::history::{Event, EventType, F, Value};
use schism_seed::Seed;

use super::*;

const MS: u64 = 1_000_000;
const SEED: Seed = Seed::new(1);

/// Writes of these numbers.
fn list(numbers: impl IntoIterator<Item = i64>) -> Box<dyn Generator> {
    ops(numbers.into_iter().map(|number| (F::Add, Value::Int(number))).collect())
}

/// As many as are asked for of one number.
fn many(number: i64) -> Box<dyn Generator> {
    list(std::iter::repeat_n(number, 10_000))
}

/// `time in ms, process, value` of every invocation.
fn invocations(history: &[Event]) -> Vec<String> {
    let invocations = history.iter().filter(|event| event.kind == EventType::Invoke);
    invocations.map(|event| format!("{}ms p{} {}", event.time_ns / MS, event.process, number(event))).collect()
}

fn number(event: &Event) -> i64 {
    match event.value {
        Value::Int(number) => number,
        ref other => panic!("not a number: {other:?}"),
    }
}

/// With operations of 10 ms.
fn run(generator: Box<dyn Generator>, clients: u32) -> Vec<String> {
    invocations(&simulate(generator, clients, &Latency::fixed(10 * MS), SEED))
}

#[test]
fn ops_go_to_whoever_is_idle_longest() {
    assert_eq!(run(list(0..5), 2), ["0ms p0 0", "0ms p1 1", "10ms p0 2", "10ms p1 3", "20ms p0 4"]);
}

#[test]
fn an_indeterminate_op_ends_its_process() {
    let latency = Latency { range_ns: MS..=MS, fail_permille: 0, info_permille: 1_000 };
    let history = simulate(list(0..3), 1, &latency, SEED);
    assert_eq!(invocations(&history), ["0ms p0 0", "1ms p1 1", "2ms p2 2"]);
    assert_eq!(history.last().map(|event| event.kind), Some(EventType::Info));
}

#[test]
fn every_invocation_completes_and_indexes_count_up() {
    let latency = Latency { range_ns: 0..=20 * MS, fail_permille: 200, info_permille: 200 };
    let history = simulate(list(0..200), 7, &latency, SEED);
    assert_eq!(history.len(), 400);
    for (index, event) in history.iter().enumerate() {
        assert_eq!(event.index, index as u64);
    }
    assert!(history.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns));
    assert_eq!(history, simulate(list(0..200), 7, &latency, SEED), "the same seed gives the same history");
}

#[test]
fn concat_overlaps_and_phases_do_not() {
    let parts = || vec![list([0, 1, 2]), list([10, 11])];
    assert_eq!(run(concat(parts()), 2), ["0ms p0 0", "0ms p1 1", "10ms p0 2", "10ms p1 10", "20ms p0 11"]);
    assert_eq!(run(phases(parts()), 2), ["0ms p0 0", "0ms p1 1", "10ms p0 2", "20ms p1 10", "20ms p0 11"]);
    assert_eq!(run(then(list([0]), list([1])), 1), ["0ms p0 0", "10ms p0 1"]);
    assert_eq!(run(phases(vec![nothing(), nothing(), list([7])]), 1), ["0ms p0 7"]);
}

#[test]
fn limits_of_number_and_time() {
    assert_eq!(run(op_limit(3, many(5)), 2).len(), 3);
    assert_eq!(run(op_limit(0, many(5)), 2).len(), 0);
    // 0, 10 and 20 ms are within the limit, 30 ms is not.
    assert_eq!(run(time_limit(30 * MS, many(5)), 1), ["0ms p0 5", "10ms p0 5", "20ms p0 5"]);
    // The limit counts from the first question: the second phase has its own 15 ms.
    let two = phases(vec![time_limit(15 * MS, many(1)), time_limit(15 * MS, many(2))]);
    assert_eq!(run(two, 1), ["0ms p0 1", "10ms p0 1", "20ms p0 2", "30ms p0 2"]);
}

#[test]
fn a_time_limit_ends_what_waits_in_vain() {
    // The inner generator waits for client 1, which is busy for 10 ms; the limit is over before.
    let busy = on_clients(1..2, list([1, 2]));
    assert_eq!(run(then(time_limit(5 * MS, busy), list([9])), 2), ["0ms p1 1", "5ms p0 9"]);
}

#[test]
fn stagger_keeps_the_rate() {
    let history = simulate(time_limit(100_000 * MS, stagger(50.0, SEED, many(0))), 10, &Latency::fixed(MS), SEED);
    let times: Vec<u64> = history.iter().filter(|e| e.kind == EventType::Invoke).map(|e| e.time_ns).collect();
    assert!((4_700..5_300).contains(&times.len()), "{}", times.len());
    // Exponential gaps: a fraction 1/e of them is longer than the mean.
    let long = times.windows(2).filter(|pair| pair[1] - pair[0] > 20 * MS).count();
    assert!((1_650..2_050).contains(&long), "{long}");
}

#[test]
fn stagger_makes_up_for_late_timers_but_not_for_stalls() {
    let world = Free::all(1);
    let at = |time_ns| Context { time_ns, clients: 1, free: &world, process_of: &[0] };
    let mut generator = stagger(1_000.0, SEED, many(0));
    // Asked only once a second: as if the database had stalled. Each second it may be behind by 20 ms, no more.
    let mut burst = 0;
    for second in 1..=5_u64 {
        let now = second * 1_000 * MS;
        loop {
            match generator.next(&at(now)) {
                Step::Op { time_ns, next, .. } => {
                    generator = next;
                    if time_ns > now {
                        break;
                    }
                    burst += 1;
                }
                Step::Pending { .. } | Step::Done => panic!("somebody is free"),
            }
        }
    }
    assert!((60..180).contains(&burst), "{burst}");
}

#[test]
fn rate_zero_is_as_fast_as_possible() {
    assert_eq!(run(stagger(0.0, SEED, list(0..3)), 1), ["0ms p0 0", "10ms p0 1", "20ms p0 2"]);
}

#[test]
fn mix_keeps_its_weights_and_outlives_a_branch() {
    let history = simulate(
        op_limit(6_000, mix(SEED, "m", vec![(1, many(1)), (3, many(3)), (0, many(0))])),
        3,
        &Latency::fixed(MS),
        SEED,
    );
    let count = |wanted| history.iter().filter(|e| e.kind == EventType::Invoke && number(e) == wanted).count();
    assert!((1_350..1_650).contains(&count(1)), "{}", count(1));
    assert_eq!(count(0), 0);
    let short = run(mix(SEED, "m", vec![(1, list([1])), (1, list([2, 2]))]), 1);
    assert_eq!(short.len(), 3, "{short:?}");
}

#[test]
fn what_a_slot_draws_of_a_mix_depends_on_nobody_else() {
    let per_slot = |latency: &Latency| {
        let branches = vec![(1, many(1)), (1, many(2)), (2, many(3))];
        let history = simulate(op_limit(2_000, mix(SEED, "m", branches)), 4, latency, SEED);
        let slot = |slot| -> Vec<i64> {
            let own = history.iter().filter(|e| e.process.client().is_some_and(|process| process % 4 == slot));
            own.filter(|e| e.kind == EventType::Invoke).map(number).take(300).collect()
        };
        (0..4).map(slot).collect::<Vec<_>>()
    };
    let uneven = Latency { range_ns: 0..=9 * MS, fail_permille: 100, info_permille: 100 };
    assert_eq!(per_slot(&Latency::fixed(MS)), per_slot(&uneven));
}

#[test]
fn reserve_divides_the_workers() {
    let shares = vec![(1, list([1, 1, 1])), (2, list([2, 2]))];
    assert_eq!(
        run(reserve(shares, list([3, 3])), 4),
        ["0ms p0 1", "0ms p1 2", "0ms p3 3", "0ms p2 2", "10ms p3 3", "10ms p0 1", "20ms p0 1"]
    );
}

#[test]
fn on_clients_uses_only_those() {
    assert_eq!(run(on_clients(1..3, list(0..4)), 4), ["0ms p1 0", "0ms p2 1", "10ms p1 2", "10ms p2 3"]);
}

#[test]
fn a_barrier_inside_a_share_waits_for_that_share_alone() {
    let inner = phases(vec![list([0]), list([1])]);
    // Client 2 is busy from 0 to 10, 10 to 20 …; the share of clients 0 and 1 does not wait for it.
    let history = run(reserve(vec![(2, inner)], list(std::iter::repeat_n(9, 4))), 3);
    assert!(history.contains(&"10ms p1 1".to_owned()), "{history:?}");
}

#[test]
fn each_process_gets_its_own_copy() {
    assert_eq!(run(each_process(list([7, 8])), 2), ["0ms p0 7", "0ms p1 7", "10ms p0 8", "10ms p1 8"]);
    let rounds = phases(vec![each_process(list([1])), each_process(list([2]))]);
    assert_eq!(run(rounds, 3).len(), 6);
}

#[test]
fn until_ok_stops_at_the_first_ok_of_its_own() {
    assert_eq!(run(until_ok(many(0)), 1), ["0ms p0 0"]);
    // The second client began before the first one succeeded.
    assert_eq!(run(until_ok(many(0)), 2), ["0ms p0 0", "0ms p1 0"]);
    let never = Latency { range_ns: MS..=MS, fail_permille: 500, info_permille: 500 };
    assert_eq!(simulate(until_ok(list(0..9)), 2, &never, SEED).len(), 18);
    // Half fail: each client goes on until its own first success.
    let half = Latency { range_ns: MS..=MS, fail_permille: 500, info_permille: 0 };
    let history = simulate(each_process(until_ok(many(0))), 5, &half, SEED);
    let oks = history.iter().filter(|event| event.kind == EventType::Ok).count();
    assert_eq!(oks, 5);
    assert!(history.len() > 10, "some needed more than one attempt");
}

#[test]
fn any_takes_the_soonest_and_shares_evenly() {
    let slow = stagger(20.0, SEED, list([1, 1, 1]));
    let history = run(any(vec![slow, list(std::iter::repeat_n(2, 40))]), 2);
    assert_eq!(history.iter().filter(|line| line.ends_with(" 1")).count(), 3, "{history:?}");
    let even = run(op_limit(10, any(vec![many(1), many(2)])), 3);
    assert_eq!(even.iter().filter(|line| line.ends_with(" 1")).count(), 5, "{even:?}");
}

#[test]
fn final_reads_read_every_node_until_ok() {
    let nodes = ["n1", "n2", "n3"].map(Into::into);
    let reads = vec![(Value::Int(0), F::Read), (Value::Int(1), F::Read)];
    let half = Latency { range_ns: MS..=MS, fail_permille: 300, info_permille: 200 };
    let history = simulate(final_reads(&nodes, reads.clone(), 50, 5 * MS), 2, &half, SEED);
    assert!(history.iter().all(|event| event.is_final));
    for node in &nodes {
        let ok = history.iter().filter(|e| e.kind == EventType::Ok && e.node.as_ref() == Some(node));
        assert_eq!(ok.map(number).collect::<Vec<_>>(), [0, 1], "{node}");
    }
    // A node that never answers is given up after its attempts.
    let never = Latency { range_ns: MS..=MS, fail_permille: 1_000, info_permille: 0 };
    let history = simulate(final_reads(&nodes, reads, 4, 5 * MS), 2, &never, SEED);
    assert_eq!(history.len(), 3 * 4 * 2);
}

#[test]
fn a_copy_goes_its_own_way() {
    let context_free = Free::all(2);
    let ctx = Context { time_ns: 0, clients: 2, free: &context_free, process_of: &[0, 1] };
    let original = mix(SEED, "copy", vec![(1, many(1)), (1, many(2))]);
    let drawn = |generator: Box<dyn Generator>| {
        let mut generator = generator;
        let mut values = Vec::new();
        while values.len() < 20 {
            let Step::Op { op, next, .. } = generator.next(&ctx) else { panic!("somebody is free") };
            values.push(op.value);
            generator = next;
        }
        values
    };
    assert_eq!(drawn(original.clone_box()), drawn(original));
}
