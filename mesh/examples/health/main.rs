//! Ten backends, five of which fall ill, each in another way: what the mesh makes of them, and how soon.
//!
//! One refuses connections, one hangs, one fails every second request and passes its checks, one answers thirty times
//! slower, one says that it has too much to do. A table shows what is thought of each, why, and which share of the
//! requests it gets; at the end it is said when each was found, and within which bound. Exits with 1 when one was found
//! too late or not at all, or when one that was well was taken out. `--fast` takes 5 s in place of 30.

mod fleet;
mod load;
mod table;
mod tempo;

use std::process::ExitCode;
use std::time::Duration;

use mesh::mesh_core::port::Clock;
use mesh::{ServiceMesh, TokioClock};

use fleet::Fleet;
use load::Load;
use table::Table;
use tempo::Tempo;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let tempo = match std::env::args().nth(1).as_deref() {
        None => Tempo::Usual,
        Some("--fast") => Tempo::Fast,
        Some(other) => return Err(format!("unknown argument {other:?}; there is --fast").into()),
    };
    let mesh = ServiceMesh::builder().service("api".parse()?, tempo.machine()).build().await?;
    let mut fleet = Fleet::start(&mesh, tempo).await?;
    let load = Load::start(mesh.clone(), tempo)?;
    let (clock, mut table) = (TokioClock::new(), Table::new());
    let began = clock.now();
    while clock.now().since(began) < tempo.length() {
        let now = clock.now();
        fleet.turn(now, now.since(began), tempo).await;
        let health = mesh.service_health("api").await?;
        fleet.look(now, &health);
        table.show(now.since(began), &fleet, &health, &load.take_shares());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let calls = load.stop().await;
    let clean = mesh.shutdown(Duration::from_secs(2)).await.is_clean();
    Ok(if fleet.report(calls) && clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
