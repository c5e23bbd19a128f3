//! Scenario files: read, placed and refused.
//!
//! Decides what a file says and where in it something is wrong. What is possible is for [`Scenario::validate`] to
//! say; here its paths become lines and columns. It never opens a file: text comes in, and so does what a trace says.

mod later;
mod placed;
#[cfg(feature = "schema")]
mod schema;
mod suite;
mod tree;
mod words;

use core::fmt;

use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use self::placed::Source;
use self::tree::Tree;
use self::words::Said;
use crate::model::scenario::Scenario;
use crate::model::{Problem, Warning};

pub use self::placed::{Placed, Unreadable, Warnings};
#[cfg(feature = "schema")]
pub use self::schema::schema;
pub use self::suite::replay;

/// A scenario as a file said it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Read {
    /// The scenario, found possible.
    pub scenario: Scenario,
    /// What is possible and probably not meant.
    pub warnings: Warnings,
}

/// Reads the scenario that `text` says; `file_name` is what errors call it. A trace has no file here and is refused.
///
/// ```
/// let error = mesh_sim::reading::read("empty.toml", "version = 2\n").unwrap_err();
/// assert_eq!(error.problems()[0].line(), 1);
/// ```
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn read(file_name: &str, text: &str) -> Result<Read, Unreadable> {
    read_with(file_name, text, |_| Err::<String, _>("no file is opened here"))
}

/// Reads the scenario that `text` says, and asks `open` for what the file of its trace says, if it names one.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub fn read_with<E: fmt::Display>(
    file_name: &str,
    text: &str,
    open: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Read, Unreadable> {
    let source = Source::new(file_name, text);
    let table = DeTable::parse(text).map_err(|error| {
        let said = Said::plain(error.message());
        source.refuse(vec![source.place(error.span().unwrap_or_default(), said)])
    })?;
    let tree = Tree::new(table.get_ref());
    let unsupported = later::find(&tree);
    if !unsupported.is_empty() {
        let placed = unsupported.into_iter().map(|(span, said)| source.place(span, said)).collect();
        return Err(source.refuse(placed));
    }
    let mut scenario = parse(table.clone()).map_err(|error| {
        let (span, said) = words::translate(&error, &tree, text);
        source.refuse(vec![source.place(span, said)])
    })?;
    let untraced = trace(&mut scenario, open);
    match (untraced, scenario.validate()) {
        (None, Ok(warnings)) => {
            let placed = warnings.iter().map(|warning| place_warning(warning, &tree, &source)).collect();
            Ok(Read { scenario, warnings: source.warn(placed) })
        }
        (untraced, validated) => {
            let invalid = validated.err();
            let problems = invalid.iter().flat_map(|invalid| invalid.problems());
            // A trace that was not loaded is refused once, with the reason.
            let others = problems.filter(|problem| untraced.as_ref().is_none_or(|first| first.path != problem.path));
            let placed = untraced.iter().chain(others).map(|problem| place(problem, &tree, &source)).collect();
            Err(source.refuse(placed))
        }
    }
}

fn parse(table: Spanned<DeTable<'_>>) -> Result<Scenario, toml::de::Error> {
    serde::Deserialize::deserialize(Deserializer::from(table))
}

/// Loads the scenario's trace, if it has one; what is wrong with that.
fn trace<E: fmt::Display>(scenario: &mut Scenario, open: impl FnOnce(&str) -> Result<String, E>) -> Option<Problem> {
    let file = scenario.trace_file()?.to_owned();
    let message = match open(&file) {
        Err(error) => format!("{file} cannot be read: {error}"),
        Ok(text) => format!("{file}: {}", scenario.load_trace(&text).err()?),
    };
    Some(Problem { path: TRACE_FILE.into(), message, help: None })
}

fn place(problem: &Problem, tree: &Tree<'_>, source: &Source) -> Placed {
    let said = Said::of(&problem.path, &problem.message);
    source.place(tree.span_of(&problem.path), Said { help: problem.help.clone(), ..said })
}

fn place_warning(warning: &Warning, tree: &Tree<'_>, source: &Source) -> Placed {
    source.place(tree.span_of(&warning.path), Said::of(&warning.path, &warning.message))
}

const TRACE_FILE: &str = "clients.arrivals.trace.file";
