//! The command's window on the world: the clock, files, terminals and interrupts. Nothing else in the crate has one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A stopwatch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the one place in the command that reads the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place in the command that reads the clock")]
    pub(crate) fn seconds(self) -> f64 {
        Instant::now().duration_since(self.0).as_secs_f64()
    }
}

/// Set by the first interrupt; the second ends the process.
pub(crate) fn interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    let handler = move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(crate::cli::INTERRUPTED));
        }
    };
    // Where no handler can be set, an interrupt ends the process as it always did.
    let _ = ctrlc::set_handler(handler);
    interrupted
}

/// Whether errors and progress go to a terminal, and whether the results do.
pub(crate) fn terminals() -> (bool, bool) {
    (io::stderr().is_terminal(), io::stdout().is_terminal())
}

/// Whether the user wants no colours, wherever output goes.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is an environment variable by convention")]
pub(crate) fn no_color() -> bool {
    std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty())
}

/// How many threads run at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Whether two paths lead to one file, as far as can be told.
pub(crate) fn are_same(one: &Path, other: &Path) -> bool {
    match (absolute(one), absolute(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The file's place in a directory that exists.
fn absolute(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(directory.canonicalize().ok()?.join(path.file_name()?))
}

/// A file that is written whole or not at all: it takes its name when all is there.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    partial: PathBuf,
    writer: BufWriter<File>,
    kept: bool,
}

impl Output {
    /// Begins the file at `path`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        if path.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        let mut partial = OsString::from(".");
        partial.push(name);
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let writer = BufWriter::new(File::create(&partial)?);
        Ok(Self { path: path.to_owned(), partial, writer, kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name.
    pub(crate) fn keep(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        self.kept = true;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.kept {
            // It may be gone already; nobody is left to be told.
            let _ = fs::remove_file(&self.partial);
        }
    }
}
