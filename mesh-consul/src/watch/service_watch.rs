//! One who follows a service: reads what the shared watches know, and chooses between datacenters.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mesh_core::port::{BoxFuture, Resolution, Watch, WatchEvent};
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use tokio::sync::watch;

use super::feed::{FeedState, sleep_until};
use super::hub::WatchKey;
use crate::client::{Consul, is_live, legs};
use crate::options::QueryOptions;

/// A service being followed; ends when it is dropped, and the query that it shares with others some time later.
///
/// Of several datacenters the first counts that has an instance that is not critical. One that cannot be heard keeps its
/// last word for [`LOST_GRACE`] before the next is preferred.
#[derive(Debug)]
pub struct ServiceWatch {
    consul: Consul,
    keys: Vec<WatchKey>,
    legs: Vec<watch::Receiver<FeedState>>,
    told: Told,
}

/// What was reported last.
#[derive(Debug, Default)]
struct Told {
    leg: usize,
    changes: u64,
    heard: u64,
    lost: bool,
}

impl ServiceWatch {
    pub(crate) fn new(consul: Consul, service: &ServiceName, options: &QueryOptions) -> Self {
        let shared = QueryOptions { datacenters: Vec::new(), ..options.clone() };
        let key = |datacenter: Option<&str>| WatchKey {
            service: service.clone(),
            options: shared.clone(),
            datacenter: datacenter.map(str::to_owned),
        };
        let keys = legs(options).into_iter().map(key).collect();
        Self { consul, keys, legs: Vec::new(), told: Told::default() }
    }

    /// Waits for the next event. Must be called within a tokio runtime; the query begins with the first call.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> WatchEvent {
        if self.legs.is_empty() {
            self.legs = self.keys.iter().map(|key| self.consul.hub().subscribe(&self.consul, key)).collect();
        }
        loop {
            let now = self.consul.environment().clock.now();
            if let Some(event) = self.news(now) {
                return event;
            }
            let reconsider = self.reconsider_at(now);
            let clock = self.consul.environment().clock.clone();
            let ended = tokio::select! {
                ended = any_changed(&mut self.legs) => ended,
                () = sleep_until(&*clock, reconsider) => None,
            };
            // A watch whose task died is begun again.
            if let Some((leg, key)) = ended.and_then(|leg| Some((leg, self.keys.get(leg)?)))
                && let Some(receiver) = self.legs.get_mut(leg)
            {
                *receiver = self.consul.hub().subscribe(&self.consul, key);
            }
        }
    }

    /// What has not been reported yet.
    fn news(&mut self, now: Instant) -> Option<WatchEvent> {
        let leg = self.preferred(now);
        let state = self.legs.get_mut(leg)?.borrow_and_update().clone();
        let told = &mut self.told;
        if let Some(snapshot) = &state.snapshot
            && (state.changes, leg) != (told.changes, told.leg)
        {
            // A list that was known before the loss is not news of a registry that is heard again.
            *told = Told { leg, changes: state.changes, heard: state.heard, lost: false };
            let known = !snapshot.is_empty();
            return Some(WatchEvent::Snapshot(Resolution::heard(snapshot.clone(), known).aged(state.age)));
        }
        match &state.lost {
            Some((error, _)) if !told.lost => {
                told.lost = true;
                Some(WatchEvent::Lost(error.clone().into()))
            }
            None if state.heard != told.heard => {
                (told.heard, told.lost) = (state.heard, false);
                let snapshot = state.snapshot.filter(|_| state.age >= AGED);
                // What is confirmed out of a cache that is cut off is confirmed as of then only.
                Some(snapshot.map_or(WatchEvent::Confirmed, |snapshot| {
                    let known = !snapshot.is_empty();
                    WatchEvent::Snapshot(Resolution::heard(snapshot, known).aged(state.age))
                }))
            }
            Some(_) | None => None,
        }
    }

    /// The datacenter that counts: the first that is heard and has an instance to offer, else the first that had one,
    /// else the first that answered.
    fn preferred(&self, now: Instant) -> usize {
        let rank = |leg: &watch::Receiver<FeedState>| {
            let state = leg.borrow();
            let live = state.snapshot.as_ref().is_some_and(|snapshot| snapshot.iter().any(is_live));
            let lost = state.lost.as_ref().is_some_and(|(_, since)| now.since(*since) >= LOST_GRACE);
            match (live, lost, state.snapshot.as_ref().map(|snapshot| snapshot.is_empty())) {
                (true, false, _) => 0_u8,
                (true, true, _) => 1,
                (false, _, Some(false)) => 2,
                (false, _, Some(true)) => 3,
                (false, _, None) => 4,
            }
        };
        // The first of equal rank.
        self.legs.iter().enumerate().min_by_key(|(_, leg)| rank(leg)).map_or(0, |(leg, _)| leg)
    }

    /// When a datacenter that cannot be heard stops counting.
    fn reconsider_at(&self, now: Instant) -> Option<Instant> {
        if self.legs.len() < 2 {
            return None;
        }
        let ends = self.legs.iter().filter_map(|leg| leg.borrow().lost.as_ref().map(|(_, since)| *since + LOST_GRACE));
        ends.filter(|end| *end > now).min()
    }
}

impl Watch for ServiceWatch {
    fn next(&mut self) -> BoxFuture<'_, WatchEvent> {
        Box::pin(Self::next(self))
    }
}

/// Waits until one of `legs` has news; which one, where its task ended.
async fn any_changed(legs: &mut [watch::Receiver<FeedState>]) -> Option<usize> {
    type Changed<'a> = Pin<Box<dyn Future<Output = Result<(), watch::error::RecvError>> + Send + 'a>>;
    let mut waiting: Vec<Changed<'_>> = legs.iter_mut().map(|leg| Box::pin(leg.changed()) as Changed<'_>).collect();
    poll_fn(|context| {
        for (leg, changed) in waiting.iter_mut().enumerate() {
            if let Poll::Ready(result) = changed.as_mut().poll(context) {
                return Poll::Ready(result.is_err().then_some(leg));
            }
        }
        Poll::Pending
    })
    .await
}

/// From which age on an answer is told with it: a server's contact with its leader is younger.
const AGED: Duration = Duration::from_secs(1);

/// How long a datacenter that cannot be heard is believed before the next one counts: an election takes 3 to 16 s, and
/// traffic that moves to another datacenter for a moment is worse than an old list.
pub const LOST_GRACE: Duration = Duration::from_secs(20);
