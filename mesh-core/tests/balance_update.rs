//! Updates: over random histories a view made of changes is the view that a build of the whole list gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::balance;
use mesh_core::balance::policy::{Draw, Picker, Policy};
use mesh_core::balance::{Balancer, Change, Eligibility, Knowledge, Lineup, Member, Outcome, PickContext, Route};
use mesh_core::balance::{Handle, View, ViewBuilder};
use mesh_core::route::{RouteId, Selector};
use mesh_core::service::{Instance, InstanceKey, Weight};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_made_of_changes_is_the_one_that_a_whole_list_gives(
        acts in prop::collection::vec(act(24), 1..60), words in prop::collection::vec(any::<u64>(), 3),
    ) {
        let mut history = History::new(everybody());
        for act in acts {
            history.perform(act, &words)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn under_every_strategy_both_send_requests_to_the_same_instances(
        acts in prop::collection::vec(act(6), 1..30), words in prop::collection::vec(any::<u64>(), 6),
    ) {
        for strategy in strategies() {
            let mut history = History::new(strategy);
            for act in acts.clone() {
                history.perform(act, &words)?;
            }
        }
    }
}

#[test]
fn a_long_history_of_a_small_fleet_renumbers_its_rows_and_stays_the_same() {
    let mut history = History::new(everybody());
    for tag in 0..2 {
        history.perform(Act::Route(tag), &[]).unwrap();
    }
    for step in 0..600_u16 {
        let said = Said {
            weight: step % 3 + 1,
            tag: step % 2,
            moved: step.is_multiple_of(5),
            eligibility: Eligibility::Usable,
        };
        let said = (step % 4 != 3).then_some(said);
        history.perform(Act::Changes(vec![(step * 7 % 40, said)]), &[u64::from(step) << 32]).unwrap();
    }
}

#[test]
fn a_fleet_that_shrinks_and_grows_again_stays_the_same() {
    let mut history = History::new(everybody());
    let said = Said { weight: 1, tag: 0, moved: false, eligibility: Eligibility::Usable };
    for (from, to) in [(0, 400), (0, 200), (200, 300), (0, 100)] {
        history.perform(Act::Changes((from..to).map(|number| (number, Some(said))).collect()), &[1, 2]).unwrap();
        history.perform(Act::Changes((from + 3..to).map(|number| (number, None)).collect()), &[3, 4]).unwrap();
    }
}

#[test]
fn a_change_that_changes_nothing_gives_a_new_view_of_the_same() {
    let mut views = ViewBuilder::new(balance::Strategy::default());
    let before = views.build(members(5));
    let after = views.update([Change::Set(member(3)), Change::Remove(key(9))]);
    assert_eq!((before.version(), after.version()), (1, 2));
    assert_eq!(shown(&before), shown(&after));
}

#[test]
fn an_old_view_still_shows_what_it_showed_after_its_instances_left() {
    let mut views = ViewBuilder::new(balance::Strategy::default());
    let old = views.build(members(100));
    let balancer = Balancer::new();
    balancer.publish(Arc::clone(&old));
    let lease = balancer.handle().pick_owned(at(0), &PickContext::default(), 7).unwrap();
    let (before, picked) = (shown(&old), number(lease.instance()));
    for round in 1..20 {
        // Others come in their stead, so that every block and every row is given anew.
        views.build((round * 100..round * 100 + 100).map(member));
    }
    assert_eq!(shown(&old), before);
    assert_eq!((number(lease.instance()), lease.endpoint().key()), (picked, &key(picked)));
    let in_flight = || old.endpoints().map(balance::Endpoint::in_flight).sum::<u32>();
    assert_eq!(in_flight(), 1);
    drop(lease);
    assert_eq!(in_flight(), 0);
}

#[test]
fn those_that_left_between_two_views_are_told() {
    let mut views = ViewBuilder::new(balance::Strategy::default());
    let before = views.build(members(70));
    let moved = Instance::builder("api", "127.0.0.2", 10_003).id(key(3).id().as_str()).build().unwrap();
    let after = views.update([Change::Remove(key(40)), Change::Set(Member::usable(moved)), Change::Set(member(99))]);
    let left: Vec<_> = before.left_by(&after).map(|endpoint| endpoint.key().clone()).collect();
    assert_eq!(left, [key(3), key(40)], "who left, and who is a new process under an old name");
    assert_eq!(after.left_by(&after).count(), 0);
}

#[test]
fn the_counters_of_a_departed_instance_stay_readable() {
    let mut fleet = fleet(balance::Strategy::default(), members(1));
    let kept = fleet.views.endpoint(&key(0)).unwrap();
    let lease = fleet.handle.pick_owned(at(0), &PickContext::default(), 1).unwrap();
    for round in 1..100 {
        fleet.balancer.publish(fleet.views.build([member(round)]));
    }
    assert_eq!((kept.in_flight(), kept.key()), (1, &key(0)));
    lease.finish(at(1), Outcome::Failure);
    assert_eq!((kept.in_flight(), kept.picks(), kept.failures_in_row()), (0, 1, 1));
    assert_eq!(fleet.balancer.stats(at(1)).picks, 1, "of all time");
}

#[test]
fn a_change_of_one_instance_allocates_no_more_often_in_a_large_fleet() {
    let cost = |count: u16| {
        let mut views = ViewBuilder::new(balance::Strategy::default());
        for tag in 0..3 {
            views.route(tagged(tag)).unwrap();
        }
        views.build(members(count));
        let out = Change::Set(unhealthy(count / 2));
        let first = allocation_counter::measure(|| drop(views.update([out])));
        let left = allocation_counter::measure(|| drop(views.update([Change::Remove(key(count / 3))])));
        [first.count_total, left.count_total, (first.bytes_total + left.bytes_total) / u64::from(count)]
    };
    let (small, large) = (cost(1_000), cost(10_000));
    assert_eq!(small[..2], large[..2], "allocations");
    assert!(large[0] <= 24 && large[1] <= 24, "{large:?}");
    assert!(large[2] <= 60, "a few numbers for each instance: {large:?}");
}

/// What happens to a service.
#[derive(Clone, Debug)]
enum Act {
    Changes(Vec<(u16, Option<Said>)>),
    Route(u16),
    Seed(u64),
    Known(bool),
}

/// What is said of an instance.
#[derive(Clone, Copy, Debug)]
struct Said {
    weight: u16,
    tag: u16,
    moved: bool,
    eligibility: Eligibility,
}

fn act(numbers: u16) -> impl Strategy<Value = Act> {
    use Eligibility::{Drained, Unhealthy, Usable};
    let eligibility = prop::sample::select(vec![Usable, Usable, Usable, Unhealthy, Drained]);
    let weight = prop::sample::select(vec![0, 1, 1, 1, 1, 2, 7]);
    let said = (weight, 0..3_u16, prop::bool::weighted(0.1), eligibility);
    let said = said.prop_map(|(weight, tag, moved, eligibility)| Said { weight, tag, moved, eligibility });
    let change = (0..numbers, prop::option::weighted(0.75, said));
    prop_oneof![
        12 => prop::collection::vec(change.clone(), 1..2).prop_map(Act::Changes),
        4 => prop::collection::vec(change, 0..12).prop_map(Act::Changes),
        1 => (0..3_u16).prop_map(Act::Route),
        1 => any::<u64>().prop_map(Act::Seed),
        1 => any::<bool>().prop_map(Act::Known),
    ]
}

/// One service, three times: kept up by changes, built as a whole each time, and built from nothing.
struct History {
    strategy: balance::Strategy,
    by_changes: Side,
    by_lists: Side,
    members: BTreeMap<InstanceKey, Member>,
    routes: Vec<u16>,
    seed: u64,
    knowledge: Knowledge,
    steps: u64,
}

struct Side {
    views: ViewBuilder,
    balancer: Balancer,
    handle: Handle,
}

impl Side {
    fn new(strategy: balance::Strategy) -> Self {
        let balancer = Balancer::new();
        let handle = balancer.handle();
        Self { views: ViewBuilder::new(strategy), balancer, handle }
    }
}

impl History {
    fn new(strategy: balance::Strategy) -> Self {
        Self {
            by_changes: Side::new(strategy.clone()),
            by_lists: Side::new(strategy.clone()),
            strategy,
            members: BTreeMap::new(),
            routes: Vec::new(),
            seed: 0,
            knowledge: Knowledge::Known,
            steps: 0,
        }
    }

    fn perform(&mut self, act: Act, words: &[u64]) -> Result<(), TestCaseError> {
        let mut changes = Vec::new();
        match act {
            Act::Changes(of) => changes = of.into_iter().map(change).collect(),
            Act::Route(tag) if self.routes.contains(&tag) => {}
            Act::Route(tag) => self.routes.push(tag),
            Act::Seed(seed) => self.seed = seed,
            Act::Known(true) => self.knowledge = Knowledge::Known,
            Act::Known(false) => self.knowledge = Knowledge::Unknown,
        }
        for change in &changes {
            match change {
                Change::Set(member) => drop(self.members.insert(change.key().clone(), member.clone())),
                Change::Remove(key) => drop(self.members.remove(key)),
            }
        }
        self.steps += 1;
        self.publish(changes);
        self.compare(words)
    }

    fn publish(&mut self, changes: Vec<Change>) {
        let list = self.list();
        for side in [&mut self.by_changes, &mut self.by_lists] {
            configure(&mut side.views, &self.routes, self.seed, self.knowledge);
        }
        assert!(self.by_changes.balancer.publish(self.by_changes.views.update(changes)));
        assert!(self.by_lists.balancer.publish(self.by_lists.views.build(list)));
    }

    /// The members in order or not, as the same values or as equal ones, or one of them twice.
    fn list(&self) -> Vec<Member> {
        let mut list: Vec<_> = self.members.values().cloned().collect();
        match self.steps % 5 {
            0 | 1 => {}
            2 => list.reverse(),
            3 => list.iter_mut().for_each(|member| member.instance = Arc::new(Instance::clone(&member.instance))),
            _ => {
                let twice = list.first().map(|first| Member { weight: Weight::new(99), ..first.clone() });
                list.splice(0..0, twice);
            }
        }
        list
    }

    fn compare(&mut self, words: &[u64]) -> Result<(), TestCaseError> {
        let mut fresh = Side::new(self.strategy.clone());
        configure(&mut fresh.views, &self.routes, self.seed, self.knowledge);
        fresh.balancer.publish(fresh.views.build(self.members.values().cloned()));
        let [changed, listed, made] = [&self.by_changes, &self.by_lists, &fresh].map(|side| side.balancer.view());
        prop_assert_eq!(shown(&changed), shown(&listed));
        prop_assert_eq!(but_identities(shown(&changed)), but_identities(shown(&made)));
        prop_assert_eq!(changed.version(), listed.version());
        for number in 0..24 {
            let key = key(number);
            let endpoint =
                |side: &Side| side.views.endpoint(&key).map(|endpoint| (endpoint.id(), endpoint.key().clone()));
            prop_assert_eq!(endpoint(&self.by_changes), endpoint(&self.by_lists));
            prop_assert_eq!([changed.is_out(&key), changed.is_out(&key)], [listed.is_out(&key), made.is_out(&key)]);
        }
        let mut routes = vec![RouteId::ALL];
        for tag in &self.routes {
            routes.push(self.by_changes.views.route(tagged(*tag)).unwrap());
        }
        for (route, word) in routes.into_iter().flat_map(|route| words.iter().map(move |word| (route, *word))) {
            let changed = picked(&mut self.by_changes.handle, route, word);
            prop_assert_eq!(&changed, &picked(&mut self.by_lists.handle, route, word));
            if is_forgetful(&self.strategy) {
                let made = picked(&mut fresh.handle, route, word);
                prop_assert_eq!(changed.map(|it| it.1), made.map(|it| it.1), "weights and order of {:?}", route);
            }
        }
        Ok(())
    }
}

fn configure(views: &mut ViewBuilder, routes: &[u16], seed: u64, knowledge: Knowledge) {
    views.set_seed(seed);
    views.set_knowledge(knowledge);
    for tag in routes {
        views.route(tagged(*tag)).unwrap();
    }
}

fn tagged(tag: u16) -> Selector {
    Selector::any().tag(format!("t{tag}").as_str()).unwrap()
}

fn change((number, said): (u16, Option<Said>)) -> Change {
    let Some(Said { weight, tag, moved, eligibility }) = said else { return Change::Remove(key(number)) };
    let host = if moved { "127.0.0.2" } else { "127.0.0.1" };
    let instance = Instance::builder("api", host, 10_000 + number).id(key(number).id().as_str());
    let instance = Arc::new(instance.tag(format!("t{tag}").as_str()).build().unwrap());
    Change::Set(Member { instance, weight: Weight::new(weight), eligibility })
}

/// What a view shows: all of it but what its policy will do.
type Shown = (String, Vec<(u64, Instance, Weight, Eligibility, u64)>, Vec<Vec<(u64, InstanceKey)>>);

fn shown(view: &Arc<View>) -> Shown {
    let balancer = Balancer::new();
    balancer.publish(Arc::clone(view));
    let stats = balancer.stats(at(0));
    let registered = view.registered().map(|(endpoint, instance)| (endpoint.id().number(), instance));
    let registered = registered.zip(stats.endpoints).map(|((id, instance), stats)| {
        assert_eq!((stats.endpoint.number(), &stats.instance), (id, instance));
        (id, Instance::clone(instance), stats.weight, stats.eligibility, stats.picks)
    });
    let mut numbers = ViewBuilder::new(balance::Strategy::Random);
    let mut routes = vec![RouteId::ALL];
    routes.extend((0..4).map(|tag| numbers.route(tagged(tag)).unwrap()));
    let usable = |route| view.usable(route).map(|(endpoint, _)| (endpoint.id().number(), endpoint.key().clone()));
    let frame = format!("{:?} {:?} {}", view.census(), view.knowledge(), stats.picks);
    (frame, registered.collect(), routes.into_iter().map(|route| usable(route).collect()).collect())
}

/// A builder that begins anew gives other numbers, and knows of no picks.
fn but_identities((_, registered, routes): Shown) -> impl PartialEq + std::fmt::Debug {
    let registered: Vec<_> =
        registered.into_iter().map(|(_, instance, weight, eligibility, _)| (instance, weight, eligibility)).collect();
    let routes: Vec<Vec<_>> = routes.into_iter().map(|route| route.into_iter().map(|(_, key)| key).collect()).collect();
    (registered, routes)
}

/// Who was chosen, among whom and with which weights.
type Decided = (InstanceKey, Vec<(InstanceKey, u32)>);

/// Whom a request goes to, and who was considered with which weight.
fn picked(handle: &mut Handle, route: RouteId, word: u64) -> Result<(u64, Decided), String> {
    let context = PickContext { route: Route::Registered(route), ..PickContext::default() };
    let (lease, why) = handle.pick_explained(at(0), &context, word).map_err(|error| error.to_string())?;
    assert_eq!(lease.endpoint().key(), lease.instance().key());
    let (id, key) = (lease.endpoint().id().number(), lease.endpoint().key().clone());
    let considered = why.considered.into_iter().map(|it| (it.instance.key().clone(), it.weight));
    Ok((id, (key, considered.collect())))
}

/// Whether a pick depends on nothing but the candidates and the random word, as long as all are idle.
fn is_forgetful(strategy: &balance::Strategy) -> bool {
    use balance::Strategy::{Custom, LeastLoaded, P2cLeastLoaded, Random, WeightedRandom};
    matches!(strategy, Custom(_) | LeastLoaded(_) | P2cLeastLoaded(_) | Random | WeightedRandom)
}

fn everybody() -> balance::Strategy {
    balance::Strategy::Custom(Arc::new(Everybody))
}

/// Compares everybody, and makes sure that its picker is asked about the candidates that it was built for.
#[derive(Debug)]
struct Everybody;

#[derive(Debug)]
struct Built(Vec<(u64, Instance, u32)>, u64);

impl Policy for Everybody {
    fn name(&self) -> &str {
        "everybody"
    }

    fn build(&self, lineup: &Lineup<'_>, _: Option<&dyn Picker>) -> Arc<dyn Picker> {
        Arc::new(Built(candidates(lineup), lineup.seed()))
    }
}

impl Picker for Built {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let lineup = draw.lineup();
        assert_eq!((candidates(&lineup), lineup.seed()), (self.0.clone(), self.1));
        (0..lineup.len()).for_each(|at| draw.consider(at, || 0.0));
        (!lineup.is_empty()).then(|| draw.index(lineup.len()))
    }
}

fn candidates(lineup: &Lineup<'_>) -> Vec<(u64, Instance, u32)> {
    let one = |at| (lineup.endpoint(at).id().number(), Instance::clone(lineup.instance(at)), lineup.weight(at));
    (0..lineup.len()).map(one).collect()
}
