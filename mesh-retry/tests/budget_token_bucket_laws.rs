//! The token bucket against exact arithmetic, and the law that it keeps whatever happens: no stretch of time grants more
//! than the bucket holds, first attempts brought, was given back and time brought.

use mesh_retry::Instant;
use mesh_retry::budget::{Budget, End, Extra, Paid, TokenBucket, TokenBucketConfig};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What happens to a bucket.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deposit,
    Withdraw,
    /// One that was granted is not made.
    Refund,
}

/// A bucket in exact arithmetic: tokens are counted in units of 10^-12, of which a rate of one thousandth a second brings
/// one in a nanosecond.
struct Exact {
    config: TokenBucketConfig,
    level: u128,
    latest: u64,
}

impl Exact {
    fn new(config: TokenBucketConfig) -> Self {
        Self { config, level: u128::from(config.burst_milli) * MILLI, latest: 0 }
    }

    fn add(&mut self, units: u128) {
        self.level = (self.level + units).min(u128::from(self.config.burst_milli) * MILLI);
    }

    fn pass(&mut self, nanos: u64) {
        let passed = nanos.saturating_sub(self.latest);
        self.latest = self.latest.max(nanos);
        self.add(u128::from(passed) * u128::from(self.config.per_second_milli));
    }

    fn deposit(&mut self) {
        self.add(u128::from(self.config.ratio_milli) * MILLI);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(81), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_a_nanosecond_brings_a_whole_part_of_a_thousandth_it_is_the_exact_bucket(
        config in config_with_whole_ticks(),
        steps in steps(0..3_000_000_000),
    ) {
        let (bucket, mut exact) = (TokenBucket::new(&config), Exact::new(config));
        let mut nanos = 0;
        for (passed, step) in steps {
            nanos += passed;
            exact.pass(nanos);
            let now = Instant::from_nanos(nanos);
            match step {
                Step::Deposit => {
                    bucket.deposit(now);
                    exact.deposit();
                }
                Step::Refund => {
                    bucket.ended(now, End::NotMade, Some(Paid::new(1_000)));
                    exact.add(TOKEN);
                }
                Step::Withdraw => {
                    let granted = bucket.withdraw(now, Extra::hedge()).is_granted();
                    prop_assert_eq!(granted, exact.level >= TOKEN, "{}", exact.level);
                    exact.level -= if granted { TOKEN } else { 0 };
                }
            }
            prop_assert_eq!(u128::from(bucket.level(now).has_milli), exact.level / MILLI);
        }
    }

    #[test]
    fn at_any_rate_it_has_at_most_what_the_exact_bucket_has_and_what_four_nanoseconds_bring_less_at_least(
        config in any_config(),
        steps in steps(0..3_000_000_000),
    ) {
        let (bucket, mut exact) = (TokenBucket::new(&config), Exact::new(config));
        // A tick is held back where a retry was paid for, and another where a level is read; each is less than two nanoseconds.
        let held_back = 4 * u128::from(config.per_second_milli);
        let mut nanos = 0;
        for (passed, step) in steps {
            nanos += passed;
            exact.pass(nanos);
            let now = Instant::from_nanos(nanos);
            match step {
                Step::Deposit => {
                    bucket.deposit(now);
                    exact.deposit();
                }
                Step::Refund => {
                    bucket.ended(now, End::NotMade, Some(Paid::new(1_000)));
                    exact.add(TOKEN);
                }
                Step::Withdraw => {
                    let granted = bucket.withdraw(now, Extra::hedge()).is_granted();
                    prop_assert!(!granted || exact.level >= TOKEN, "granted with {}", exact.level);
                    prop_assert!(granted || exact.level < TOKEN + held_back, "denied with {}", exact.level);
                    exact.level -= if granted { TOKEN } else { 0 };
                }
            }
            let has = u128::from(bucket.level(now).has_milli) * MILLI;
            prop_assert!(has <= exact.level && exact.level < has + MILLI + held_back, "{} of {}", has, exact.level);
        }
    }

    #[test]
    fn no_stretch_of_a_history_grants_more_than_there_was_even_where_time_goes_back(
        config in any_config(),
        steps in prop::collection::vec((times(), step()), 1..80),
    ) {
        let bucket = TokenBucket::new(&config);
        let happened: Vec<(u64, Step, bool)> = steps
            .into_iter()
            .map(|(nanos, step)| {
                let now = Instant::from_nanos(nanos);
                let granted = match step {
                    Step::Deposit => {
                        bucket.deposit(now);
                        false
                    }
                    Step::Refund => {
                        bucket.ended(now, End::NotMade, Some(Paid::new(1_000)));
                        false
                    }
                    Step::Withdraw => bucket.withdraw(now, Extra::hedge()).is_granted(),
                };
                (nanos, step, granted)
            })
            .collect();
        for from in 0..happened.len() {
            let (mut first, mut last) = (u64::MAX, 0);
            let (mut deposits, mut refunds, mut grants) = (0_u128, 0_u128, 0_u128);
            for (nanos, step, granted) in &happened[from..] {
                (first, last) = (first.min(*nanos), last.max(*nanos));
                deposits += u128::from(matches!(step, Step::Deposit));
                refunds += u128::from(matches!(step, Step::Refund));
                grants += u128::from(*granted);
                let most = u128::from(config.burst_milli) * MILLI
                    + deposits * u128::from(config.ratio_milli) * MILLI
                    + refunds * TOKEN
                    + u128::from(last - first) * u128::from(config.per_second_milli);
                prop_assert!(grants * TOKEN <= most, "{} grants of {} from step {}", grants, most, from);
            }
        }
    }

    #[test]
    fn asking_again_helps_at_the_time_that_a_denial_names_and_not_before(
        config in any_config().prop_filter("it is emptied one by one", |config| config.burst_milli < 10_000),
        steps in steps(0..300_000_000),
    ) {
        let bucket = TokenBucket::new(&config);
        let mut nanos = 0;
        for (passed, step) in steps {
            nanos += passed;
            let now = Instant::from_nanos(nanos);
            match step {
                Step::Deposit => bucket.deposit(now),
                Step::Refund => bucket.ended(now, End::NotMade, Some(Paid::new(1_000))),
                Step::Withdraw => _ = bucket.withdraw(now, Extra::hedge()),
            }
        }
        let now = Instant::from_nanos(nanos);
        while bucket.withdraw(now, Extra::hedge()).is_granted() {}
        let mesh_retry::budget::Answer::Denied(denied) = bucket.withdraw(now, Extra::hedge()) else {
            return Err(TestCaseError::fail("it was empty"));
        };
        prop_assert_eq!(denied.retry_at.is_none(), config.per_second_milli == 0);
        if let Some(at) = denied.retry_at {
            prop_assert!(at > now);
            let before = Instant::from_nanos(at.as_nanos() - 1);
            prop_assert!(!bucket.withdraw(before, Extra::hedge()).is_granted());
            prop_assert!(bucket.withdraw(at, Extra::hedge()).is_granted());
        }
    }
}

/// A thousandth of a token in units of 10^-12.
const MILLI: u128 = 1_000_000_000;
const TOKEN: u128 = 1_000 * MILLI;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Deposit),
        4 => Just(Step::Withdraw),
        1 => Just(Step::Refund),
    ]
}

/// Steps, and what passes before each: often nothing.
fn steps(passes: core::ops::Range<u64>) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let passed = prop_oneof![Just(0), 0..20_u64, passes];
    prop::collection::vec((passed, step()), 1..200)
}

/// Times in any order, near to one another and far.
fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..2_000_000_000_u64,
        2 => 1_000_000_000..1_000_000_050_u64,
        1 => any::<u64>(),
        1 => Just(0),
        1 => Just(u64::MAX),
    ]
}

fn any_config() -> impl Strategy<Value = TokenBucketConfig> {
    let ratio = prop_oneof![Just(0), 1..1_500_u32, Just(1_000_000)];
    let per_second = prop_oneof![Just(0), 1..20_u32, 1..20_000_u32, 1..1_000_000_001_u32, Just(1_000_000_000)];
    let burst = prop_oneof![Just(1_000), 1_000..6_000_u32, Just(1_000_000_000)];
    (ratio, per_second, burst).prop_map(|(ratio, per_second, burst)| config(ratio, per_second, burst))
}

/// Rates of which a nanosecond brings a whole part of a thousandth: divisors of a thousand million.
fn config_with_whole_ticks() -> impl Strategy<Value = TokenBucketConfig> {
    let rates = prop::sample::select(vec![0, 1, 8, 100, 1_000, 3_125, 10_000, 62_500_000, 500_000_000, 1_000_000_000]);
    (0..1_500_u32, rates, 1_000..9_000_u32).prop_map(|(ratio, per_second, burst)| config(ratio, per_second, burst))
}

fn config(ratio_milli: u32, per_second_milli: u32, burst_milli: u32) -> TokenBucketConfig {
    let mut config = TokenBucketConfig::default();
    (config.ratio_milli, config.per_second_milli, config.burst_milli) = (ratio_milli, per_second_milli, burst_milli);
    config
}
