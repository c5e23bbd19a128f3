//! The selectors that are in use, each with a number that a pick can carry.

use core::fmt;
use core::num::NonZeroU32;

use super::selector::Selector;

/// A bounded table of selectors; equal ones share an id. Ids are given in order and never taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    selectors: Vec<Selector>,
    routes_max: NonZeroU32,
}

impl Routes {
    /// How many selectors a table holds unless told otherwise, [`RouteId::ALL`] included: each costs a list of
    /// endpoints in every view.
    pub const ROUTES_MAX: u32 = 64;

    /// A table of at most `routes_max` selectors, of which [`RouteId::ALL`] is the first.
    #[must_use]
    pub fn new(routes_max: NonZeroU32) -> Self {
        Self { selectors: vec![Selector::any()], routes_max }
    }

    /// The id of `selector`, a new one when no equal selector has one. In O(selectors).
    ///
    /// # Errors
    /// When the table is full; nothing changed.
    pub fn intern(&mut self, selector: Selector) -> Result<RouteId, RoutesFull> {
        if let Some(known) = self.id_of(&selector) {
            return Ok(known);
        }
        let full = RoutesFull { routes_max: self.routes_max };
        let next = u32::try_from(self.selectors.len()).map_err(|_| full)?;
        if next >= self.routes_max.get() {
            return Err(full);
        }
        self.selectors.push(selector);
        Ok(RouteId(next))
    }

    /// The id of `selector`, if it has one.
    #[must_use]
    pub fn id_of(&self, selector: &Selector) -> Option<RouteId> {
        self.iter().find(|(_, known)| *known == selector).map(|(id, _)| id)
    }

    /// The selector of `id`; `None` for an id of another table.
    #[must_use]
    pub fn get(&self, id: RouteId) -> Option<&Selector> {
        self.selectors.get(id.index())
    }

    /// The selectors in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (RouteId, &Selector)> {
        (0..).map(RouteId).zip(&self.selectors)
    }

    /// How many selectors there are, at least one.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.selectors.len()
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(NonZeroU32::new(Self::ROUTES_MAX).unwrap_or(NonZeroU32::MIN))
    }
}

/// A selector by its number in one table of [`Routes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u32);

impl RouteId {
    /// The selector that takes every instance.
    pub const ALL: Self = Self(0);

    /// Its place in [`Routes::iter`], counted from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A table of [`Routes`] is full; it was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table holds its {routes_max} selectors already; another can only be used unregistered")]
pub struct RoutesFull {
    /// How many selectors the table holds.
    pub routes_max: NonZeroU32,
}
