//! What was found in a file, at its line and column, and how that looks: as rustc's, at most 80 columns wide.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use mesh_core::service::escape;

use super::words::Said;

/// Something about a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    span: Range<usize>,
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
    note: Option<String>,
}

impl Placed {
    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// The value and the rule.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was probably meant.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// What is allowed there.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// A file that says no possible scenario. Shown, it is all that is wrong with it, each with its place and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    source: Source,
    problems: Vec<Placed>,
}

impl Unreadable {
    /// How many problems are shown; more than a reader would read.
    pub const SHOWN_MAX: usize = 20;

    /// Everything that is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Placed] {
        &self.problems
    }

    /// As it is shown, in a terminal's colours.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.rendered(&Renderer::styled())
    }

    fn rendered(&self, renderer: &Renderer) -> String {
        let shown = self.problems.iter().take(Self::SHOWN_MAX);
        let mut parts: Vec<_> = shown.map(|placed| self.source.render(placed, Level::ERROR, renderer)).collect();
        let more = self.problems.len().saturating_sub(Self::SHOWN_MAX);
        if more > 0 {
            let title = Level::ERROR.primary_title(format!("and {more} more"));
            parts.push(renderer.render(&[annotate_snippets::Group::with_title(title)]));
        }
        parts.join("\n\n")
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(&Renderer::plain()))
    }
}

impl Error for Unreadable {}

/// What is possible in a file and probably not meant. Shown, each with its place and a caret; nothing if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warnings {
    source: Source,
    warnings: Vec<Placed>,
}

impl Warnings {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Placed] {
        &self.warnings
    }

    /// As they are shown, in a terminal's colours.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.rendered(&Renderer::styled())
    }

    fn rendered(&self, renderer: &Renderer) -> String {
        let parts = self.warnings.iter().map(|placed| self.source.render(placed, Level::WARNING, renderer));
        parts.collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(&Renderer::plain()))
    }
}

/// A file: what it is called and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins.
    lines: Arc<[usize]>,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let lines = core::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        Self { name: escape(name).to_string().into(), text: text.into(), lines }
    }

    /// Puts what is `said` at `span`, or at the first line of it.
    pub(super) fn place(&self, span: Range<usize>, said: Said) -> Placed {
        let start = self.text.floor_char_boundary(span.start);
        let number = self.lines.partition_point(|begin| *begin <= start);
        let line = self.line(number);
        let end = self.text.floor_char_boundary(span.end).clamp(start, line.end.max(start));
        let Said { message, help, note } = said;
        Placed {
            span: start..end,
            line: number,
            column: 1 + self.text[line.start..start].chars().count(),
            message,
            help,
            note,
        }
    }

    pub(super) fn refuse(&self, problems: Vec<Placed>) -> Unreadable {
        Unreadable { source: self.clone(), problems }
    }

    pub(super) fn warn(&self, warnings: Vec<Placed>) -> Warnings {
        Warnings { source: self.clone(), warnings }
    }

    /// The line `number`, counted from 1, without its end.
    fn line(&self, number: usize) -> Range<usize> {
        let start = self.lines[number - 1];
        let end = self.lines.get(number).map_or(self.text.len(), |next| next - 1);
        start..start + self.text[start..end].trim_end_matches('\r').len()
    }

    fn render(&self, placed: &Placed, level: Level<'_>, renderer: &Renderer) -> String {
        let line = self.line(placed.line);
        let marked = self.text[placed.span.clone()].chars().take(CARETS_MAX).map(char::len_utf8).sum::<usize>();
        let start = placed.span.start - line.start;
        let caret = start..start + marked;
        let snippet = Snippet::source(&self.text[line]).line_start(placed.line).path(&*self.name);
        let title = wrapped(&placed.message, WIDTH - "warning: ".len());
        let snippet = snippet.annotation(AnnotationKind::Primary.span(caret));
        let mut group = level.primary_title(title).element(snippet);
        for (level, text) in [(Level::HELP, &placed.help), (Level::NOTE, &placed.note)] {
            if let Some(text) = text {
                group = group.element(level.message(wrapped(text, WIDTH - "1000 = note: ".len())));
            }
        }
        renderer.clone().term_width(WIDTH).render(&[group])
    }
}

/// `text` in lines of at most `width` characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

const WIDTH: usize = 80;
/// What is marked is shown whole, so of a long value only the beginning is marked.
const CARETS_MAX: usize = 40;
