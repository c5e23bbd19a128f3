//! The tidy test: the repository as it stands, held to every rule.

use std::io;
use std::path::Path;

use mesh_tidy::repository::Repository;

#[test]
fn the_repository_keeps_its_rules() -> io::Result<()> {
    let repository = Repository::open(&root())?;
    let findings: Vec<String> = mesh_tidy::findings(&repository)?.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    Ok(())
}

#[test]
fn the_sources_and_manifests_are_among_the_files() -> io::Result<()> {
    let repository = Repository::open(&root())?;
    for path in ["Cargo.toml", "Cargo.lock", "clippy.toml", ".ci/run", "scripts/test", "mesh-core/src/lib.rs"] {
        assert!(repository.files().iter().any(|file| file == path), "{path} is not listed");
    }
    assert!(repository.is_executable("scripts/test")?);
    assert!(!repository.is_executable("Cargo.toml")?);
    Ok(())
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
