//! How long a message takes, and whether it arrives at all.
//!
//! Each message draws from a stream of its own, named by who sends it and why, so that the same message has the same
//! fate whatever the strategy did before.

use mesh_core::rng::Draws;

use super::law::Law;
use super::random::{Bits as _, Streams};
use crate::model::scenario::Network;

/// What is between clients and servers.
#[derive(Debug)]
pub(super) struct Wire {
    latency: Law,
    loss: f64,
    streams: Streams,
    /// Whether nothing is ever lost or late, so that a message need not be asked about.
    perfect: bool,
}

/// A message of an attempt or of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leg {
    Request,
    Reply,
    Cancel,
    Probe,
    Answer,
}

/// What faults do to the messages between one server and the clients, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weather {
    pub(super) cut: bool,
    pub(super) loss: f64,
    pub(super) add: u64,
}

impl Wire {
    pub(super) fn new(network: &Network, seed: u64) -> Self {
        let latency = Law::of(&network.latency);
        let perfect = latency.is_zero() && network.loss <= 0.0;
        Self { latency, loss: network.loss, streams: Streams::new(seed, "network"), perfect }
    }

    /// How many nanoseconds the message `leg` numbered `major` and `minor` takes; none where it is lost.
    #[inline]
    pub(super) fn carry(&self, leg: Leg, major: u64, minor: u32, weather: Option<&Weather>) -> Option<u64> {
        if self.perfect && weather.is_none() {
            return Some(0);
        }
        self.carry_through(leg, major, minor, weather)
    }

    #[inline(never)]
    fn carry_through(&self, leg: Leg, major: u64, minor: u32, weather: Option<&Weather>) -> Option<u64> {
        let calm = Weather::default();
        let weather = weather.unwrap_or(&calm);
        let mut draws: Draws = self.streams.stream(major, (u64::from(minor) << 3) | leg as u64);
        let lost = draws.unit() < self.loss;
        let lost = (draws.unit() < weather.loss) || lost || weather.cut;
        (!lost).then(|| self.latency.nanos(&mut draws).saturating_add(weather.add))
    }
}

impl Weather {
    /// What two causes do together.
    pub(super) fn and(self, other: Self) -> Self {
        let loss = 1.0 - (1.0 - self.loss) * (1.0 - other.loss);
        Self { cut: self.cut || other.cut, loss, add: self.add.saturating_add(other.add) }
    }
}
