//! The race between a load and the news of a change, in every order of their steps.
//!
//! Redis' documentation calls it impossible on a single connection. It is not: the reply and the push are handed to two
//! tasks, and a load is more than its reply. Each scene here is played in every order of {load begins, tier read and
//! answered, origin read and answered, value shared, origin written, scope invalidated, news delivered, connection cut,
//! connected anew, time passes}, against the real cache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod explorer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use explorer::world::{Grain, Process, World, was_told};
use explorer::{in_every_order, settle};
use mesh_cache::{Freshness, Key, Prefix, Scope, Tag};

/// Plays `scene` in every order; after each step both processes must be honest. At last, when all is quiet, both read
/// again and must be served the new value.
fn play(grain: Grain, scene: impl Fn(&World, &Process, &Process) -> Arc<AtomicU64>) -> usize {
    let scene = &scene;
    in_every_order(|director| async move {
        let world = World::new(director.clone());
        let (reader, writer) = (world.process("reader", grain), world.process("writer", grain));
        settle().await;
        let told = scene(&world, &reader, &writer);
        let mut steps = Vec::new();
        while let Some(step) = director.step().await {
            steps.push(step);
            world.assert_honest(&reader, was_told(&told, &director, &reader), &steps);
            world.assert_honest(&writer, told.load(Ordering::SeqCst) == 1, &steps);
        }
        if told.load(Ordering::SeqCst) == 0 {
            return;
        }
        for process in [&reader, &writer] {
            world.read(process);
            let landed = world.land(&director).await;
            assert!(landed, "a read has to end");
            let hit = process.cache.get(world.key.as_str()).unwrap();
            let is_renewed = hit.freshness() != Freshness::Fresh || hit.value() == Some(&2);
            assert!(is_renewed, "{} is served {hit:?} at last, after {steps:#?}", process.name);
        }
    })
}

#[test]
fn what_was_read_before_a_change_is_not_fresh_after_the_news_of_it() {
    for scope in [
        |key: &Key| Scope::Key(key.clone()),
        |_: &Key| Scope::Prefix(Prefix::new("branch/").unwrap()),
        |_: &Key| Scope::Tag(Tag::new("tag").unwrap()),
        |_: &Key| Scope::All,
    ] {
        let played = play(Grain::Fine, |world, reader, writer| {
            world.read(reader);
            world.write(writer, scope(&world.key))
        });
        println!("{played} orders");
        println!("{played} orders");
        assert!(played > 500, "{played}");
    }
}

#[test]
fn a_connection_that_breaks_hides_no_change() {
    let played = play(Grain::Begun, |world, reader, writer| {
        world.read(reader);
        world.stumble(reader);
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn processes_that_fill_in_opposite_order_agree_at_last() {
    let played = play(Grain::Coarse, |world, reader, writer| {
        world.read(reader);
        world.read(writer);
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn an_entry_that_expires_meanwhile_is_renewed_with_what_is_new() {
    let played = play(Grain::Fine, |world, reader, writer| {
        world.read(reader);
        world.expire();
        world.write(writer, Scope::Key(world.key.clone()))
    });
    println!("{played} orders");
    assert!(played > 1_000, "{played}");
}

#[test]
fn what_is_published_meanwhile_is_not_overwritten_by_what_was_read_before() {
    let played = play(Grain::Fine, |world, reader, writer| {
        world.read(reader);
        world.publish(writer)
    });
    println!("{played} orders");
    assert!(played > 500, "{played}");
}

#[test]
fn what_a_process_publishes_is_not_overwritten_by_what_it_read_itself_before() {
    let played = play(Grain::Fine, |world, _, writer| {
        world.read(writer);
        world.publish(writer)
    });
    println!("{played} orders");
    assert!(played > 100, "{played}");
}
