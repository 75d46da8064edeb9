//! What `schism check` is asked of transactions.

use schism_checker::isolation::{self, Settings};

use crate::cli::TransactionArgs;

/// The options as the checker takes them. `memory_bytes`: what the graph of dependencies may take.
pub(crate) fn settings(args: &TransactionArgs, memory_bytes: usize) -> Settings {
    let default = Settings::default();
    Settings {
        consistency_models: models(args),
        anomalies: args.anomalies.clone(),
        elle: args.elle,
        wfr_keys: args.wfr_keys,
        sequential_keys: args.sequential_keys,
        linearizable_keys: args.linearizable_keys,
        transaction_order: args.transaction_order,
        edges_max: Settings::edges_within(memory_bytes),
        edges_per_component: args.cycle_search_timeout.map_or(default.edges_per_component, Settings::edges_in),
    }
}

/// The consistency models that are asked for, if it is said: an empty name asks for none.
pub(crate) fn models(args: &TransactionArgs) -> Option<Vec<String>> {
    let models = args.consistency_models.iter().filter(|model| !model.is_empty()).cloned().collect();
    (!args.consistency_models.is_empty()).then_some(models)
}

/// The options that are given and that a history of this has no use for, each with what it is an option of.
pub(crate) fn useless(args: &TransactionArgs, workload: &str) -> Vec<(&'static str, &'static str)> {
    let (registers, all) = ("rw-register", "list-append, rw-register and closed-predicate");
    let of_registers = workload == "rw-register";
    let of_transactions = isolation::judges(workload);
    [
        (args.wfr_keys && !of_registers, "wfr-keys", registers),
        (args.sequential_keys && !of_registers, "sequential-keys", registers),
        (args.linearizable_keys && !of_registers, "linearizable-keys", registers),
        (args.transaction_order && !of_registers, "transaction-order", registers),
        (!args.consistency_models.is_empty() && !of_transactions, "consistency-models", all),
        (!args.anomalies.is_empty() && !of_transactions, "anomalies", all),
        (args.elle && !of_transactions, "elle", all),
        (args.cycle_search_timeout.is_some() && !of_transactions, "cycle-search-timeout", all),
    ]
    .into_iter()
    .filter(|(useless, ..)| *useless)
    .map(|(_, name, of)| (name, of))
    .collect()
}
