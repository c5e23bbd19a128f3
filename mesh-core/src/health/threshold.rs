//! How many answers in a row it takes to change one's mind.

use core::num::NonZeroU32;

/// A mind that is made up by the first answer and changed by `rise` good or `fall` bad ones in a row.
///
/// As HAProxy's `rise` and `fall`, with Envoy's and Consul's rule that the first answer decides at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    rise: NonZeroU32,
    fall: NonZeroU32,
    up: Option<bool>,
    against: u32,
}

impl Threshold {
    /// A mind that is not made up yet.
    #[must_use]
    pub const fn new(rise: NonZeroU32, fall: NonZeroU32) -> Self {
        Self { rise, fall, up: None, against: 0 }
    }

    /// Takes in an answer; returns the new verdict when the mind changed.
    pub fn record(&mut self, good: bool) -> Option<bool> {
        if self.up == Some(good) {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if good { self.rise } else { self.fall };
        if self.up.is_some() && self.against < needed.get() {
            return None;
        }
        self.up = Some(good);
        self.against = 0;
        self.up
    }

    /// Makes up the mind by one answer that needs no other; returns the verdict when the mind changed.
    pub fn decide(&mut self, good: bool) -> Option<bool> {
        self.against = 0;
        if self.up.replace(good) == Some(good) { None } else { self.up }
    }

    /// The verdict in force; none before the first answer.
    #[must_use]
    pub const fn verdict(&self) -> Option<bool> {
        self.up
    }

    /// Whether answers against the verdict are being counted.
    #[must_use]
    pub const fn is_counting(&self) -> bool {
        self.against > 0
    }
}
