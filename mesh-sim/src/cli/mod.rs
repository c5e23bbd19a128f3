//! The command: what it is told, what it prints, and with which code it ends.
//!
//! Results go to standard output, everything else to standard error.

mod outputs;
mod run;
mod scenarios;
mod selection;
mod truth;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::env;

/// Runs the command with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match Arguments::command().color(colours_of_help()).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are errors of the parser that go to standard output.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let told = Arguments::from_arg_matches(&matches).map_err(|error| Ended::usage(error.to_string()));
    match told.and_then(|arguments| obey(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            if !ended.message.is_empty() {
                let _ = writeln!(io::stderr(), "{}", ended.message);
            }
            ExitCode::from(ended.code)
        }
    }
}

/// What `--color` asks for, before the parser, whose own words it is about, has seen it.
fn colours_of_help() -> ColorChoice {
    let arguments: Vec<_> = env::arguments();
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let spaced = pairs.filter(|(name, _)| *name == "--color").map(|(_, value)| value.as_str());
    let joined = arguments.iter().filter_map(|argument| argument.strip_prefix("--color="));
    match spaced.chain(joined).last() {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        Some(_) | None if env::no_color() => ColorChoice::Never,
        Some(_) | None => ColorChoice::Auto,
    }
}

/// Runs failure scenarios against the mesh's own decisions, in virtual time.
#[derive(Debug, Parser)]
#[command(name = "mesh-sim", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Colours: auto, always or never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true,
        value_parser = ["auto", "always", "never"])]
    color: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a scenario, once for each strategy.
    Run(run::Arguments),
    /// Lists the scenarios that come with it.
    List,
    /// Prints a scenario with all numbers in force.
    Show {
        /// A file, or the name of a scenario that comes with it.
        #[arg(value_name = "NAME|FILE")]
        scenario: PathBuf,
    },
    /// Says whether a scenario is possible, without running it.
    Check {
        /// A file, or the name of a scenario that comes with it.
        #[arg(value_name = "FILE")]
        scenario: PathBuf,
    },
    /// Prints the JSON Schema of scenario files.
    Schema,
    /// Prints closed forms and published experiments beside what it gives.
    Truth {
        /// Adds utilisations above 0.9, which take long.
        #[arg(long)]
        full: bool,
    },
    /// Prints what is kept of a scenario's result beside the code.
    #[command(hide = true)]
    Golden {
        /// The name of a scenario that comes with it.
        name: String,
    },
    /// Not yet supported: runs a scenario with many seeds.
    #[command(hide = true)]
    Sweep(Rest),
    /// Not yet supported: merges the shards of a sweep.
    #[command(hide = true)]
    Merge(Rest),
    /// Not yet supported: random faults in the network tier.
    #[command(hide = true)]
    Storm(Rest),
    /// Not yet supported: replays a storm.
    #[command(hide = true)]
    Replay(Rest),
}

/// Whatever follows a command that is not there yet.
#[derive(Debug, clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

fn obey(arguments: &Arguments) -> Result<(), Ended> {
    let look = Look::of(&arguments.color);
    match &arguments.command {
        Command::Run(arguments) => run::run(arguments, look),
        Command::List => scenarios::list(),
        Command::Show { scenario } => scenarios::show(scenario, look),
        Command::Check { scenario } => scenarios::check(scenario, look),
        Command::Schema => print(&(json(&crate::reading::schema())? + "\n")),
        Command::Truth { full } => truth::truth(*full),
        Command::Golden { name } => scenarios::golden(name, look),
        Command::Sweep(_) => Err(Ended::usage("not yet supported: sweep")),
        Command::Merge(_) => Err(Ended::usage("not yet supported: merge")),
        Command::Storm(_) => Err(Ended::usage("not yet supported: storm")),
        Command::Replay(_) => Err(Ended::usage("not yet supported: replay")),
    }
}

/// How things look.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Whether errors and warnings have colours.
    colours: bool,
    /// Whether results have.
    result_colours: bool,
}

impl Look {
    fn of(choice: &str) -> Self {
        let (stderr, stdout) = env::terminals();
        let colours = |is_terminal| match choice {
            "always" => true,
            "never" => false,
            _ => is_terminal && !env::no_color(),
        };
        Self { colours: colours(stderr), result_colours: colours(stdout) }
    }
}

/// Why the command ends without having done all that it was told.
#[derive(Debug)]
struct Ended {
    code: u8,
    message: String,
}

impl Ended {
    fn with(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    fn usage(message: impl fmt::Display) -> Self {
        Self::with(USAGE, format_args!("mesh-sim: {message}"))
    }
}

/// Prints a result. Whoever has stopped reading is no error.
fn print(text: &str) -> Result<(), Ended> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Ended::with(FAILED, format_args!("mesh-sim: standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something that is no result.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn json(value: &impl serde::Serialize) -> Result<String, Ended> {
    serde_json::to_string_pretty(value).map_err(|error| Ended::with(FAILED, format_args!("mesh-sim: {error}")))
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 an output could not be written, 2 usage, 3 an expectation
or a truth failed, 4 a bad scenario, 5 two runs of one seed differed,
130 interrupted.";
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNMET: u8 = 3;
const BAD_SCENARIO: u8 = 4;
const DIFFERED: u8 = 5;
pub(crate) const INTERRUPTED: u8 = 130;
