//! What a cache hears of its Redis: from other processes through the server, from the caches beside it at once.
//!
//! Decides when a cache hears: not before the server was told again what it may have lost.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::port::BoxFuture;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

use super::event::{LinkEvent, LinkEvents};
use super::push::Keys;
use super::tier::RedisTier;
use crate::key::Mark;
use crate::second::{Listener, News};

/// The caches of one process on one tier, as one of them sees the others. The server does not tell a connection of what it
/// changed itself.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    channel: Sender<(u64, Mark)>,
    numbers: Arc<AtomicU64>,
    /// Which of them this is.
    number: u64,
}

/// What a cache hears of the others.
#[derive(Debug)]
pub(super) struct Gossip {
    channel: Receiver<(u64, Mark)>,
    number: u64,
}

impl Neighbours {
    pub(super) fn new() -> Self {
        Self { channel: Sender::new(GOSSIP_MAX), numbers: Arc::default(), number: 0 }
    }

    /// One more.
    pub(super) fn join(&self) -> Self {
        Self { number: self.numbers.fetch_add(1, Ordering::Relaxed) + 1, ..self.clone() }
    }

    /// Tells the others that the scope `mark` changed.
    pub(super) fn tell(&self, mark: Mark) {
        // Where nobody listens, nobody need be told.
        let _ = self.channel.send((self.number, mark));
    }

    pub(super) fn listen(&self) -> Gossip {
        Gossip { channel: self.channel.subscribe(), number: self.number }
    }
}

impl Gossip {
    /// Waits for news of another cache. Cancel-safe.
    async fn next(&mut self) -> News {
        loop {
            match self.channel.recv().await {
                Ok((number, mark)) if number != self.number => return News::Changed(mark),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return News::AllChanged,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// One cache's ear.
#[derive(Debug)]
pub(super) struct RedisListener {
    tier: RedisTier,
    events: LinkEvents,
    gossip: Gossip,
    pending: VecDeque<News>,
    /// Whether the connection is there, and the server is yet to be told what it may have lost.
    rises: bool,
    /// How often it began to hear. A connection does not tell: whoever was too far behind begins anew on the same one.
    begun: u64,
}

impl RedisListener {
    pub(super) fn new(tier: RedisTier, events: LinkEvents, gossip: Gossip) -> Self {
        Self { tier, events, gossip, pending: VecDeque::new(), rises: false, begun: 0 }
    }

    /// Waits until the server was told all, or something else happened.
    async fn rise(&mut self) {
        let tier = self.tier.clone();
        let mut repaid = pin!(tier.repay());
        while self.rises {
            tokio::select! {
                biased;
                event = self.events.next() => self.take(event).await,
                news = self.gossip.next() => self.pending.push_back(news),
                () = &mut repaid => {
                    self.rises = false;
                    let news = self.begin();
                    self.pending.push_back(news);
                }
            }
        }
    }

    async fn take(&mut self, event: Option<LinkEvent>) {
        match event {
            Some(LinkEvent::Up { epoch }) => {
                self.tier.rise(epoch);
                self.rises = true;
            }
            Some(LinkEvent::Down { epoch }) => {
                self.tier.mute(epoch);
                self.rises = false;
                self.pending.push_back(News::Deaf);
            }
            Some(LinkEvent::Invalidated { keys, .. }) => self.hear(keys),
            // The connection was closed for good, and that it is down was said before.
            None => std::future::pending().await,
        }
    }

    /// Begins to hear, unless a part of a cluster is out of reach.
    fn begin(&mut self) -> News {
        if !self.tier.client().hears_all() {
            return News::Deaf;
        }
        self.begun += 1;
        News::Hearing(self.begun)
    }

    fn hear(&mut self, keys: Keys) {
        match keys {
            Keys::Some(keys) => {
                let news = |key: &bytes::Bytes| self.tier.mark_of(key).map_or(News::AllChanged, News::Changed);
                self.pending.extend(keys.iter().map(news));
            }
            Keys::All => self.pending.push_back(News::AllChanged),
        }
    }
}

impl Listener for RedisListener {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async {
            loop {
                if let Some(news) = self.pending.pop_front() {
                    return news;
                }
                if self.rises {
                    self.rise().await;
                    continue;
                }
                tokio::select! {
                    event = self.events.next() => self.take(event).await,
                    news = self.gossip.next() => return news,
                }
            }
        })
    }
}

/// How many changes a cache may be behind the others of its process; of more it forgets all.
const GOSSIP_MAX: usize = 4_096;
