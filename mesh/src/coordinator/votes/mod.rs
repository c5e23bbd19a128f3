//! What the processes of a fleet have found out of a service and of its instances, for their breakers.
//!
//! A subject is a service, or an instance of it at one address, as it is seen from one zone. This process has one voter for
//! each, a task that begins with the breaker; an instance's ends when the instance has left. Breakers meet atomics alone.

mod heard;
mod seat;
mod telling;
mod voter;
mod voters;

use std::sync::Arc;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore, state_key};
use mesh_core::port::Entropy;
use mesh_core::recorder::Recorder;
use mesh_core::service::{Instance, InstanceId, ServiceName, Zone};
use mesh_retry::coordinator::store::{ProcessId, StateKey};
use mesh_retry::coordinator::votes::{Evidence, VotesConfig, VotesMachine};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::bell::Bell;
use crate::call::CallsConfig;
use heard::Heard;
pub(crate) use seat::VoterSeat;
use telling::Telling;
use voter::Voter;
pub(crate) use voters::Voters;

/// Who votes on what, for all services.
#[derive(Clone, Debug)]
pub(super) struct Voting {
    services: Option<VotesConfig>,
    instances: Option<VotesConfig>,
    instances_max: usize,
    /// One for all subjects, however often they come and go: a process has one vote.
    process: ProcessId,
    /// Where it sees them from.
    zone: Option<Zone>,
}

impl Voting {
    /// What `config` asks for, if it asks for anything, for a process in `zone`.
    pub(super) fn new(config: &CallsConfig, zone: Option<Zone>, entropy: &dyn Entropy) -> Option<Self> {
        let (services, instances) = (config.votes, config.instance_votes);
        if services.is_none() && instances.is_none() {
            return None;
        }
        let instances_max = config.instance_votes_max.get() as usize;
        let process = super::process(entropy);
        Some(Self { services, instances, instances_max, process, zone })
    }

    /// The votes on `service`; their voters are to be run.
    pub(super) fn on(
        &self,
        (service, namespace): (&ServiceName, &str),
        store: &Arc<dyn CoordinatorStore>,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
    ) -> (Votes, Voters) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let bell = Bell::default();
        let voters = Voters::new(inbox, Arc::clone(store), bell.clone());
        let votes = Votes {
            voting: self.clone(),
            service: service.clone(),
            namespace: namespace.to_owned(),
            environment: environment.clone(),
            recorder: Arc::clone(recorder),
            places: Arc::new(Semaphore::new(self.instances_max)),
            sender,
            bell,
            ended: voters.ended(),
        };
        (votes, voters)
    }
}

/// The votes of this process on one service and on its instances, as its breakers and its owner hold them.
#[derive(Debug)]
pub(crate) struct Votes {
    voting: Voting,
    service: ServiceName,
    namespace: String,
    environment: Environment,
    recorder: Arc<dyn Recorder>,
    /// One for each instance that may be voted on.
    places: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<Voter>,
    bell: Bell,
    /// Closed when the voters have ended.
    ended: watch::Receiver<()>,
}

/// What a breaker that shares evidence is made with.
pub(crate) type Shared = (Arc<Evidence>, VoterSeat);

impl Votes {
    /// Begins to vote on the service as a whole, if that is wanted.
    pub(crate) fn on_service(&self) -> Option<Shared> {
        let config = self.voting.services?;
        let subject = self.subject(&[&self.namespace, self.service.as_str(), "votes"]);
        self.begin(&config, subject, None, None)
    }

    /// Begins to vote on `instance`, if that is wanted and there is a place.
    pub(crate) fn on_instance(&self, instance: &Instance) -> Option<Shared> {
        let config = self.voting.instances?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // One that was registered anew at another address is another process.
        let (scope, id, at) = (instance.key().scope().as_str(), instance.id().as_str(), instance.authority());
        let subject = self.subject(&[&self.namespace, self.service.as_str(), "instance-votes", scope, id, &at]);
        self.begin(&config, subject, Some(instance.id().clone()), Some(place))
    }

    /// Lets go of probes and casts no more votes. Breakers go by themselves then.
    pub(crate) fn leave(&self) {
        self.bell.close();
    }

    /// Waits until that has ended, or is given up: for two answers of the store at most.
    pub(crate) async fn left(&self) {
        // Nothing is ever sent: it changes when the task drops its end.
        while self.ended.clone().changed().await.is_ok() {}
    }

    /// What this is called in the store: `parts`, and the zone where it is known.
    fn subject(&self, parts: &[&str]) -> StateKey {
        let zone = self.voting.zone.as_ref().map(Zone::as_str);
        state_key(&parts.iter().copied().chain(zone).collect::<Vec<_>>())
    }

    fn begin(
        &self,
        config: &VotesConfig,
        subject: StateKey,
        instance: Option<InstanceId>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<Shared> {
        let Environment { clock, entropy, .. } = &self.environment;
        let (bell, heard) = (Bell::default(), Arc::<Heard>::default());
        let evidence = Arc::new(Evidence::new(config, Arc::new(bell.clone())));
        let (process, seed) = (self.voting.process, entropy.next_u64());
        let machine = VotesMachine::new(*config, subject, process, Arc::clone(&evidence), seed, clock.now());
        let (service, recorder) = (self.service.clone(), Arc::clone(&self.recorder));
        let voter = Voter {
            machine,
            heard: Arc::clone(&heard),
            bell: bell.clone(),
            reply_within: config.reply_within,
            clock: Arc::clone(clock),
            telling: Telling { service, instance, recorder },
            place,
        };
        // Refused once they have ended.
        self.sender.send(voter).ok()?;
        Some((evidence, VoterSeat::new(heard, bell)))
    }
}
