//! `mesh-sim truth`: a line a truth, as soon as it is known.

use super::{Ended, INTERRUPTED, UNMET, print};
use crate::env::{self, Stopwatch};
use crate::truth::{self, Claim, Row};

pub(super) fn truth(full: bool) -> Result<(), Ended> {
    let stopwatch = Stopwatch::start();
    let stop = env::interrupts();
    let mut unread = None;
    print(&format!(
        "{:>3} {:<31} {:>8} {:>8} {:>7} {:>7} {:>7}\n",
        "row", "truth", "value", "expected", "toler.", "listed", "std.err"
    ))?;
    let summary = truth::run(full, env::threads(), &stop, |row| {
        if unread.is_none() {
            unread = print(&line(row)).err();
        }
    });
    if let Some(ended) = unread {
        return Err(ended);
    }
    let seconds = stopwatch.seconds();
    if summary.interrupted {
        return Err(Ended::with(INTERRUPTED, format_args!("mesh-sim: interrupted after {} rows", summary.rows)));
    }
    print(&format!("RESULT rows={} failed={} seconds={seconds:.1}\n", summary.rows, summary.failed))?;
    if summary.failed == 0 { Ok(()) } else { Err(Ended { code: UNMET, message: String::new() }) }
}

/// A row in 80 columns.
fn line(row: &Row) -> String {
    let claim = match row.claim {
        Claim::Is(expected) => number(expected, 8),
        Claim::AtLeast(least) => format!("≥{}", number(least, 7)),
        Claim::AtMost(most) => format!("≤{}", number(most, 7)),
    };
    let (value, tolerance) = (number(row.value, 8), number(row.tolerance(), 7));
    let (listed, error) = (number(row.listed, 7), number(row.standard_error, 7));
    let verdict = if row.holds() { "✓" } else { "✗" };
    let (at, name) = (row.number, &row.name);
    format!("{at:>3} {name:<31} {value:>8} {claim:>8} {tolerance:>7} {listed:>7} {error:>7} {verdict}\n")
}

/// `value` with as many places as fit into `width` columns, at most five.
fn number(value: f64, width: usize) -> String {
    let whole = format!("{value:.0}").len();
    let places = width.saturating_sub(whole + 1).min(5);
    format!("{value:.places$}")
}
