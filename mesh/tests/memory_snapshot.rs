//! The file of what is remembered: what is in it where not everything fits, and that the last word stands on any disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mesh::{Environment, MeshConfig, ServiceMesh, Source, SystemWallClock, WallClock};
use support::logs::Logs;
use support::registry::{Answer, unreachable};
use support::{Lab, api, instance_of, ms, pass, secs, settle};

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn of_more_than_fits_those_that_are_followed_are_kept_and_what_is_left_out_is_logged_once() {
    let (logs, _listening) = Logs::listen();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    let mut lab = Lab::new();
    lab.config.memory.snapshot_bytes_max = 4_096.try_into().unwrap();
    let names = |begin: &str| (0..12).map(|number| format!("{begin}-{number}")).collect::<Vec<_>>();
    let (earlier, later) = (names("a"), names("b"));
    for name in earlier.iter().chain(&later) {
        lab.registry.put(&instance_of(name, 1).build().unwrap()).await;
    }
    for followed in [&earlier, &later] {
        let mesh = lab.builder().snapshot(&path).build().await.unwrap();
        for name in followed {
            mesh.get_service_with_cache(name).await.unwrap();
        }
        pass(secs(301)).await;
        assert!(mesh.shutdown(GRACE).await.is_clean());
    }
    let found = on_disk(&lab, &path, &later).await;
    assert_eq!(found, 12, "all that were followed last");
    let found = on_disk(&lab, &path, &earlier).await;
    assert!((1..12).contains(&found), "and as many of the others as fit: {found}");
    let logs = logs.text();
    let full: Vec<&str> = logs.lines().filter(|line| line.contains("the snapshot is full")).collect();
    assert_eq!(full.len(), 1, "{logs}");
    assert!(full[0].contains(&format!("lists={} left_out={}", 12 + found, 12 - found)), "{logs}");
    assert!(!logs.contains("not written"), "{logs}");
}

#[tokio::test(start_paused = true)]
async fn whom_this_process_follows_is_kept_though_others_were_heard_of_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    let mut lab = Lab::new();
    // Enough for three lists.
    lab.config.memory.snapshot_bytes_max = 4_096.try_into().unwrap();
    for name in ["old", "young-1", "young-2", "new"] {
        let text = "x".repeat(400);
        lab.registry.put(&instance_of(name, 1).meta("a", &text).meta("b", &text).build().unwrap()).await;
    }
    for followed in [&["old"][..], &["young-1", "young-2"]] {
        let mesh = lab.builder().snapshot(&path).build().await.unwrap();
        for name in followed {
            mesh.get_service_with_cache(name).await.unwrap();
        }
        pass(secs(3_600)).await;
        mesh.shutdown(GRACE).await;
    }
    let mesh = lab.builder().snapshot(&path).build().await.unwrap();
    mesh.get_service_with_cache("new").await.unwrap();
    pass(secs(1)).await;
    lab.registry.everything_is(&Answer::No(unreachable()));
    assert_eq!(mesh.get_service_with_cache("old").await.unwrap().source, Source::Disk);
    mesh.shutdown(GRACE).await;
    assert_eq!(on_disk(&lab, &path, &["new".to_owned(), "old".to_owned()]).await, 2);
    assert_eq!(on_disk(&lab, &path, &["young-1".to_owned(), "young-2".to_owned()]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn names_that_nobody_follows_any_more_make_room_for_a_service_that_somebody_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    let mut lab = Lab::new();
    lab.config.memory.snapshot_bytes_max = 4_096.try_into().unwrap();
    // One for the service: of the names that the registry does not know, each takes the place of the one before.
    lab.config.services_max = 2.try_into().unwrap();
    lab.registry.put(&api(1)).await;
    let mesh = lab.builder().snapshot(&path).build().await.unwrap();
    mesh.get_service_with_cache("api").await.unwrap();
    pass(secs(1)).await;
    // That nobody is there is a list too, and they are later ones.
    for number in 0..100 {
        mesh.get_service_with_cache(&format!("made-up-{number}")).await.unwrap_err();
        settle().await;
    }
    mesh.shutdown(GRACE).await;
    assert_eq!(on_disk(&lab, &path, &["api".to_owned()]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_had_room_again_is_logged_again_when_it_is_full() {
    let (logs, _listening) = Logs::listen();
    let directory = tempfile::tempdir().unwrap();
    let mut lab = Lab::new();
    lab.config.memory.snapshot_bytes_max = 4_096.try_into().unwrap();
    let mesh = lab.builder().snapshot(directory.path().join("mesh.snapshot")).build().await.unwrap();
    let (small, large) = ("x".repeat(10), "x".repeat(500));
    for (text, times) in [(&large, 1), (&small, 1), (&large, 2)] {
        for number in 1..=9 {
            let config = instance_of(&format!("service-{number}"), 1).meta("text", text).build().unwrap();
            lab.registry.put(&config).await;
            mesh.get_service_with_cache(config.service().as_str()).await.unwrap();
        }
        // It is written twice.
        pass(secs(61)).await;
        let logs = logs.text();
        assert_eq!(logs.matches("the snapshot is full").count(), times, "{logs}");
    }
}

#[test]
fn a_disk_that_is_slow_delays_no_shutdown_and_puts_nothing_old_over_what_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.snapshot");
    let (lab, disk) = (lab_of_a_second(), SlowOnce::default());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    first.block_on(async {
        lab.registry.put(&api(1)).await;
        let environment = Environment { wall: Arc::new(disk.clone()), ..Environment::system() };
        let mesh = lab.builder().environment(environment).snapshot(&path).build().await.unwrap();
        mesh.get_service_with_cache("api").await.unwrap();
        disk.hangs_when_asked_next();
        poll("the file is being written", || disk.is_hanging()).await;
        let asked = disk.asked();
        lab.registry.put(&api(2)).await;
        while mesh.get_service_with_cache("api").await.unwrap().instances.len() < 2 {
            tokio::task::yield_now().await;
        }
        settle().await;
        let began = lab.now();
        mesh.shutdown(ms(200)).await;
        let took = lab.now().since(began);
        assert!((ms(200)..secs(20)).contains(&took), "it waited for its grace and no longer: {took:?}");
        disk.goes_on();
        poll("the last write has begun", || disk.asked() > asked).await;
    });
    // Ends only when what is being written has been.
    drop(first);
    runtime().block_on(async {
        lab.registry.everything_is(&Answer::No(unreachable()));
        let mesh = lab.builder().snapshot(&path).build().await.unwrap();
        let served = mesh.get_service_with_cache("api").await.unwrap();
        assert_eq!((served.instances.len(), served.source), (2, Source::Disk), "the last word stands");
    });
}

#[test]
fn numbers_of_a_memory_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut MeshConfig)| {
        let mut config = MeshConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    type Change = fn(&mut MeshConfig);
    let cases: [(&str, Change); 10] = [
        (r#"memory.namespace: "" is"#, |config| config.memory.namespace.clear()),
        ("memory.namespace: a{b} is", |config| config.memory.namespace = "a{b}".to_owned()),
        ("memory.lists: fresh of 0s is", |config| config.memory.lists.fresh = secs(0)),
        ("memory.health: jitter_percent of 51 is", |config| config.memory.health.jitter_percent = 51),
        ("memory.keep_interval: 999ms is", |config| config.memory.keep_interval = ms(999)),
        ("memory.snapshot_interval: 86401s is", |config| config.memory.snapshot_interval = secs(86_401)),
        ("memory.recall_after: 61s is", |config| config.memory.recall_after = secs(61)),
        ("memory.snapshot_bytes_max: 4095 is", |config| {
            config.memory.snapshot_bytes_max = 4_095.try_into().unwrap();
        }),
        ("memory.snapshot_bytes_max: 1073741825 is", |config| {
            config.memory.snapshot_bytes_max = 1_073_741_825.try_into().unwrap();
        }),
        ("memory.snapshot: / is", |config| config.memory.snapshot = Some("/".into())),
    ];
    for (said, change) in cases {
        assert!(refused(&change).contains(said), "{}", refused(&change));
    }
}

#[test]
fn the_least_and_the_most_that_a_memory_allows_are_allowed() {
    for (interval, recall_after, bytes_max) in [(secs(1), secs(0), 4_096), (secs(86_400), secs(60), 1_073_741_824)] {
        let mut config = MeshConfig::default();
        let memory = &mut config.memory;
        (memory.keep_interval, memory.snapshot_interval, memory.recall_after) = (interval, interval, recall_after);
        memory.snapshot_bytes_max = bytes_max.try_into().unwrap();
        config.validate().unwrap();
    }
}

/// How many of `names` a process that starts with everything down is told of by the file.
async fn on_disk(lab: &Lab, path: &Path, names: &[String]) -> usize {
    lab.registry.everything_is(&Answer::No(unreachable()));
    let mesh: ServiceMesh = lab.builder().snapshot(path).build().await.unwrap();
    let mut found = 0;
    for name in names {
        let served = mesh.get_service_with_cache(name).await;
        found += usize::from(served.is_ok_and(|served| served.source == Source::Disk));
    }
    lab.registry.everything_is(&Answer::Truly);
    found
}

/// A world whose file is written every second.
fn lab_of_a_second() -> Lab {
    let mut lab = Lab::new();
    lab.config.memory.snapshot_interval = secs(1);
    lab
}

/// Waits until `is_true`, for 30 s at most.
async fn poll(what: &str, is_true: impl Fn() -> bool) {
    let until = async {
        while !is_true() {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(secs(30), until).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// The time as a writer of the file asks for it, who may be held up there as by a slow disk.
#[derive(Clone, Debug, Default)]
struct SlowOnce(Arc<(Mutex<Slowness>, Condvar)>);

#[derive(Debug, Default)]
struct Slowness {
    is_to_hang: bool,
    is_hanging: bool,
    asked: u32,
}

impl SlowOnce {
    fn hangs_when_asked_next(&self) {
        self.0.0.lock().unwrap().is_to_hang = true;
    }

    fn is_hanging(&self) -> bool {
        self.0.0.lock().unwrap().is_hanging
    }

    fn goes_on(&self) {
        self.0.0.lock().unwrap().is_hanging = false;
        self.0.1.notify_all();
    }

    /// How often the time was asked for.
    fn asked(&self) -> u32 {
        self.0.0.lock().unwrap().asked
    }
}

impl WallClock for SlowOnce {
    fn unix_millis(&self) -> u64 {
        let (slowness, changed) = &*self.0;
        let mut slowness = slowness.lock().unwrap();
        slowness.asked += 1;
        if std::mem::take(&mut slowness.is_to_hang) {
            slowness.is_hanging = true;
            // Not for ever, or a test that fails would never end.
            drop(changed.wait_timeout_while(slowness, secs(30), |slowness| slowness.is_hanging).unwrap());
        }
        SystemWallClock.unix_millis()
    }
}
