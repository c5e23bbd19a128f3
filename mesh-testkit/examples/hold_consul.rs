//! Starts an agent, prints the id of its process and waits to be killed.

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever started it reads the id")]
async fn main() {
    let server = mesh_testkit::ConsulServer::start().await;
    println!("{}", server.pid().unwrap_or_default());
    std::future::pending::<()>().await;
}
