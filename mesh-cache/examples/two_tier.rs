//! Processes that share what they load: `cargo run -p mesh-cache --example two_tier [redis://127.0.0.1:6379]`.
//!
//! Without a Redis the second tier is one in this process, and needs nothing else. Every read prints what a caller gets:
//! the value, how far to rely on it, how old it is, where it came from. Exits with 1 where that is not what it says.

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::codec::JsonCodec;
use mesh_cache::redis::{RedisConfig, RedisTier};
use mesh_cache::seal::{KeyRing, SealKey, Sealer};
use mesh_cache::second::SecondTier;
use mesh_cache::{Cache, Cached, Environment, Found, Freshness, Key, Lifetimes, MemoryTier, Prefix, Scope, Source};

/// The origin: a price that takes a while to ask for.
static PRICE: AtomicU64 = AtomicU64::new(7);
const ASKING: Duration = Duration::from_millis(20);

/// How long a price is fresh; prices in earnest are so for longer.
const FRESH: Duration = Duration::from_secs(1);

/// A process: a cache of its own over the tier that it shares, in which its values are sealed with `keys`.
fn process(tier: &Arc<dyn SecondTier>, keys: KeyRing) -> Result<Cache<u64>, Box<dyn Error>> {
    let mut lifetimes = Lifetimes::ttl(FRESH);
    lifetimes.stale = Duration::from_secs(60); // served meanwhile, and renewed
    let cache = Cache::builder().lifetimes(lifetimes);
    Ok(cache.second_tier("prices", Arc::clone(tier), JsonCodec::new(1)).seal(Sealer::with_keys(keys)).build()?)
}

/// What a caller writes: a key, and how its origin is asked.
async fn read(cache: &Cache<u64>, key: &Key) -> Result<Cached<u64>, Box<dyn Error>> {
    let load = || async {
        let price = PRICE.load(Ordering::SeqCst);
        tokio::time::sleep(ASKING).await;
        Ok::<_, Infallible>(Found::new(price))
    };
    Ok(cache.get_or_load(key, load).await?)
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let shared = Shared::open(std::env::args().nth(1)).await?;
    let [tier_of_a, tier_of_b] = shared.tiers();
    let key = Key::new("prices/eur/tea")?;
    let (first, next) = (SealKey::new(1, &[1; 32])?, SealKey::new(2, &[2; 32])?);
    let a = process(&tier_of_a, KeyRing::new(first.clone()))?;
    let b = process(&tier_of_b, KeyRing::new(first.clone()))?;
    until(|| a.is_hearing() && b.is_hearing()).await?;
    let mut said = Transcript::begin();

    said.title("whoever reads first asks the origin; the others find it in the second tier");
    said.read("a", &read(&a, &key).await?, 7, Freshness::Fresh, Source::Origin);
    tokio::time::sleep(ASKING).await; // nobody waits for it to be put there
    said.read("b", &read(&b, &key).await?, 7, Freshness::Fresh, Source::SecondTier);

    said.title("a changes the origin and says so, of a whole branch of keys: b hears it");
    PRICE.store(8, Ordering::SeqCst);
    a.invalidate(&Scope::Prefix(Prefix::new("prices/eur/")?)).await?;
    until(|| b.get(key.as_str()).is_none()).await?;
    said.read("b", &read(&b, &key).await?, 8, Freshness::Fresh, Source::Origin);

    said.title("past its time a price is served at once, and renewed meanwhile");
    PRICE.store(9, Ordering::SeqCst);
    tokio::time::sleep(FRESH + ASKING).await;
    said.read("b", &read(&b, &key).await?, 8, Freshness::Stale, Source::Origin);
    until(|| b.get(key.as_str()).is_some_and(|hit| hit.freshness() == Freshness::Fresh)).await?;
    said.read("b", &read(&b, &key).await?, 9, Freshness::Fresh, Source::Origin);

    said.title("keys are rotated: c accepts the first as well as the next, d the next alone");
    let c = process(&tier_of_a, KeyRing::new(next.clone()).accept(first)?)?;
    let d = process(&tier_of_a, KeyRing::new(next))?;
    until(|| c.is_hearing() && d.is_hearing()).await?;
    tokio::time::sleep(ASKING).await;
    said.read("c", &read(&c, &key).await?, 9, Freshness::Fresh, Source::SecondTier);
    said.read("d", &read(&d, &key).await?, 9, Freshness::Fresh, Source::Origin);

    said.title("b loses the second tier: it serves and loads all the same, and says unheard");
    shared.lose().await;
    until(|| !b.is_hearing()).await?;
    said.read("b", &read(&b, &key).await?, 9, Freshness::Unheard, Source::Origin);
    PRICE.store(10, Ordering::SeqCst);
    let told = b.invalidate(&Scope::Key(key.clone())).await;
    said.refusal("b", told.err().map(|not_told| not_told.source));
    said.read("b", &read(&b, &key).await?, 10, Freshness::Unheard, Source::Origin);
    Ok(said.end())
}

/// The second tier as two processes have it.
enum Shared {
    Memory([MemoryTier; 2]),
    Redis(Box<[RedisTier; 2]>),
}

impl Shared {
    async fn open(url: Option<String>) -> Result<Self, Box<dyn Error>> {
        let environment = Environment::system();
        let Some(url) = url else {
            let tier = MemoryTier::new(environment.clock);
            return Ok(Self::Memory([tier.another(), tier]));
        };
        // Of its own, so that a run does not find what another one left.
        let prefix = format!("two-tier:{}", std::process::id());
        let start = || RedisTier::start(&prefix, RedisConfig::at(&url)?, &environment);
        Ok(Self::Redis(Box::new([start()?, start()?])))
    }

    fn tiers(&self) -> [Arc<dyn SecondTier>; 2] {
        match self {
            Self::Memory(tiers) => tiers.clone().map(|tier| Arc::new(tier) as Arc<dyn SecondTier>),
            Self::Redis(tiers) => (**tiers).clone().map(|tier| Arc::new(tier) as Arc<dyn SecondTier>),
        }
    }

    /// The second process loses it.
    async fn lose(&self) {
        match self {
            Self::Memory([_, tier]) => tier.set_away(true),
            Self::Redis(tiers) => tiers[1].client().close().await,
        }
    }
}

/// What was printed, and how much of it was as it should be.
struct Transcript {
    shown: usize,
    held: usize,
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
impl Transcript {
    fn begin() -> Self {
        println!("{:<9}{:>5}  {:<10}{:>8}  came from", "process", "price", "freshness", "age");
        Self { shown: 0, held: 0 }
    }

    fn title(&self, title: &str) {
        println!("\n{title}");
    }

    fn read(&mut self, process: &str, got: &Cached<u64>, price: u64, freshness: Freshness, source: Source) {
        let Cached { value, age, freshness: is, source: from, .. } = got;
        let value = value.as_deref().copied();
        let shown = value.map_or_else(|| "none".to_owned(), |price| price.to_string());
        println!("{process:<9}{shown:>5}  {:<10}{:>5} ms  {}", is.name(), age.as_millis(), from.name());
        self.claim((value, *is, *from) == (Some(price), freshness, source));
    }

    fn refusal(&mut self, process: &str, error: Option<impl Error>) {
        println!("{process:<9}{}", error.as_ref().map_or_else(String::new, ToString::to_string));
        self.claim(error.is_some());
    }

    fn claim(&mut self, holds: bool) {
        self.shown += 1;
        self.held += usize::from(holds);
        if !holds {
            println!("         which is not what it should be");
        }
    }

    fn end(self) -> ExitCode {
        let Self { shown, held } = self;
        println!("\nRESULT shown={shown} held={held}");
        if held == shown { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Waits for what comes by itself.
async fn until(mut condition: impl FnMut() -> bool) -> Result<(), tokio::time::error::Elapsed> {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await
}
