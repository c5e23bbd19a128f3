//! What the tests of all servers share.
#![expect(clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whether the process runs.
pub(crate) fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// The process of a `server` that `examples/hold_server.rs` held when it was killed, so that nobody dropped it.
pub(crate) fn orphan(server: &str) -> u32 {
    let built = std::env::current_exe().expect("a path");
    let profile = built.parent().and_then(Path::parent).expect("a profile's directory");
    let mut holder = Command::new(profile.join("examples/hold_server"));
    let mut child = holder.arg(server).stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let pid: u32 = line.trim().parse().expect("a process id");
    assert!(runs(pid));
    child.kill().expect("killed");
    child.wait().expect("reaped");
    pid
}

/// Waits until the process is gone.
pub(crate) async fn ends(pid: u32) {
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        while runs(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(gone.await.is_ok(), "{pid} outlived its test");
}
