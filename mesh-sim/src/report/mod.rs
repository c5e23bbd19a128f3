//! Results as text: for programs and for people. Nothing here opens a file or looks at a clock.

mod csv;
mod golden;
#[cfg(feature = "cli")]
mod table;
mod trace;
#[cfg(feature = "cli")]
pub(crate) mod words;

pub use csv::csv;
pub use golden::golden;
#[cfg(feature = "cli")]
pub(crate) use table::table;
pub use trace::Tracer;
