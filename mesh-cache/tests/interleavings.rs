//! The race between a load and the news of a change, in every order of their steps.
//!
//! Redis' documentation calls it impossible on a single connection. It is not: the reply and the push are handed to two
//! tasks, and a load is more than its reply. Each scene here is played in every order of {load begins, tier read and
//! answered, origin read and answered, value shared, origin written, scope invalidated, news delivered, connection cut,
//! connected anew, time passes}, against the real cache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod explorer;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use explorer::{Director, StagedTier, Wire, in_every_order, settle};
use mesh_cache::codec::JsonCodec;
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::{Cache, CacheConfig, Environment, Found, Freshness, Key, Lifetimes, MemoryTier, Prefix, Scope, Tag};

/// The origin's one value, which is its own version: 1, then 2.
type Origin = Arc<AtomicU64>;

struct Process {
    name: &'static str,
    cache: Cache<u64>,
    wire: Arc<Wire>,
    grain: Grain,
}

/// Into how many steps operations are divided.
#[derive(Clone, Copy, PartialEq)]
enum Grain {
    /// Into what is asked and what is answered.
    Fine,
    /// As finely, but that a read has begun.
    Begun,
    /// Into none.
    Coarse,
}

struct World {
    director: Director,
    origin: Origin,
    tier: MemoryTier,
    environment: Environment,
    key: Key,
}

impl World {
    fn new(director: Director) -> Self {
        let environment = Environment::system();
        let tier = MemoryTier::new(Arc::clone(&environment.clock));
        let key = Key::new("branch/key").unwrap();
        Self { director, origin: Arc::new(AtomicU64::new(1)), tier, environment, key }
    }

    fn process(&self, name: &'static str, grain: Grain) -> Process {
        let wire = Wire::standing();
        let (stage, tier) = (self.director.stage.clone(), self.tier.another());
        let answers_at_once = grain == Grain::Coarse;
        let staged = StagedTier { process: name, tier, stage, wire: Arc::clone(&wire), answers_at_once };
        let mut config = CacheConfig::default();
        config.entries_max = 16.try_into().unwrap();
        config.early_beta = 0.0;
        config.load_deadline = Duration::from_secs(3_600);
        config.lifetimes = Lifetimes::discovery();
        let keys = KeyRing::new(SealKey::new(1, &[7; 32]).unwrap());
        let cache = Cache::builder()
            .config(config)
            .environment(self.environment.clone())
            .second_tier("test", staged, JsonCodec::new(1))
            .seal(Sealer::with_keys(keys))
            .build()
            .unwrap();
        Process { name, cache, wire, grain }
    }

    /// Begins a read, whose steps wait for their cues.
    fn read(&self, process: &Process) {
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
                    Ok::<_, Infallible>(Found::new(value).tag(Tag::new("tag").unwrap()))
                }
            };
            cache.get_or_load(&key, load).await.unwrap();
        });
    }

    /// Begins to write 2 to the origin and to invalidate `scope` then.
    fn write(&self, process: &Process, scope: Scope) -> Arc<AtomicU64> {
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
    fn publish(&self, process: &Process) -> Arc<AtomicU64> {
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
    async fn land(&self, director: &Director) -> bool {
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
    fn stumble(&self, process: &Process) {
        let (stage, wire, name) = (self.director.stage.clone(), Arc::clone(&process.wire), process.name);
        tokio::spawn(async move {
            stage.cue(&format!("{name}: the connection breaks")).await;
            wire.cut();
            stage.cue(&format!("{name}: the connection is made anew")).await;
            wire.connect();
        });
    }

    /// Begins to let the entries expire.
    fn expire(&self) {
        let stage = self.director.stage.clone();
        tokio::spawn(async move {
            stage.cue("time passes").await;
            tokio::time::advance(Duration::from_secs(400)).await;
        });
    }

    /// Fails if `process` calls a value fresh that is older than what it was told of.
    fn assert_honest(&self, process: &Process, was_told: bool, steps: &[String]) {
        let Some(hit) = process.cache.get(self.key.as_str()) else { return };
        if was_told && hit.freshness() == Freshness::Fresh {
            let name = process.name;
            assert_eq!(hit.value(), Some(&2), "{name} calls it fresh after {steps:#?}");
        }
    }
}

/// Whether a process was told of the change: the tier has it, and no news of it is on its way to it.
fn was_told(told: &AtomicU64, director: &Director, process: &Process) -> bool {
    let news = format!("{}: news comes", process.name);
    told.load(Ordering::SeqCst) == 1 && !director.stage.waiting().contains(&news)
}

/// Plays `scene` in every order; after each step both processes must be honest. At last, when all is quiet, both read
/// again and must be served the new value.
fn play(grain: Grain, scene: impl Fn(&World, &Process, &Process) -> Arc<AtomicU64>) -> usize {
    let scene = &scene;
    in_every_order(|director| async move {
        let world = World::new(director.clone());
        let (reader, writer) = (world.process("reader", grain), world.process("writer", grain));
        settle().await;
        let told = scene(&world, &reader, &writer);
        let mut steps = Vec::new();
        while let Some(step) = director.step().await {
            steps.push(step);
            world.assert_honest(&reader, was_told(&told, &director, &reader), &steps);
            world.assert_honest(&writer, told.load(Ordering::SeqCst) == 1, &steps);
        }
        if told.load(Ordering::SeqCst) == 0 {
            return;
        }
        for process in [&reader, &writer] {
            world.read(process);
            let landed = world.land(&director).await;
            assert!(landed, "a read has to end");
            let hit = process.cache.get(world.key.as_str()).unwrap();
            let is_renewed = hit.freshness() != Freshness::Fresh || hit.value() == Some(&2);
            assert!(is_renewed, "{} is served {hit:?} at last, after {steps:#?}", process.name);
        }
    })
}

#[test]
fn what_was_read_before_a_change_is_not_fresh_after_the_news_of_it() {
    for scope in [
        |key: &Key| Scope::Key(key.clone()),
        |_: &Key| Scope::Prefix(Prefix::new("branch/").unwrap()),
        |_: &Key| Scope::Tag(Tag::new("tag").unwrap()),
        |_: &Key| Scope::All,
    ] {
        let played = play(Grain::Fine, |world, reader, writer| {
            world.read(reader);
            world.write(writer, scope(&world.key))
        });
        println!("{played} orders");
        println!("{played} orders");
        assert!(played > 500, "{played}");
    }
}

#[test]
fn a_connection_that_breaks_hides_no_change() {
    let played = play(Grain::Begun, |world, reader, writer| {
        world.read(reader);
        world.stumble(reader);
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn processes_that_fill_in_opposite_order_agree_at_last() {
    let played = play(Grain::Coarse, |world, reader, writer| {
        world.read(reader);
        world.read(writer);
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn an_entry_that_expires_meanwhile_is_renewed_with_what_is_new() {
    let played = play(Grain::Fine, |world, reader, writer| {
        world.read(reader);
        world.expire();
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn what_is_published_meanwhile_is_not_overwritten_by_what_was_read_before() {
    let played = play(Grain::Fine, |world, reader, writer| {
        world.read(reader);
        world.publish(writer)
    });
    println!("{played} orders");
    assert!(played > 500, "{played}");
}

#[test]
fn what_a_process_publishes_is_not_overwritten_by_what_it_read_itself_before() {
    let played = play(Grain::Fine, |world, _, writer| {
        world.read(writer);
        world.publish(writer)
    });
    println!("{played} orders");
    assert!(played > 100, "{played}");
}
