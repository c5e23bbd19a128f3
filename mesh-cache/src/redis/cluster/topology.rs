//! Which node of a cluster serves which slots, as one of them says.

use ::redis::Value;

use super::slot::SLOTS;
use crate::redis::sentinel::text;
use crate::redis::url::Node;

/// The primaries of a cluster and their slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Sorted; none twice.
    nodes: Vec<Node>,
    /// The index of each slot's node, or [`NOBODY`].
    slots: Box<[u16]>,
}

impl Topology {
    /// Reads the reply to CLUSTER SLOTS; `asked` stands in for a node that does not know its own name.
    ///
    /// `None` where it is no such reply, or serves no slot.
    pub(crate) fn of(reply: &Value, asked: &Node) -> Option<Self> {
        let ranges = reply.as_sequence().filter(|ranges| ranges.len() <= usize::from(SLOTS))?;
        let ranges = ranges.iter().map(|range| range_of(range, asked)).collect::<Option<Vec<_>>>()?;
        let mut nodes: Vec<Node> = ranges.iter().map(|(_, _, node)| node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            return None;
        }
        let mut slots = vec![NOBODY; usize::from(SLOTS)].into_boxed_slice();
        for (first, last, node) in ranges {
            let index = u16::try_from(nodes.binary_search(&node).ok()?).ok()?;
            slots.get_mut(usize::from(first)..=usize::from(last))?.fill(index);
        }
        Some(Self { nodes, slots })
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether each slot has a node.
    pub(crate) fn is_complete(&self) -> bool {
        self.slots.iter().all(|owner| *owner != NOBODY)
    }

    /// The index of the node that serves `slot`.
    pub(crate) fn owner(&self, slot: u16) -> Option<usize> {
        self.slots.get(usize::from(slot)).copied().filter(|owner| *owner != NOBODY).map(usize::from)
    }
}

/// `[first, last, [host, port, …], replicas…]`.
fn range_of(range: &Value, asked: &Node) -> Option<(u16, u16, Node)> {
    let [first, last, primary, ..] = range.as_sequence()? else { return None };
    let (first, last) = (slot(first)?, slot(last)?);
    let [host, port, ..] = primary.as_sequence()? else { return None };
    let port =
        if let Value::Int(port) = port { u16::try_from(*port).ok().filter(|port| *port > 0)? } else { return None };
    let host = match text(host) {
        // "The same host that you asked."
        None | Some("") => asked.host.clone(),
        Some(host) => host.parse().ok()?,
    };
    (first <= last).then_some((first, last, Node { host, port }))
}

fn slot(value: &Value) -> Option<u16> {
    if let Value::Int(slot) = value { u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS) } else { None }
}

const NOBODY: u16 = u16::MAX;
/// How many primaries a cluster may have; Redis recommends fewer than a thousand nodes.
const NODES_MAX: usize = 1000;
