//! What the table sets against what.

/// Which peers and floors do the same as one of ours, or as much of it as they do at all.
pub(super) const COUNTERPARTS: &[(&str, &[&str])] = &[
    ("mesh/p2c-least-loaded", &["tower/p2c-pending-requests", "poise-core/p2c", "floor/p2c"]),
    ("mesh/p2c-least-loaded/owned", &["tower/p2c-pending-requests", "floor/p2c"]),
    ("mesh/p2c-least-loaded/16", &["tower/p2c-pending-requests/16", "floor/p2c/16"]),
    ("mesh/p2c-least-loaded/weighted", &["mesh/p2c-least-loaded"]),
    ("mesh/peak-ewma", &["tower/p2c-peak-ewma"]),
    ("mesh/peak-ewma/owned", &["tower/p2c-peak-ewma"]),
    ("mesh/peak-ewma/clock", &["tower/p2c-peak-ewma"]),
    ("mesh/peak-ewma/16", &["tower/p2c-peak-ewma/16"]),
    ("mesh/peak-ewma/weighted", &["mesh/peak-ewma"]),
    ("mesh/round-robin", &["pingora-load-balancing/RoundRobin", "poise-core/round-robin", "floor/round-robin"]),
    ("mesh/round-robin/16", &["floor/round-robin/16"]),
    ("mesh/random", &["pingora-load-balancing/Random", "floor/lease"]),
    ("mesh/weighted-round-robin", ROTATIONS),
    ("mesh/weighted-round-robin/smooth", ROTATIONS),
    (
        "mesh/weighted-random",
        &["pingora-load-balancing/weighted", "volo/weighted-random", "poise-core/weighted-random"],
    ),
    ("mesh/ring-hash", LOOKUPS),
    ("mesh/ring-hash/text-key", LOOKUPS),
    ("mesh/ring-hash/choice", LOOKUPS),
    ("mesh/maglev", &["maglev/65537", "poise-core/maglev"]),
    ("mesh/maglev/text-key", &["maglev/65537", "poise-core/maglev"]),
    ("mesh/maglev/choice", &["maglev/65537", "poise-core/maglev"]),
    ("mesh/rendezvous", &["poise-core/rendezvous"]),
    ("mesh/ring-hash/build", RINGS),
    ("mesh/ring-hash/table", RINGS),
    ("mesh/ring-hash/ketama/build", RINGS),
    ("mesh/ring-hash/one-changed", CHANGES),
    ("mesh/ring-hash/table-changed", &["mesh/ring-hash/table", "pingora-ketama/build", "hashring/one-changed"]),
    ("mesh/maglev/build", &["maglev/build", "poise-core/maglev/build"]),
    ("mesh/maglev/table", &["maglev/build", "poise-core/maglev/build"]),
    (
        "mesh/get-at",
        &["quick_cache/get", "moka/get", "foyer/get", "dashmap/get", "floor/arc-swap-map", "floor/rwlock-map"],
    ),
    ("mesh/get-at/owned", &["quick_cache/get", "moka/get", "foyer/get", "dashmap/get"]),
    ("mesh/get-at/40-byte-keys", &["quick_cache/get/40-byte-keys"]),
    ("mesh/get", &["quick_cache/get-and-clock", "quick_cache/get", "moka/get", "foyer/get"]),
    ("mesh/get-or-load", &["quick_cache/get-or-insert-async", "moka/get-with"]),
    ("mesh/insert-new", &["quick_cache/insert-new", "moka/insert-new", "foyer/insert-new"]),
    ("mesh/overwrite", &["quick_cache/overwrite", "moka/overwrite", "foyer/overwrite"]),
    ("mesh/invalidate-key", &["quick_cache/invalidate-key", "moka/invalidate-key", "foyer/invalidate-key"]),
    ("mesh/invalidate-prefix", &["quick_cache/invalidate-prefix"]),
    ("mesh/invalidate-all", &["quick_cache/invalidate-all", "moka/invalidate-all"]),
    ("mesh/load", &["quick_cache/guard-load", "moka/get-with-load"]),
    ("mesh/one-changed", &["tower/p2c-pending-requests", "pingora-load-balancing/RoundRobin"]),
    ("mesh/token-bucket", &["tower/tps-budget", "governor/allowed", "floor/write-and-swap", "floor/two-writes"]),
    ("mesh/token-bucket/clock", &["tower/tps-budget", "governor/allowed"]),
    ("mesh/token-bucket/full", &["tower/tps-budget/deposit"]),
    ("mesh/token-bucket/denied", &["governor/denied"]),
    ("mesh/window", &["tower/tps-budget"]),
    ("mesh/window/deposit", &["tower/tps-budget/deposit"]),
    ("mesh/breaker/consecutive", &["failsafe/consecutive", "tower-resilience/consecutive", "floor/look-and-write"]),
    ("mesh/breaker/consecutive/mixed", &["failsafe/consecutive/mixed"]),
    ("mesh/breaker/consecutive/open", &["failsafe/consecutive/open"]),
    ("mesh/breaker/time", &["failsafe/time", "floor/look-and-swap", "floor/look-and-write"]),
    ("mesh/breaker/time/mixed", &["failsafe/time/mixed"]),
    ("mesh/breaker/time/clock", &["failsafe/time"]),
    ("mesh/breaker/count", &["recloser/count", "tower-resilience/count", "floor/look-and-swap"]),
    ("mesh/breaker/count/mixed", &["recloser/count/mixed"]),
    ("mesh/breaker/count/open", &["recloser/count/open"]),
    ("mesh/limit/fixed", &["tokio/semaphore"]),
    ("mesh/limit/gradient2", &["tokio/semaphore"]),
    ("mesh/limit/full", &["tokio/semaphore/full"]),
    ("mesh/backoff/none", &["backon/exponential"]),
    ("mesh/backoff/full", &["backon/exponential/jitter"]),
    ("mesh/call", &["mesh/lease", "backon/retry", "tower/retry", "floor/future"]),
    ("mesh-sim/steady", &["nexosim/steady", "heap-loop/steady"]),
];

const ROTATIONS: &[&str] =
    &["pingora-load-balancing/weighted-rr", "weighted-rs/smooth", "weighted-rs/lvs", "poise-core/smooth"];

const LOOKUPS: &[&str] = &[
    "pingora-ketama/Continuum",
    "pingora-load-balancing/Ketama",
    "hashring/160",
    "volo/consistent-hash",
    "poise-core/ring-hash",
];

const RINGS: &[&str] =
    &["pingora-ketama/build", "hashring/build", "volo/consistent-hash/build", "poise-core/ring-hash/build"];

const CHANGES: &[&str] = &["mesh/ring-hash/build", "pingora-ketama/build", "hashring/one-changed"];

/// A figure that cannot be measured alone: what is left of a subject without another of the same run.
pub(super) struct Left {
    pub(super) bench: &'static str,
    /// What it is called.
    pub(super) name: &'static str,
    pub(super) of: &'static str,
    pub(super) without: &'static str,
}

/// What a choice costs without its lease, a call without the lease that it takes, and a table without the rest of its view.
pub(super) const LEFT: &[Left] = &[
    choice("mesh/round-robin/choice", "mesh/round-robin", "floor/round-robin"),
    choice("mesh/weighted-round-robin/choice", "mesh/weighted-round-robin", "floor/round-robin"),
    choice("mesh/smooth-round-robin/choice", "mesh/weighted-round-robin/smooth", "floor/round-robin"),
    choice("mesh/random/choice", "mesh/random", "floor/lease"),
    choice("mesh/weighted-random/choice", "mesh/weighted-random", "floor/lease"),
    choice("mesh/ring-hash/choice", "mesh/ring-hash", "floor/lease"),
    choice("mesh/maglev/choice", "mesh/maglev", "floor/lease"),
    call("mesh/call/added", "mesh/call", "mesh/lease"),
    call("mesh/call/policy/added", "mesh/call/policy", "mesh/lease"),
    call("mesh/call/gates/added", "mesh/call/gates", "mesh/lease"),
    table("mesh/ring-hash/table", "mesh/ring-hash/build", "mesh/random/build"),
    table("mesh/maglev/table", "mesh/maglev/build", "mesh/random/build"),
    table("mesh/ring-hash/table-changed", "mesh/ring-hash/one-changed", "mesh/random/one-changed"),
    table("mesh/maglev/table-changed", "mesh/maglev/one-changed", "mesh/random/one-changed"),
];

const fn choice(name: &'static str, of: &'static str, without: &'static str) -> Left {
    Left { bench: "pick", name, of, without }
}

const fn call(name: &'static str, of: &'static str, without: &'static str) -> Left {
    Left { bench: "call", name, of, without }
}

const fn table(name: &'static str, of: &'static str, without: &'static str) -> Left {
    Left { bench: "tables", name, of, without }
}

/// What must not cost much more for 10,000 instances than for 10.
pub(super) const FLAT: &[&str] = &["mesh/p2c-least-loaded", "mesh/p2c-least-loaded/owned", "mesh/peak-ewma"];
