//! What every single call must have held to, and the counts of all of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mesh_cache::{Freshness, LoadError, Source};

use crate::origin::{LOAD_MAX, Origin};
use crate::process::{FRESH, Process, Reading, Served};
use crate::weather::{Lateness, Silence, Watch};
use crate::{millis, timeline};

/// Judges calls by what the origin knows.
pub(crate) struct Judge {
    pub(crate) watch: Watch,
    pub(crate) origin: Arc<Origin>,
    /// The server's silence, which is every process'.
    pub(crate) silence: Silence,
    /// Whether the server lost what it acknowledged, and not everybody has told it again.
    pub(crate) set_back: Silence,
    pub(crate) lateness: Arc<Lateness>,
    /// Whether everything is cached, so that no failure of the origin excuses a call.
    pub(crate) is_warm: AtomicBool,
    /// How many breaches of each rule were said.
    pub(crate) shown: [AtomicUsize; RULES],
}

/// What a call may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It was served as fresh what everybody had been told to forget.
    StaleAsFresh,
    /// It failed although something could have been served.
    Failed,
    /// What it was served was older than it was said to be, or another row's.
    Untrue,
    /// It waited longer than it may.
    Slow,
}

/// What calls came to.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// By freshness, as they are declared, and then by source.
    pub(crate) served: [[u64; SOURCES.len()]; FRESHNESSES.len()],
    /// Calls that failed because the origin did, and there was nothing.
    pub(crate) unserved: u64,
    /// Broken rules, as they are declared.
    pub(crate) broken: [u64; RULES],
    pub(crate) hits: u64,
    pub(crate) longest_hit: Duration,
    pub(crate) longest_call: Duration,
    /// Of processes whose link, and whose server, were in order.
    pub(crate) lag: Lag,
    /// Of those where either kept silent a moment ago.
    pub(crate) lag_in_silence: Lag,
    /// By how much at most a value that was loaded was older than its age.
    pub(crate) age_short: Duration,
}

/// Values that were served as fresh after somebody was told that they had changed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lag {
    pub(crate) count: u64,
    pub(crate) longest: Duration,
}

impl Judge {
    /// Counts a call of `process`, and says so at once where it broke a rule.
    pub(crate) fn judge(&self, process: &Process, reading: &Reading, tally: &mut Tally) {
        tally.longest_call = tally.longest_call.max(reading.took);
        if reading.at_once {
            tally.hits += 1;
            tally.longest_hit = tally.longest_hit.max(reading.took);
        }
        let allowed = if reading.at_once { HIT_MAX } else { CALL_MAX };
        if reading.took > allowed {
            let what = if reading.at_once { "a hit" } else { "a call" };
            self.broken(tally, Rule::Slow, process, format_args!("{what} took {}", millis(reading.took)));
        }
        match &reading.outcome {
            Ok(Some(served)) => {
                tally.count(served);
                self.judge_age(process, reading, served, tally);
                if served.freshness == Freshness::Fresh {
                    self.judge_fresh(process, reading, served, tally);
                }
            }
            Ok(None) => self.broken(tally, Rule::Failed, process, format_args!("served that there is no such row")),
            Err(LoadError::Failed(_)) if !self.is_warm.load(Ordering::SeqCst) => tally.unserved += 1,
            Err(error) => self.broken(tally, Rule::Failed, process, format_args!("row {}: {error}", reading.row)),
        }
    }

    fn judge_fresh(&self, process: &Process, reading: &Reading, served: &Served, tally: &mut Tally) {
        let Served { item, age, source, .. } = served;
        let what = Stale { row: reading.row, version: item.version, age: *age, source: *source };
        if item.version < reading.own {
            return self.broken(tally, Rule::StaleAsFresh, process, format_args!("{what}, own /{}", reading.own));
        }
        let late = self.lateness.get();
        if self.set_back.reaches(reading.began, PROMPT + late) {
            return;
        }
        let Some(lag) = self.origin.outdated(reading.row, item.version, reading.began) else { return };
        let is_silent = [&self.silence, &process.silence].iter().any(|one| one.reaches(reading.began, HEARING));
        let (counted, allowed) =
            if is_silent { (&mut tally.lag_in_silence, HEARING + late) } else { (&mut tally.lag, PROMPT + late) };
        counted.count += 1;
        counted.longest = counted.longest.max(lag);
        if lag > allowed {
            let (lag, allowed) = (millis(lag), millis(allowed));
            self.broken(tally, Rule::StaleAsFresh, process, format_args!("{what}, told {lag} ago, not {allowed}"));
        }
    }

    fn judge_age(&self, process: &Process, reading: &Reading, served: &Served, tally: &mut Tally) {
        let Served { item, age, freshness, .. } = served;
        if item.row != reading.row {
            return self.broken(tally, Rule::Untrue, process, format_args!("row {}, not {}", item.row, reading.row));
        }
        let since = Duration::from_nanos(reading.began.as_nanos().saturating_sub(item.true_at));
        let short = since.saturating_sub(*age);
        // What is published is true until it is, for which others are told first.
        let slack = if item.is_published { PUBLISHED_WITHIN + self.lateness.get() } else { PRECISION };
        if !item.is_published {
            tally.age_short = tally.age_short.max(short);
        }
        if short > slack {
            self.broken(tally, Rule::Untrue, process, format_args!("older than its age by {}", millis(short)));
        }
        if *freshness == Freshness::Fresh && *age > FRESH + LOAD_MAX {
            self.broken(tally, Rule::Untrue, process, format_args!("fresh at the age of {}", millis(*age)));
        }
    }

    fn broken(&self, tally: &mut Tally, rule: Rule, process: &Process, what: impl fmt::Display) {
        tally.broken[rule as usize] += 1;
        if self.shown[rule as usize].fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
            timeline(self.watch, format_args!("!! process {} {}: {what}", process.index, rule.name()));
        }
    }
}

impl Rule {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::StaleAsFresh => "stale as fresh",
            Self::Failed => "failed",
            Self::Untrue => "untrue",
            Self::Slow => "slow",
        }
    }
}

impl Tally {
    pub(crate) fn reads(&self) -> u64 {
        let served: u64 = self.served.iter().flatten().sum();
        served + self.unserved + self.broken(Rule::Failed)
    }

    pub(crate) const fn broken(&self, rule: Rule) -> u64 {
        self.broken[rule as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: &u64| *sum += more;
        self.served.iter_mut().flatten().zip(other.served.iter().flatten()).for_each(|(sum, more)| add(sum, more));
        self.broken.iter_mut().zip(&other.broken).for_each(|(sum, more)| add(sum, more));
        self.unserved += other.unserved;
        self.hits += other.hits;
        self.longest_hit = self.longest_hit.max(other.longest_hit);
        self.longest_call = self.longest_call.max(other.longest_call);
        self.age_short = self.age_short.max(other.age_short);
        for (sum, more) in [(&mut self.lag, other.lag), (&mut self.lag_in_silence, other.lag_in_silence)] {
            sum.count += more.count;
            sum.longest = sum.longest.max(more.longest);
        }
    }

    fn count(&mut self, served: &Served) {
        let freshness = FRESHNESSES.iter().position(|freshness| *freshness == served.freshness);
        let source = SOURCES.iter().position(|source| *source == served.source);
        if let (Some(freshness), Some(source)) = (freshness, source) {
            self.served[freshness][source] += 1;
        }
    }
}

/// A value that is not as fresh as it was called.
struct Stale {
    row: usize,
    version: u64,
    age: Duration,
    source: Source,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, version, age, source } = self;
        write!(f, "row {row}/{version} {} {}", source.name(), millis(*age))
    }
}

pub(crate) const FRESHNESSES: [Freshness; 4] =
    [Freshness::Fresh, Freshness::Unheard, Freshness::Stale, Freshness::StaleOnError];
pub(crate) const SOURCES: [Source; 3] = [Source::Origin, Source::Inserted, Source::SecondTier];
/// How late a process may hear of a change when its link, or the server, keeps silent: the time between two PINGs, the
/// deadline of one, and as much again for this machine.
pub(crate) const HEARING: Duration = Duration::from_millis(1_000 + 500 + 500);
/// How late it may hear of it otherwise.
pub(crate) const PROMPT: Duration = Duration::from_millis(50);
/// The longest that an answer from the cache takes on a machine that has other things to do.
pub(crate) const HIT_MAX: Duration = Duration::from_millis(250);
/// The longest of any: four passes, of two questions to the second tier and a load, and the same allowance.
pub(crate) const CALL_MAX: Duration = Duration::from_millis(4 * (2 * 50 + LOAD_MAX.as_millis() as u64) + 250);
/// To what an age is exact that was on its way through the second tier.
const PRECISION: Duration = Duration::from_millis(2);
/// How long it takes to publish a value: the deadline of a write, and an allowance.
const PUBLISHED_WITHIN: Duration = Duration::from_millis(100 + 150);
const RULES: usize = 4;
const SHOWN_MAX: usize = 10;
