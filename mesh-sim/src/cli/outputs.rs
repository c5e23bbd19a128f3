//! The files that a run writes: checked before anything runs, whole or not at all after it.

use std::path::Path;

use super::{Ended, FAILED};
use crate::env::{self, Output};

/// Begins the file at `path`, which must be none of `others`.
pub(super) fn begin(path: Option<&Path>, others: &[&Path]) -> Result<Option<Output>, Ended> {
    let Some(path) = path else { return Ok(None) };
    if others.iter().any(|other| env::are_same(path, other)) {
        return Err(Ended::usage(format_args!(
            "{}: is named twice; every file needs a name of its own",
            path.display()
        )));
    }
    Output::create(path).map(Some).map_err(|error| failed(path, &error))
}

/// Gives the files their names, once all of them are whole.
pub(super) fn keep(mut outputs: Vec<Output>) -> Result<(), Ended> {
    for output in &mut outputs {
        output.finish().map_err(|error| failed(output.path(), &error))?;
    }
    for output in outputs {
        let path = output.path().to_owned();
        output.keep().map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

pub(super) fn failed(path: &Path, error: &std::io::Error) -> Ended {
    Ended::with(FAILED, format_args!("mesh-sim: {}: cannot be written: {error}", path.display()))
}
