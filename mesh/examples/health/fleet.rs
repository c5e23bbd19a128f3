//! The backends, how they fall ill, and when the mesh found out.

use std::time::Duration;

use mesh::mesh_core::health::Status;
use mesh::mesh_core::time::Instant;
use mesh::{InstanceHealth, ServiceConfig, ServiceHealth, ServiceMesh};
use mesh_testkit::{Backend, Sickness};

use crate::Failure;
use crate::tempo::Tempo;

/// How a backend falls ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Illness {
    /// Its process is gone.
    Refuses,
    /// It takes requests and answers none.
    Hangs,
    /// It fails every second request, and passes its checks.
    Errs,
    /// It answers thirty times slower.
    Slow,
    /// It has too much to do, and says so.
    Overloaded,
}

/// A backend that is called.
pub(crate) struct Patient {
    backend: Backend,
    pub(crate) illness: Option<Illness>,
    fell_ill: Option<Instant>,
    found_after: Option<Duration>,
    bound: Duration,
    is_back: bool,
    was_wrongly_out: bool,
}

/// All of them, in the order of their ports.
pub(crate) struct Fleet(Vec<Patient>);

impl Illness {
    pub(crate) const ALL: [Self; 5] = [Self::Refuses, Self::Hangs, Self::Errs, Self::Slow, Self::Overloaded];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refuses => "refuses",
            Self::Hangs => "hangs",
            Self::Errs => "errs",
            Self::Slow => "slow",
            Self::Overloaded => "overloaded",
        }
    }

    const fn sickness(self) -> Sickness {
        match self {
            Self::Refuses => Sickness::Healthy,
            Self::Hangs => Sickness::Hang,
            Self::Errs => Sickness::FailsEveryButChecks(2),
            Self::Slow => Sickness::SlowButChecks(Duration::from_millis(40)),
            Self::Overloaded => Sickness::Status(429),
        }
    }
}

impl Fleet {
    /// Starts ten backends and registers them.
    pub(crate) async fn start(mesh: &ServiceMesh, tempo: Tempo) -> Result<Self, Failure> {
        let mut backends = Vec::new();
        for _ in 0..2 * Illness::ALL.len() {
            backends.push(Backend::start("backend").await);
        }
        backends.sort_by_key(|backend| backend.address().port());
        let mut patients = Vec::new();
        for (index, backend) in backends.into_iter().enumerate() {
            let config = ServiceConfig::builder("api", "127.0.0.1", backend.address().port());
            mesh.register_service(config.check(tempo.check()).build()?).await?;
            let illness = Illness::ALL.get(index / 2).copied().filter(|_| index % 2 == 1);
            patients.push(Patient {
                backend,
                illness,
                fell_ill: None,
                found_after: None,
                bound: illness.map_or(Duration::ZERO, |illness| tempo.bound(illness)),
                is_back: false,
                was_wrongly_out: false,
            });
        }
        Ok(Self(patients))
    }

    pub(crate) fn patients(&self) -> &[Patient] {
        &self.0
    }

    /// Makes those ill whose time has come, and all well again after three fifths.
    pub(crate) async fn turn(&mut self, now: Instant, elapsed: Duration, tempo: Tempo) {
        let fifth = tempo.length() / 5;
        for patient in &mut self.0 {
            let Some(illness) = patient.illness else { continue };
            if patient.fell_ill.is_none() && elapsed >= fifth {
                patient.fall_ill(now, illness).await;
            } else if elapsed >= fifth * 3 && !patient.is_back {
                patient.recover(illness).await;
            }
        }
    }

    /// Takes note of what the mesh thinks.
    pub(crate) fn look(&mut self, now: Instant, health: &ServiceHealth) {
        for patient in &mut self.0 {
            let Some(thought) = patient.among(health) else { continue };
            let status = thought.history.status();
            match (patient.illness, patient.fell_ill) {
                (Some(_), Some(since)) if status.is_down() || status == Status::Degraded => {
                    patient.found_after.get_or_insert(now.since(since));
                }
                (None, _) | (Some(_), None) => patient.was_wrongly_out |= status.is_down(),
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Prints when each was found; whether all were, in time, and nobody else was.
    #[expect(clippy::print_stdout, reason = "an example shows what it did")]
    pub(crate) fn report(&self, calls: (u64, u64)) -> bool {
        let sick: Vec<_> = self.0.iter().filter(|patient| patient.illness.is_some()).collect();
        println!("\nillness       found after      bound");
        for patient in &sick {
            let name = patient.illness.map_or("", Illness::name);
            let found = patient.found_after.map_or("never".to_owned(), |after| format!("{} ms", after.as_millis()));
            println!("{name:<12}{found:>13}{:>8} ms", patient.bound.as_millis());
        }
        let detected = sick.iter().filter(|patient| patient.found_after.is_some()).count();
        let in_time = |patient: &&&Patient| patient.found_after.is_some_and(|after| after <= patient.bound);
        let within = sick.iter().filter(in_time).count();
        let wrongly_out = self.0.iter().filter(|patient| patient.was_wrongly_out).count();
        let (made, failed) = calls;
        println!("\ncalls {made}   errors seen by the caller {failed}");
        let sick = sick.len();
        println!("RESULT sick={sick} detected={detected} within_bound={within} wrongly_out={wrongly_out}");
        detected == sick && within == sick && wrongly_out == 0
    }
}

impl Patient {
    pub(crate) fn port(&self) -> u16 {
        self.backend.address().port()
    }

    pub(crate) fn among<'a>(&self, health: &'a ServiceHealth) -> Option<&'a InstanceHealth> {
        health.instances.iter().find(|thought| thought.instance.port() == self.port())
    }

    /// What is wrong with it at the moment.
    pub(crate) const fn ails(&self) -> &'static str {
        match self.illness {
            Some(illness) if self.fell_ill.is_some() && !self.is_back => illness.name(),
            Some(_) | None => "-",
        }
    }

    async fn fall_ill(&mut self, now: Instant, illness: Illness) {
        self.fell_ill = Some(now);
        self.backend.set(illness.sickness());
        if illness == Illness::Refuses {
            self.backend.kill().await;
        }
    }

    async fn recover(&mut self, illness: Illness) {
        self.is_back = true;
        self.backend.set(Sickness::Healthy);
        if illness == Illness::Refuses {
            self.backend.revive().await;
        }
    }
}
