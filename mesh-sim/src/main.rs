//! The command `mesh-sim`.
fn main() {}
