//! The origin, the tier and the processes of a scene, and what they do at their cues.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::{Cache, CacheConfig, Environment, Found, Freshness, Key, Lifetimes, MemoryTier, Scope, Tag};

use super::{Director, StagedTier, Wire, settle};

/// The origin's one value, which is its own version: 1, then 2.
pub(crate) type Origin = Arc<AtomicU64>;

pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) cache: Cache<u64>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) grain: Grain,
}

/// Into how many steps operations are divided.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Grain {
    /// Into what is asked and what is answered.
    Fine,
    /// As finely, but that a read has begun.
    Begun,
    /// Into none.
    Coarse,
}

pub(crate) struct World {
    pub(crate) director: Director,
    pub(crate) origin: Origin,
    pub(crate) tier: MemoryTier,
    pub(crate) environment: Environment,
    pub(crate) key: Key,
}

impl World {
    pub(crate) fn new(director: Director) -> Self {
        let environment = Environment::system();
        let tier = MemoryTier::new(Arc::clone(&environment.clock));
        let key = Key::new("branch/key").unwrap();
        Self { director, origin: Arc::new(AtomicU64::new(1)), tier, environment, key }
    }

    pub(crate) fn process(&self, name: &'static str, grain: Grain) -> Process {
        let wire = Wire::standing();
        let (stage, tier) = (self.director.stage.clone(), self.tier.another());
        let answers_at_once = grain == Grain::Coarse;
        let staged = StagedTier { process: name, tier, stage, wire: Arc::clone(&wire), answers_at_once };
        let mut config = CacheConfig::default();
        config.entries_max = 16.try_into().unwrap();
        config.early_beta = 0.0;
        config.load_deadline = Duration::from_secs(3_600);
        config.lifetimes = Lifetimes::discovery();
        let cache = Cache::builder()
            .config(config)
            .environment(self.environment.clone())
            .second_tier("test", staged, JsonCodec::new(1))
            .seal(sealer().accept_hints())
            .build()
            .unwrap();
        Process { name, cache, wire, grain }
    }

    /// Leaves 1 in the tier, of a process that wrote it too long ago for it to be fresh and is gone.
    pub(crate) async fn leave(&self, sealer: Sealer) {
        let builder = Cache::builder().environment(self.environment.clone()).seal(sealer);
        let cache = builder.second_tier("test", self.tier.another(), JsonCodec::new(1)).build().unwrap();
        cache.get_or_load(&self.key, || async { Ok::<_, Infallible>(found(1)) }).await.unwrap();
        settle().await;
        cache.shut_down().await;
        tokio::time::advance(Duration::from_secs(31)).await;
    }

    /// Begins a read, whose steps wait for their cues.
    pub(crate) fn read(&self, process: &Process) {
        let (cache, key, origin) = (process.cache.clone(), self.key.clone(), Arc::clone(&self.origin));
        let (stage, name, grain) = (self.director.stage.clone(), process.name, process.grain);
        tokio::spawn(async move {
            if grain == Grain::Fine {
                stage.cue(&format!("{name}: a read begins")).await;
            }
            let load = move || {
                let (origin, stage) = (Arc::clone(&origin), stage.clone());
                async move {
                    stage.cue(&format!("{name}: the origin is read")).await;
                    let value = origin.load(Ordering::SeqCst);
                    if grain != Grain::Coarse {
                        stage.cue(&format!("{name}: the origin answers")).await;
                    }
                    Ok::<_, Infallible>(found(value))
                }
            };
            cache.get_or_load(&key, load).await.unwrap();
        });
    }

    /// Begins a read whose origin fails.
    pub(crate) fn read_in_vain(&self, process: &Process) {
        let (cache, key, stage) = (process.cache.clone(), self.key.clone(), self.director.stage.clone());
        let name = process.name;
        tokio::spawn(async move {
            stage.cue(&format!("{name}: a read begins")).await;
            let load = move || {
                let stage = stage.clone();
                async move {
                    stage.cue(&format!("{name}: the origin fails")).await;
                    Err::<Found<u64>, _>("it is away")
                }
            };
            let _ = cache.get_or_load(&key, load).await;
        });
    }

    /// Begins to insert what the origin has, which is known to be true in that step; returns what was inserted.
    pub(crate) fn insert(&self, process: &Process) -> Arc<AtomicU64> {
        self.insert_with(process, |origin| origin.load(Ordering::SeqCst))
    }

    /// Begins to write 2 to the origin and to insert it, in one step; returns what was inserted.
    pub(crate) fn write_and_insert(&self, process: &Process) -> Arc<AtomicU64> {
        self.insert_with(process, |origin| {
            origin.store(2, Ordering::SeqCst);
            2
        })
    }

    fn insert_with(&self, process: &Process, value: fn(&AtomicU64) -> u64) -> Arc<AtomicU64> {
        let (cache, key, origin) = (process.cache.clone(), self.key.clone(), Arc::clone(&self.origin));
        let (stage, name, inserted) = (self.director.stage.clone(), process.name, Arc::new(AtomicU64::new(0)));
        let done = Arc::clone(&inserted);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: what the origin has is inserted")).await;
            let value = value(&origin);
            assert!(cache.insert(&key, found(value)));
            done.store(value, Ordering::SeqCst);
        });
        inserted
    }

    /// Begins to offer what the origin has; returns what was kept of it.
    pub(crate) fn offer(&self, process: &Process) -> Arc<AtomicU64> {
        let (cache, key, origin) = (process.cache.clone(), self.key.clone(), Arc::clone(&self.origin));
        let (stage, name, offered) = (self.director.stage.clone(), process.name, Arc::new(AtomicU64::new(0)));
        let done = Arc::clone(&offered);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: what the origin has is offered")).await;
            let value = origin.load(Ordering::SeqCst);
            if cache.offer(&key, found(value)).await {
                done.store(value, Ordering::SeqCst);
            }
        });
        offered
    }

    /// Begins to write 2 to the origin and to invalidate `scope` then.
    pub(crate) fn write(&self, process: &Process, scope: Scope) -> Arc<AtomicU64> {
        let (cache, origin) = (process.cache.clone(), Arc::clone(&self.origin));
        let (stage, name, told) = (self.director.stage.clone(), process.name, Arc::new(AtomicU64::new(0)));
        let done = Arc::clone(&told);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: the origin is written")).await;
            origin.store(2, Ordering::SeqCst);
            if cache.invalidate(&scope).await.is_ok() {
                done.store(1, Ordering::SeqCst);
            }
        });
        told
    }

    /// Begins to write 2 to the origin and to publish it then.
    pub(crate) fn publish(&self, process: &Process) -> Arc<AtomicU64> {
        let (cache, origin, key) = (process.cache.clone(), Arc::clone(&self.origin), self.key.clone());
        let (stage, name, told) = (self.director.stage.clone(), process.name, Arc::new(AtomicU64::new(0)));
        let done = Arc::clone(&told);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: the origin is written")).await;
            origin.store(2, Ordering::SeqCst);
            if cache.publish(&key, Found::new(2)).await.is_ok() {
                done.store(1, Ordering::SeqCst);
            }
        });
        told
    }

    /// Gives every step its cue until none waits.
    pub(crate) async fn land(&self, director: &Director) -> bool {
        for _ in 0..50 {
            settle().await;
            match director.stage.waiting().first() {
                Some(first) => director.stage.go(first),
                None => return true,
            }
        }
        false
    }

    /// Begins to cut and to mend the connection of `process`.
    pub(crate) fn stumble(&self, process: &Process) {
        let (stage, wire, name) = (self.director.stage.clone(), Arc::clone(&process.wire), process.name);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: the connection breaks")).await;
            wire.cut();
            stage.cue(&format!("{name}: the connection is made anew")).await;
            wire.connect();
        });
    }

    /// Begins to let the entries expire.
    pub(crate) fn expire(&self) {
        let stage = self.director.stage.clone();
        tokio::spawn(async move {
            stage.cue("time passes").await;
            tokio::time::advance(Duration::from_secs(400)).await;
        });
    }

    /// Fails if `process` calls a value fresh that is older than what it was told of.
    pub(crate) fn assert_honest(&self, process: &Process, was_told: bool, steps: &[String]) {
        let Some(hit) = process.cache.get(self.key.as_str()) else { return };
        if was_told && hit.freshness() == Freshness::Fresh {
            let name = process.name;
            assert_eq!(hit.value(), Some(&2), "{name} calls it fresh after {steps:#?}");
        }
    }
}

/// Whether a process was told of the change: the tier has it, and no news of it is on its way to it.
pub(crate) fn was_told(told: &AtomicU64, director: &Director, process: &Process) -> bool {
    let news = format!("{}: news comes", process.name);
    told.load(Ordering::SeqCst) == 1 && !director.stage.waiting().contains(&news)
}

/// The keys of every process.
pub(crate) fn sealer() -> Sealer {
    Sealer::with_keys(KeyRing::new(SealKey::new(1, &[7; 32]).unwrap()))
}

fn found(value: u64) -> Found<u64> {
    Found::new(value).tag(Tag::new("tag").unwrap())
}
