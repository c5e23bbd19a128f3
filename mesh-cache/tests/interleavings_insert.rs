//! What a process is given, and what stands in for an origin that fails, in every order of the steps that they race with.
//!
//! The steps are those of `tests/interleavings.rs`, and {a value is inserted, a value is offered, the origin fails}.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod explorer;

use std::sync::atomic::Ordering;

use explorer::world::{Grain, Process, World, sealer, was_told};
use explorer::{in_every_order, settle};
use mesh_cache::seal::Sealer;
use mesh_cache::{Freshness, Prefix, Scope, Tag};

#[test]
fn what_is_inserted_meanwhile_is_not_overwritten_by_what_was_read_before() {
    let played = in_every_order(|director| async move {
        let world = World::new(director.clone());
        let (one, other) = (world.process("one", Grain::Fine), world.process("other", Grain::Coarse));
        settle().await;
        world.read(&one);
        world.read(&other);
        let inserted = world.write_and_insert(&one);
        let mut steps = Vec::new();
        while let Some(step) = director.step().await {
            steps.push(step);
            if inserted.load(Ordering::SeqCst) == 2 {
                assert_eq!(seen(&world, &one), Some((2, Freshness::Fresh)), "after {steps:#?}");
            }
        }
    });
    println!("{played} orders");
    assert!(played > 500, "{played}");
}

#[test]
fn what_is_inserted_is_not_fresh_after_the_news_that_it_changed() {
    let scopes: [(Grain, Named); 4] = [
        (Grain::Begun, |world| Scope::Key(world.key.clone())),
        (Grain::Coarse, |_| Scope::Prefix(Prefix::new("branch/").unwrap())),
        (Grain::Coarse, |_| Scope::Tag(Tag::new("tag").unwrap())),
        (Grain::Coarse, |_| Scope::All),
    ];
    for (grain, scope) in scopes {
        let played = play(grain, |world, reader| {
            world.insert(reader);
            world.read(reader);
            scope(world)
        });
        assert!(played > 200, "{played}");
    }
}

#[test]
fn what_is_inserted_while_a_connection_breaks_is_not_fresh_after_a_change_that_was_not_heard() {
    let played = play(Grain::Coarse, |world, reader| {
        world.insert(reader);
        world.read(reader);
        world.stumble(reader);
        Scope::Key(world.key.clone())
    });
    assert!(played > 1_000, "{played}");
}

#[test]
fn what_is_inserted_and_expires_is_renewed_with_what_is_new() {
    let played = play(Grain::Coarse, |world, reader| {
        world.insert(reader);
        world.expire();
        world.read(reader);
        Scope::Key(world.key.clone())
    });
    assert!(played > 1_000, "{played}");
}

#[test]
fn what_stands_in_replaces_nothing_that_was_learnt_meanwhile() {
    for (left, is_inserted) in [(false, true), (true, true), (false, false), (true, false)] {
        let played = in_every_order(|director| async move {
            let world = World::new(director.clone());
            world.leave(if left { sealer() } else { Sealer::open_hints() }).await;
            world.origin.store(2, Ordering::SeqCst);
            let process = world.process("one", Grain::Fine);
            settle().await;
            world.read_in_vain(&process);
            let learnt = if is_inserted { world.insert(&process) } else { world.offer(&process) };
            let mut steps = Vec::new();
            while let Some(step) = director.step().await {
                steps.push(step);
                let seen = seen(&world, &process);
                if learnt.load(Ordering::SeqCst) == 2 {
                    assert_eq!(seen, Some((2, Freshness::Fresh)), "after {steps:#?}");
                }
                let stood_in = seen.is_none_or(|(value, freshness)| value == 2 || freshness == Freshness::StaleOnError);
                assert!(stood_in, "{seen:?} after {steps:#?}");
            }
            assert_eq!(learnt.load(Ordering::SeqCst), 2, "it is kept, after {steps:#?}");
        });
        println!("{played} orders");
        assert!(played >= 5, "{played}");
    }
}

#[test]
fn what_stands_in_is_gone_after_the_news_that_it_changed() {
    for left in [false, true] {
        let played = in_every_order(|director| async move {
            let world = World::new(director.clone());
            world.leave(if left { sealer() } else { Sealer::open_hints() }).await;
            let (reader, writer) = (world.process("reader", Grain::Fine), world.process("writer", Grain::Fine));
            settle().await;
            world.read_in_vain(&reader);
            let told = world.write(&writer, Scope::Key(world.key.clone()));
            let mut steps = Vec::new();
            while let Some(step) = director.step().await {
                steps.push(step);
                let seen = seen(&world, &reader);
                if was_told(&told, &director, &reader) {
                    assert_eq!(seen, None, "after {steps:#?}");
                }
                assert!(seen.is_none_or(|seen| seen == (1, Freshness::StaleOnError)), "{seen:?} after {steps:#?}");
            }
        });
        println!("{played} orders");
        assert!(played > 50, "{played}");
    }
}

/// A scope of the one key that there is.
type Named = fn(&World) -> Scope;

/// Plays what `scene` begins, and a writer who invalidates the scope that it names, in every order; after each step both
/// processes must be honest.
fn play(grain: Grain, scene: impl Fn(&World, &Process) -> Scope) -> usize {
    let scene = &scene;
    in_every_order(|director| async move {
        let world = World::new(director.clone());
        let (reader, writer) = (world.process("reader", grain), world.process("writer", grain));
        settle().await;
        let told = world.write(&writer, scene(&world, &reader));
        let mut steps = Vec::new();
        while let Some(step) = director.step().await {
            steps.push(step);
            world.assert_honest(&reader, was_told(&told, &director, &reader), &steps);
            world.assert_honest(&writer, told.load(Ordering::SeqCst) == 1, &steps);
        }
    })
}

fn seen(world: &World, process: &Process) -> Option<(u64, Freshness)> {
    let hit = process.cache.get(world.key.as_str())?;
    Some((hit.value().copied()?, hit.freshness()))
}
