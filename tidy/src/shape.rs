//! How long a file and a function may be, and what no source contains: skipped tests, unfinished code,
//! `unsafe`, and a lint switched off without a reason.

use crate::Finding;
use crate::tokens::{Kind, Tokens};

/// The most lines that a source file has (style: small files, nested machines).
pub const FILE_LINES_MAX: usize = 400;

/// The most lines from a function's `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Refuses a file of more than [`FILE_LINES_MAX`] lines.
#[must_use]
pub fn file_length(path: &str, content: &str) -> Vec<Finding> {
    let lines = content.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let advice = format!("nest the machine or split the concern: {lines} lines, at most {FILE_LINES_MAX}");
    vec![Finding::new(path, FILE_LINES_MAX + 1, "file-length", advice)]
}

/// Refuses long functions, forbidden words and unexplained lint levels.
#[must_use]
pub fn source(path: &str, tokens: &Tokens) -> Vec<Finding> {
    let mut found = function_lengths(path, tokens);
    found.extend(forbidden_words(path, tokens));
    found.extend(attributes(path, tokens));
    found
}

fn function_lengths(path: &str, tokens: &Tokens) -> Vec<Finding> {
    let long = |at: usize| {
        let start = tokens.line(at);
        let lines = tokens.line(body_end(tokens, at)?) - start + 1;
        (lines > FUNCTION_LINES_MAX).then(|| {
            let name = tokens.text(at + 1);
            let advice = format!("split `{name}`: {lines} lines, at most {FUNCTION_LINES_MAX}");
            Finding::new(path, start, "function-length", advice)
        })
    };
    tokens.matches("fn").filter_map(long).collect()
}

/// The index of the brace that closes the function begun by the `fn` at `at`, if it is one with a body.
fn body_end(tokens: &Tokens, at: usize) -> Option<usize> {
    if tokens.text(at + 1) == "(" {
        return None; // The type of a function pointer.
    }
    let mut index = at + 1;
    loop {
        match tokens.kind(index)? {
            // `Foo<{ N }>` is the one brace that stands in a signature.
            Kind::Open(close) if tokens.text(index) == "{" && tokens.text(index - 1) != "<" => return Some(close),
            Kind::Open(close) => index = close + 1,
            Kind::Close => return None,
            Kind::Punct if tokens.text(index) == ";" => return None,
            Kind::Ident | Kind::Literal | Kind::Punct => index += 1,
        }
    }
}

fn forbidden_words(path: &str, tokens: &Tokens) -> Vec<Finding> {
    let find = |&(pattern, rule, advice): &(&'static str, &'static str, &'static str)| {
        tokens.matches(pattern).map(move |at| Finding::new(path, tokens.line(at), rule, advice)).collect::<Vec<_>>()
    };
    FORBIDDEN.iter().flat_map(find).collect()
}

fn attributes(path: &str, tokens: &Tokens) -> Vec<Finding> {
    let mut found = Vec::new();
    for attribute in tokens.attributes() {
        let conditional = tokens.text(attribute.start) == "cfg_attr";
        for at in attribute.clone().filter(|&at| conditional || at == attribute.start) {
            if tokens.text(at) == "ignore" {
                found.push(Finding::new(path, tokens.line(at), "ignored-test", IGNORED));
            }
            if is_unreasoned_level(tokens, at) {
                found.push(Finding::new(path, tokens.line(at), "lint-reason", UNREASONED));
            }
        }
    }
    found
}

/// Whether `allow(…)` or `expect(…)` stands at `at` without a `reason = …`.
fn is_unreasoned_level(tokens: &Tokens, at: usize) -> bool {
    let Some(Kind::Open(close)) = tokens.kind(at + 1) else { return false };
    matches!(tokens.text(at), "allow" | "expect")
        && !(at..close).any(|index| tokens.text(index) == "reason" && tokens.text(index + 1) == "=")
}

const IGNORED: &str = "make the test run everywhere, or delete it";

const UNREASONED: &str = "mend the code, or say why: `#[expect(lint, reason = \"…\")]`";

const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("todo !", "unfinished", "write the code, or leave the item out"),
    ("unimplemented !", "unfinished", "write the code, or leave the item out"),
    ("dbg !", "debug-output", "use a `tracing` event or an assertion's message"),
    ("unsafe", "unsafe", "stay in safe Rust, or use a crate that wraps the need"),
];
