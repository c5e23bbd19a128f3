//! Files that are not Rust: scripts, clippy's configuration, and hosts that no file may name.

use crate::Finding;
use crate::manifest;

/// Whether the file at `path` is a script of the repository.
#[must_use]
pub fn is_script(path: &str) -> bool {
    path.starts_with("scripts/") || path.starts_with(".ci/")
}

/// Refuses a script that is not executable, or goes on after a command that failed.
#[must_use]
pub fn script(path: &str, content: &str, executable: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if !executable {
        found.push(Finding::new(path, 1, "script", format!("run `chmod +x {path}`")));
    }
    let mut lines = content.lines().enumerate();
    if lines.next().is_none_or(|(_, first)| first != SHEBANG) {
        found.push(Finding::new(path, 1, "script", format!("begin with `{SHEBANG}`")));
    }
    let command = lines.find(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    if command.is_none_or(|(_, line)| line != STRICT) {
        let line = command.map_or(1, |(index, _)| index + 1);
        found.push(Finding::new(path, line, "script", format!("let the first command be `{STRICT}`")));
    }
    found
}

/// Refuses an entry of clippy's disallowed lists that does not say why.
#[must_use]
pub fn clippy_reasons(path: &str, content: &str) -> Vec<Finding> {
    let root = match manifest::parse(path, content) {
        Ok(root) => root,
        Err(finding) => return vec![finding],
    };
    let mut found = Vec::new();
    for list in ["disallowed-methods", "disallowed-types", "disallowed-macros", "disallowed-names"] {
        let entries = root.get(list).and_then(|list| list.get_ref().as_array());
        for entry in entries.into_iter().flat_map(|entries| entries.iter()) {
            let reason = entry.get_ref().get("reason").and_then(|reason| reason.get_ref().as_str());
            if reason.is_none_or(|reason| reason.trim().is_empty()) {
                let line = manifest::line_at(content, entry.span().start);
                found.push(Finding::new(path, line, "clippy-reason", "add `reason = \"…\"`: say what to use instead"));
            }
        }
    }
    found
}

/// Refuses the host of a package registry or a mirror: where packages come from is the machine's affair.
#[must_use]
pub fn registry_hosts(path: &str, content: &str) -> Vec<Finding> {
    let hosts = hosts();
    let finding = |(index, line): (usize, &str)| {
        // The lock file names the registry's index by its repository, wherever packages come from.
        let line = line.to_ascii_lowercase().replace(LOCKED_INDEX, "");
        let host = hosts.iter().find(|host| line.contains(host.as_str()))?;
        let advice = format!("leave `{host}` out: cargo and apt are configured outside the repository");
        Some(Finding::new(path, index + 1, "registry-host", advice))
    };
    content.lines().enumerate().filter_map(finding).collect()
}

/// The hosts, put together here so that this file passes its own rule.
fn hosts() -> Vec<String> {
    let parts: [&[&str]; 10] = [
        &["crates", "io"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["npmjs", "org"],
        &["debian", "org"],
        &["archive", "ubuntu", "com"],
        &["security", "ubuntu", "com"],
        &["rubygems", "org"],
        &["proxy", "golang", "org"],
        &["docker", "io"],
    ];
    parts.iter().map(|labels| labels.join(".")).collect()
}

const SHEBANG: &str = "#!/usr/bin/env bash";

const STRICT: &str = "set -euo pipefail";

const LOCKED_INDEX: &str = concat!("github.com/rust-lang/crates", ".io-index");
