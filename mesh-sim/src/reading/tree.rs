//! The way from a path such as `servers[0].count` to its place in a file, and back.

use core::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A file's tables and values, each with its place.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    root: &'t DeTable<'t>,
}

/// A key or a value of a file.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    /// Its path: `servers[0].count`.
    pub(super) path: String,
    /// Its path without numbers: `servers.count`.
    pub(super) pattern: String,
    /// The key, where it has one of its own.
    pub(super) key: Option<Range<usize>>,
    pub(super) value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Tree<'t> {
    pub(super) const fn new(root: &'t DeTable<'t>) -> Self {
        Self { root }
    }

    /// Where the value at `path` is, or the nearest table around it where there is none.
    pub(super) fn span_of(&self, path: &str) -> Range<usize> {
        let mut steps = steps(path);
        let Some(mut value) = steps.next().and_then(|step| self.root.get(step)) else { return 0..0 };
        for step in steps {
            let of_table = value.get_ref().as_table().and_then(|table| table.get(step));
            let item = |items: &'t DeArray<'t>| items.get(step.parse::<usize>().ok()?);
            let inner = of_table.or_else(|| value.get_ref().as_array().and_then(item));
            let Some(inner) = inner else { break };
            value = inner;
        }
        value.span()
    }

    /// The path of the value at `span`; of several, such as a table and the list that it is the first of, the innermost.
    pub(super) fn path_of(&self, span: &Range<usize>) -> Option<String> {
        let mut found = None;
        self.visit(&mut |node| {
            if node.value.span() == *span {
                found = Some(node.path.clone());
            }
        });
        found
    }

    /// The path of the table that has the key at `span`.
    pub(super) fn table_of_key(&self, span: &Range<usize>) -> Option<String> {
        let mut found = None;
        self.visit(&mut |node| {
            if node.key.as_ref() == Some(span) {
                found = Some(node.path.rsplit_once('.').map_or("", |(table, _)| table).to_owned());
            }
        });
        found
    }

    /// Shows every key and value to `see`, tables before what is in them.
    pub(super) fn visit(&self, see: &mut dyn FnMut(&Node<'t>)) {
        visit_table(self.root, "", "", see);
    }
}

fn visit_table<'t>(table: &'t DeTable<'t>, path: &str, pattern: &str, see: &mut dyn FnMut(&Node<'t>)) {
    let joined = |parent: &str, key: &str| if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
    for (key, value) in table {
        let (path, pattern) = (joined(path, key.get_ref()), joined(pattern, key.get_ref()));
        visit_value(Node { path, pattern, key: Some(key.span()), value }, see);
    }
}

fn visit_value<'t>(node: Node<'t>, see: &mut dyn FnMut(&Node<'t>)) {
    see(&node);
    let Node { path, pattern, value, .. } = node;
    if let Some(table) = value.get_ref().as_table() {
        visit_table(table, &path, &pattern, see);
    }
    for (at, value) in value.get_ref().as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}[{at}]");
        visit_value(Node { path, pattern: pattern.clone(), key: None, value }, see);
    }
}

/// The keys and numbers of `path`, one after the other.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}

/// The last key of `path`, with the numbers behind it.
pub(super) fn tail(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
