//! A source file as a flat list of tokens: comments are gone, and a string literal is one token.

use core::ops::Range;

use proc_macro2::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};

/// The tokens of a file in their order, groups spelled out by their delimiters.
///
/// Doc comments appear as the attributes that they stand for, `#[doc = "…"]`.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// One token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The text as written; `::` is one token.
    pub text: String,
    /// The line it starts on, counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Ident,
    /// A number, a character or a string.
    Literal,
    /// Punctuation.
    Punct,
    /// An opening delimiter, with the index of the closing one.
    Open(usize),
    /// A closing delimiter.
    Close,
}

impl Tokens {
    /// Splits `content` into tokens.
    ///
    /// # Errors
    /// With the line at which the content stops being Rust.
    pub fn parse(content: &str) -> Result<Self, usize> {
        let stream: TokenStream = content.parse().map_err(|error: proc_macro2::LexError| line_of(error.span()))?;
        let mut tokens = Self::default();
        tokens.append(stream);
        Ok(tokens)
    }

    /// The text of the token at `index`, empty outside the file.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |token| token.text.as_str())
    }

    /// The line of the token at `index`, 0 outside the file.
    #[must_use]
    pub fn line(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |token| token.line)
    }

    /// The kind of the token at `index`.
    #[must_use]
    pub fn kind(&self, index: usize) -> Option<Kind> {
        self.0.get(index).map(|token| token.kind)
    }

    /// The indices at which `pattern`, tokens separated by spaces, begins.
    pub fn matches<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
        (0..self.0.len()).filter(move |&at| pattern.split(' ').zip(at..).all(|(text, index)| self.text(index) == text))
    }

    /// The content of every attribute, as ranges of indices.
    pub fn attributes(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.matches("#").filter_map(|at| {
            let open = if self.text(at + 1) == "!" { at + 2 } else { at + 1 };
            match self.kind(open) {
                Some(Kind::Open(close)) if self.text(open) == "[" => Some(open + 1..close),
                _ => None,
            }
        })
    }

    fn append(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Group(group) => self.append_group(&group),
                TokenTree::Ident(ident) => self.push(ident.to_string(), ident.span(), Kind::Ident),
                TokenTree::Literal(literal) => self.push(literal.to_string(), literal.span(), Kind::Literal),
                TokenTree::Punct(punct) => {
                    let joint = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                    let path = joint && trees.next_if(is_colon).is_some();
                    let text = if path { "::".to_owned() } else { punct.to_string() };
                    self.push(text, punct.span(), Kind::Punct);
                }
            }
        }
    }

    fn append_group(&mut self, group: &Group) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        let at = self.0.len();
        self.push(open.to_owned(), group.span_open(), Kind::Open(at));
        self.append(group.stream());
        let end = self.0.len();
        self.push(close.to_owned(), group.span_close(), Kind::Close);
        self.0[at].kind = Kind::Open(end);
    }

    fn push(&mut self, text: String, span: Span, kind: Kind) {
        self.0.push(Token { text, line: line_of(span), kind });
    }
}

fn is_colon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':')
}

fn line_of(span: Span) -> usize {
    span.start().line
}
