//! Discovery against a small model of what it promises, over random histories.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::Knowledge;
use mesh_core::discovery::Freshness;
use mesh_core::machine::{ServiceEvent, ServiceInput, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::snapshot::{RegistryStatus, Snapshot};
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::rig::*;
use support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn discovery_serves_what_the_model_says(hold in 0..4_u64, history in prop::collection::vec(word(), 0..40)) {
        let hold = ms(hold * 1_000);
        let mut config = ServiceMachineConfig::default();
        config.discovery.empty_hold = hold;
        let mut rig = Rig::new(config);
        let mut model = Model { hold, ..Model::default() };
        let mut told = Freshness::Pending;
        for (pause, word) in history {
            rig.pass(pause);
            model.pass(rig.now);
            model.agrees_with(&rig)?;
            word.clone().say_to(&mut rig);
            model.hear(rig.now, word);
            model.agrees_with(&rig)?;
        }
        for event in rig.take().events {
            let ServiceEvent::Freshness { from, to } = event else { continue };
            prop_assert_eq!(from, told, "the events are a chain");
            prop_assert!(std::mem::discriminant(&from) != std::mem::discriminant(&to), "{:?} twice", to);
            told = to;
        }
        prop_assert_eq!(told, rig.machine.freshness(), "nothing changes untold");
    }
}

/// What a registry does.
#[derive(Clone, Debug)]
enum Word {
    List { count: u16, known: bool, certain: bool },
    Confirmed,
    Lost,
}

impl Word {
    fn say_to(self, rig: &mut Rig) {
        let input = match self {
            Self::Confirmed => ServiceInput::Confirmed,
            Self::Lost => ServiceInput::Lost,
            Self::List { count, known, certain } => {
                let entries = (0..count).map(|number| entry(number, RegistryStatus::Passing)).collect();
                let snapshot = Arc::new(Snapshot::new(entries));
                let resolution = if certain { Resolution::certain } else { Resolution::heard };
                ServiceInput::Observed(resolution(snapshot, known))
            }
        };
        rig.tell(input);
    }
}

fn word() -> impl Strategy<Value = (Duration, Word)> {
    let list = (0..3_u16, any::<bool>(), prop::bool::weighted(0.2));
    let list = list.prop_map(|(count, known, certain)| Word::List { count, known: known || count > 0, certain });
    let word = prop_oneof![3 => list, 1 => Just(Word::Confirmed), 1 => Just(Word::Lost)];
    // Often enough exactly as long as a hold.
    let pause = prop_oneof![3 => 0..1_500_u64, 1 => (0..4_u64).prop_map(|seconds| seconds * 1_000)];
    (pause.prop_map(ms), word)
}

/// What is promised: the last list that was not a doubtful void, until a void has been heard of for long enough.
#[derive(Debug, Default)]
struct Model {
    hold: Duration,
    /// The list in force, when it was heard or confirmed, and whether the name is known.
    good: Option<(u16, bool)>,
    confirmed: Option<Instant>,
    lost: Option<Instant>,
    heard_at: Instant,
    /// Since when a void is doubted, and whether the name is known in it.
    doubt: Option<(Instant, bool)>,
}

impl Model {
    fn hear(&mut self, now: Instant, word: Word) {
        self.heard_at = now;
        match word {
            Word::Lost => self.lost = self.lost.or(Some(now)),
            Word::Confirmed if self.good.is_none() => {}
            Word::Confirmed => {
                self.hear_again(now);
                self.confirmed = if self.doubt.is_some() { self.confirmed } else { Some(now) };
            }
            Word::List { count, known, certain } => {
                self.hear_again(now);
                let something_to_lose = self.good.is_some_and(|(count, _)| count > 0);
                if count == 0 && something_to_lose && !certain && self.hold > Duration::ZERO {
                    self.doubt = Some((self.doubt.map_or(now, |(since, _)| since), known));
                } else {
                    (self.doubt, self.good, self.confirmed) = (None, Some((count, known)), Some(now));
                }
            }
        }
    }

    /// A registry that was lost has to say a void for a whole hold anew.
    fn hear_again(&mut self, now: Instant) {
        if self.lost.take().is_some() {
            self.doubt = self.doubt.map(|(_, known)| (now, known));
        }
    }

    /// Time has passed until `now`, and everybody did what was due.
    fn pass(&mut self, now: Instant) {
        let Some((since, known)) = self.doubt.filter(|_| self.lost.is_none()) else { return };
        if since + self.hold <= now {
            // At the end of the hold, or as soon as a registry that was lost then is heard again.
            let heard = self.heard_at.max(since + self.hold);
            (self.doubt, self.good, self.confirmed) = (None, Some((0, known)), Some(heard));
        }
    }

    fn agrees_with(&self, rig: &Rig) -> Result<(), TestCaseError> {
        let machine = &rig.machine;
        let served: Vec<_> = machine.snapshot().iter().map(|entry| number(entry.instance())).collect();
        let (count, known) = self.good.unwrap_or_default();
        prop_assert_eq!(&served, &(0..count).collect::<Vec<_>>());
        prop_assert_eq!(machine.confirmed_at(), self.confirmed);
        let freshness = match (self.good, self.lost, self.doubt) {
            (None, ..) => Freshness::Pending,
            (_, Some(since), _) => Freshness::Stale { since },
            (_, None, Some((since, _))) => Freshness::Doubted { since },
            (_, None, None) => Freshness::Live,
        };
        prop_assert_eq!(machine.freshness(), freshness);
        let knowledge = match (self.good, known) {
            (None, _) => Knowledge::Pending,
            (_, false) => Knowledge::Unknown,
            (_, true) => Knowledge::Known,
        };
        prop_assert_eq!(machine.view().knowledge(), knowledge);
        prop_assert_eq!(rig.usable(), served, "the view shows what is served");
        Ok(())
    }
}
