//! What is thought of each backend: a table that is drawn over where the output is a terminal, else a line a change.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use mesh::ServiceHealth;
use mesh::mesh_core::health::{Reason, Status};

use crate::fleet::Fleet;

/// What was shown last.
pub(crate) struct Table {
    is_terminal: bool,
    /// Lines that the next picture is drawn over.
    lines: usize,
    shown: BTreeMap<u16, Status>,
    attempts: BTreeMap<u16, u64>,
    next: Duration,
}

impl Table {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { is_terminal, lines: 0, shown: BTreeMap::new(), attempts: BTreeMap::new(), next: Duration::ZERO }
    }

    /// Shows `health`, where there is anything new.
    pub(crate) fn show(
        &mut self,
        elapsed: Duration,
        fleet: &Fleet,
        health: &ServiceHealth,
        attempts: &BTreeMap<u16, u64>,
    ) {
        for (port, count) in attempts {
            *self.attempts.entry(*port).or_default() += count;
        }
        if !self.is_terminal {
            self.tell(elapsed, fleet, health);
        } else if elapsed >= self.next {
            self.next = elapsed + REDRAW_EVERY;
            self.draw(elapsed, fleet, health);
            self.attempts.clear();
        }
    }

    #[expect(clippy::print_stdout, reason = "an example shows what it does")]
    fn tell(&mut self, elapsed: Duration, fleet: &Fleet, health: &ServiceHealth) {
        for patient in fleet.patients() {
            let Some(thought) = patient.among(health) else { continue };
            let status = thought.history.status();
            if self.shown.insert(patient.port(), status) != Some(status) {
                let (seconds, port, ails) = (elapsed.as_secs_f64(), patient.port(), patient.ails());
                println!(
                    "{seconds:6.2} s  :{port:<5}  {ails:<10}  {:<9}  {}",
                    status.name(),
                    why(thought.history.reason())
                );
            }
        }
    }

    fn draw(&mut self, elapsed: Duration, fleet: &Fleet, health: &ServiceHealth) {
        let all = self.attempts.values().sum::<u64>().max(1) as f64;
        let mut picture = vec![format!("{:5.1} s   ill with    thought of   share  why", elapsed.as_secs_f64())];
        for patient in fleet.patients() {
            let Some(thought) = patient.among(health) else { continue };
            let share = 100.0 * self.attempts.get(&patient.port()).copied().unwrap_or_default() as f64 / all;
            let (port, ails, status) = (patient.port(), patient.ails(), thought.history.status().name());
            let why = why(thought.history.reason());
            picture.push(format!(":{port:<7}  {ails:<10}  {status:<10} {share:6.1}%  {why:.40}"));
        }
        let mut out = std::io::stdout().lock();
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        let lines: String = picture.iter().map(|line| format!("\x1b[2K{line}\n")).collect();
        self.lines = picture.len();
        // A terminal that is gone needs no table.
        let _ = write!(out, "{up}{lines}").and_then(|()| out.flush());
    }
}

/// The reason in a few words.
fn why(reason: &Reason) -> String {
    match reason {
        Reason::Check(verdict) => format!("check: {verdict:?}"),
        Reason::Outlier(detector) => format!("requests: {detector}"),
        Reason::Registry(status) => format!("registry: {status:?}"),
        other @ (Reason::Unchecked
        | Reason::Drained
        | Reason::Weight
        | Reason::Maintenance
        | Reason::Damped { .. }
        | _) => other.name().to_owned(),
    }
}

const REDRAW_EVERY: Duration = Duration::from_millis(200);
