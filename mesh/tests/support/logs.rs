//! Listens to what is logged on this thread.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, Once};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What was logged; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    bytes: Arc<Mutex<Vec<u8>>>,
}

/// Ends the listening of its thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Listening(PhantomData<*const ()>);

impl Logs {
    /// Listens at WARN and above until the guard is dropped.
    pub(crate) fn listen() -> (Self, Listening) {
        Self::listen_to(Level::WARN)
    }

    /// Listens at `level` and above until the guard is dropped.
    pub(crate) fn listen_to(level: Level) -> (Self, Listening) {
        // One for all threads: what is logged for the first time by a thread that has no subscriber of its own counts as
        // wanted by nobody from then on, on every thread.
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_ansi(false)
                .without_time()
                .with_writer(OfThread)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        let logs = Self::default();
        HERE.set(Some((level, logs.clone())));
        (logs, Listening(PhantomData))
    }

    /// Everything that was logged so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        HERE.take();
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to those who listen on the thread, if anybody does at that level, and else into logs that nobody reads.
struct OfThread;

impl MakeWriter<'_> for OfThread {
    type Writer = Logs;

    fn make_writer(&self) -> Logs {
        HERE.with_borrow(|here| here.as_ref().map(|(_, logs)| logs.clone())).unwrap_or_default()
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> Logs {
        let wanted = |(level, logs): &(Level, Logs)| (metadata.level() <= level).then(|| logs.clone());
        HERE.with_borrow(|here| here.as_ref().and_then(wanted)).unwrap_or_default()
    }
}

static SUBSCRIBER: Once = Once::new();

thread_local! {
    static HERE: RefCell<Option<(Level, Logs)>> = const { RefCell::new(None) };
}
