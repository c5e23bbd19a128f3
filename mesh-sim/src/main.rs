//! The command `mesh-sim`: see `mesh-sim --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_sim::cli::main()
}
