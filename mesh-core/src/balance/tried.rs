//! The instances that one call has tried already.

/// An endpoint of one balancer: an instance from the day it joined to the day it left.
///
/// Never given twice: an instance that leaves and comes back is another endpoint, so nothing that is said of
/// the old one can touch the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub(crate) u64);

impl EndpointId {
    /// The endpoint numbered `number`, for tests and for drivers that keep endpoints of their own.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The endpoints that a call is to avoid, because it has tried them.
///
/// Holds up to [`Tried::CAPACITY`] without allocating; when full, the one tried longest ago is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    ids: [u64; Self::CAPACITY],
    len: u8,
    oldest: u8,
}

impl Tried {
    /// How many endpoints it remembers.
    pub const CAPACITY: usize = 8;

    /// Remembers nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { ids: [0; Self::CAPACITY], len: 0, oldest: 0 }
    }

    /// Remembers `id`.
    pub fn insert(&mut self, id: EndpointId) {
        if self.contains(id) {
            return;
        }
        if self.len() < Self::CAPACITY {
            self.ids[self.len()] = id.0;
            self.len += 1;
        } else {
            self.ids[usize::from(self.oldest)] = id.0;
            self.oldest = (self.oldest + 1) % Self::CAPACITY as u8;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether `id` is remembered.
    #[must_use]
    pub fn contains(&self, id: EndpointId) -> bool {
        self.ids[..self.len()].contains(&id.0)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether none is remembered.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Those remembered, in no order of meaning.
    pub fn iter(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.ids[..self.len()].iter().copied().map(EndpointId)
    }
}
