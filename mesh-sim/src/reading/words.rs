//! What the parser says, in the words of the format: keys, tables, lists and numbers instead of fields and types.

use core::ops::Range;

use mesh_core::service::escape_to;

use super::later;
use super::tree::{Tree, tail};
use crate::near::{did_you_mean, near};

/// What is said about a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) message: String,
    /// What was probably meant.
    pub(super) help: Option<String>,
    /// What is allowed.
    pub(super) note: Option<String>,
}

impl Said {
    pub(super) fn plain(message: &str) -> Self {
        Self { message: message.trim_end().to_owned(), help: None, note: None }
    }

    /// `message` about the value at `path`, of which the last key is named.
    pub(super) fn of(path: &str, message: &str) -> Self {
        Self::plain(&format!("{}: {message}", tail(path)))
    }
}

/// What the parser says of the file `text`, and where.
pub(super) fn translate(error: &toml::de::Error, tree: &Tree<'_>, text: &str) -> (Range<usize>, Said) {
    let span = error.span().unwrap_or_default();
    let place = Place { tree, span: &span, text };
    let said = error.message().trim_end();
    let said = place
        .unknown_key(said)
        .or_else(|| place.unknown_name(said))
        .or_else(|| place.missing_key(said))
        .or_else(|| place.wrong_type(said))
        .or_else(|| place.wrong_shape(said))
        .unwrap_or_else(|| place.about(said.strip_prefix("duration: ").unwrap_or(said)));
    (span, said)
}

struct Place<'a> {
    tree: &'a Tree<'a>,
    span: &'a Range<usize>,
    text: &'a str,
}

impl Place<'_> {
    fn path(&self) -> String {
        self.tree.path_of(self.span).unwrap_or_default()
    }

    /// What the file has there.
    fn written(&self) -> String {
        let written = self.text.get(self.span.clone()).unwrap_or_default();
        escape_to(written.trim_matches(['"', '\'']), VALUE_CHARS_MAX).to_string()
    }

    fn about(&self, message: &str) -> Said {
        match self.path().as_str() {
            "" => Said::plain(message),
            path => Said::of(path, message),
        }
    }

    fn unknown_key(&self, said: &str) -> Option<Said> {
        let (key, known) = match said.strip_prefix("unknown field `") {
            Some(rest) => {
                let (key, known) = rest.split_once("`, ").unwrap_or((rest, ""));
                (key, quoted(known))
            }
            None => {
                let (keys, known) =
                    said.strip_prefix("unexpected keys in table: ")?.split_once(", available keys: ")?;
                (keys.split(", ").next().unwrap_or(keys), known.split(", ").collect())
            }
        };
        let table = self.tree.table_of_key(self.span).unwrap_or_default();
        Some(unknown("key", key, &known, &within(&table)))
    }

    fn unknown_name(&self, said: &str) -> Option<Said> {
        let (name, known) = said.strip_prefix("unknown variant `")?.split_once("`, ")?;
        let known = quoted(known);
        Some(unknown(kind(&known), name, &known, ""))
    }

    fn missing_key(&self, said: &str) -> Option<Said> {
        let key = said.strip_prefix("missing field `")?.strip_suffix('`')?;
        Some(Said::plain(&format!("missing key `{key}`{}", within(&self.path()))))
    }

    fn wrong_type(&self, said: &str) -> Option<Said> {
        let rest = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "))?;
        let (found, expected) = rest.rsplit_once(", expected ")?;
        if found == "unit variant" {
            let name = self.written();
            let help = Some(format!("write {{ {name} = {{ … }} }}"));
            return Some(Said { help, ..self.about(&format!("`{name}` needs its parameters")) });
        }
        let path = self.path();
        let value = match found {
            "map" => "a table".to_owned(),
            "sequence" => "a list".to_owned(),
            _ => self.written(),
        };
        let number = found.starts_with("integer") || found.starts_with("floating");
        if expected == "a string" && number && !TEXTS.contains(&tail(&path)) {
            let help = Some(format!("write \"{value}s\" or \"{value}ms\""));
            let message = format!("{value} is not allowed: must be a number with its unit, such as \"250ms\"");
            return Some(Said { help, ..self.about(&message) });
        }
        Some(self.about(&format!("{value} is not allowed: must be {}", type_in_words(expected))))
    }

    fn wrong_shape(&self, said: &str) -> Option<Said> {
        let message = match said {
            "wanted exactly 1 element, found 0 elements" | "wanted exactly 1 element, more than 1 element" => {
                "must have exactly one name, with its parameters"
            }
            "wanted string or table" => "must be a name, or a table of one name and its parameters",
            "expected empty table" | "expected empty array" => "takes no parameters",
            _ => return None,
        };
        Some(self.about(message))
    }
}

fn unknown(what: &str, name: &str, known: &[&str], within: &str) -> Said {
    let help = near(name, known.iter().chain(later::names_of(what)).copied()).map(did_you_mean);
    let message = format!("unknown {what} `{}`{within}", escape_to(name, VALUE_CHARS_MAX));
    let note = if known.is_empty() { "there are no keys here".into() } else { one_of(known) };
    Said { message, help, note: Some(note) }
}

/// What the names are names of.
fn kind(known: &[&str]) -> &'static str {
    let kinds = [
        ("crash", "fault"),
        ("lognormal", "distribution"),
        ("poisson", "kind of arrivals"),
        ("round-robin", "strategy"),
        ("fifo", "discipline"),
        ("full", "jitter"),
        ("zipf", "kind of keys"),
    ];
    kinds.iter().find(|(name, _)| known.contains(name)).map_or("value", |(_, kind)| kind)
}

fn within(table: &str) -> String {
    if table.is_empty() { String::new() } else { format!(" in `{}`", escape_to(table, VALUE_CHARS_MAX)) }
}

/// That one of `names` is expected.
pub(super) fn one_of(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [only] => format!("expected {only}"),
        _ => format!("expected one of {}", names.join(", ")),
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn type_in_words(expected: &str) -> String {
    let words = match expected {
        "a string" => "text in quotes",
        "f64" => "a number",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number from 0 up",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a sequence" => "a list",
        "a map" => "a table",
        "enum" => "a name, or a table of one name and its parameters",
        "an array of length 2" => "a list of two numbers",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    words.to_owned()
}

/// Keys whose text is no duration.
const TEXTS: &[&str] = &["name", "description", "group", "zone", "version", "file", "metric", "strategy", "clients"];
/// As in mesh-core's `Problem`.
const VALUE_CHARS_MAX: usize = 64;
