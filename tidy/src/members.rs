//! What every member of the workspace owes: the workspace's lints, and a README that is its documentation.

use crate::Finding;
use crate::manifest::Manifest;
use crate::tokens::Tokens;

/// Refuses a manifest that does not inherit the workspace's lints.
#[must_use]
pub fn lints(manifest: &Manifest) -> Vec<Finding> {
    if manifest.inherits_lints {
        return Vec::new();
    }
    vec![Finding::new(&manifest.path, 1, "lints", "add `[lints]` with `workspace = true`")]
}

/// Refuses a library crate without a README, or whose root file `root` does not show it as its documentation.
#[must_use]
pub fn readme(manifest: &Manifest, root: Option<&str>, has_readme: bool) -> Vec<Finding> {
    let Some(root) = root else { return Vec::new() };
    if UNREAD.contains(&manifest.package.as_str()) {
        return Vec::new();
    }
    let directory = manifest.path.strip_suffix("/Cargo.toml").unwrap_or_default();
    if !has_readme {
        let advice = "write it: what the crate is for, what it never does, one example that runs";
        return vec![Finding::new(&format!("{directory}/README.md"), 1, "readme", advice)];
    }
    let shown = Tokens::parse(root).is_ok_and(|tokens| tokens.matches(INCLUDED).next().is_some());
    if shown {
        return Vec::new();
    }
    let advice = "begin with `#![doc = include_str!(\"../README.md\")]`, so that its example is a test";
    vec![Finding::new(&format!("{directory}/src/lib.rs"), 1, "readme", advice)]
}

const INCLUDED: &str = "# ! [ doc = include_str ! ( \"../README.md\" ) ]";

/// Packages that nobody outside the repository reads about.
const UNREAD: &[&str] = &["mesh-tidy", "mesh-benches", "mesh-testkit"];
