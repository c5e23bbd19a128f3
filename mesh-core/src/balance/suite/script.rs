//! How bytes are read as operations: every byte means something, and what is missing is zero.

use crate::balance::{Eligibility, Member, Outcome};
use crate::rng::mix;
use crate::route::{RouteId, Routes, Selector};
use crate::service::{Instance, InstanceId, InstanceKey, Weight};
use alloc::sync::Arc;

/// The bytes that are left.
#[derive(Debug)]
pub(super) struct Script<'a> {
    bytes: core::slice::Iter<'a, u8>,
    drawn: u64,
}

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), drawn: 0 }
    }

    /// The next operation, or none at the end.
    pub(super) fn next(&mut self) -> Option<u8> {
        self.bytes.next().copied()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// A number below `bound`, or 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()).checked_rem(bound).unwrap_or_default()
    }

    pub(super) fn slot(&mut self) -> usize {
        self.below(SLOTS)
    }

    pub(super) fn kind(&mut self) -> Kind {
        KINDS[self.below(KINDS.len())]
    }

    pub(super) fn route(&mut self) -> Asked {
        match self.below(4) {
            0 | 1 => Asked::All,
            2 => Asked::Registered(self.below(KINDS.len() + 2)),
            _ => Asked::Selector(self.kind()),
        }
    }

    /// How a lease ends; none when it is dropped.
    pub(super) fn outcome(&mut self) -> Option<Outcome> {
        match self.below(8) {
            0 | 1 => Some(Outcome::Success),
            2 => Some(Outcome::Failure),
            3 => Some(Outcome::Unreachable),
            4 => Some(Outcome::TimedOut),
            5 => Some(Outcome::Overloaded { retry_after: None }),
            6 => Some(Outcome::Cancelled),
            _ => None,
        }
    }

    /// A word of randomness that the next byte has a say in.
    pub(super) fn entropy(&mut self) -> u64 {
        self.drawn = mix(self.drawn ^ u64::from(self.byte())).wrapping_add(1);
        self.drawn
    }
}

/// A condition on instances, of which the model knows by itself whom it admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    B,
    NotA,
    BNotA,
    Nobody,
}

impl Kind {
    #[expect(clippy::expect_used, reason = "the tags are constants, and valid")]
    pub(super) fn selector(self) -> Selector {
        let selector = match self {
            Self::A => Selector::any().tag("a"),
            Self::B => Selector::any().tag("b"),
            Self::NotA => Selector::any().without_tag("a"),
            Self::BNotA => Selector::any().without_tag("a").and_then(|selector| selector.tag("b")),
            Self::Nobody => Selector::any().tag("nobody"),
        };
        selector.expect("a selector of the suite")
    }

    pub(super) const fn admits(self, slot: Slot) -> bool {
        match self {
            Self::A => slot.a,
            Self::B => slot.b,
            Self::NotA => !slot.a,
            Self::BNotA => slot.b && !slot.a,
            Self::Nobody => false,
        }
    }
}

/// Which instances a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    All,
    Registered(usize),
    Selector(Kind),
}

impl Asked {
    pub(super) fn selector(self) -> Option<Selector> {
        if let Self::Selector(kind) = self { Some(kind.selector()) } else { None }
    }

    /// The id of the registered route, made by another table: ids are given in order.
    pub(super) fn registered(self) -> Option<RouteId> {
        let Self::Registered(index) = self else { return None };
        let mut routes = Routes::default();
        let others = (0..index).filter_map(|at| Selector::any().tag(format!("route-{at}")).ok());
        others.filter_map(|selector| routes.intern(selector).ok()).last().or(Some(RouteId::ALL))
    }
}

/// A member as it is to be at the next build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) weight: u16,
    pub(super) eligibility: Eligibility,
    pub(super) a: bool,
    pub(super) b: bool,
    pub(super) moved: bool,
}

impl Slot {
    /// Two bits of weight, two of tags, two of health, one of address and one of how requests ended.
    pub(super) const fn read(byte: u8) -> Self {
        let eligibility = match (byte >> 4 & 3, byte & 128 != 0) {
            (1, false) => Eligibility::Unhealthy,
            (1, true) => Eligibility::Ejected,
            (2, _) => Eligibility::Drained,
            (3, true) => Eligibility::Probing,
            _ => Eligibility::Usable,
        };
        let weight = (byte & 3) as u16;
        Self { weight, eligibility, a: byte & 4 != 0, b: byte & 8 != 0, moved: byte & 64 != 0 }
    }

    pub(super) fn is_usable(self) -> bool {
        self.weight > 0 && self.eligibility == Eligibility::Usable
    }

    pub(super) fn is_probing(self) -> bool {
        self.weight > 0 && self.eligibility == Eligibility::Probing
    }

    #[expect(clippy::expect_used, reason = "made of constants and small numbers, so valid")]
    pub(super) fn member(self, slot: usize) -> Member {
        let port = 10_000 + slot as u32 + if self.moved { 1_000 } else { 0 };
        let mut instance = Instance::builder("api", "127.0.0.1", port).id(id(slot));
        for tag in [("a", self.a), ("b", self.b)] {
            instance = if tag.1 { instance.tag(tag.0) } else { instance };
        }
        let instance = Arc::new(instance.build().expect("an instance of the suite"));
        Member { instance, weight: Weight::new(self.weight), eligibility: self.eligibility }
    }
}

pub(super) fn key(slot: usize) -> InstanceKey {
    InstanceKey::local(id(slot))
}

/// The ids sort as their slots do.
#[expect(clippy::expect_used, reason = "made of constants and a small number, so valid")]
fn id(slot: usize) -> InstanceId {
    format!("i{slot:02}").parse().expect("an id of the suite")
}

pub(super) const SLOTS: usize = 12;

const KINDS: [Kind; 5] = [Kind::A, Kind::B, Kind::NotA, Kind::BNotA, Kind::Nobody];
