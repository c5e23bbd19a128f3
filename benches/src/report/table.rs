//! The table for people: 80 columns, ratios below the figures that they are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::Row;

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
        let threads = if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads together") };
        format!("{bench}, {threads}: ns an operation, median\n{}", lines(bench, block))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// The figures of one bench at one number of threads, by subject and number of instances.
type Block<'a> = BTreeMap<&'a str, BTreeMap<u32, f64>>;

fn lines(bench: &str, block: &Block<'_>) -> String {
    let sizes: BTreeSet<u32> = block.values().flat_map(|figures| figures.keys().copied()).collect();
    let mut text = line(if bench == "cache" { "keys" } else { "instances" }, sizes.iter().map(u32::to_string));
    for (subject, figures) in block {
        text += &line(subject, sizes.iter().map(|size| figures.get(size).copied().map(figure).unwrap_or_default()));
    }
    for (ours, others) in COUNTERPARTS {
        let Some(base) = block.get(ours) else { continue };
        let ratio = |other: &BTreeMap<u32, f64>, size| Some(format!("{:.2}x", other.get(size)? / base.get(size)?));
        let ratios = others.iter().filter_map(|other| {
            let figures = block.get(other)?;
            Some(line(&format!("  {other}"), sizes.iter().map(|size| ratio(figures, size).unwrap_or_default())))
        });
        let ratios: String = ratios.collect();
        if !ratios.is_empty() {
            text += &format!("  of the cost of {ours}:\n{ratios}");
        }
    }
    text
}

fn line(label: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>8}")).collect();
    format!("  {label:<36}{cells}\n")
}

/// `ns` in four significant digits at most.
fn figure(ns: f64) -> String {
    match ns {
        ..100.0 => format!("{ns:.1}"),
        ..10_000.0 => format!("{ns:.0}"),
        ..1_000_000.0 => format!("{:.1}k", ns / 1e3),
        _ => format!("{:.2}M", ns / 1e6),
    }
}

/// Which peers and floors do the same as one of ours, or as much of it as they do at all.
const COUNTERPARTS: &[(&str, &[&str])] = &[
    ("mesh/p2c-least-loaded", &["tower/p2c-pending-requests", "floor/p2c"]),
    ("mesh/p2c-least-loaded/owned", &["tower/p2c-pending-requests", "floor/p2c"]),
    ("mesh/peak-ewma", &["tower/p2c-peak-ewma"]),
    ("mesh/round-robin", &["pingora-load-balancing/RoundRobin", "floor/round-robin"]),
    (
        "mesh/get-at",
        &["quick_cache/get", "moka/get", "foyer/get", "dashmap/get", "floor/arc-swap-map", "floor/rwlock-map"],
    ),
    ("mesh/get-at/owned", &["quick_cache/get", "moka/get", "foyer/get", "dashmap/get"]),
    ("mesh/get-at/40-byte-keys", &["quick_cache/get/40-byte-keys"]),
    ("mesh/get", &["quick_cache/get-and-clock", "quick_cache/get", "moka/get", "foyer/get"]),
    ("mesh/get-or-load", &["quick_cache/get-or-insert-async", "moka/get-with"]),
    ("mesh/insert-new", &["quick_cache/insert-new", "moka/insert-new", "foyer/insert-new"]),
    ("mesh/overwrite", &["quick_cache/overwrite", "moka/overwrite", "foyer/overwrite"]),
    ("mesh/invalidate-key", &["quick_cache/invalidate-key", "moka/invalidate-key", "foyer/invalidate-key"]),
    ("mesh/invalidate-prefix", &["quick_cache/invalidate-prefix"]),
    ("mesh/invalidate-all", &["quick_cache/invalidate-all", "moka/invalidate-all"]),
    ("mesh/load", &["quick_cache/guard-load", "moka/get-with-load"]),
    ("mesh/one-changed", &["tower/p2c-pending-requests", "pingora-load-balancing/RoundRobin"]),
    ("mesh-sim/steady", &["nexosim/steady", "heap-loop/steady"]),
];
