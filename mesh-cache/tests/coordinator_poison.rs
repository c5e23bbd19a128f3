//! What somebody else, or a fault, has written where processes share state: it is believed nowhere, and heals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod coordinator_support;

use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore as _;
use mesh_cache::mesh_retry::coordinator::store::{
    Begin, Begun, Fence, Fingerprint, Finish, Finished, OwnerToken, Probe, Probed, RESULT_BYTES_MAX, Renew, Renewed,
    Settle, Settlement, StateKey, StoreCommand, StoreReply, TakeSlots, Vote, Voted,
};
use mesh_cache::seal::{KeyRing, SealKey, Sealer};

use coordinator_support::{Bench, KEY, ME, OTHER, first, name, one_of_each, settle};

/// What is no number of ours, for any field.
const NUMBERS: &[&str] =
    &["nan", "-nan", "inf", "-inf", "-5", "1e308", "9007199254740994", "", " ", "garbage", "1;2", "\0", "\u{fffd}"];
/// A time that is far ahead of any clock.
const FUTURE: &str = "9000000000000000";
const MINUTE: Duration = Duration::from_secs(60);

impl Bench {
    /// Forgets everything, and writes `words`, of which `{}` stands for the key of `part`.
    async fn poison(&self, part: &str, words: &[&str]) {
        self.redis(&["FLUSHALL"]).await;
        let key = name(part);
        let words: Vec<&str> = words.iter().map(|word| if *word == "{}" { key.as_str() } else { word }).collect();
        self.redis(&words).await;
    }

    /// Whether every key goes away by itself.
    async fn is_mortal(&self) -> bool {
        let keys = self.server.command(&["KEYS", "*"]).await.unwrap();
        for key in keys.items() {
            let left = self.server.command(&["PTTL", key.text().unwrap()]).await.unwrap().integer().unwrap();
            if !(1..=31 * 86_400_000).contains(&left) {
                return false;
            }
        }
        true
    }
}

/// Values of every other type, as commands that write them.
fn other_types(but: &str) -> Vec<Vec<&'static str>> {
    let all: [(&str, &[&str]); 5] = [
        ("string", &["SET", "{}", "x"]),
        ("list", &["RPUSH", "{}", "x"]),
        ("hash", &["HSET", "{}", "x", "y"]),
        ("zset", &["ZADD", "{}", "1", "x"]),
        ("set", &["SADD", "{}", "x"]),
    ];
    all.into_iter().filter(|(kind, _)| *kind != but).map(|(_, words)| words.to_vec()).collect()
}

#[tokio::test]
async fn a_poisoned_bucket_is_full() {
    let bench = Bench::start().await;
    let mut poisons: Vec<Vec<&str>> = other_types("hash");
    for number in NUMBERS {
        poisons.push(vec!["HSET", "{}", "l", number, "u", "1"]);
        poisons.push(vec!["HSET", "{}", "l", "0", "u", number]);
    }
    poisons.extend([vec!["HSET", "{}", "l", "0"], vec!["HSET", "{}", "u", "0"], vec!["HSET", "{}", "x", "y"]]);
    // More than it can hold is what it can hold.
    poisons.push(vec!["HSET", "{}", "l", "9000000000000000", "u", "1"]);
    for poison in &poisons {
        bench.poison("rb", poison).await;
        let settled = settle(&bench.store, Settle { want: 12, ..first() }).await.unwrap();
        assert_eq!((settled.granted, settled.left_milli), (10, 0), "{poison:?}");
        let settled = settle(&bench.store, Settle { epoch: 2, want: 12, ..first() }).await.unwrap();
        assert_eq!(settled.granted, 0, "it has healed: {poison:?}");
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

#[tokio::test]
async fn a_bucket_from_the_future_gains_with_time_again() {
    let bench = Bench::start().await;
    let mut one = first();
    one.limits.per_second_milli = 100_000;
    bench.poison("rb", &["HSET", "{}", "l", "3000000", "u", FUTURE]).await;
    let settled = settle(&bench.store, Settle { want: 9, ..one }).await.unwrap();
    assert_eq!(settled.granted, 3, "what it held");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let settled = settle(&bench.store, Settle { epoch: 2, want: 9, ..one }).await.unwrap();
    assert!(settled.granted >= 4, "{settled:?}");
}

#[tokio::test]
async fn a_bucket_from_shortly_ahead_gains_nothing_until_then() {
    let bench = Bench::start().await;
    let mut one = first();
    one.limits.per_second_milli = 1_000_000;
    let now = settle(&bench.store, one).await.unwrap().at.as_micros();
    let ahead = (now + 900_000).to_string();
    bench.poison("rb", &["HSET", "{}", "l", "3000000", "u", &ahead]).await;
    for (epoch, granted) in [(2, 2), (3, 1), (4, 0)] {
        assert_eq!(settle(&bench.store, Settle { epoch, want: 2, ..one }).await.unwrap().granted, granted);
        let kept = bench.server.command(&["HGET", &name("rb"), "u"]).await.unwrap();
        assert_eq!(kept.text(), Some(ahead.as_str()), "time is credited once, also where the clock went back");
    }
}

#[tokio::test]
async fn a_poisoned_process_is_one_that_is_not_known() {
    let bench = Bench::start().await;
    let me = format!("p:{ME}");
    let mut poisons = other_types("hash");
    for number in NUMBERS {
        let mut poison = vec!["HSET", "{}", "e", "4", "c", "5", "h", "6", "g", "7"];
        for field in [3, 5, 7, 9] {
            let sound = std::mem::replace(&mut poison[field], number);
            poisons.push(poison.clone());
            poison[field] = sound;
        }
    }
    poisons.extend([vec!["HSET", "{}", "e", "4", "c", "5", "h", "6"], vec!["HSET", "{}", "e", "4", "g", "5000000000"]]);
    for poison in &poisons {
        bench.poison(&me, poison).await;
        bench.redis(&["HSET", &name("rb"), "l", "2000000", "u", "1"]).await;
        let one = Settle { epoch: 2, cumulative_requests: 900, want: 1, kept: 5, returned: 5, ..first() };
        let settled = settle(&bench.store, one).await.unwrap();
        assert_eq!(
            (settled.settlement, settled.granted, settled.left_milli),
            (Settlement::Applied, 1, 1_000),
            "{poison:?}"
        );
        let next = settle(&bench.store, Settle { epoch: 3, cumulative_requests: 902, ..one }).await.unwrap();
        assert_eq!((next.settlement, next.granted), (Settlement::Applied, 1), "{poison:?}");
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

#[tokio::test]
async fn a_record_that_looks_sound_shuts_nobody_out_for_ever() {
    let bench = Bench::start().await;
    bench
        .poison(&format!("p:{ME}"), &["HSET", "{}", "e", "9000000000000000", "c", "0", "h", "0", "g", "4000000000"])
        .await;
    let settled = settle(&bench.store, Settle { want: 2, ..first() }).await.unwrap();
    assert_eq!((settled.settlement, settled.granted), (Settlement::Stale, 0));
    assert!(bench.is_mortal().await, "it is forgotten like any other");
    let last = settle(&bench.store, Settle { epoch: 9_000_000_000_000_000, want: 2, ..first() }).await.unwrap();
    assert_eq!((last.settlement, last.granted), (Settlement::Repeated, 2), "never more than was wanted");
    // A count that is ahead of the process's own is its own from the next settlement on.
    bench.poison(&format!("p:{ME}"), &["HSET", "{}", "e", "1", "c", FUTURE, "h", "4000000000", "g", "0"]).await;
    bench.redis(&["HSET", &name("rb"), "l", "0", "u", "1"]).await;
    settle(&bench.store, Settle { epoch: 2, cumulative_requests: 10, ..first() }).await.unwrap();
    let settled =
        settle(&bench.store, Settle { epoch: 3, cumulative_requests: 13, returned: 9, ..first() }).await.unwrap();
    assert_eq!(settled.left_milli, 3_000);
}

#[tokio::test]
async fn processes_that_nobody_saw_do_not_count() {
    let bench = Bench::start().await;
    let mut poisons = other_types("zset");
    for score in ["inf", "-inf", "-5", "1e308", "0", FUTURE] {
        poisons.push(vec!["ZADD", "{}", score, "a", score, "b"]);
    }
    for poison in &poisons {
        bench.poison("hb", poison).await;
        assert_eq!(settle(&bench.store, first()).await.unwrap().processes, 1, "{poison:?}");
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

#[tokio::test]
async fn a_counter_of_fractions_gives_whole_numbers_once() {
    let bench = Bench::start().await;
    bench.poison("sl", &["SET", "{}", "3.7"]).await;
    for first in [3, 4, 5] {
        let reply = bench.ask(StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 1 })).await;
        let StoreReply::Slots(slots) = reply else { panic!("{reply:?}") };
        assert_eq!(slots.first, first);
    }
}

#[tokio::test]
async fn a_poisoned_counter_begins_anew() {
    let bench = Bench::start().await;
    let numbers = NUMBERS.iter().chain(&["9007199254740992", "9007199254740991"]).map(|text| vec!["SET", "{}", *text]);
    for poison in other_types("string").into_iter().chain(numbers) {
        bench.poison("sl", &poison).await;
        for first in [0, 3] {
            let reply = bench.ask(StoreCommand::TakeSlots(TakeSlots { counter: KEY, count: 3 })).await;
            let StoreReply::Slots(slots) = reply else { panic!("{reply:?}") };
            assert_eq!(slots.first, first, "{poison:?}");
        }
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

const BEGIN: Begin =
    Begin { key: KEY, fingerprint: Fingerprint::new(0xF), owner: OwnerToken::new(0x0), lease: MINUTE, keep: MINUTE };

async fn begin(bench: &Bench, command: Begin) -> Begun {
    let reply = bench.ask(StoreCommand::Begin(command)).await;
    let StoreReply::Begun(begun) = reply else { panic!("{reply:?}") };
    begun
}

#[tokio::test]
async fn of_a_poisoned_operation_the_outcome_is_unknown() {
    let bench = Bench::start().await;
    let mut poisons = other_types("hash");
    let fingerprint: &'static str = format!("{:032x}", 0xF).leak();
    for number in NUMBERS {
        let sound = ["HSET", "{}", "f", fingerprint, "o", "somebody", "n", "4", "x", FUTURE, "y", "1000", "k", "f"];
        for field in [7, 9, 11, 13] {
            let mut poison = sound.to_vec();
            poison[field] = number;
            poisons.push(poison);
        }
    }
    poisons.push(vec!["HSET", "{}", "f", fingerprint, "k", "d"]);
    // A lease that is longer than any of ours.
    poisons.push(vec!["HSET", "{}", "f", fingerprint, "o", "x", "n", "4", "x", FUTURE, "y", "4000000000", "k", "f"]);
    for poison in &poisons {
        bench.poison("id", poison).await;
        let Begun::TakenOver { fence } = begin(&bench, BEGIN).await else { panic!("{poison:?}") };
        let renew = Renew { key: KEY, owner: BEGIN.owner, fence, lease: MINUTE };
        assert_eq!(
            bench.ask(StoreCommand::Renew(renew)).await,
            StoreReply::Renewed(Renewed::Kept),
            "it has healed: {poison:?}"
        );
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

#[tokio::test]
async fn a_number_of_an_owner_that_is_ahead_of_the_clock_is_less_than_the_next() {
    let bench = Bench::start().await;
    let now = settle(&bench.store, first()).await.unwrap().at.as_micros();
    let fingerprint = format!("{:032x}", 0xF);
    for ahead in [3_600_000_000, 0] {
        let number = (now + ahead).to_string();
        let over = ["HSET", "{}", "f", &fingerprint, "o", "somebody", "n", &number, "x", "1", "y", "1", "k", "f"];
        bench.poison("id", &over).await;
        let Begun::TakenOver { fence } = begin(&bench, BEGIN).await else { panic!("it is not taken over") };
        assert!(fence > Fence::new(now + ahead), "{fence:?}");
    }
}

#[tokio::test]
async fn what_an_operation_has_become_is_known_or_its_owner_is_fenced() {
    let bench = Bench::start().await;
    let Begun::Fresh { fence } = begin(&bench, BEGIN).await else { panic!("it is not the first") };
    bench.redis(&["HSET", &name("id"), "k", "garbage"]).await;
    let finish = Finish { key: KEY, owner: BEGIN.owner, fence, result: vec![], keep: MINUTE };
    assert_eq!(bench.ask(StoreCommand::Finish(finish)).await, StoreReply::Finished(Finished::Fenced));
    assert!(matches!(begin(&bench, BEGIN).await, Begun::TakenOver { .. }));
}

#[tokio::test]
async fn a_lease_from_the_future_ends_after_its_length_and_a_mismatch_is_forgotten() {
    let bench = Bench::start().await;
    let fingerprint = format!("{:032x}", 0xF);
    let sound = ["HSET", "{}", "f", &fingerprint, "o", "somebody", "n", "4", "x", FUTURE, "y", "30000", "k", "f"];
    bench.poison("id", &sound).await;
    let Begun::InFlight { lease_left } = begin(&bench, BEGIN).await else { panic!("it begins") };
    assert!(lease_left <= Duration::from_millis(30), "{lease_left:?}");
    assert!(bench.is_mortal().await);
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert!(matches!(begin(&bench, BEGIN).await, Begun::TakenOver { .. }));
    bench.poison("id", &["HSET", "{}", "f", "x", "o", "y", "n", "4", "x", "1", "y", "1", "k", "f"]).await;
    assert_eq!(begin(&bench, BEGIN).await, Begun::Mismatch);
    assert!(bench.is_mortal().await);
}

#[tokio::test]
async fn a_result_that_nobody_of_ours_wrote_is_told_to_nobody() {
    let bench = Bench::start().await;
    let long = "x".repeat(RESULT_BYTES_MAX * 30);
    for (result, told) in ["", "garbage", "MSH1", &long].into_iter().zip(1..) {
        begun_and_done(&bench).await;
        bench.redis(&["HSET", &name("id"), "r", result]).await;
        assert_eq!(begin(&bench, BEGIN).await, Begun::Unreadable, "it was done, and nobody knows with what result");
        assert_eq!(bench.store.stats().unsealed, told, "{result:.10}");
    }
    let sent = bench.server.command(&["INFO", "stats"]).await.unwrap();
    let sent = sent.text().unwrap().lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    assert!(sent.unwrap().parse::<usize>().unwrap() < RESULT_BYTES_MAX, "what is too long is not even sent: {sent:?}");
    begun_and_done(&bench).await;
    bench.redis(&["HDEL", &name("id"), "r"]).await;
    assert_eq!(begin(&bench, BEGIN).await, Begun::Unreadable);
    assert_eq!(bench.store.stats().unsealed, 5);
    assert!(bench.is_mortal().await);
}

#[tokio::test]
async fn a_sealed_result_is_believed_for_its_operation_and_with_its_key_only() {
    let mut bench = Bench::start().await;
    let sealer = |byte| Sealer::with_keys(KeyRing::new(SealKey::new(1, &[byte; 32]).unwrap()));
    let unsealed = bench.store.clone();
    bench.store = bench.store.seal(sealer(7));
    begun_and_done(&bench).await;
    assert_eq!(begin(&bench, BEGIN).await, Begun::Done { result: b"result".to_vec() });
    let kept = bench.server.command(&["HGET", &name("id"), "r"]).await.unwrap();
    assert!(!format!("{kept:?}").contains("result"), "{kept:?}");

    let unreadable = Ok(StoreReply::Begun(Begun::Unreadable));
    let stranger = bench.store.clone().seal(sealer(8));
    for other in [&unsealed, &stranger] {
        assert_eq!(other.apply(StoreCommand::Begin(BEGIN)).await, unreadable);
        assert!(other.stats().unsealed > 0);
    }
    // Another operation's result, and one that is not sealed.
    let other = Begin { key: StateKey::new(0xDEF), ..BEGIN };
    let elsewhere = name("id").replace(&KEY.to_string(), &other.key.to_string());
    bench.redis(&["COPY", &name("id"), &elsewhere]).await;
    assert_eq!(begin(&bench, other).await, Begun::Unreadable);
    bench.redis(&["FLUSHALL"]).await;
    let with_seal = std::mem::replace(&mut bench.store, unsealed);
    begun_and_done(&bench).await;
    assert_eq!(with_seal.apply(StoreCommand::Begin(BEGIN)).await, unreadable);
}

async fn begun_and_done(bench: &Bench) -> Fence {
    bench.redis(&["FLUSHALL"]).await;
    let Begun::Fresh { fence } = begin(bench, BEGIN).await else { panic!("it is not the first") };
    let finish = Finish { key: KEY, owner: BEGIN.owner, fence, result: b"result".to_vec(), keep: MINUTE };
    bench.ask(StoreCommand::Finish(finish)).await;
    fence
}

#[tokio::test]
async fn votes_that_nobody_gave_do_not_count() {
    let bench = Bench::start().await;
    let vote = StoreCommand::Vote(Vote { subject: KEY, voter: ME, open: true, live_for: MINUTE });
    let mut poisons = other_types("zset");
    for score in ["inf", "-inf", "-5", "1e308", "0", FUTURE] {
        poisons.push(vec!["ZADD", "{}", score, "a", score, "b"]);
    }
    for part in ["vl", "vo"] {
        for poison in &poisons {
            bench.poison(part, poison).await;
            let reply = bench.ask(vote.clone()).await;
            assert_eq!(reply, StoreReply::Voted(Voted { live: 1, open: 1 }), "{part} {poison:?}");
            assert!(bench.is_mortal().await, "{part} {poison:?}");
        }
    }
    bench.poison("vo", &["ZADD", "{}", "+inf", "x"]).await;
    let closed = Vote { subject: KEY, voter: ME, open: false, live_for: MINUTE };
    assert_eq!(bench.ask(StoreCommand::Vote(closed)).await, StoreReply::Voted(Voted { live: 1, open: 0 }));
}

#[tokio::test]
async fn what_holds_a_probe_and_is_nobody_gives_it_up() {
    let bench = Bench::start().await;
    let other = format!("{OTHER}").leak() as &'static str;
    let mut poisons = other_types("string");
    poisons.extend([
        vec!["SET", "{}", "garbage", "PX", "60000"],
        vec!["SET", "{}", "", "PX", "60000"],
        vec!["SET", "{}", other],
        vec!["SET", "{}", other, "PX", "99999999999"],
    ]);
    for poison in &poisons {
        bench.poison("pt", poison).await;
        let probe = StoreCommand::Probe(Probe { subject: KEY, holder: ME, lease: MINUTE });
        assert_eq!(bench.ask(probe).await, StoreReply::Probed(Probed::Mine), "{poison:?}");
        assert!(bench.is_mortal().await, "{poison:?}");
    }
}

#[tokio::test]
async fn every_command_meets_every_type_in_every_key_and_none_fails() {
    let bench = Bench::start().await;
    for part in ["rb", &format!("p:{ME}"), "hb", "sl", "id", "vl", "vo", "pt"] {
        for poison in other_types("") {
            for command in one_of_each() {
                bench.poison(part, &poison).await;
                assert!(bench.store.apply(command.clone()).await.is_ok(), "{part} {poison:?} {command:?}");
            }
        }
    }
}
