//! A run as a list of its events, for programs: NDJSON, a line an event.

use std::io::{self, Write};

use mesh_core::balance::{EndpointId, Explanation};
use mesh_core::time::Instant;

use crate::model::scenario::Scenario;
use crate::model::{Event, Observer};

/// Writes each event of a run as a line of JSON, with the reasons of picks. What an event has nothing to do with is
/// left out.
///
/// The first error of the writer is kept, and nothing is written after it.
#[derive(Debug)]
pub struct Tracer<'s, W> {
    run: String,
    /// Of each group its name and the number of its first server.
    groups: Vec<(&'s str, u32)>,
    writer: W,
    error: Option<io::Error>,
}

impl<'s, W: Write> Tracer<'s, W> {
    /// Traces the run called `label` of `scenario` to `writer`.
    pub fn new(scenario: &'s Scenario, label: &str, writer: W) -> Self {
        let mut next = 0_u32;
        let group = |group: &'s crate::model::scenario::ServerGroup| {
            let first = next;
            next = next.saturating_add(group.count);
            (group.group.as_str(), first)
        };
        let run = serde_json::to_string(label).unwrap_or_default();
        Self { run, groups: scenario.servers.iter().map(group).collect(), writer, error: None }
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.writer.flush(),
        }
    }

    /// Whether the writer has failed.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    fn line(&mut self, at: Instant, event: &Event, why: Option<Why<'_>>) -> io::Result<()> {
        let (run, nanos, kind) = (&self.run, at.as_nanos(), event.kind.name());
        write!(self.writer, "{{\"t_ns\":{nanos},\"run\":{run},\"event\":\"{kind}\"")?;
        if event.request != u64::MAX {
            write!(self.writer, ",\"request\":{}", event.request)?;
        }
        if event.attempt != u32::MAX {
            // Of a fault it is the fault's number.
            let name = if event.request == u64::MAX { "fault" } else { "attempt" };
            write!(self.writer, ",\"{name}\":{}", event.attempt)?;
        }
        if event.client != u32::MAX {
            write!(self.writer, ",\"client\":{}", event.client)?;
        }
        if event.server != u32::MAX {
            write!(self.writer, ",\"server\":")?;
            self.server(event.server)?;
        }
        if let Some((why, server)) = why {
            self.reasons(why, server)?;
        }
        self.writer.write_all(b"}\n")
    }

    /// A server as its group and its place in it.
    fn server(&mut self, number: u32) -> io::Result<()> {
        let Some((group, first)) = self.groups.iter().rev().find(|(_, first)| *first <= number) else {
            return self.writer.write_all(b"null");
        };
        let name = serde_json::to_string(group).unwrap_or_default();
        write!(self.writer, "{{\"group\":{name},\"index\":{}}}", number - first)
    }

    /// What decided, and those that were compared with what they were compared by.
    fn reasons(&mut self, why: &Explanation, server: &dyn Fn(EndpointId) -> u32) -> io::Result<()> {
        write!(self.writer, ",\"why\":\"{}\"", why.reason.name())?;
        if let Some(policy) = why.in_force {
            write!(self.writer, ",\"in_force\":\"{policy}\"")?;
        }
        for (index, one) in why.considered.iter().enumerate() {
            self.writer.write_all(if index == 0 { b",\"considered\":[{\"server\":" } else { b",{\"server\":" })?;
            self.server(server(one.endpoint))?;
            write!(self.writer, ",\"load\":{},\"score\":{}}}", one.load, one.score)?;
        }
        self.writer.write_all(if why.considered.is_empty() { b"" } else { b"]" })
    }
}

/// Why a pick went where it did, and how the numbers of servers are known.
type Why<'a> = (&'a Explanation, &'a dyn Fn(EndpointId) -> u32);

impl<W: Write> Observer for Tracer<'_, W> {
    fn occurred(&mut self, at: Instant, event: &Event) {
        if self.error.is_none() {
            self.error = self.line(at, event, None).err();
        }
    }

    fn wants_reasons(&self) -> bool {
        true
    }

    fn picked(&mut self, at: Instant, event: &Event, why: &Explanation, server: &dyn Fn(EndpointId) -> u32) {
        if self.error.is_none() {
            self.error = self.line(at, event, Some((why, server))).err();
        }
    }
}
