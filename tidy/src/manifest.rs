//! What the rules need to know of a manifest, with the lines it stands on.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Finding;

/// A member's manifest.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The file, from the root of the repository.
    pub path: String,
    /// The name of the package.
    pub package: String,
    /// Whether it says `[lints] workspace = true`.
    pub inherits_lints: bool,
    /// Its dependencies of every kind, those of single targets included.
    pub dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the package, renames resolved.
    pub package: String,
    /// What it is needed for.
    pub kind: Kind,
    /// Whether it names a path and neither a version nor the workspace's entry.
    pub path_only: bool,
    /// Whether a feature must switch it on.
    pub optional: bool,
    /// The line, counted from 1.
    pub line: usize,
}

/// What a dependency is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The package itself.
    Normal,
    /// Its tests, examples and benches.
    Dev,
    /// Its build script.
    Build,
}

/// What the root manifest says about all members.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The directories of the members.
    pub members: Vec<String>,
    /// The packages behind the names of `[workspace.dependencies]` that rename one.
    pub renames: BTreeMap<String, String>,
}

impl Workspace {
    /// Reads the root manifest.
    ///
    /// # Errors
    /// When it is no TOML, has no members, or lists them by a pattern.
    pub fn parse(content: &str) -> Result<Self, Finding> {
        let path = "Cargo.toml";
        let root = parse(path, content)?;
        let refused = |advice: &str| Finding::new(path, 1, "manifest", advice);
        let workspace = table(&root, "workspace").ok_or_else(|| refused("declare a [workspace]"))?;
        let listed = workspace.get("members").and_then(|members| members.get_ref().as_array());
        let members = listed.ok_or_else(|| refused("list the members of the workspace"))?;
        let members: Vec<String> =
            members.iter().filter_map(|member| member.get_ref().as_str()).map(str::to_owned).collect();
        if members.iter().any(|member| member.contains('*')) {
            return Err(refused("list each member by its name, so that a new one is seen"));
        }
        let entries = table(workspace, "dependencies").into_iter().flatten();
        let rename = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let package = value.get_ref().get("package")?.get_ref().as_str()?;
            Some((name(key), package.to_owned()))
        };
        Ok(Self { members, renames: entries.filter_map(rename).collect() })
    }
}

impl Manifest {
    /// Reads the manifest at `path`, whose inherited dependencies `workspace` explains.
    ///
    /// # Errors
    /// When it is no TOML or names no package.
    pub fn parse(path: &str, content: &str, workspace: &Workspace) -> Result<Self, Finding> {
        let root = parse(path, content)?;
        let package = table(&root, "package").and_then(|package| string(package, "name"));
        let package = package.ok_or_else(|| Finding::new(path, 1, "manifest", "name the package"))?;
        let lints = table(&root, "lints").and_then(|lints| flag(lints, "workspace"));
        let reader = Reader { content, workspace };
        let mut dependencies = reader.dependencies(&root);
        for (_, target) in table(&root, "target").into_iter().flatten() {
            dependencies.extend(target.get_ref().as_table().into_iter().flat_map(|target| reader.dependencies(target)));
        }
        Ok(Self { path: path.to_owned(), package, inherits_lints: lints == Some(true), dependencies })
    }
}

/// Reads dependency tables.
struct Reader<'a> {
    content: &'a str,
    workspace: &'a Workspace,
}

impl Reader<'_> {
    fn dependencies(&self, parent: &DeTable<'_>) -> Vec<Dependency> {
        let kinds =
            [("dependencies", Kind::Normal), ("dev-dependencies", Kind::Dev), ("build-dependencies", Kind::Build)];
        let mut found = Vec::new();
        for (section, kind) in kinds {
            for (key, value) in table(parent, section).into_iter().flatten() {
                let line = line_at(self.content, key.span().start);
                found.push(self.dependency(name(key), value.get_ref(), kind, line));
            }
        }
        found
    }

    fn dependency(&self, name: String, value: &DeValue<'_>, kind: Kind, line: usize) -> Dependency {
        let text = |key| value.get(key).and_then(|entry| entry.get_ref().as_str());
        let is_set = |key| value.get(key).and_then(|entry| entry.get_ref().as_bool()) == Some(true);
        let inherited = if is_set("workspace") { self.workspace.renames.get(&name).cloned() } else { None };
        let package = text("package").map(str::to_owned).or(inherited).unwrap_or(name);
        let path_only = text("path").is_some() && text("version").is_none() && !is_set("workspace");
        Dependency { package, kind, path_only, optional: is_set("optional"), line }
    }
}

/// Parses a file of TOML, or says where it stops being one.
///
/// # Errors
/// With the parser's message at its line.
pub fn parse<'a>(path: &str, content: &'a str) -> Result<DeTable<'a>, Finding> {
    DeTable::parse(content).map(Spanned::into_inner).map_err(|error| {
        let line = line_at(content, error.span().map_or(0, |span| span.start));
        Finding::new(path, line, "manifest", format!("write TOML: {}", error.message()))
    })
}

/// The line of the byte at `offset`, counted from 1.
#[must_use]
pub fn line_at(content: &str, offset: usize) -> usize {
    content.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

fn table<'t, 'a>(parent: &'t DeTable<'a>, key: &str) -> Option<&'t DeTable<'a>> {
    parent.get(key)?.get_ref().as_table()
}

fn string(parent: &DeTable<'_>, key: &str) -> Option<String> {
    parent.get(key)?.get_ref().as_str().map(str::to_owned)
}

fn flag(parent: &DeTable<'_>, key: &str) -> Option<bool> {
    parent.get(key)?.get_ref().as_bool()
}

fn name(key: &Spanned<toml::de::DeString<'_>>) -> String {
    key.get_ref().to_string()
}
