//! A model of one's own: a semaphore of two permits.
//!
//! `cargo run -p schism-checker --example custom_model`

#![allow(clippy::print_stdout, reason = "an example")]

use schism_checker::{
    history::{ReadOptions, read_any},
    linearizability::{Budget, check_model, models},
};

/// `acquire` and `release` of a permit, whoever it is.
struct Semaphore {
    permits: u32,
}

impl models::Model for Semaphore {
    /// Permits taken.
    type State = u32;

    fn step(&self, taken: &u32, op: &models::ModelOp<'_>, next: &mut Vec<u32>) {
        next.extend(match op.f {
            "acquire" if *taken < self.permits => Some(taken + 1),
            "release" if *taken > 0 => Some(taken - 1),
            // None is left, or none was taken.
            _ => None,
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let edn = "{:type :invoke, :process 0, :f :acquire}
               {:type :ok,     :process 0, :f :acquire}
               {:type :invoke, :process 1, :f :acquire}
               {:type :ok,     :process 1, :f :acquire}
               {:type :invoke, :process 2, :f :acquire}
               {:type :ok,     :process 2, :f :acquire}
               {:type :invoke, :process 0, :f :release}
               {:type :ok,     :process 0, :f :release}";
    // A name that schism has no model for: the values stay as they are.
    let options = ReadOptions { workload: Some("semaphore".into()) };
    let history = read_any(edn.as_bytes(), None, &options)?.history;
    let check = check_model(&history, "semaphore", &Semaphore { permits: 2 }, &Budget::default());
    println!("{}: {}", check.valid.name(), check.summary);
    for finding in check.findings {
        println!("{}", finding.sentence);
    }
    Ok(())
}
