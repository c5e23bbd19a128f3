//! Where views are published and picked from.

use alloc::sync::{Arc, Weak};
use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::context::PickContext;
use super::endpoint::Endpoint;
use super::error::PickError;
use super::explain::Explanation;
use super::lease::{Lease, LeaseRef};
use super::policy::Cursor;
use super::shortcut::Shortcut;
use super::stats::BalancerStats;
use super::view::{Placed, View};
use super::window::Window;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// The balancer of one service: one published [`View`], and handles that pick from it.
///
/// Cloning it shares it. Publishing is one atomic swap; picking takes no lock, makes no allocation and writes
/// nothing that two instances share.
///
/// ```
/// use mesh_core::balance::{Balancer, Member, Outcome, PickContext, Strategy, ViewBuilder};
/// use mesh_core::service::Instance;
/// use mesh_core::time::Instant;
///
/// let mut views = ViewBuilder::new(Strategy::default());
/// let members = [8080, 8081].map(|port| Instance::builder("api", "127.0.0.1", port).build().map(Member::usable));
/// let members = members.into_iter().collect::<Result<Vec<_>, _>>()?;
///
/// let balancer = Balancer::new();
/// balancer.publish(views.build(members));
///
/// let mut handle = balancer.handle();
/// let lease = handle.pick(Instant::ZERO, &PickContext::default(), 42)?;
/// assert_eq!(lease.endpoint().in_flight(), 1);
/// lease.finish(Instant::from_millis(3), Outcome::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Balancer {
    core: Arc<Core>,
}

struct Core {
    view: ArcSwap<View>,
    version: AtomicU64,
    picks_uninformed: AtomicU64,
    /// For how long a handle may hold counts back; 0 for not at all.
    window: Duration,
    /// What the handles hold back.
    windows: Mutex<Vec<Weak<Window>>>,
}

impl Balancer {
    /// A balancer whose service nothing is known of yet. Its counts are exact.
    #[must_use]
    pub fn new() -> Self {
        Self::with_window(Duration::ZERO)
    }

    /// A balancer whose handles hold counts back, so that threads which share few instances do not all write the same
    /// cache lines for every request. It is exact where `window` is 0.
    ///
    /// Of one instance a handle holds back at most 3 requests in flight, or ends, and none for longer than `window`
    /// while it picks that instance or ends requests to it; what it held back when it turned to others is told by
    /// [`Balancer::settle`], and when the handle and its leases are dropped. A handle sees what it holds back itself, so
    /// that one alone decides as it would without a window. With a window of a fiftieth of what a request takes, two
    /// choices are as good as on exact counts; with one that is longer than a request, each thread balances on its own.
    /// Bounded load may exceed its bound by what others hold back. A handle that turns to a newer view takes a lock and
    /// makes its cells anew where instances came; all other picks do neither.
    #[must_use]
    pub fn with_window(window: Duration) -> Self {
        let core = Core {
            view: ArcSwap::new(View::pending()),
            version: AtomicU64::new(0),
            picks_uninformed: AtomicU64::new(0),
            window,
            windows: Mutex::default(),
        };
        Self { core: Arc::new(core) }
    }

    /// Makes the counts exact: tells what handles hold back. Nothing to do without a window; otherwise O(n) for each
    /// handle.
    pub fn settle(&self) {
        let windows: Vec<_> = self.core.windows().iter().filter_map(Weak::upgrade).collect();
        windows.iter().for_each(|window| window.settle());
    }

    /// Publishes `view`, unless a later one of the same builder is published already.
    ///
    /// Handles see it at their next pick. Returns whether it was published.
    pub fn publish(&self, view: Arc<View>) -> bool {
        let previous = self
            .core
            .view
            .rcu(|current| if view.version() > current.version() { Arc::clone(&view) } else { Arc::clone(current) });
        self.core.version.fetch_max(view.version(), Ordering::Release);
        view.version() > previous.version()
    }

    /// The view that is published now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.core.view.load_full()
    }

    /// The version of the view that is published now; 0 before the first. Cheaper than asking the view.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.core.version.load(Ordering::Acquire)
    }

    /// What is counted, with what still counts as load at `now`. O(n). It [settles](Balancer::settle) the counts.
    #[must_use]
    pub fn stats(&self, now: Instant) -> BalancerStats {
        self.settle();
        let picks_uninformed = self.core.picks_uninformed.load(Ordering::Relaxed);
        BalancerStats { picks_uninformed, ..self.view().stats(now) }
    }

    /// A handle to pick with, for one thread or task.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let view = self.view();
        let version = view.version();
        let window = self.core.window_over(&view, None);
        let shortcut = view.shortcut.clone();
        let core = Arc::clone(&self.core);
        let cursors = vec![Cursor::default(); view.parts()];
        let vantage = Vantage { view, window };
        let pin = Arc::new(Pin(vantage.clone()));
        Handle { core, shortcut, vantage, pin, version, cursors, uninformed: 0 }
    }
}

impl Core {
    /// What a handle that follows `view` holds back, after `previous`; none where counts are exact.
    fn window_over(&self, view: &View, previous: Option<&Window>) -> Option<Arc<Window>> {
        if self.window.is_zero() {
            return None;
        }
        let window = Arc::new(Window::over(self.window, &view.table.blocks, previous));
        let mut windows = self.windows();
        windows.retain(|window| window.strong_count() > 0);
        windows.push(Arc::downgrade(&window));
        Some(window)
    }

    fn windows(&self) -> MutexGuard<'_, Vec<Weak<Window>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.view();
        let mut text = f.debug_struct("Balancer");
        text.field("version", &view.version()).field("census", &view.census()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("version", &self.version).field("cursors", &self.cursors).finish_non_exhaustive()
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self::new()
    }
}

/// One thread's or task's way into a balancer: its cached view and its place in rotations.
///
/// Picking takes `&mut self`, because it may turn to a newer view; a borrowed lease keeps the handle borrowed
/// until it ends. Many leases at a time are taken with [`Handle::pick_owned`].
pub struct Handle {
    core: Arc<Core>,
    shortcut: Shortcut,
    vantage: Vantage,
    pin: Arc<Pin>,
    version: u64,
    /// Its place in the rotation of each part of the view.
    cursors: Vec<Cursor>,
    /// Picks without anything to compare that the core has not been told of.
    uninformed: u32,
}

/// A handle's vantage as its owned leases hold it: they clone this reference count, which other threads write only when a
/// lease ends on one of them, rather than the view's, which all would write all the time.
#[repr(align(128))]
pub(super) struct Pin(pub(super) Vantage);

/// The view that a handle picks from, and what it holds back while it looks at it.
#[derive(Clone, Debug)]
pub(super) struct Vantage {
    pub(super) view: Arc<View>,
    /// What it holds back; none where its counts are exact.
    pub(super) window: Option<Arc<Window>>,
}

impl Vantage {
    /// Counts a request that was placed.
    #[inline]
    pub(super) fn start(&self, placed: &Placed<'_>, now: Instant) {
        match &self.window {
            None => placed.endpoint.start(),
            Some(window) => window.start(&self.view, placed.part, placed.position, now),
        }
    }

    /// Counts the end of a request; at no known time where a lease was dropped.
    #[inline]
    pub(super) fn stop(&self, part: u32, position: u32, endpoint: &Endpoint, now: Option<Instant>) {
        match &self.window {
            None => endpoint.stop(),
            Some(window) => window.stop(&self.view, part, position, now),
        }
    }
}

impl Handle {
    /// Picks an instance for a request that ends before the handle's next pick.
    ///
    /// `entropy` is one word, all that the pick draws from: words that differ at all give unrelated picks. O(1), except
    /// for policies that scan by nature, selectors that are not registered and calls that exclude most candidates.
    ///
    /// # Errors
    /// Says why no instance can be picked; nothing is counted then.
    #[inline(always)]
    pub fn pick(&mut self, now: Instant, context: &PickContext<'_>, entropy: u64) -> Result<LeaseRef<'_>, PickError> {
        self.refresh();
        let placed = self.shortcut.place(&self.vantage, now, context, entropy, &mut self.cursors)?;
        count_uninformed(&self.core, &mut self.uninformed, &placed);
        Ok(LeaseRef::start(&self.vantage, placed, now))
    }

    /// Picks an instance for a request that may outlive the handle.
    ///
    /// # Errors
    /// As [`Handle::pick`].
    #[inline(always)]
    pub fn pick_owned(&mut self, now: Instant, context: &PickContext<'_>, entropy: u64) -> Result<Lease, PickError> {
        self.refresh();
        let placed = self.shortcut.place(&self.vantage, now, context, entropy, &mut self.cursors)?;
        count_uninformed(&self.core, &mut self.uninformed, &placed);
        Ok(Lease::start(&self.pin, placed, now))
    }

    /// Picks as [`Handle::pick_owned`] does, the same instance, and says why. It allocates.
    ///
    /// # Errors
    /// As [`Handle::pick`].
    pub fn pick_explained(
        &mut self,
        now: Instant,
        context: &PickContext<'_>,
        entropy: u64,
    ) -> Result<(Lease, Explanation), PickError> {
        self.refresh();
        let Vantage { view, window } = &self.vantage;
        let (placed, explanation) =
            view.place_explained(now, context, entropy, &mut self.cursors, window.as_deref())?;
        count_uninformed(&self.core, &mut self.uninformed, &placed);
        Ok((Lease::start(&self.pin, placed, now), explanation))
    }

    /// The view that the next pick reads.
    pub fn view(&mut self) -> &Arc<View> {
        self.refresh();
        &self.vantage.view
    }

    #[inline]
    fn refresh(&mut self) {
        if self.core.version.load(Ordering::Acquire) != self.version {
            self.turn_to_the_latest();
        }
    }

    #[cold]
    fn turn_to_the_latest(&mut self) {
        let view = self.core.view.load_full();
        self.version = view.version();
        let window = self.core.window_over(&view, self.vantage.window.as_deref());
        self.shortcut = view.shortcut.clone();
        self.cursors.resize(view.parts(), Cursor::default());
        self.vantage = Vantage { view, window };
        self.pin = Arc::new(Pin(self.vantage.clone()));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        report_uninformed(&self.core, &mut self.uninformed);
    }
}

#[inline]
fn count_uninformed(core: &Core, uninformed: &mut u32, placed: &Placed<'_>) {
    *uninformed += u32::from(!placed.informed);
    if *uninformed >= UNINFORMED_MAX {
        report_uninformed(core, uninformed);
    }
}

#[cold]
fn report_uninformed(core: &Core, uninformed: &mut u32) {
    core.picks_uninformed.fetch_add(u64::from(core::mem::take(uninformed)), Ordering::Relaxed);
}

const UNINFORMED_MAX: u32 = 64;
