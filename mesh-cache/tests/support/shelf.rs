//! An origin that is written: what it has, what was written in which order, and how it is told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::pattern::{Loader, Sink, WriteError};
use mesh_cache::{Found, Key, Loaded, Version};

use super::origin::Unwilling;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Everything,
    /// Nothing is changed.
    Nothing,
    /// It is changed, and the answer is lost.
    Unheard,
    /// It is not changed, and nobody can tell.
    Lost,
    /// It refuses this value for good.
    AllBut(u64),
    Panics,
    /// It does not answer.
    Hangs,
}

/// An origin of values by key; cloning it shares it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    values: BTreeMap<Key, (u64, Version)>,
    log: Vec<(String, Option<u64>)>,
    tries: u64,
    under_way: u64,
    most_under_way: u64,
    takes: Takes,
    time: Duration,
    revision: u64,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            values: BTreeMap::new(),
            log: Vec::new(),
            tries: 0,
            under_way: 0,
            most_under_way: 0,
            takes: Takes::Everything,
            time: Duration::ZERO,
            revision: 0,
        })))
    }

    pub(crate) fn takes(&self, takes: Takes) {
        self.0.lock().unwrap().takes = takes;
    }

    /// From now on a write, and a read, take that long.
    pub(crate) fn takes_time(&self, time: Duration) {
        self.0.lock().unwrap().time = time;
    }

    pub(crate) fn value(&self, key: &Key) -> Option<u64> {
        self.0.lock().unwrap().values.get(key).map(|(value, _)| *value)
    }

    /// Puts a value there, as another process would.
    pub(crate) fn set(&self, key: &Key, value: u64) {
        self.change(key, Some(value));
    }

    /// What was written, in order; without a value it was taken away.
    pub(crate) fn log(&self) -> Vec<(String, Option<u64>)> {
        self.0.lock().unwrap().log.clone()
    }

    /// How often it was tried to write something.
    pub(crate) fn tries(&self) -> u64 {
        self.0.lock().unwrap().tries
    }

    pub(crate) fn most_under_way(&self) -> u64 {
        self.0.lock().unwrap().most_under_way
    }

    fn change(&self, key: &Key, value: Option<u64>) -> Version {
        let mut state = self.0.lock().unwrap();
        state.revision += 1;
        let version = Version { epoch: 0, index: state.revision };
        match value {
            Some(value) => state.values.insert(key.clone(), (value, version)),
            None => state.values.remove(key),
        };
        state.log.push((key.to_string(), value));
        version
    }

    async fn take(&self, key: &Key, value: Option<u64>) -> Result<Version, WriteError> {
        let (takes, time) = {
            let mut state = self.0.lock().unwrap();
            state.tries += 1;
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            (state.takes, state.time)
        };
        let visit = Visit(self);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        let answer = match takes {
            Takes::Everything => Ok(self.change(key, value)),
            Takes::AllBut(refused) if value == Some(refused) => Err(WriteError::refused(Unwilling)),
            Takes::AllBut(_) => Ok(self.change(key, value)),
            Takes::Nothing => Err(WriteError::not_written(Unwilling)),
            Takes::Lost => Err(WriteError::unknown(Unwilling)),
            Takes::Unheard => {
                self.change(key, value);
                Err(WriteError::unknown(Unwilling))
            }
            Takes::Panics => panic!("the sink panics, as it was told to"),
            Takes::Hangs => std::future::pending().await,
        };
        drop(visit);
        answer
    }
}

impl Sink<u64> for Shelf {
    async fn write(&self, key: &Key, value: &u64) -> Result<Version, WriteError> {
        self.take(key, Some(*value)).await
    }

    async fn remove(&self, key: &Key) -> Result<(), WriteError> {
        self.take(key, None).await.map(|_| ())
    }
}

impl Loader<u64> for Shelf {
    type Error = Unwilling;

    async fn load(&self, key: &Key) -> Result<Loaded<u64>, Unwilling> {
        let (value, time) = {
            let state = self.0.lock().unwrap();
            (state.values.get(key).copied(), state.time)
        };
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        Ok(value.map_or(Loaded::Absent, |(value, version)| Found::new(value).version(version).into()))
    }
}

struct Visit<'a>(&'a Shelf);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().under_way -= 1;
    }
}
