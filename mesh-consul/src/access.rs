//! What the token may not do: told apart from "there is nothing", which Consul answers alike.
//!
//! A read with too little permission is answered with an empty list and status 200. Consul 1.11 and later mark it, for
//! authenticated tokens; for the others two reads tell: the agent refuses its own view of a service without
//! `service:read`, and the list of nodes, which is never empty, is without `node:read`.

use serde::Deserialize;

use crate::client::Consul;
use crate::error::{Cause, ConsulError, ErrorClass};
use crate::request::Request;
use crate::response::Meta;

/// What a token is and may not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// Whether the ACL system is on, as far as can be told.
    pub enforced: bool,
    /// The token's public id and description.
    pub token: Option<TokenInfo>,
    /// What is missing, as Consul's rules name it, such as `service:write on web`.
    pub missing: Vec<String>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its public id.
    #[serde(rename = "AccessorID")]
    pub accessor: String,
    /// What it was described as.
    #[serde(default)]
    pub description: String,
    /// Whether it is known in one datacenter only.
    #[serde(default)]
    pub local: bool,
}

impl Consul {
    /// Finds out what the token may not do that following `follow` and registering `register` needs.
    ///
    /// # Errors
    /// What went wrong. That the token is none is an error of class `AclDenied`; a permission that is missing is not.
    pub async fn preflight(&self, follow: &[&str], register: &[&str]) -> Result<Access, ConsulError> {
        let mut access = Access::default();
        match self.send(&Request::get("read token", &["acl", "token", "self"])).await {
            Ok(answer) => {
                access.enforced = true;
                access.token = serde_json::from_slice(&answer.body).ok();
            }
            Err(error) if is_switched_off(&error) => return Ok(access),
            Err(error) => return Err(error),
        }
        for service in follow {
            if !self.may_read_service(service).await? {
                access.missing.push(format!("service:read on {service}"));
            }
        }
        if !follow.is_empty() && !self.may_read_nodes().await? {
            access.missing.push("node:read".to_owned());
        }
        for service in register {
            if !self.may_write_service(service).await? {
                access.missing.push(format!("service:write on {service}"));
            }
        }
        Ok(access)
    }

    /// Refuses to take an empty list for the truth where the token may not see the service.
    pub(crate) async fn verify_visible(&self, service: &str, meta: &Meta) -> Result<(), ConsulError> {
        let denied = |what: String| Err(ConsulError::new("read health", Cause::Denied(what.into())));
        if meta.filtered_by_acls {
            return denied(format!("Consul left out what the token may not see of {service}"));
        }
        // A probe that fails tells nothing: then the list stands as it came.
        if matches!(self.may_read_service(service).await, Ok(false)) {
            return denied(format!("the token lacks service:read on {service}"));
        }
        // An agent that has only just started knows no node either: without ACLs nothing is hidden.
        if matches!(self.may_read_nodes().await, Ok(false)) && self.enforces_acls().await {
            return denied("the token lacks node:read: Consul shows it no instance".to_owned());
        }
        Ok(())
    }

    async fn may_read_service(&self, service: &str) -> Result<bool, ConsulError> {
        let request = Request::get("read agent's view", &["agent", "health", "service", "name", service]);
        match self.send(&request).await {
            Ok(_) => Ok(true),
            Err(error) if error.class() == ErrorClass::AclDenied => Ok(false),
            // The agent answers 404 for a service that it has not, and 429 or 503 for one that is not well.
            Err(error) if error.status().is_some() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the ACL system is on, or that cannot be told.
    async fn enforces_acls(&self) -> bool {
        match self.send(&Request::get("read token", &["acl", "token", "self"])).await {
            Ok(_) => true,
            Err(error) => !is_switched_off(&error),
        }
    }

    async fn may_read_nodes(&self) -> Result<bool, ConsulError> {
        let answer = self.send(&Request::get("read nodes", &["catalog", "nodes"])).await?;
        Ok(!is_empty_list(&answer.body))
    }

    /// Asks Consul whether the token may register the service; registering to find out would change something.
    async fn may_write_service(&self, service: &str) -> Result<bool, ConsulError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Verdict {
            allow: bool,
        }
        let question = serde_json::json!([{ "Resource": "service", "Access": "write", "Segment": service }]);
        let mut request = Request::put("ask for access", &["internal", "acl", "authorize"]).body(question.to_string());
        request.method = http::Method::POST;
        let answer = match self.send(&request).await {
            Ok(answer) => answer,
            Err(error) if error.class() == ErrorClass::AclDenied => return Ok(false),
            // An endpoint for Consul's own user interface: where it is not, the registration will tell.
            Err(error) if error.status().is_some() => return Ok(true),
            Err(error) => return Err(error),
        };
        let verdicts: Vec<Verdict> = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(verdicts.first().is_none_or(|verdict| verdict.allow))
    }
}

fn is_switched_off(error: &ConsulError) -> bool {
    error.body().is_some_and(|body| body.contains("ACL support disabled"))
}

/// Whether a body is an empty list, or null in its place.
pub(crate) fn is_empty_list(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"[]" | b"null" | b"")
}
