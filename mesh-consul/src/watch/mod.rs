//! Following a service: the machine that decides, and the tasks that many share.

mod config;
mod feed;
mod hub;
mod machine;
mod pace;
mod service_watch;

pub use config::WatchConfig;
pub(crate) use hub::Hub;
pub use machine::{QueryId, WatchAnswer, WatchEffect, WatchInput, WatchMachine, WatchMode, WatchUpdate};
pub use service_watch::{LOST_GRACE, ServiceWatch};
