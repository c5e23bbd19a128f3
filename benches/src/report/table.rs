//! The table for people: 80 columns, ratios below the figures that they are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::counterparts::{COUNTERPARTS, FLAT, LEFT};
use super::{Counted, Row};

/// `rows` as one block for each bench and number of threads: nanoseconds of each subject, and below them what
/// the peers and the floors cost against ours.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut blocks: BTreeMap<(&str, u32), Block<'_>> = BTreeMap::new();
    for row in rows {
        let block = blocks.entry((&row.bench, row.threads)).or_default();
        block.entry(&row.subject).or_default().insert(row.size, row.ns);
    }
    let shown = blocks.iter().map(|((bench, threads), block)| {
        let left = if *threads == 1 { left(bench, block) } else { BTreeMap::new() };
        let threads = if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads together") };
        format!("{bench}, {threads}: ns an operation, median\n{}", lines(bench, block, left))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// `counted` as one block: the instructions of a pick of each subject, and below them what the peers and the floors take
/// against ours.
#[must_use]
pub fn instructions(counted: &[Counted]) -> String {
    let mut block = Block::new();
    for one in counted {
        block.entry(&one.subject).or_default().insert(one.size, one.instructions);
    }
    format!(
        "instructions of a pick, 1 thread, counted by callgrind\n{}",
        lines("instructions", &block, BTreeMap::new())
    )
}

/// The figures of one bench at one number of threads, by subject and number of instances.
type Block<'a> = BTreeMap<&'a str, BTreeMap<u32, f64>>;

/// `left` is what is left of subjects without others, which is shown with them.
fn lines(bench: &str, block: &Block<'_>, left: Block<'static>) -> String {
    let sizes: BTreeSet<u32> = block.values().flat_map(|figures| figures.keys().copied()).collect();
    let explanation = explanation(&left);
    let block: Block<'_> = block.iter().map(|(subject, figures)| (*subject, figures.clone())).chain(left).collect();
    let mut text = line(counted_in(bench), sizes.iter().map(u32::to_string));
    for (subject, figures) in &block {
        text += &line(subject, sizes.iter().map(|size| figures.get(size).copied().map(figure).unwrap_or_default()));
    }
    text += &explanation;
    for (ours, others) in COUNTERPARTS {
        let Some(base) = block.get(ours) else { continue };
        let ratios = others.iter().filter_map(|other| {
            let figures = block.get(other)?;
            let ratios = sizes.iter().map(|size| ratio(figures.get(size), base.get(size)));
            Some(line(&format!("  {other}"), ratios.map(Option::unwrap_or_default)))
        });
        let ratios: String = ratios.collect();
        if !ratios.is_empty() {
            text += &format!("  of the cost of {ours}:\n{ratios}");
        }
    }
    text + &growth(&block)
}

/// What is left of subjects without others, at one thread: what threads cost each other cannot be told apart.
fn left(bench: &str, block: &Block<'_>) -> Block<'static> {
    let left = LEFT.iter().filter(|left| left.bench == bench).filter_map(|left| {
        let (of, without) = (block.get(left.of)?, block.get(left.without)?);
        let figures = of.iter().filter_map(|(size, ns)| Some((*size, ns - without.get(size)?))).collect();
        Some((left.name, figures))
    });
    left.collect()
}

/// What the sizes of a bench count.
fn counted_in(bench: &str) -> &'static str {
    match bench {
        "cache" => "keys",
        "retry" => "services",
        _ => "instances",
    }
}

/// Which figures are differences.
fn explanation(left: &Block<'_>) -> String {
    let shown = LEFT.iter().filter(|one| left.contains_key(one.name));
    shown.map(|one| format!("  {} is what it costs above {}\n", one.name, one.without)).collect()
}

/// What 10,000 instances cost against 10, where both were measured.
fn growth(block: &Block<'_>) -> String {
    let grown = FLAT.iter().filter_map(|subject| {
        let figures = block.get(subject)?;
        Some(line(&format!("  {subject}"), std::iter::once(ratio(figures.get(&10_000), figures.get(&10))?)))
    });
    let grown: String = grown.collect();
    if grown.is_empty() { grown } else { format!("  10000 instances of the cost of 10:\n{grown}") }
}

/// How often `base` goes into `figure`; nothing where a difference left nothing to divide by.
fn ratio(figure: Option<&f64>, base: Option<&f64>) -> Option<String> {
    let (figure, base) = (figure?, base?);
    (*base > 0.0).then(|| match figure / base {
        ratio @ ..100.0 => format!("{ratio:.2}x"),
        ratio => format!("{ratio:.0}x"),
    })
}

fn line(label: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>8}")).collect();
    format!("  {label:<36}{cells}\n")
}

/// `ns` in four significant digits at most. A difference may be negative.
fn figure(ns: f64) -> String {
    match ns.abs() {
        ..100.0 => format!("{ns:.1}"),
        ..10_000.0 => format!("{ns:.0}"),
        ..1_000_000.0 => format!("{:.1}k", ns / 1e3),
        _ => format!("{:.2}M", ns / 1e6),
    }
}
