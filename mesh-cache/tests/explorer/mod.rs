//! A stage on which every step of a cache's doings waits for its cue, and a director who tries every order of cues.
//!
//! What runs is the real cache over the real reference of a second tier. Only *when* things happen is decided here: each
//! reading and answering of the tier and of the origin, each piece of news, each fault is a step of its own.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod world;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::second::{
    Fetched, Listener, News, Reach, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark,
};
use mesh_cache::{Mark, Marks, MemoryTier};
use mesh_core::port::BoxFuture;
use tokio::sync::{Notify, oneshot};

/// The steps that wait for their cue, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<String, oneshot::Sender<()>>,
    count: usize,
}

impl Stage {
    /// Waits for the cue of the step `name`.
    pub(crate) async fn cue(&self, name: &str) {
        let (sender, cue) = oneshot::channel();
        {
            let mut state = self.0.lock().unwrap();
            state.count += 1;
            // Two of a name are told apart by when they came.
            let name =
                if state.waiting.contains_key(name) { format!("{name}'{}", state.count) } else { name.to_owned() };
            state.waiting.insert(name, sender);
        }
        // A director who is gone lets everybody go on.
        let _ = cue.await;
    }

    /// The steps that could be next, in the order of their names.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let mut state = self.0.lock().unwrap();
        state.waiting.retain(|_, sender| !sender.is_closed());
        state.waiting.keys().cloned().collect()
    }

    /// Gives the step `name` its cue.
    pub(crate) fn go(&self, name: &str) {
        let sender = self.0.lock().unwrap().waiting.remove(name);
        let _ = sender.unwrap().send(());
    }
}

/// Lets everything run that can, until nobody can go on without a cue: paused time moves only then.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What one process has of the tier: every operation is carried out at one cue and answered at another, and news comes
/// at cues of its own.
#[derive(Clone, Debug)]
pub(crate) struct StagedTier {
    pub(crate) process: &'static str,
    pub(crate) tier: MemoryTier,
    pub(crate) stage: Stage,
    pub(crate) wire: Arc<Wire>,
    /// Whether operations are answered in the step in which they are carried out: fewer orders.
    pub(crate) answers_at_once: bool,
}

/// The connection of one process: what it is told, and whether it stands.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    state: Mutex<WireState>,
    told: Notify,
}

#[derive(Debug, Default)]
struct WireState {
    heard: Vec<News>,
    is_broken: bool,
    connection: u64,
}

impl Wire {
    /// A connection that stands.
    pub(crate) fn standing() -> Arc<Self> {
        let wire = Self::default();
        wire.connect();
        Arc::new(wire)
    }

    /// Breaks: what was not delivered is lost, and the process is told that it is deaf.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_broken = true;
        state.heard.push(News::Deaf);
        self.told.notify_one();
    }

    /// Stands again, as a new connection.
    pub(crate) fn connect(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_broken = false;
        state.connection += 1;
        let news = News::Hearing(state.connection);
        state.heard.push(news);
        self.told.notify_one();
    }

    /// Delivers `news`, or loses it if it was sent over an earlier connection.
    pub(crate) fn deliver(&self, news: News, sent_over: u64) {
        let mut state = self.state.lock().unwrap();
        if !state.is_broken && state.connection == sent_over {
            state.heard.push(news);
            self.told.notify_one();
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().unwrap().is_broken
    }

    pub(crate) fn connection(&self) -> u64 {
        self.state.lock().unwrap().connection
    }
}

impl StagedTier {
    async fn step<T>(&self, what: &str, carry_out: impl FnOnce(&MemoryTier) -> T) -> Result<T, TierError> {
        let connection = self.wire.connection();
        self.stage.cue(&format!("{}: {what} is carried out", self.process)).await;
        let gone = || TierError::new(TierErrorKind::Away, "is away");
        if self.wire.is_broken() || self.wire.connection() != connection {
            return Err(gone());
        }
        let answer = carry_out(&self.tier);
        // When a process hears that it shared something changes nothing.
        if !self.answers_at_once && what != "store" {
            self.stage.cue(&format!("{}: {what} is answered", self.process)).await;
        }
        // An answer over a connection that broke meanwhile never comes.
        if self.wire.is_broken() || self.wire.connection() != connection {
            return Err(TierError::new(TierErrorKind::Silent, "did not answer"));
        }
        Ok(answer)
    }
}

impl SecondTier for StagedTier {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        Box::pin(async move { self.step("fetch", |tier| tier.fetch_now(marks)).await? })
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        self.tier.watermarks(marks)
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        Box::pin(async move { self.step("store", |tier| tier.store_now(store)).await? })
    }

    fn invalidate(&self, mark: Mark, _: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        Box::pin(async move { self.step("invalidate", |tier| tier.invalidate_now(mark)).await? })
    }

    fn listen(&self) -> Box<dyn Listener> {
        let relayed = Relay { process: self.process, stage: self.stage.clone(), wire: Arc::clone(&self.wire) };
        tokio::spawn(relayed.run(self.tier.listen()));
        Box::new(StagedListener(Arc::clone(&self.wire)))
    }
}

/// Carries what the tier says to the process, each piece at its cue and in order.
struct Relay {
    process: &'static str,
    stage: Stage,
    wire: Arc<Wire>,
}

impl Relay {
    async fn run(self, mut listener: Box<dyn Listener>) {
        loop {
            match listener.next().await {
                // Whether anything is heard is the wire's to say.
                News::Hearing(_) | News::Deaf => {}
                news @ (News::Changed(_) | News::AllChanged) => {
                    let sent_over = self.wire.connection();
                    self.stage.cue(&format!("{}: news comes", self.process)).await;
                    self.wire.deliver(news, sent_over);
                }
            }
        }
    }
}

#[derive(Debug)]
struct StagedListener(Arc<Wire>);

impl Listener for StagedListener {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async {
            loop {
                {
                    let mut state = self.0.state.lock().unwrap();
                    if !state.heard.is_empty() {
                        return state.heard.remove(0);
                    }
                }
                self.0.told.notified().await;
            }
        })
    }
}

/// Plays `scene` in every order of its steps, each on a runtime of its own, and returns in how many.
///
/// The scene plays its part up to where only cues are missing, and is asked after each step whether all is well.
pub(crate) fn in_every_order<S, Fut>(scene: S) -> usize
where
    S: Fn(Director) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut path: Vec<Choice> = Vec::new();
    let mut played = 0;
    loop {
        let director = Director { path: Arc::new(Mutex::new(Script { path, at: 0 })), stage: Stage::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(scene(director.clone()));
        drop(runtime);
        played += 1;
        path = std::mem::take(&mut director.path.lock().unwrap().path);
        loop {
            match path.pop() {
                None => return played,
                Some(Choice { taken, of }) if taken + 1 < of => {
                    path.push(Choice { taken: taken + 1, of });
                    break;
                }
                Some(_) => {}
            }
        }
    }
}

/// Chooses which step is next.
#[derive(Clone, Debug)]
pub(crate) struct Director {
    path: Arc<Mutex<Script>>,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
struct Script {
    path: Vec<Choice>,
    at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    taken: usize,
    of: usize,
}

impl Director {
    /// Gives one waiting step its cue and lets everything run; returns which, or `None` when none waits.
    pub(crate) async fn step(&self) -> Option<String> {
        settle().await;
        let waiting = self.stage.waiting();
        if waiting.is_empty() {
            return None;
        }
        let chosen = {
            let mut script = self.path.lock().unwrap();
            let at = script.at;
            script.at += 1;
            if script.path.len() <= at {
                script.path.push(Choice { taken: 0, of: waiting.len() });
            }
            assert_eq!(script.path[at].of, waiting.len(), "the scene is not the same every time");
            waiting[script.path[at].taken].clone()
        };
        self.stage.go(&chosen);
        settle().await;
        Some(chosen)
    }
}
