//! Sizes, forbidden words, manifests, scripts and hosts: each rule refuses a sample that breaks it.

use mesh_tidy::manifest::{Manifest, Workspace};
use mesh_tidy::{Finding, members, shape, texts};

const PATH: &str = "mesh/src/call.rs";

#[test]
fn a_file_of_more_than_400_lines_is_refused() {
    assert_eq!(shape::file_length(PATH, &"\n".repeat(400)), []);
    let found = shape::file_length(PATH, &"\n".repeat(401));
    assert_eq!(
        shown(&found),
        ["mesh/src/call.rs:401: file-length: nest the machine or split the concern: 401 lines, at most 400"]
    );
    assert_eq!(rules(&"\n".repeat(401)), ["file-length"]);
}

#[test]
fn a_function_of_more_than_70_lines_is_refused() {
    let body = |lines: usize| format!("{{{}}}", "\n".repeat(lines - 1));
    let signatures = [
        "fn long()",
        "pub(crate) async fn long<T>(a: T) -> [u8; { 3 }] where T: Into<u8>,",
        "const fn long(f: fn(u8) -> u8) -> Foo<{ N }>",
    ];
    for signature in signatures {
        assert_eq!(rules(&format!("{signature} {}", body(70))), [""; 0], "{signature}");
        assert_eq!(rules(&format!("{signature} {}", body(71))), ["function-length"], "{signature}");
    }
    for place in ["impl S", "mod m", "proptest!", "fn outer() {} trait T"] {
        assert_eq!(rules(&format!("{place} {{ fn long() {} }}", body(71))), ["function-length"], "{place}");
    }
    let found = mesh_tidy::file(PATH, &format!("\nfn long()\n{}", body(70)), false);
    assert_eq!(shown(&found), ["mesh/src/call.rs:2: function-length: split `long`: 71 lines, at most 70"]);
}

#[test]
fn what_has_no_body_is_no_long_function() {
    let gap = "\n".repeat(100);
    for sample in ["trait T { fn f(&self); GAP }", "type F = fn(u8) -> u8; mod m { GAP }", "fn f() {} mod m { GAP }"] {
        assert_eq!(rules(&sample.replace("GAP", &gap)), [""; 0], "{sample}");
    }
}

#[test]
fn a_skipped_test_is_refused() {
    for sample in
        ["#[ignore] fn f() {}", "#[ignore = \"slow\"] fn f() {}", "#[test]\n#[cfg_attr(miri, ignore)]\nfn f() {}"]
    {
        assert_eq!(rules(sample), ["ignored-test"], "{sample}");
    }
    assert_eq!(rules("/// ignore\n#[derive(Debug)] struct Ignore; #[serde(ignore)] fn ignore() {}"), [""; 0]);
}

#[test]
fn unfinished_and_unsafe_code_is_refused() {
    let samples = [
        ("fn f() { todo!() }", "unfinished"),
        ("fn f() { unimplemented!(\"later\") }", "unfinished"),
        ("fn f() { dbg!(1); }", "debug-output"),
        ("fn f() { unsafe { g() } }", "unsafe"),
        ("unsafe impl Send for S {}", "unsafe"),
        ("macro_rules! m { () => { unsafe { g() } } }", "unsafe"),
    ];
    for (sample, rule) in samples {
        assert_eq!(rules(sample), [rule], "{sample}");
    }
    assert_eq!(rules("#![forbid(unsafe_code)] // unsafe\nfn todo() -> &'static str { \"todo!()\" }"), [""; 0]);
}

#[test]
fn a_lint_switched_off_without_a_reason_is_refused() {
    for sample in [
        "#[allow(dead_code)] fn f() {}",
        "#![allow(missing_docs)]",
        "#[allow(reason)] fn f() {}",
        "#[expect(clippy::panic)] fn f() {}",
        "#[cfg_attr(test, allow(dead_code))] fn f() {}",
    ] {
        assert_eq!(rules(sample), ["lint-reason"], "{sample}");
    }
    for sample in [
        "#[expect(clippy::panic, reason = \"a test suite reports by panicking\")] fn f() {}",
        "#[cfg_attr(test, allow(dead_code, reason = \"used by one target\"))] fn f() {}",
        "fn f() { allow(1); x.expect(\"why\"); }",
    ] {
        assert_eq!(rules(sample), [""; 0], "{sample}");
    }
}

#[test]
fn what_is_no_rust_is_refused_at_its_line() {
    assert_eq!(
        shown(&mesh_tidy::file(PATH, "fn f() {\n    )\n}", false)),
        ["mesh/src/call.rs:2: source: write Rust that can be split into tokens"]
    );
}

#[test]
fn a_member_inherits_the_lints() {
    assert_eq!(members::lints(&manifest("mesh", "[lints]\nworkspace = true")), []);
    for rest in ["", "[lints]\nworkspace = false", "[lints.clippy]\nall = \"warn\""] {
        assert_eq!(
            shown(&members::lints(&manifest("mesh", rest))),
            ["mesh/Cargo.toml:1: lints: add `[lints]` with `workspace = true`"]
        );
    }
}

#[test]
fn a_library_shows_its_readme_as_its_documentation() {
    let mesh = manifest("mesh", "");
    let good = "//! More.\n#![doc = include_str!(\"../README.md\")]\n";
    assert_eq!(members::readme(&mesh, Some(good), true), []);
    assert_eq!(members::readme(&mesh, None, false), [], "a package without a library owes none");
    for package in ["mesh-testkit", "mesh-tidy", "mesh-benches"] {
        assert_eq!(members::readme(&manifest(package, ""), Some("//! For us."), false), [], "{package}");
    }
    assert_eq!(members::readme(&mesh, Some(good), false)[0].path, "mesh/README.md");
    for root in ["//! A mesh.", "// #![doc = include_str!(\"../README.md\")]"] {
        assert_eq!(members::readme(&mesh, Some(root), true)[0].path, "mesh/src/lib.rs", "{root}");
    }
}

#[test]
fn a_disallowed_entry_of_clippy_says_why() {
    let good = "disallowed-methods = [{ path = \"f64::exp\", reason = \"use libm\" }]";
    assert_eq!(mesh_tidy::file("clippy.toml", good, false), []);
    for entry in ["\"f64::exp\"", "{ path = \"f64::exp\" }", "{ path = \"f64::exp\", reason = \" \" }"] {
        for list in ["disallowed-methods", "disallowed-types", "disallowed-macros", "disallowed-names"] {
            let found = mesh_tidy::file("clippy.toml", &format!("\n{list} = [\n{entry}]"), false);
            assert!(found.len() == 1 && found[0].line == 3 && found[0].rule == "clippy-reason", "{list}: {found:?}");
        }
    }
    assert_eq!(texts::clippy_reasons("clippy.toml", "disallowed-methods = [")[0].rule, "manifest");
}

#[test]
fn a_registry_host_is_refused_wherever_it_stands() {
    let registries =
        [["crates", "io"], ["pypi", "org"], ["pythonhosted", "org"], ["npmjs", "org"], ["rubygems", "org"]];
    let mirrors = [["debian", "org"], ["archive.ubuntu", "com"], ["security.ubuntu", "com"], ["docker", "io"]];
    let proxies = [["proxy.golang", "org"]];
    for host in registries.iter().chain(&mirrors).chain(&proxies).map(|labels| labels.join(".")) {
        for path in ["README.md", "scripts/test", "Cargo.lock", "mesh/src/lib.rs"] {
            let found = texts::registry_hosts(path, &format!("fine\n# see https://static.{}/x", host.to_uppercase()));
            assert!(found.len() == 1 && found[0].line == 2 && found[0].advice.contains(&host), "{path}: {found:?}");
        }
    }
    let locked = ["source = \"registry+https://github.com/rust-lang/crates", "io-index\""].join(".");
    assert_eq!(texts::registry_hosts("Cargo.lock", &locked), []);
}

#[test]
fn a_script_is_executable_and_stops_at_the_first_failure() {
    let good = "#!/usr/bin/env bash\n# Why it exists.\n\nset -euo pipefail\ncargo test\n";
    assert_eq!(mesh_tidy::file("scripts/test", good, true), []);
    let bad = [
        (good, false, 1),
        ("#!/bin/sh\nset -euo pipefail\n", true, 1),
        ("#!/usr/bin/env bash\nset -e\ncargo test\n", true, 2),
        ("#!/usr/bin/env bash\n# Nothing else.\n", true, 1),
        ("#!/usr/bin/env bash\necho early\nset -euo pipefail\n", true, 2),
    ];
    for (content, executable, line) in bad {
        for path in ["scripts/test", ".ci/run"] {
            let found = mesh_tidy::file(path, content, executable);
            assert!(found.len() == 1 && found[0].rule == "script" && found[0].line == line, "{content}: {found:?}");
        }
    }
    assert_eq!(mesh_tidy::file("README.md", "no script", false), []);
}

fn rules(sample: &str) -> Vec<&'static str> {
    mesh_tidy::file(PATH, sample, false).iter().map(|finding| finding.rule).collect()
}

fn shown(found: &[Finding]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

fn manifest(package: &str, rest: &str) -> Manifest {
    let content = format!("[package]\nname = \"{package}\"\n{rest}\n");
    Manifest::parse(&format!("{package}/Cargo.toml"), &content, &Workspace::default()).unwrap_or_default()
}
