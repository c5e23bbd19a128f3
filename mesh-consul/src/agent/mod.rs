//! What the agent is asked to hold: services, checks, maintenance, heartbeats.

pub(crate) mod body;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::health::own::OwnStatus;
use mesh_core::service::InstanceId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use body::{AgentCheck, AgentService};

use crate::client::Consul;
use crate::error::{Cause, ConsulError, ErrorClass};
use crate::health::SERVICE_MAINTENANCE;
use crate::options::QueryOptions;
use crate::request::{Lane, Request, go_duration};
use crate::response::Answer;

/// What an agent holds of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) service: Option<AgentService>,
    /// The checks that are no maintenance.
    pub(crate) checks: Vec<AgentCheck>,
    /// Why it is in maintenance, if it is.
    pub(crate) maintenance: Option<String>,
}

/// What a service reports of itself through a TTL check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TtlStatus {
    /// All is well.
    #[default]
    Passing,
    /// It serves, but something is wrong.
    Warning,
    /// It cannot serve.
    Critical,
}

impl From<OwnStatus> for TtlStatus {
    fn from(status: OwnStatus) -> Self {
        match status {
            OwnStatus::Up => Self::Passing,
            OwnStatus::Degraded => Self::Warning,
            OwnStatus::Down => Self::Critical,
        }
    }
}

impl Consul {
    pub(crate) async fn put_service(&self, body: Vec<u8>) -> Result<(), ConsulError> {
        let request = Request::put("register service", &["agent", "service", "register"]);
        // Checks that the new configuration lacks would stay otherwise.
        let request = request.param("replace-existing-checks", "true").body(body);
        self.order(request).await
    }

    /// Takes a service away; that there is none is success.
    pub(crate) async fn remove_service(&self, id: &str) -> Result<(), ConsulError> {
        let request = Request::put("deregister service", &["agent", "service", "deregister", id]);
        absent_is_fine(self.order(request).await)
    }

    /// Takes a check away; that there is none is success.
    pub(crate) async fn remove_check(&self, check: &str) -> Result<(), ConsulError> {
        let request = Request::put("deregister check", &["agent", "check", "deregister", check]);
        absent_is_fine(self.order(request).await)
    }

    pub(crate) async fn set_maintenance(&self, id: &str, reason: Option<&str>) -> Result<(), ConsulError> {
        let request = Request::put("set maintenance", &["agent", "service", "maintenance", id]);
        let request = request.param("enable", if reason.is_some() { "true" } else { "false" });
        self.order(match reason {
            Some(reason) => request.param("reason", reason),
            None => request,
        })
        .await
    }

    /// Feeds a TTL check.
    pub(crate) async fn beat(
        &self,
        check: &str,
        status: TtlStatus,
        note: &str,
        within: Duration,
    ) -> Result<(), ConsulError> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Beat<'a> {
            status: TtlStatus,
            output: &'a str,
        }
        let body = serde_json::to_vec(&Beat { status, output: note });
        let body = body.map_err(|error| ConsulError::new(BEAT, Cause::Invalid(error.to_string().into())))?;
        let request = Request::put(BEAT, &["agent", "check", "update", check]).body(body);
        self.order(request.lane(Lane::Heartbeat).timeout(within)).await
    }

    /// Reads what the agent holds of the instance `id`.
    pub(crate) async fn held(&self, id: &InstanceId) -> Result<Held, ConsulError> {
        let operation = "inspect service";
        let request =
            self.scoped(Request::get(operation, &["agent", "service", id.as_str()]), &QueryOptions::default());
        let service = match self.send(&request).await {
            Ok(answer) => Some(decode(operation, &answer)?),
            Err(error) if error.class() == ErrorClass::LostRegistration || error.status() == Some(404) => None,
            Err(error) => return Err(error),
        };
        let operation = "inspect checks";
        // Ids hold no quotes: the filter cannot be broken out of.
        let filter = format!("ServiceID == \"{id}\"");
        let request = Request::get(operation, &["agent", "checks"]).param("filter", &filter);
        let request = self.scoped(request, &QueryOptions::default());
        let all: Option<BTreeMap<String, AgentCheck>> = decode(operation, &self.send(&request).await?)?;
        let maintained = format!("{SERVICE_MAINTENANCE}{id}");
        let (maintenance, checks) =
            all.unwrap_or_default().into_values().partition::<Vec<_>, _>(|check| check.check_id == maintained);
        let maintenance = maintenance.into_iter().next().map(|check| check.notes);
        Ok(Held { service, checks, maintenance })
    }

    /// Waits until what the agent holds of `id` is no longer what `hash` stands for, or the wait is over; returns what
    /// stands for it then.
    pub(crate) async fn changed(&self, id: &InstanceId, hash: Option<&str>) -> Result<Option<String>, ConsulError> {
        let watch = &self.config().watch;
        let request = Request::get("guard service", &["agent", "service", id.as_str()]).lane(Lane::Watch);
        let request = match hash {
            Some(hash) => request.param("hash", hash).param("wait", &go_duration(watch.wait)).timeout(watch.patience()),
            None => request.timeout(watch.answer_within),
        };
        let answer = self.send(&self.scoped(request, &QueryOptions::default())).await?;
        Ok(answer.meta.content_hash)
    }

    /// The ids of what `owner` has registered of `service` at this agent.
    pub(crate) async fn owned(&self, service: &str, owner: &str) -> Result<Vec<String>, ConsulError> {
        let operation = "list services";
        let filter = format!("Service == \"{service}\" and Meta.{} == \"{owner}\"", body::META_OWNER);
        let request = Request::get(operation, &["agent", "services"]).param("filter", &filter);
        let request = self.scoped(request, &QueryOptions::default());
        let all: Option<BTreeMap<String, AgentService>> = decode(operation, &self.send(&request).await?)?;
        Ok(all.unwrap_or_default().into_values().map(|service| service.id).collect())
    }

    async fn order(&self, request: Request) -> Result<(), ConsulError> {
        self.send(&self.scoped(request, &QueryOptions::default())).await.map(|_| ())
    }
}

fn absent_is_fine(result: Result<(), ConsulError>) -> Result<(), ConsulError> {
    match result {
        Err(error) if error.class() == ErrorClass::LostRegistration => Ok(()),
        result => result,
    }
}

pub(crate) fn decode<T: DeserializeOwned>(operation: &'static str, answer: &Answer) -> Result<T, ConsulError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| ConsulError::new(operation, Cause::Decode(error.to_string().into())).caused_by(error))
}

const BEAT: &str = "feed TTL check";
