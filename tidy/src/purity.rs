//! What a decision must never touch: clocks, randomness of the platform, sockets, and the crates that
//! bring them. The pure crates do without; an async crate keeps clocks and entropy in its `src/env.rs`, and the
//! simulator's command keeps its clock there.
//!
//! Tests, examples and benches are the world's side of the boundary, so only `src/` is read.

use crate::Finding;
use crate::tokens::{Kind, Tokens};

/// What the normal dependency tree of a pure crate may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// The most crates, the crate itself counted.
    pub crates_max: usize,
    /// Whether what the default features bring counts: a command's crates are not the library's.
    pub default_features: bool,
}

/// The limits of `package`'s dependency tree, or `None` where the package is not pure.
///
/// The simulator reads scenarios, so the number of its crates is not limited; their kind is. Its command is a default
/// feature and belongs to the world: the tree is that of the library.
#[must_use]
pub fn tree_limits(package: &str) -> Option<TreeLimits> {
    match package {
        "mesh-core" | "mesh-retry" => Some(TreeLimits { crates_max: 19, default_features: true }),
        "mesh-sim" => Some(TreeLimits { crates_max: usize::MAX, default_features: false }),
        _ => None,
    }
}

/// Refuses what the source at `path` must not name, by the crate that it belongs to.
#[must_use]
pub fn source(path: &str, tokens: &Tokens) -> Vec<Finding> {
    match Side::of(path) {
        Side::Pure => pure(path, tokens, true),
        Side::Command => pure(path, tokens, false),
        Side::Async => [CLOCK_READS, ENTROPY].concat().iter().flat_map(|ban| ban.find(path, tokens, IN_ENV)).collect(),
        Side::Open => Vec::new(),
    }
}

/// Refuses crates that do I/O, or too many crates, in `listing`: what `cargo tree --prefix none` prints.
#[must_use]
pub fn tree(path: &str, listing: &str, limits: &TreeLimits) -> Vec<Finding> {
    let mut crates: Vec<&str> = listing.lines().filter_map(crate_and_version).collect();
    crates.sort_unstable();
    crates.dedup();
    let mut found = Vec::new();
    if crates.len() > limits.crates_max {
        let advice = format!("drop a dependency: {} crates, at most {}", crates.len(), limits.crates_max);
        found.push(Finding::new(path, 1, "dependency-tree", advice));
    }
    for name in crates.iter().filter_map(|each| each.split(' ').next()) {
        if IO_CRATES.contains(&name) {
            let advice = format!("leave `{name}` out (see `cargo tree -i {name}`): a decision does no I/O");
            found.push(Finding::new(path, 1, "dependency-tree", advice));
        }
    }
    found
}

/// On which side of the boundary between decisions and the world a file stands.
enum Side {
    Pure,
    /// The window of a command on the world: pure but for the clock.
    Command,
    Async,
    Open,
}

impl Side {
    fn of(path: &str) -> Self {
        let Some((package, file)) = path.split_once("/src/") else { return Self::Open };
        match package {
            // The network tier drives the adapters.
            "mesh-sim" if file == "net.rs" || file.starts_with("net/") => Self::Open,
            "mesh-sim" if file == "env.rs" => Self::Command,
            "mesh-core" | "mesh-retry" | "mesh-sim" => Self::Pure,
            "mesh" | "mesh-consul" | "mesh-cache" if file != "env.rs" => Self::Async,
            _ => Self::Open,
        }
    }
}

fn pure(path: &str, tokens: &Tokens, without_clock: bool) -> Vec<Finding> {
    let clock = if without_clock { CLOCK_READS } else { &[] };
    let lists = [clock, WALL_CLOCK, ENTROPY, ORDER, SOCKETS].concat();
    let mut found: Vec<Finding> = lists.iter().flat_map(|ban| ban.find(path, tokens, "")).collect();
    found.extend(FLOATS.iter().flat_map(|name| float(path, tokens, name)));
    found.extend(IO_PATHS.iter().flat_map(|name| extern_crate(path, tokens, name)));
    found
}

/// Tokens that may not follow one another, and what to do instead.
#[derive(Clone, Copy)]
struct Ban {
    pattern: &'static str,
    rule: &'static str,
    advice: &'static str,
}

impl Ban {
    const fn new(pattern: &'static str, rule: &'static str, advice: &'static str) -> Self {
        Self { pattern, rule, advice }
    }

    fn find(&self, path: &str, tokens: &Tokens, place: &str) -> Vec<Finding> {
        let finding = |at| Finding::new(path, tokens.line(at), self.rule, format!("{}{place}", self.advice));
        tokens.matches(self.pattern).map(finding).collect()
    }
}

/// Calls of the platform's float function `name`, as a method or through its type.
fn float(path: &str, tokens: &Tokens, name: &str) -> Vec<Finding> {
    let is_call = |at: &usize| match tokens.text(at.saturating_sub(1)) {
        "." => tokens.text(at + 1) == "(",
        "::" => matches!(tokens.text(at.saturating_sub(2)), "f32" | "f64"),
        _ => false,
    };
    let advice = format!("call the `libm` crate: the platform's `{name}` differs in the last bit");
    let finding = |at| Finding::new(path, tokens.line(at), "platform-float", advice.clone());
    tokens.matches(name).filter(is_call).map(finding).collect()
}

/// Paths and imports that begin with the crate `name`; a module of ours by that name is no crate.
fn extern_crate(path: &str, tokens: &Tokens, name: &str) -> Vec<Finding> {
    let is_root = |at: &usize| {
        let before = tokens.text(at.saturating_sub(1));
        let after_path = before == "::" && tokens.kind(at.saturating_sub(2)) == Some(Kind::Ident);
        let named = matches!(before, "use" | "crate") || matches!(tokens.text(at + 1), "::" | "as");
        named && !after_path && before != "."
    };
    let advice = format!("leave `{name}` to a driver: emit an effect, or take its answer as an input");
    let finding = |at| Finding::new(path, tokens.line(at), "io-crate", advice.clone());
    tokens.matches(name).filter(is_root).map(finding).collect()
}

/// The name and version on one line of `cargo tree`.
fn crate_and_version(line: &str) -> Option<&str> {
    let version = line.find(' ')? + 1;
    let end = line[version..].find(' ').map_or(line.len(), |length| version + length);
    Some(&line[..end])
}

const IN_ENV: &str = "; only this crate's src/env.rs reads a clock or takes entropy";

const TAKE_NOW: &str = "take `now` as an argument";

const TAKE_ENTROPY: &str = "take `entropy` as an argument, or draw from a seeded `Rng` that the machine owns";

const CLOCK_READS: &[Ban] = &[
    Ban::new("Instant :: now", "clock", TAKE_NOW),
    Ban::new("SystemTime :: now", "clock", TAKE_NOW),
    Ban::new(". elapsed ( )", "clock", TAKE_NOW),
];

const WALL_CLOCK: &[Ban] =
    &[Ban::new("SystemTime", "clock", "use `mesh_core::time::Instant`: no decision reads a calendar")];

const ENTROPY: &[Ban] = &[
    Ban::new("thread_rng", "entropy", TAKE_ENTROPY),
    Ban::new("ThreadRng", "entropy", TAKE_ENTROPY),
    Ban::new("rand :: rng", "entropy", TAKE_ENTROPY),
    Ban::new("rand :: random", "entropy", TAKE_ENTROPY),
    Ban::new("getrandom", "entropy", TAKE_ENTROPY),
    Ban::new("OsRng", "entropy", TAKE_ENTROPY),
    Ban::new("SysRng", "entropy", TAKE_ENTROPY),
];

const ORDER: &[Ban] = &[
    Ban::new("HashMap", "iteration-order", "use `BTreeMap` or a sorted `Vec`"),
    Ban::new("HashSet", "iteration-order", "use `BTreeSet` or a sorted `Vec`"),
    Ban::new("RandomState", "iteration-order", "hash with a function whose result never changes"),
    Ban::new("DefaultHasher", "iteration-order", "hash with a function whose result never changes"),
];

const SOCKETS: &[Ban] = &[
    Ban::new("TcpStream", "socket", "emit an effect; a driver opens connections"),
    Ban::new("TcpListener", "socket", "emit an effect; a driver listens"),
    Ban::new("UdpSocket", "socket", "emit an effect; a driver sends"),
    Ban::new("UnixStream", "socket", "emit an effect; a driver opens connections"),
    Ban::new("ToSocketAddrs", "socket", "take addresses as an input; a driver resolves names"),
    Ban::new("to_socket_addrs", "socket", "take addresses as an input; a driver resolves names"),
];

/// Functions whose last bit IEEE 754 leaves open; `sqrt`, `mul_add` and the roundings are exact.
const FLOATS: &[&str] = &[
    "exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "powf", "powi", "cbrt", "hypot", "sin", "cos",
    "tan", "sin_cos", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh",
];

/// Crates by the name that source gives them.
const IO_PATHS: &[&str] = &["tokio", "reqwest", "redis", "hyper", "mio", "socket2", "async_std", "smol"];

/// Crates by their package name, which open sockets, wait for them or ask the operating system for entropy.
const IO_CRATES: &[&str] = &[
    "async-io",
    "async-std",
    "curl",
    "getrandom",
    "h2",
    "hyper",
    "hyper-util",
    "isahc",
    "libc",
    "mio",
    "native-tls",
    "openssl",
    "openssl-sys",
    "polling",
    "quinn",
    "redis",
    "reqwest",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "ureq",
];
