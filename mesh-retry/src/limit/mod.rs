//! Decides how much may be asked of a callee at once: [`ConcurrencyLimit`], [`throttle`], [`bulkhead`].
//!
//! A [`ConcurrencyLimit`] keeps the requests in flight below a limit that follows how the callee does. A
//! [`throttle::AdaptiveThrottle`] does not send what a callee that refuses much would refuse too. A
//! [`bulkhead::Bulkhead`] keeps a place for each call, and lets some wait for theirs. All are shared by threads: `&self`,
//! no lock, no allocation, and the time is passed. None of them makes anyone wait, and each refusal carries the numbers
//! that decided it.
//!
//! # The algorithms
//!
//! | preset | limit | moved by | source |
//! |---|---|---|---|
//! | [`fixed`](LimitConfig::fixed) | stays | nothing | |
//! | [`aimd`](LimitConfig::aimd) | 20, 20 to 200 | drops, and round trips above 5 s | Netflix, concurrency-limits, `AIMDLimit` |
//! | [`vegas`](LimitConfig::vegas) | 20, 1 to 1,000 | the queue that the round trip shows | `VegasLimit` |
//! | [`gradient2`](LimitConfig::gradient2) | 20, 20 to 200 | the round trip against a long average | `Gradient2Limit` |
//! | [`envoy`](LimitConfig::envoy) | 3, 3 to 1,000 | the round trip against one measured at low load | Envoy, `gradient_controller.cc` |
//!
//! # How threads share a limit
//!
//! The count of requests in flight, the limit, and which measurement they belong to stand in one word. An admission is
//! one exchange of it, so no order of threads lets more in than the limit is at that moment; an end is another. A sample
//! is one addition to another word. Whoever adds the sample that ends a window tries to claim the algorithm with one
//! exchange, asks it, and sets the limit; whoever comes meanwhile leaves its sample for the next window and goes on.
//! Nobody waits for anybody. What the algorithm remembers is in atomics that only the holder of the claim touches.
//!
//! # A limit of your own
//!
//! ```
//! use std::time::Duration;
//!
//! use mesh_retry::Instant;
//! use mesh_retry::limit::algorithm::{Algorithm, Sample, Step};
//! use mesh_retry::limit::{ConcurrencyLimit, End, SampleWindow};
//!
//! /// Half of the limit where round trips are long.
//! #[derive(Debug)]
//! struct Halving;
//!
//! impl Algorithm for Halving {
//!     fn first(&self) -> Step {
//!         Step::to(8)
//!     }
//!     fn next(&self, _now: Instant, sample: &Sample) -> Step {
//!         Step::to(if sample.rtt > Duration::from_millis(100) { 4 } else { 8 })
//!     }
//! }
//!
//! let limit = ConcurrencyLimit::with_algorithm(Box::new(Halving), SampleWindow::EACH);
//! let permit = limit.acquire(Instant::ZERO)?;
//! let rtt = Duration::from_millis(250);
//! limit.release(Instant::ZERO + rtt, permit, End::Success, rtt);
//! assert_eq!((limit.limit(), limit.in_flight()), (4, 0));
//! # Ok::<(), mesh_retry::limit::Limited>(())
//! ```

pub mod algorithm;
pub mod bulkhead;
mod claim;
mod concurrency;
mod config;
mod due;
mod histogram;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod occupancy;
mod samples;
pub mod throttle;

pub use concurrency::{ConcurrencyLimit, End, Limited, Permit};
pub use config::{Aggregate, AlgorithmConfig, LimitConfig, SampleWindow};
