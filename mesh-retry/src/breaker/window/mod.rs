//! The counters of a breaker: failures in a row, and the calls of a window.
//!
//! **Exact, with threads**: each counter is one atomic word that a compare-exchange takes from one value to the next, so
//! the calls that it counts are in one order, that of its changes, and each of them is judged by what the counter held
//! right after it: none is lost, none counts twice, and a threshold that is reached is reached for exactly one call. When
//! calls end at the same time, it is that order that decides which of them are the last so many.
//!
//! **Orderings**: a counter belongs to an epoch of its breaker, whose number tags its word. Whoever counts reads the
//! counter (acquire), then looks whether the permit is still current ([`Current`]), then exchanges the counter (acquire
//! and release), and begins anew when somebody else has changed it in between. A counter of a later epoch was written by
//! somebody who had seen that epoch begin; reading it makes that visible, so that the permit is found out of date. And
//! where the epoch ends after the look, what is written bears the old tag, and the new epoch takes it for nothing.

mod count;
mod row;
mod time;

use core::time::Duration;

use super::config::WindowKind;
use super::transition::Counts;
pub(super) use count::COUNT_MAX;
use count::CountWindow;
use row::Row;
use time::TimeWindow;

/// A call that has ended, as the counters see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// Says whether a call still counts: whether its permit is of the breaker's present generation.
pub(super) trait Current: Fn() -> bool {}

impl<F: Fn() -> bool> Current for F {}

/// What a breaker counts. In cache lines of its own: the words beside it are read by every call and hardly ever written.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counters {
    row: Option<Row>,
    window: Option<Window>,
}

#[derive(Debug)]
enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Counters {
    /// Counters of failures in a row and of the calls of a window, where there are to be any.
    pub(super) fn new(has_row: bool, window: Option<WindowKind>) -> Self {
        let window = window.map(|kind| match kind {
            WindowKind::Count { calls } => Window::Count(CountWindow::new(calls)),
            WindowKind::Time { buckets, width } => Window::Time(TimeWindow::new(buckets, width)),
        });
        Self { row: has_row.then(Row::new), window }
    }

    /// Counts `call`, which ended at `now`; returns what there is with it, or nothing where it is not current any more.
    #[inline]
    pub(super) fn record(&self, tag: u64, now: u64, call: Call, current: &impl Current) -> Option<Counts> {
        let failures_in_row = match &self.row {
            Some(row) => row.record(tag, call, current)?,
            None => 0,
        };
        let counts = match &self.window {
            Some(Window::Count(window)) => window.record(tag, call, current)?,
            Some(Window::Time(window)) => window.record(tag, now, call, current)?,
            None => Counts::default(),
        };
        Some(Counts { failures_in_row, ..counts })
    }

    /// What is counted in the epoch with `tag`. Where it goes on, and time has passed, what has left the window by `now`
    /// is no part of it.
    pub(super) fn counts(&self, tag: u64, now: Option<u64>) -> Counts {
        let failures_in_row = self.row.as_ref().map_or(0, |row| row.failures(tag));
        let counts = match &self.window {
            Some(Window::Count(window)) => window.counts(tag),
            Some(Window::Time(window)) => window.counts(tag, now),
            None => Counts::default(),
        };
        Counts { failures_in_row, ..counts }
    }
}

fn nanos(width: Duration) -> u64 {
    mesh_core::time::saturating_nanos(width).max(1)
}
