//! Which crate may depend on which: the table of ARCHITECTURE.md, held against every manifest.

use crate::Finding;
use crate::manifest::{Dependency, Kind, Manifest};

/// Refuses each dependency of `manifest` on a crate of ours that the table does not list, and a package
/// that the table does not know.
#[must_use]
pub fn check(manifest: &Manifest) -> Vec<Finding> {
    let Some(row) = TABLE.iter().find(|row| row.package == manifest.package) else {
        let advice = format!("add `{}` to the table in tidy/src/arrows.rs, and to ARCHITECTURE.md", manifest.package);
        return vec![Finding::new(&manifest.path, 1, RULE, advice)];
    };
    let refused = |dependency: &Dependency| {
        let advice = row.refusal(dependency)?;
        Some(Finding::new(&manifest.path, dependency.line, RULE, advice))
    };
    manifest.dependencies.iter().filter_map(refused).collect()
}

/// The crates of ours that one package may use.
struct Row {
    package: &'static str,
    reach: Reach,
}

enum Reach {
    Anything,
    Only { always: &'static [&'static str], behind_a_feature: &'static [&'static str] },
}

impl Row {
    const fn only(package: &'static str, always: &'static [&'static str]) -> Self {
        Self { package, reach: Reach::Only { always, behind_a_feature: &[] } }
    }

    /// What to do instead of `dependency`, or `None` where it may stand.
    fn refusal(&self, dependency: &Dependency) -> Option<String> {
        let target = dependency.package.as_str();
        let from = self.package;
        let dev = dependency.kind == Kind::Dev;
        if target == from {
            let advice = format!("let `{from}` use itself by path only, for its own tests: `{{ path = \".\" }}`");
            return (!dev || !dependency.path_only).then_some(advice);
        }
        if target == BENCHES {
            return Some(format!("drop `{target}`: nothing depends on the benches"));
        }
        let Reach::Only { always, behind_a_feature } = &self.reach else { return None };
        if TEST_TOOLS.contains(&target) {
            return (!dev).then(|| format!("move `{target}` to [dev-dependencies]: it serves tests only"));
        }
        if always.contains(&target) || !TABLE.iter().any(|row| row.package == target) {
            return None;
        }
        if behind_a_feature.contains(&target) {
            let advice = format!("make `{target}` optional: `{from}` reaches it only behind its feature `net`");
            return (!dev && !dependency.optional).then_some(advice);
        }
        Some(format!("drop `{target}`: `{from}` may use {}", listed(always)))
    }
}

fn listed(packages: &[&str]) -> String {
    if packages.is_empty() { "no crate of ours".to_owned() } else { format!("only {}", packages.join(", ")) }
}

const RULE: &str = "arrow";

const BENCHES: &str = "mesh-benches";

/// Packages that any crate's tests may use and nothing else.
const TEST_TOOLS: &[&str] = &["mesh-testkit", "mesh-tidy"];

const TABLE: &[Row] = &[
    Row::only("mesh-core", &[]),
    Row::only("mesh-retry", &["mesh-core"]),
    Row::only("mesh-consul", &["mesh-core"]),
    Row::only("mesh-cache", &["mesh-core", "mesh-retry"]),
    Row::only("mesh", &["mesh-core", "mesh-retry", "mesh-consul", "mesh-cache"]),
    Row {
        package: "mesh-sim",
        reach: Reach::Only {
            always: &["mesh-core", "mesh-retry"],
            behind_a_feature: &["mesh", "mesh-consul", "mesh-cache"],
        },
    },
    Row::only("mesh-testkit", &[]),
    Row::only("mesh-tidy", &[]),
    Row { package: BENCHES, reach: Reach::Anything },
];
