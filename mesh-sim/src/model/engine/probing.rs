//! Active checks between clients and servers. A server's process answers a check at once, beside its queue: a check
//! finds out whether it is there, and not how busy it is.

use core::time::Duration;

use mesh_core::health::{Probe, ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::machine::ServiceInput;
use mesh_core::time::Instant;

use super::network::Leg;
use super::random::Bits as _;
use super::{Course, Due, Engine, NOBODY, ProbeKey, Probing};
use crate::model::observe::{EventKind, Observer};

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Sends a check to its server. One that is lost is given up by the machine that asked for it.
    pub(super) fn probe(&mut self, client: u32, probe: &Probe) {
        let server = self.number(probe.instance.key());
        self.note_control(EventKind::Probed, client, server);
        if server == NOBODY {
            return;
        }
        let number = self.probes_made;
        self.probes_made += 1;
        let verdict = ProbeVerdict::Passed;
        let probing = Probing { client, server, number, id: probe.id, sent: self.now, verdict };
        let weather = self.weather(server, true);
        if let Some(nanos) = self.wire.carry(Leg::Probe, u64::from(client), number as u32, weather.as_ref()) {
            let key = self.probes.insert(probing);
            self.agenda.push(self.now + Duration::from_nanos(nanos), Due::ProbeReaches(key));
        }
    }

    /// A check comes to its server.
    pub(super) fn probe_reaches(&mut self, key: ProbeKey) {
        let Some(probing) = self.probes.get(key) else { return };
        let server = &self.servers[probing.server as usize];
        let verdict = match server.condition() {
            None => ProbeVerdict::Passed,
            Some(condition) => match condition.checks {
                Some(true) => ProbeVerdict::Passed,
                Some(false) => ProbeVerdict::Failed(ProbeFailure::Status(UNAVAILABLE)),
                None if condition.refuses => ProbeVerdict::Failed(ProbeFailure::Connect),
                None if condition.paused
                    && server.rest.paused_until < Instant::MAX
                    && server.rest.paused_until > self.now =>
                {
                    self.agenda.push(server.rest.paused_until, Due::ProbeReaches(key));
                    return;
                }
                None if condition.hangs || condition.paused => {
                    self.probes.remove(key);
                    return;
                }
                None => {
                    let draw = self.mishaps.stream(u64::MAX - u64::from(probing.client), probing.number).unit();
                    let erred = condition.erring().is_some_and(|(rate, _)| draw < rate);
                    if erred { ProbeVerdict::Failed(ProbeFailure::Status(BROKEN)) } else { ProbeVerdict::Passed }
                }
            },
        };
        let (client, number) = (probing.client, probing.number as u32);
        let weather = self.weather(probing.server, false);
        match self.wire.carry(Leg::Answer, u64::from(client), number, weather.as_ref()) {
            Some(nanos) => {
                self.probes[key].verdict = verdict;
                self.agenda.push(self.now + Duration::from_nanos(nanos), Due::ProbeReturns(key));
            }
            None => drop(self.probes.remove(key)),
        }
    }

    /// The answer to a check comes back.
    pub(super) fn probe_returns(&mut self, key: ProbeKey) {
        let Some(Probing { client, server, id, sent, verdict, .. }) = self.probes.remove(key) else { return };
        let failed = matches!(verdict, ProbeVerdict::Failed(_));
        let kind = if failed { EventKind::CheckFailed } else { EventKind::CheckPassed };
        self.note_control(kind, client, server);
        let report = ProbeReport { verdict, latency: self.now - sent };
        self.instruct(client, ServiceInput::Probed(id, report));
    }
}

/// What a server answers that is told to fail its checks, and one that errs.
const UNAVAILABLE: u16 = 503;
const BROKEN: u16 = 500;
