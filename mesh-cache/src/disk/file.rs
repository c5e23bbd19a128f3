//! The file system's part: a file that is replaced whole or not at all, and what may be said of its owner.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::{DiskReadError, DiskWriteError};

/// Puts `bytes` in the place of the file at `path`, so that a crash at any moment leaves the old file or the new one.
///
/// `salt` names the temporary file; it should not repeat.
pub(super) fn replace(path: &Path, bytes: &[u8], salt: u64) -> Result<(), DiskWriteError> {
    let name = path.file_name().ok_or(DiskWriteError::NotAFile)?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(DiskWriteError::NotAFile),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DiskWriteError::io("look at the path")(error));
        }
        Ok(_) | Err(_) => {}
    }
    let directory = directory_of(path);
    let mut temporary = Temporary::create(directory, name, salt).map_err(DiskWriteError::io("create a file"))?;
    temporary.file.write_all(bytes).map_err(DiskWriteError::io("write"))?;
    temporary.file.sync_all().map_err(DiskWriteError::io("sync the file"))?;
    fs::rename(&temporary.path, path).map_err(DiskWriteError::io("rename the file"))?;
    temporary.renamed = true;
    sync_directory(directory).map_err(DiskWriteError::io("sync the directory"))
}

/// The content and the metadata of the file at `path`, both of the same file whatever happens to the path meanwhile.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Option<(Vec<u8>, Metadata)>, DiskReadError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(DiskReadError::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    let file = match careful(OpenOptions::new().read(true)).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskReadError::io("open the file")(error)),
    };
    let metadata = file.metadata().map_err(DiskReadError::io("look at the file"))?;
    if !metadata.is_file() {
        return Err(DiskReadError::NotAFile);
    }
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more than is read, since the file may grow while it is.
    if metadata.len() <= most {
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(DiskReadError::io("read the file"))?;
    }
    let found = metadata.len().max(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    if found > most { Err(DiskReadError::TooLarge { bytes: found, bytes_max }) } else { Ok(Some((bytes, metadata))) }
}

/// Removes what a crash has left of writes to `path`, and returns how many files that were. Files that another process is
/// writing are locked, and stay; so does whatever is no regular file of this user.
pub(super) fn remove_leftovers(path: &Path) -> io::Result<usize> {
    let Some(name) = path.file_name() else { return Ok(0) };
    let mut removed = 0;
    for entry in fs::read_dir(directory_of(path))? {
        let entry = entry?;
        if is_temporary(&entry.file_name(), name) && remove_unless_locked(&entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the file is this user's and nobody else may write to it; elsewhere than on Unix nothing can be told.
#[cfg(unix)]
pub(super) fn check_private(metadata: &Metadata) -> Result<(), DiskReadError> {
    use std::os::unix::fs::MetadataExt as _;

    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if uid != rustix::process::geteuid().as_raw() {
        return Err(DiskReadError::ForeignOwner { uid });
    }
    if mode & 0o022 != 0 {
        return Err(DiskReadError::WritableByOthers { mode });
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn check_private(_: &Metadata) -> Result<(), DiskReadError> {
    Ok(())
}

/// A file that is removed again unless it was renamed, and locked for as long as it is written.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    /// How many names are tried: one may be a leftover, or planted.
    const ATTEMPTS_MAX: u8 = 8;

    /// Creates a file that did not exist, so no link that was planted under its name is followed.
    fn create(directory: &Path, name: &OsStr, salt: u64) -> io::Result<Self> {
        for attempt in 0..Self::ATTEMPTS_MAX {
            let path = directory.join(temporary_name(name, salt, attempt));
            let file = match private(OpenOptions::new().write(true).create_new(true)).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // Whoever removes leftovers may have been quicker than the lock. The name is not ours any more then, and
            // may be somebody else's already.
            match file.try_lock() {
                Ok(()) if stands_at(&path, &file) => return Ok(Self { path, file, renamed: false }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // Where there are no locks, leftovers are not removed either.
                Err(TryLockError::Error(_)) => return Ok(Self { path, file, renamed: false }),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn temporary_name(name: &OsStr, salt: u64, attempt: u8) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{salt:016x}-{attempt}{SUFFIX}"));
    temporary
}

/// Whether `candidate` is a name that a write to `name` gives.
fn is_temporary(candidate: &OsStr, name: &OsStr) -> bool {
    let middle = candidate
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    middle
        .and_then(|middle| middle.split_at_checked(16))
        .is_some_and(|(salt, attempt)| salt.iter().all(u8::is_ascii_hexdigit) && matches!(attempt, [b'-', b'0'..=b'7']))
}

fn remove_unless_locked(path: &Path) -> io::Result<()> {
    let file = careful(OpenOptions::new().write(true)).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || check_private(&metadata).is_err() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    file.try_lock()?;
    remove_if_named(path, &file)
}

/// Removes `file`, which is locked, from `path`.
///
/// It may have been renamed since it was opened, and another be written under its name. What is locked is neither renamed
/// nor removed by anybody else, so that what is true here stays true.
fn remove_if_named(path: &Path, file: &File) -> io::Result<()> {
    if stands_at(path, file) { fs::remove_file(path) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The directory that `path` is in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Follows no link and waits for no pipe.
#[cfg(unix)]
fn careful(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;

    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

#[cfg(not(unix))]
fn careful(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// For this user's eyes only.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;

    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether `path` is the name of `file` now.
#[cfg(unix)]
fn stands_at(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let identity = |metadata: io::Result<Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(file.metadata()).is_some_and(|own| identity(fs::symlink_metadata(path)) == Some(own))
}

#[cfg(not(unix))]
fn stands_at(path: &Path, _: &File) -> bool {
    path.exists()
}

/// Makes a rename last through a loss of power; only Unix opens directories.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

const SUFFIX: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_renamed_is_locked_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let temporary = Temporary::create(directory.path(), OsStr::new("snapshot"), 7).unwrap();
        let path = temporary.path.clone();
        assert!(is_temporary(path.file_name().unwrap(), OsStr::new("snapshot")));
        assert!(matches!(File::open(&path).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        assert!(remove_unless_locked(&path).is_err());
        drop(temporary);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_took_the_name_of_a_leftover_is_not_removed_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leftover");
        fs::write(&path, b"old").unwrap();
        let old = File::open(&path).unwrap();
        fs::rename(&path, directory.path().join("snapshot")).unwrap();
        assert!(remove_if_named(&path, &old).is_err());
        fs::write(&path, b"new").unwrap();
        assert!(remove_if_named(&path, &old).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(remove_if_named(&path, &File::open(&path).unwrap()).is_ok());
    }
}
