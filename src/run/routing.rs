//! Where a client's operations go.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::cli::Route;

/// Nodes, and which of them claims to be primary at the moment.
#[derive(Debug)]
pub(crate) struct Routing {
    nodes: Vec<Arc<str>>,
    route: Route,
    primary: AtomicUsize,
}

impl Routing {
    /// Before any claim the first node counts as primary: every topology starts that way.
    pub(crate) fn new(nodes: Vec<Arc<str>>, route: Route) -> Self {
        Self { nodes, route, primary: AtomicUsize::new(0) }
    }

    /// The node that a client talks to now.
    pub(crate) fn node_of(&self, client: u32) -> &Arc<str> {
        let pinned = client as usize % self.nodes.len();
        let follows = match self.route {
            Route::Node => false,
            Route::Primary => true,
            // Not by parity: with an even number of nodes every second node would have no pinned client.
            Route::Mixed => (client as usize / self.nodes.len()) % 2 == 1,
        };
        let node = if follows { self.primary.load(Ordering::Relaxed) } else { pinned };
        &self.nodes[node]
    }

    /// The nodes in order.
    pub(crate) fn nodes(&self) -> &[Arc<str>] {
        &self.nodes
    }

    /// The monitor saw this node become primary.
    pub(crate) fn set_primary(&self, node: &str) {
        if let Some(index) = self.nodes.iter().position(|name| &**name == node) {
            self.primary.store(index, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(route: Route) -> Routing {
        Routing::new(["n1", "n2", "n3"].map(Arc::from).to_vec(), route)
    }

    #[test]
    fn pinned_clients_stay_and_followers_move() {
        let pinned = routing(Route::Node);
        let following = routing(Route::Primary);
        for routing in [&pinned, &following] {
            routing.set_primary("n2");
        }
        assert_eq!((0..4).map(|client| &**pinned.node_of(client)).collect::<Vec<_>>(), ["n1", "n2", "n3", "n1"]);
        assert!((0..4).all(|client| &**following.node_of(client) == "n2"));
    }

    #[test]
    fn mixed_pins_a_client_to_every_node_first() {
        let mixed = routing(Route::Mixed);
        mixed.set_primary("n3");
        let nodes: Vec<_> = (0..6).map(|client| &**mixed.node_of(client)).collect();
        assert_eq!(nodes, ["n1", "n2", "n3", "n3", "n3", "n3"]);
    }

    #[test]
    fn an_unknown_primary_changes_nothing() {
        let following = routing(Route::Primary);
        following.set_primary("n9");
        assert_eq!(&**following.node_of(0), "n1");
    }
}
