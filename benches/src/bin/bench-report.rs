//! Prints what the benches measured: `bench-report [--json] <criterion's directory>`.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use mesh_benches::report;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench-report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (json, home) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--json", home] => (true, home),
        [home] if !home.starts_with('-') => (false, home),
        _ => return Err("usage: bench-report [--json] <criterion's directory>".into()),
    };
    let rows = report::rows(Path::new(home))?;
    let text = if json { serde_json::to_string_pretty(&rows)? + "\n" } else { report::table(&rows) };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
