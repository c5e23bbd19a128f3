//! What the format has and this version does not support yet. Each line goes when its issue comes.

use core::ops::Range;

use mesh_core::balance::Strategy;
use mesh_core::service::escape_to;

use super::tree::{Node, Tree};
use super::words::Said;
use crate::near::{did_you_mean, near};

/// Keys, by their path without numbers.
const KEYS: &[&str] = &["clients.routes", "clients.tree", "servers.priority"];

/// Names, by the path of the value that gives them, and what they are names of.
const NAMES: &[(&str, &str, &[&str])] = &[("strategies", "strategy", STRATEGIES)];

const STRATEGIES: &[&str] = &["client-wrr", "prequal"];

/// Everything in a file that is not supported yet, in the order of its places, and strategies that nobody knows.
pub(super) fn find(tree: &Tree<'_>) -> Vec<(Range<usize>, Said)> {
    let mut found = Vec::new();
    tree.visit(&mut |node| {
        if let (true, Some(key)) = (KEYS.contains(&node.pattern.as_str()), &node.key) {
            found.push((key.clone(), unsupported(&node.pattern)));
        }
        let rows = NAMES.iter().filter(|(pattern, ..)| node.pattern == *pattern);
        for (_, what, later) in rows {
            let judged = names(node).into_iter().filter_map(|(name, span)| Some((span, judge(what, later, &name)?)));
            found.extend(judged);
        }
    });
    found.sort_by_key(|(span, _)| span.start);
    found
}

/// The names of a kind that come later.
pub(super) fn names_of(what: &str) -> &'static [&'static str] {
    NAMES.iter().find(|(_, kind, _)| *kind == what).map_or(&[], |(.., names)| names)
}

/// The names that a value gives: itself, or those of its parameters.
fn names(node: &Node<'_>) -> Vec<(String, Range<usize>)> {
    let value = node.value.get_ref();
    if let Some(name) = value.as_str() {
        return vec![(name.to_owned(), node.value.span())];
    }
    let keys = value.as_table().into_iter().flat_map(|table| table.keys());
    keys.map(|key| (key.get_ref().to_string(), key.span())).collect()
}

fn judge(what: &str, later: &[&str], name: &str) -> Option<Said> {
    if later.contains(&name) {
        return Some(unsupported(&format!("{what} `{name}`")));
    }
    // Of the other kinds the parser knows all names.
    (what == "strategy" && Strategy::from_name(name).is_none()).then(|| unknown_strategy(name))
}

fn unsupported(what: &str) -> Said {
    Said::plain(&format!("not yet supported: {what}"))
}

fn unknown_strategy(name: &str) -> Said {
    let built_in = Strategy::built_in();
    let known: Vec<_> = built_in.iter().map(Strategy::name).collect();
    let help = near(name, known.iter().chain(STRATEGIES).copied()).map(did_you_mean);
    let message = format!("unknown strategy `{}`", escape_to(name, 64));
    Said { help, note: Some(super::words::one_of(&known)), ..Said::plain(&message) }
}
