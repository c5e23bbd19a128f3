//! Processes of a fleet that charge cards once, over a store in memory whose links can be cut.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::mesh_cache::codec::{Codec, CodecError, JsonCodec};
use mesh::mesh_cache::coordinator_store::{CoordinatorStore, MemoryCoordinator};
use mesh::mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh::mesh_core::port::BoxFuture;
use mesh::mesh_retry::coordinator::store::{Begun as Told, OwnerToken, StoreCommand, StoreFailure, StoreReply};
use mesh::operations::{Hold, OperationConfig, OperationEnd, Right};
use mesh::{Begun, Claim, OperationError, Operations, ServiceMesh};

use crate::support::recorder::Notes;
use crate::support::{Lab, settle};

/// A fleet, and the store that its processes share.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) lab: Lab,
    store: Arc<Mutex<MemoryCoordinator>>,
    processes: AtomicU64,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let store = MemoryCoordinator::new(Arc::new(lab.clock));
        Self { lab, store: Arc::new(Mutex::new(store)), processes: AtomicU64::new(0) }
    }

    pub(crate) async fn process(&self) -> Process {
        self.process_with(OperationConfig::default()).await
    }

    pub(crate) async fn process_with(&self, config: OperationConfig) -> Process {
        self.process_of(config, Sealer::open_hints(), JsonCodec::new(1)).await
    }

    /// A process whose results are sealed by `sealer` and written by `codec`.
    pub(crate) async fn process_of(
        &self,
        config: OperationConfig,
        sealer: Sealer,
        codec: impl Codec<String> + 'static,
    ) -> Process {
        let link = Link::to(Arc::clone(&self.store));
        let number = self.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let notes = Notes::default();
        let builder = self.lab.builder().environment(self.lab.environment(number)).recorder(notes.clone()).seal(sealer);
        let mesh = builder.coordinator(link.clone()).build().await.unwrap();
        let charges = mesh.operations("charges", codec).config(config).open().unwrap();
        Process { mesh, charges, notes, link }
    }

    /// The store loses all that it knows.
    pub(crate) fn forget(&self) {
        *self.store.lock().unwrap() = MemoryCoordinator::new(Arc::new(self.lab.clock));
    }

    /// How long `work` takes by the clock.
    pub(crate) async fn time<T>(&self, work: impl Future<Output = T>) -> (Duration, T) {
        let began = self.lab.now();
        let done = work.await;
        (self.lab.now().since(began), done)
    }
}

/// One process, and its link to the store.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) mesh: ServiceMesh,
    pub(crate) charges: Operations<String>,
    pub(crate) notes: Notes,
    pub(crate) link: Link,
}

impl Process {
    pub(crate) async fn begin(&self, key: &str) -> Result<Begun<String>, OperationError> {
        self.charges.begin(key, REQUEST).await
    }

    /// Begins, and is to carry it out.
    pub(crate) async fn claim(&self, key: &str) -> Claim<String> {
        match self.begin(key).await.unwrap() {
            Begun::Run(claim) => claim,
            Begun::Done(result) => panic!("it was carried out before: {result}"),
        }
    }

    /// Begins, and is told the result.
    pub(crate) async fn told(&self, key: &str) -> String {
        match self.begin(key).await.unwrap() {
            Begun::Done(result) => result,
            Begun::Run(claim) => panic!("it is to be carried out: {claim:?}"),
        }
    }

    /// Begins in the background, as far as the store lets it.
    pub(crate) async fn begin_behind(
        &self,
        key: &'static str,
    ) -> tokio::task::JoinHandle<Result<Begun<String>, OperationError>> {
        let charges = self.charges.clone();
        let task = tokio::spawn(async move { charges.begin(key, REQUEST).await });
        settle().await;
        task
    }

    pub(crate) fn begun(&self) -> Vec<String> {
        self.notes.of("mesh.operation.begin.duration")
    }

    pub(crate) fn ended(&self) -> Vec<String> {
        self.notes.of("mesh.operation.duration")
    }
}

/// What becomes of the commands of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Up,
    /// Nothing arrives, nor is answered.
    Silent,
    /// Nothing arrives, and that is known.
    Refusing,
    /// All is carried out, and no answer comes back.
    Deaf,
    /// All is carried out at once, and answered after this.
    Slow(Duration),
    /// The store's code panics.
    Panicking,
}

/// The store as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    store: Arc<Mutex<MemoryCoordinator>>,
    mode: Arc<Mutex<Mode>>,
    /// What is said to be the result of whatever is done.
    replayed: Arc<Mutex<Option<Vec<u8>>>>,
    /// The result that was told last.
    told: Arc<Mutex<Option<Vec<u8>>>>,
    /// Who has begun anything.
    owners: Arc<Mutex<Vec<OwnerToken>>>,
    /// How many commands are neither answered nor given up.
    pending: Arc<AtomicU64>,
}

impl Link {
    fn to(store: Arc<Mutex<MemoryCoordinator>>) -> Self {
        let (mode, replayed, told) = (Arc::default(), Arc::default(), Arc::default());
        Self { store, mode, replayed, told, owners: Arc::default(), pending: Arc::default() }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// The owners of all that was begun.
    pub(crate) fn owners(&self) -> Vec<OwnerToken> {
        self.owners.lock().unwrap().clone()
    }

    /// How many hold it, the test included: a connection lives as long as anybody does.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.mode)
    }

    /// How many commands are neither answered nor given up.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// The result, as it is kept, that was told last.
    pub(crate) fn told(&self) -> Vec<u8> {
        self.told.lock().unwrap().clone().unwrap()
    }

    /// From now on this is told in the place of any result.
    pub(crate) fn replay(&self, result: Vec<u8>) {
        *self.replayed.lock().unwrap() = Some(result);
    }

    async fn carry_out(&self, command: StoreCommand) -> Result<StoreReply, StoreFailure> {
        let store = self.store.lock().unwrap().clone();
        let mut reply = store.apply(command).await?;
        if let StoreReply::Begun(Told::Done { result }) = &mut reply {
            *self.told.lock().unwrap() = Some(result.clone());
            if let Some(replayed) = self.replayed.lock().unwrap().clone() {
                *result = replayed;
            }
        }
        Ok(reply)
    }
}

impl CoordinatorStore for Link {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        let (mode, pending) = (*self.mode.lock().unwrap(), Pending::one_of(&self.pending));
        if let StoreCommand::Begin(begin) = &command {
            self.owners.lock().unwrap().push(begin.owner);
        }
        Box::pin(async move {
            let _pending = pending;
            match mode {
                Mode::Up => self.carry_out(command).await,
                Mode::Silent => std::future::pending().await,
                Mode::Refusing => Err(StoreFailure::NotDone),
                Mode::Deaf => {
                    self.carry_out(command).await?;
                    std::future::pending().await
                }
                Mode::Slow(time) => {
                    let reply = self.carry_out(command).await;
                    tokio::time::sleep(time).await;
                    reply
                }
                Mode::Panicking => panic!("the store's code is broken"),
            }
        })
    }
}

/// Counts a command until it is dropped.
struct Pending(Arc<AtomicU64>);

impl Pending {
    fn one_of(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Results as the bytes they are.
#[derive(Clone, Debug)]
pub(crate) struct Raw;

impl Codec<String> for Raw {
    fn encode(&self, value: &String) -> Result<Vec<u8>, CodecError> {
        match value.as_str() {
            "unwritable" => Err(CodecError::Unwritable),
            "panic" => panic!("the codec is broken"),
            value => Ok(value.as_bytes().to_vec()),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        match bytes {
            b"unreadable" => panic!("the codec is broken"),
            bytes => String::from_utf8(bytes.to_vec()).map_err(|_| CodecError::Refused("no text")),
        }
    }

    fn schema(&self) -> u32 {
        1
    }
}

/// Seals with a key of its own for each `byte`.
pub(crate) fn sealer(byte: u8) -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[byte; 32]).unwrap()))
}

pub(crate) fn is_first(claim: &Claim<String>) -> bool {
    matches!(claim.right(), Right::First { .. })
}

pub(crate) fn is_taken_over(claim: &Claim<String>) -> bool {
    matches!(claim.right(), Right::TakenOver { .. })
}

/// Ends `claim` with the result `RECEIPT`.
pub(crate) async fn finish(claim: Claim<String>) -> OperationEnd {
    claim.finish(&RECEIPT.to_owned()).await.unwrap()
}

pub(crate) fn holds(claim: &Claim<String>) -> bool {
    claim.ownership().hold() == Hold::Held
}

pub(crate) const REQUEST: &str = "100 EUR from 4111-1111";
pub(crate) const RECEIPT: &str = "receipt 17";
