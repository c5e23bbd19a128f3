//! Arrows and purity: each rule refuses a sample that was written to break it, and lets its neighbour pass.

use mesh_tidy::manifest::{Manifest, Workspace};
use mesh_tidy::purity::{self, TreeLimits};
use mesh_tidy::tokens::Tokens;
use mesh_tidy::{Finding, arrows};

#[test]
fn an_arrow_against_the_table_is_refused_in_every_kind_of_dependency() {
    for section in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
        let found = arrows_of("mesh-core", &format!("[{section}]\nmesh-retry.workspace = true"));
        assert_eq!(found, ["mesh-core/Cargo.toml:4: arrow: drop `mesh-retry`: `mesh-core` may use no crate of ours"]);
    }
    let refused = [
        ("mesh-retry", "mesh-consul"),
        ("mesh-consul", "mesh-cache"),
        ("mesh-cache", "mesh-consul"),
        ("mesh", "mesh-sim"),
        ("mesh-testkit", "mesh-core"),
        ("mesh-tidy", "mesh-core"),
    ];
    for (from, to) in refused {
        let found = arrows_of(from, &format!("[dependencies]\n{to}.workspace = true"));
        assert!(found.len() == 1 && found[0].contains(&format!("drop `{to}`")), "{from} -> {to}: {found:?}");
    }
}

#[test]
fn an_arrow_of_the_table_may_stand() {
    let allowed = [
        ("mesh-retry", "mesh-core"),
        ("mesh-cache", "mesh-retry"),
        ("mesh", "mesh-consul"),
        ("mesh-sim", "mesh-core"),
        ("mesh-benches", "mesh-sim"),
        ("mesh-core", "thiserror"),
    ];
    for (from, to) in allowed {
        assert_eq!(arrows_of(from, &format!("[dependencies]\n{to}.workspace = true")), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn an_arrow_under_another_name_is_still_seen() {
    let renamed =
        arrows_of("mesh-core", "[dependencies]\nretry = { package = \"mesh-retry\", path = \"../mesh-retry\" }");
    assert_eq!(renamed, ["mesh-core/Cargo.toml:4: arrow: drop `mesh-retry`: `mesh-core` may use no crate of ours"]);
    let root =
        "[workspace]\nmembers = []\n[workspace.dependencies]\nr = { package = \"mesh-retry\", path = \"mesh-retry\" }";
    let workspace = Workspace::parse(root).unwrap_or_default();
    let inherited = manifest("mesh-core", "[dependencies]\nr.workspace = true", &workspace);
    assert_eq!(arrows::check(&inherited).len(), 1);
}

#[test]
fn a_crate_uses_itself_by_path_and_for_its_tests_only() {
    let by_path = "[dev-dependencies]\nmesh-core = { path = \".\", features = [\"suites\"] }";
    assert_eq!(arrows_of("mesh-core", by_path), [""; 0]);
    let refused = [
        "[dev-dependencies]\nmesh-core.workspace = true",
        "[dev-dependencies]\nmesh-core = { path = \".\", version = \"0.1.0\" }",
        "[dependencies]\nmesh-core = { path = \".\" }",
    ];
    for sample in refused {
        let found = arrows_of("mesh-core", sample);
        assert!(found.len() == 1 && found[0].contains("by path only"), "{sample}: {found:?}");
    }
}

#[test]
fn test_tools_serve_tests_and_nothing_uses_the_benches() {
    for tool in ["mesh-testkit", "mesh-tidy"] {
        assert_eq!(arrows_of("mesh-core", &format!("[dev-dependencies]\n{tool}.workspace = true")), [""; 0]);
        let shipped = arrows_of("mesh", &format!("[dependencies]\n{tool}.workspace = true"));
        assert!(shipped[0].contains(&format!("move `{tool}` to [dev-dependencies]")), "{shipped:?}");
    }
    for section in ["dependencies", "dev-dependencies"] {
        let found = arrows_of("mesh", &format!("[{section}]\nmesh-benches = {{ path = \"../benches\" }}"));
        assert!(found[0].contains("nothing depends on the benches"), "{found:?}");
    }
}

#[test]
fn the_simulator_reaches_the_adapters_only_behind_its_feature() {
    assert_eq!(arrows_of("mesh-sim", "[dependencies]\nmesh = { workspace = true, optional = true }"), [""; 0]);
    let always = arrows_of("mesh-sim", "[dependencies]\nmesh.workspace = true");
    assert!(always[0].contains("make `mesh` optional"), "{always:?}");
}

#[test]
fn a_member_outside_the_table_is_refused() {
    let found = arrows_of("mesh-extra", "");
    assert!(found.len() == 1 && found[0].contains("add `mesh-extra` to the table"), "{found:?}");
}

#[test]
fn a_pattern_of_members_is_refused() {
    assert!(Workspace::parse("[workspace]\nmembers = [\"mesh-*\"]").is_err());
    assert!(Workspace::parse("[workspace]").is_err());
    assert!(Workspace::parse("[workspace").is_err());
}

#[test]
fn a_pure_crate_names_no_clock_entropy_socket_or_driver() {
    let samples = [
        ("let t = Instant::now();", "clock"),
        ("let t = std::time::Instant :: now();", "clock"),
        ("let t = SystemTime::UNIX_EPOCH;", "clock"),
        ("let d = started.elapsed();", "clock"),
        ("let r = rand::rng();", "entropy"),
        ("let r = rand::thread_rng();", "entropy"),
        ("getrandom::fill(&mut seed);", "entropy"),
        ("let r = OsRng;", "entropy"),
        ("let r = SysRng;", "entropy"),
        ("let r: ThreadRng = make();", "entropy"),
        ("let n: u64 = rand::random();", "entropy"),
        ("let m: HashMap<u8, u8> = make();", "iteration-order"),
        ("let m: HashSet<u8> = make();", "iteration-order"),
        ("let s = RandomState::new();", "iteration-order"),
        ("let s = DefaultHasher::new();", "iteration-order"),
        ("let s = std::net::TcpStream::connect(a);", "socket"),
        ("let s = TcpListener::bind(a);", "socket"),
        ("let s = UdpSocket::bind(a);", "socket"),
        ("let s = UnixStream::connect(a);", "socket"),
        ("use std::net::ToSocketAddrs;", "socket"),
        ("let a = name.to_socket_addrs();", "socket"),
        ("use tokio;", "io-crate"),
        ("use tokio::sync::Mutex;", "io-crate"),
        ("extern crate redis as r;", "io-crate"),
        ("let c = ::reqwest::Client::new();", "io-crate"),
        ("use {hyper::Request};", "io-crate"),
        ("let y = values.map(f64::powf);", "platform-float"),
    ];
    for (sample, rule) in samples {
        for file in ["mesh-core/src/health/phi.rs", "mesh-retry/src/lib.rs", "mesh-sim/src/model/engine.rs"] {
            let found = purity_of(file, sample);
            assert!(!found.is_empty() && found.iter().all(|f| f.rule == rule), "{file}: {sample}: {found:?}");
        }
    }
}

#[test]
fn a_pure_crate_calls_no_float_function_of_the_platform() {
    let exponentials =
        ["exp", "exp2", "exp_m1", "ln", "ln_1p", "log", "log2", "log10", "powf", "powi", "cbrt", "hypot"];
    let angles = ["sin", "cos", "tan", "sin_cos", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"];
    for name in exponentials.into_iter().chain(angles) {
        for call in [format!("let y = x.{name}(z);"), format!("let y = f64::{name}(x);"), format!("f32::{name}")] {
            let found = purity_of("mesh-core/src/health/phi.rs", &call);
            assert!(found.len() == 1 && found[0].advice.contains("libm"), "{call}: {found:?}");
        }
    }
}

#[test]
fn a_pure_crate_names_no_crate_that_does_io() {
    for name in ["tokio", "reqwest", "redis", "hyper", "mio", "socket2", "async_std", "smol"] {
        for sample in [format!("use {name};"), format!("use {{{name} as x}};"), format!("let y = {name}::open(x);")] {
            let found = purity_of("mesh-retry/src/call/mod.rs", &sample);
            assert!(found.len() == 1 && found[0].rule == "io-crate", "{sample}: {found:?}");
        }
    }
}

#[test]
fn a_pure_crate_may_write_about_what_it_does_not_touch() {
    let samples = [
        "// Instant::now() would be wrong here.",
        "/* nested /* HashMap */ TcpStream */ let a = 1;",
        "/// Never `SystemTime::now`.\nstruct S;",
        "const S: &str = \"Instant::now()\";",
        "const S: &str = r#\"say \"HashMap\"\"#;",
        "const B: &[u8] = b\"OsRng\"; const C: char = '\"'; // HashMap",
        "fn f<'a>(x: &'a str) -> &'a str { x } // TcpStream",
        "let y = x.sqrt() + libm::exp(x) + libm::powf(x, y);",
        "let n = n.pow(2) + n.ilog2();",
        "let exp = 1; let ln = exp;",
        "let tokio = self.redis;",
        "let x = self.redis.open() + self.redis::<u8>();",
        "use crate::redis::Command;",
        "let d = window.elapsed(now);",
    ];
    for sample in samples {
        assert_eq!(purity_of("mesh-core/src/lib.rs", sample), [], "{sample}");
    }
}

#[test]
fn purity_ends_at_tests_at_drivers_and_at_the_simulated_network() {
    let sample = "use tokio::net::TcpStream; fn f() { let t = Instant::now(); }";
    for file in ["mesh-core/tests/laws.rs", "mesh-sim/src/net/harness.rs", "mesh-sim/src/net.rs", "benches/src/lib.rs"]
    {
        assert_eq!(purity_of(file, sample), [], "{file}");
    }
    assert!(!purity_of("mesh-sim/src/network.rs", sample).is_empty());
}

#[test]
fn an_async_crate_reads_clocks_and_entropy_only_in_its_env() {
    let samples = [
        "let t = Instant::now();",
        "let t = tokio::time::Instant::now();",
        "let t = std::time::SystemTime::now();",
        "let d = started.elapsed();",
        "getrandom::fill(&mut seed);",
        "let r = rand::rng();",
    ];
    for sample in samples {
        for package in ["mesh", "mesh-consul", "mesh-cache"] {
            let found = purity_of(&format!("{package}/src/driver/probe.rs"), sample);
            assert!(found.len() == 1 && found[0].advice.contains("src/env.rs"), "{package}: {sample}: {found:?}");
            assert_eq!(purity_of(&format!("{package}/src/env.rs"), sample), [], "{package}: {sample}");
            assert_eq!(purity_of(&format!("{package}/src/driver/env.rs"), sample).len(), 1, "{package}: {sample}");
        }
    }
    assert_eq!(purity_of("mesh/src/call.rs", "let m: HashMap<u8, tokio::net::TcpStream> = make();"), []);
}

#[test]
fn the_simulator_reads_clocks_only_in_the_env_of_its_command() {
    for sample in ["let t = Instant::now();", "let d = started.elapsed();"] {
        assert_eq!(purity_of("mesh-sim/src/env.rs", sample), [], "{sample}");
        for file in ["mesh-sim/src/cli/env.rs", "mesh-sim/src/model/env.rs", "mesh-core/src/env.rs"] {
            assert_eq!(purity_of(file, sample).len(), 1, "{file}: {sample}");
        }
    }
    for sample in ["let t = SystemTime::UNIX_EPOCH;", "getrandom::fill(&mut seed);", "use tokio;", "let m: HashMap;"] {
        assert_eq!(purity_of("mesh-sim/src/env.rs", sample).len(), 1, "{sample}");
    }
}

#[test]
fn a_dependency_tree_with_io_or_too_many_crates_is_refused() {
    let limits = TreeLimits { crates_max: 3, default_features: true };
    let small = "mesh-core v0.1.0 (/a/mesh-core)\nserde v1.0.0\nserde v1.0.0 (*)\nquote v1.0.0\n";
    assert_eq!(purity::tree("mesh-core/Cargo.toml", small, &limits), []);
    let large = format!("{small}libm v0.2.0\n");
    assert!(purity::tree("mesh-core/Cargo.toml", &large, &limits)[0].advice.contains("4 crates, at most 3"));
    let drivers =
        ["tokio", "mio", "async-io", "async-std", "smol", "polling", "socket2", "rustix", "libc", "getrandom"];
    let clients = ["hyper", "hyper-util", "h2", "reqwest", "redis", "quinn", "ureq", "isahc", "curl"];
    let security = ["rustls", "native-tls", "openssl", "openssl-sys"];
    for name in drivers.into_iter().chain(clients).chain(security) {
        let found = purity::tree("mesh-core/Cargo.toml", &format!("mesh-core v0.1.0\n{name} v1.0.0"), &limits);
        assert!(found.len() == 1 && found[0].advice.contains(name), "{name}: {found:?}");
    }
    assert_eq!(purity::tree_limits("mesh-core").map(|limits| limits.crates_max), Some(19));
    assert_eq!(purity::tree_limits("mesh-retry").map(|limits| limits.crates_max), Some(19));
    let simulator = purity::tree_limits("mesh-sim");
    assert_eq!(simulator, Some(TreeLimits { crates_max: usize::MAX, default_features: false }));
    assert_eq!(purity::tree_limits("mesh"), None);
}

fn arrows_of(package: &str, rest: &str) -> Vec<String> {
    arrows::check(&manifest(package, rest, &Workspace::default())).iter().map(ToString::to_string).collect()
}

fn manifest(package: &str, rest: &str, workspace: &Workspace) -> Manifest {
    let content = format!("[package]\nname = \"{package}\"\n{rest}\n");
    let parsed = Manifest::parse(&format!("{package}/Cargo.toml"), &content, workspace);
    assert!(parsed.is_ok(), "{parsed:?}");
    parsed.unwrap_or_default()
}

fn purity_of(path: &str, sample: &str) -> Vec<Finding> {
    let tokens = Tokens::parse(sample);
    assert!(tokens.is_ok(), "{sample}: {tokens:?}");
    purity::source(path, &tokens.unwrap_or_default())
}
