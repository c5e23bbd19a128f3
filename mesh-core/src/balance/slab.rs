//! Where the counters of instances live: in blocks of a few cache lines, named by slots.
//!
//! A slot is given to the instance that joined, until it leaves, and to no other meanwhile. What is reused is the place
//! of a whole block in the list of blocks, and the slots with it, once all of its instances have left; every view has
//! the list that it was built with, so a slot of an older view leads to the block that it always led to. Blocks are
//! freed with the last view, lease or [`EndpointRef`] that holds them.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;
use std::sync::OnceLock;

use super::endpoint::Endpoint;
use super::tried::EndpointId;
use crate::service::InstanceKey;

/// An endpoint that stays readable whatever becomes of the views that named it. Cloning it shares it.
#[derive(Clone)]
pub struct EndpointRef {
    block: Arc<Block>,
    place: usize,
}

impl Deref for EndpointRef {
    type Target = Endpoint;

    #[inline]
    fn deref(&self) -> &Endpoint {
        &self.block.0[self.place % BLOCK]
    }
}

impl fmt::Debug for EndpointRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Endpoints with consecutive numbers, handed out one after the other. Those of 32 new instances share an
/// allocation, and a list of blocks for 10,000 instances is 2.5 KB, which stays in the nearest cache.
#[derive(Debug)]
pub(super) struct Block([Endpoint; BLOCK]);

impl Block {
    fn starting_at(first: u64) -> Arc<Self> {
        Arc::new(Self(core::array::from_fn(|place| Endpoint::vacant(EndpointId(first + place as u64)))))
    }

    /// The endpoint at `place`, which must be below [`BLOCK`].
    #[inline]
    pub(super) const fn endpoint(&self, place: usize) -> &Endpoint {
        &self.0[place]
    }
}

/// The blocks of a view: what a slot leads through.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Arc<[Arc<Block>]>);

impl Blocks {
    /// The endpoint in `slot`, which must have been given out when these blocks were listed.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Endpoint {
        &self.0[slot as usize / BLOCK].0[slot as usize % BLOCK]
    }

    pub(super) fn keep(&self, slot: u32) -> EndpointRef {
        EndpointRef { block: Arc::clone(&self.0[slot as usize / BLOCK]), place: slot as usize % BLOCK }
    }

    /// Whether every slot that both have leads to the same endpoint.
    pub(super) fn lead_alike(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.iter().zip(other.iter()).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// The blocks, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.0.iter()
    }
}

/// The side of the builder: which slots are taken.
#[derive(Debug)]
pub(super) struct Slab {
    blocks: Vec<Arc<Block>>,
    /// How many instances each block holds.
    taken: Vec<usize>,
    /// Which block is being filled, and up to where.
    open: usize,
    filled: usize,
    /// Places of blocks that hold nobody.
    hollow: Vec<usize>,
    /// Stands where a block was.
    nobody: Arc<Block>,
    endpoints_made: u64,
    listed: Blocks,
    /// Whether the list is no longer what it should be.
    stale: bool,
}

impl Slab {
    pub(super) fn new() -> Self {
        Self {
            blocks: Vec::new(),
            taken: Vec::new(),
            open: 0,
            filled: BLOCK,
            hollow: Vec::new(),
            nobody: Block::starting_at(0),
            endpoints_made: 0,
            listed: Blocks::default(),
            stale: false,
        }
    }

    /// Makes an endpoint for the instance `key` and returns its slot. Endpoints are numbered from 1 in the order in
    /// which they are made.
    pub(super) fn enrol(&mut self, key: InstanceKey) -> u32 {
        if self.filled == BLOCK {
            self.open_block();
        }
        let place = self.filled;
        self.blocks[self.open].0[place].occupy(key);
        self.endpoints_made += 1;
        self.filled += 1;
        self.taken[self.open] += 1;
        (self.open * BLOCK + place) as u32
    }

    /// The instance in `slot` has left; nothing is done to its endpoint.
    pub(super) fn release(&mut self, slot: u32) {
        let block = slot as usize / BLOCK;
        self.taken[block] -= 1;
        if block != self.open || self.filled == BLOCK {
            self.let_go(block);
        }
    }

    pub(super) fn get(&self, slot: u32) -> &Endpoint {
        &self.blocks[slot as usize / BLOCK].0[slot as usize % BLOCK]
    }

    pub(super) fn keep(&self, slot: u32) -> EndpointRef {
        EndpointRef { block: Arc::clone(&self.blocks[slot as usize / BLOCK]), place: slot as usize % BLOCK }
    }

    /// The blocks as they are now. O(1) where none came or went.
    pub(super) fn list(&mut self) -> Blocks {
        if core::mem::take(&mut self.stale) {
            self.listed = Blocks(self.blocks.iter().cloned().collect());
        }
        self.listed.clone()
    }

    fn open_block(&mut self) {
        let block = Block::starting_at(self.endpoints_made + 1);
        self.stale = true;
        self.filled = 0;
        if let Some(place) = self.hollow.pop() {
            self.blocks[place] = block;
            self.open = place;
        } else {
            self.open = self.blocks.len();
            self.blocks.push(block);
            self.taken.push(0);
        }
    }

    /// Takes the block at `place` off the list if it holds nobody any more.
    fn let_go(&mut self, place: usize) {
        if self.taken[place] == 0 {
            self.blocks[place] = Arc::clone(&self.nobody);
            self.hollow.push(place);
            self.stale = true;
        }
    }
}

/// What a cell holds that was filled before anybody could name it. An empty one would be as wrong as a position out
/// of bounds, and ends as that does.
#[inline]
pub(super) fn filled<T>(cell: &OnceLock<T>) -> &T {
    &cell.get().map_or(&[][..], core::slice::from_ref)[0]
}

/// How many endpoints a block has.
#[cfg(not(mesh_loom))]
pub(super) const BLOCK: usize = 32;
/// Every atomic costs the exploration something.
#[cfg(mesh_loom)]
pub(super) const BLOCK: usize = 1;
