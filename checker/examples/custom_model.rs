//! A model of one's own: a lock that its holder may take again, and must release as often.
//!
//! `cargo run -p schism-checker --example custom_model`

#![allow(clippy::print_stdout, reason = "an example")]

use schism_checker::{
    history::{ReadOptions, read_any},
    linearizability::{Budget, check_model, models},
};

/// `acquire` and `release`, whose value says who.
struct ReentrantMutex;

impl models::Model for ReentrantMutex {
    /// Who holds it, and how often.
    type State = Option<(String, u32)>;

    fn step(&self, state: &Self::State, op: &models::ModelOp<'_>, next: &mut Vec<Self::State>) {
        let who = op.value.to_json().to_string();
        next.extend(match (op.f, state) {
            ("acquire", None) => Some(Some((who, 1))),
            ("acquire", Some((holder, times))) if *holder == who => Some(Some((who, times + 1))),
            ("release", Some((holder, 1))) if *holder == who => Some(None),
            ("release", Some((holder, times))) if *holder == who => Some(Some((who, times - 1))),
            // Held by another, or by nobody.
            _ => None,
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let edn = "{:type :invoke, :process 0, :f :acquire, :value :a}
               {:type :ok,     :process 0, :f :acquire, :value :a}
               {:type :invoke, :process 0, :f :acquire, :value :a}
               {:type :ok,     :process 0, :f :acquire, :value :a}
               {:type :invoke, :process 1, :f :acquire, :value :b}
               {:type :invoke, :process 0, :f :release, :value :a}
               {:type :ok,     :process 0, :f :release, :value :a}
               {:type :ok,     :process 1, :f :acquire, :value :b}";
    // A name that schism has no model for: the values stay as they are.
    let options = ReadOptions { workload: Some("reentrant-mutex".into()) };
    let history = read_any(edn.as_bytes(), None, &options)?.history;
    let check = check_model(&history, "reentrant-mutex", &ReentrantMutex, &Budget::default());
    println!("{}: {}", check.valid.name(), check.summary);
    for finding in check.findings {
        println!("{}", finding.sentence);
    }
    Ok(())
}
