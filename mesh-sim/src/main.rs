//! The command `mesh-sim`.
#![allow(clippy::all, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "temporary")]
fn main() {
    let t = std::time::Instant::now();
    let mut last = 0.0;
    let s =
        mesh_sim::truth::run(std::env::args().nth(1).is_some_and(|a| a == "--full"), 2, &Default::default(), |row| {
            let e = t.elapsed().as_secs_f64();
            println!(
                "{:>3} {:<40} {:>10.5} {:>10.5} tol {:>8.5} listed {:>8.5} se {:>8.5} {} {:.1}",
                row.number,
                row.name,
                row.value,
                row.claim.number(),
                row.tolerance(),
                row.listed,
                row.standard_error,
                if row.holds() { "ok" } else { "FAIL" },
                e - last
            );
            last = e;
        });
    println!("{s:?} {}", t.elapsed().as_secs_f64());
}
