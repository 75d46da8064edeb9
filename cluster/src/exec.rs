//! How a server is started: our own binary, run again as a helper, enters the node and becomes the server's parent.

use crate::error::ExecError;

/// The body of `schism internal-exec <spec>`: enters the node's namespaces and starts the process.
pub fn internal_exec(_spec_json: &str) -> Result<(), ExecError> {
    unimplemented!()
}
