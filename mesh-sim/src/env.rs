//! The command's window on the world: the clock, files, terminals and interrupts. Nothing else in the crate has one.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Set by the first interrupt; the second ends the process, without a trace of files that are not whole.
pub(crate) fn interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    let handler = move || {
        if seen.swap(true, Ordering::Relaxed) {
            unfinished().iter().for_each(|partial| remove(partial));
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

/// What the process was told, but for what is no text.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args_os().filter_map(|argument| argument.into_string().ok()).collect()
}

/// How many threads run at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether there is something to read at `path`: a file, or a pipe.
pub(crate) fn is_readable(path: &Path) -> bool {
    path.exists() && !path.is_dir()
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

/// Where the file is, or would be, without links; none where its directory is missing.
fn absolute(path: &Path) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    path.canonicalize().ok().or_else(|| Some(directory.canonicalize().ok()?.join(path.file_name()?)))
}

/// A file that is written whole or not at all: it takes its name when all is there.
#[derive(Debug)]
pub(crate) struct Output {
    /// As the user called it.
    path: PathBuf,
    /// What takes its place, once all is there.
    place: PathBuf,
    partial: PathBuf,
    writer: BufWriter<File>,
    kept: bool,
}

impl Output {
    /// Begins the file at `path`. What is there already stays as it is until [`Output::keep`].
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // A link goes on leading where it leads.
        let place = if path.is_symlink() { path.canonicalize()? } else { path.to_owned() };
        if place.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        if place.exists() && !place.is_file() {
            // To give a pipe or a device another file's content is to remove it.
            return Err(io::Error::other("it is no regular file"));
        }
        if place.file_name().is_none() {
            return Err(io::Error::other("it names no file"));
        }
        // Its own name could be too long already.
        let number = OUTPUTS.fetch_add(1, Ordering::Relaxed);
        let partial = place.with_file_name(format!(".mesh-sim-{}-{number}.partial", std::process::id()));
        remove(&partial);
        let writer = BufWriter::new(File::create_new(&partial)?);
        unfinished().push(partial.clone());
        Ok(Self { path: path.to_owned(), place, partial, writer, kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that all of it is there.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()
    }

    /// Gives the file its name, once it is [finished](Output::finish).
    pub(crate) fn keep(mut self) -> io::Result<()> {
        fs::rename(&self.partial, &self.place)?;
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
            remove(&self.partial);
        }
        unfinished().retain(|partial| *partial != self.partial);
    }
}

/// Removes a file. It may be gone already, and nobody is left to be told.
fn remove(partial: &Path) {
    let _ = fs::remove_file(partial);
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that an end without warning must remove.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How many files were begun.
static OUTPUTS: AtomicU32 = AtomicU32::new(0);
