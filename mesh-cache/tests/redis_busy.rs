//! A Redis that is busy with a script: it acknowledges what it did before, and tells nobody of it until the script ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_cache::Environment;
use mesh_cache::redis::{LinkState, RedisConfig, RedisTier};
use mesh_cache::second::{Listener, News, SecondTier as _};
use mesh_testkit::RedisServer;

async fn soon(listener: &mut Box<dyn Listener>, within: Duration) -> News {
    tokio::time::timeout(within, listener.next()).await.unwrap_or_else(|_| panic!("no news within {within:?}"))
}

#[tokio::test]
async fn nothing_counts_as_heard_while_the_server_is_busy_with_a_script() {
    // As soon as it may, it answers that it is busy, and with that what was done before.
    let server = RedisServer::builder().setting("lua-time-limit", "20").start().await;
    let tier = RedisTier::start("mesh", RedisConfig::at(&server.url()).unwrap(), &Environment::system()).unwrap();
    let mut listener = tier.listen();
    assert_eq!(soon(&mut listener, Duration::from_secs(10)).await, News::Hearing(1));

    // Both are read at once: the change is made, and the script begins before anybody is told.
    let (mut writer, mut script) = (server.connect().await.unwrap(), server.connect().await.unwrap());
    server.freeze();
    writer.send(&["SET", "mesh:v1:w:{0000000000000007}", "1"]).await.unwrap();
    script.send(&["EVAL", "while true do end", "0"]).await.unwrap();
    server.thaw();
    assert_eq!(writer.reply().await.unwrap().text(), Some("OK"), "it is acknowledged");

    // The time between two PINGs, the deadline of one, and as much again for this machine.
    let news = soon(&mut listener, Duration::from_secs(2)).await;
    assert!(matches!(news, News::Deaf | News::Changed(_)), "{news:?}");
    assert!(matches!(tier.state(), LinkState::Up { .. }), "it is the right server all the same");
    while server.command(&["SCRIPT", "KILL"]).await.unwrap().error().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    loop {
        match soon(&mut listener, Duration::from_secs(2)).await {
            News::Hearing(begun) => {
                assert!(begun > 1, "what was kept from before may be out of date");
                return;
            }
            News::Deaf | News::Changed(_) | News::AllChanged => {}
        }
    }
}
