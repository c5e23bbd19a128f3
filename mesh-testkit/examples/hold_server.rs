//! Starts a server, `consul` or `redis`, prints the id of its process and waits to be killed.

use std::io;

use mesh_testkit::{ConsulServer, RedisServer};

#[tokio::main]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("consul") => hold(ConsulServer::start().await.pid()).await,
        Some("redis") => hold(RedisServer::start().await.pid()).await,
        other => return Err(io::Error::other(format!("consul or redis, not {other:?}"))),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "whoever started it reads the id")]
async fn hold(pid: Option<u32>) {
    println!("{}", pid.unwrap_or_default());
    std::future::pending::<()>().await;
}
