//! Prints what the benches measured: `bench-report [--json | --instructions] <criterion's directory>`.

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
    let (show, home) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--json", home] => (json as Show, home),
        ["--instructions", home] => (instructions as Show, home),
        [home] if !home.starts_with('-') => (table as Show, home),
        _ => return Err("usage: bench-report [--json | --instructions] <criterion's directory>".into()),
    };
    Ok(std::io::stdout().write_all(show(Path::new(home))?.as_bytes())?)
}

type Show = fn(&Path) -> Result<String, Box<dyn Error>>;

/// Everything that was measured; what was counted follows where there is any.
fn table(home: &Path) -> Result<String, Box<dyn Error>> {
    let (rows, counted) = (report::rows(home)?, report::counted(home)?);
    let counted = if counted.is_empty() { String::new() } else { format!("\n{}", report::instructions(&counted)) };
    Ok(report::table(&rows) + &counted)
}

/// What was counted alone.
fn instructions(home: &Path) -> Result<String, Box<dyn Error>> {
    Ok(report::instructions(&report::counted(home)?))
}

fn json(home: &Path) -> Result<String, Box<dyn Error>> {
    Ok(serde_json::to_string_pretty(&report::rows(home)?)? + "\n")
}
