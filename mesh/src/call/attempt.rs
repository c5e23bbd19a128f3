//! One attempt of a call, as the caller's own code sees it.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::service::Instance;
use mesh_retry::call::AttemptKind;
use mesh_retry::deadline::header::Value;
use mesh_retry::deadline::{Deadline, Told};

use crate::lease::Lease;
use crate::local::Owner;

/// One attempt of a call: the instance that it is made at, which it is, and how much time is left for it.
///
/// It is the instance wherever one is wanted: `attempt.authority()`. What it says of the time is true when it is asked, so a
/// request that is built late tells less.
///
/// ```no_run
/// # async fn doc(mesh: mesh::ServiceMesh, client: reqwest::Client) -> Result<(), mesh::CallError<reqwest::Error>> {
/// let policy = mesh::CallPolicy::default();
/// let reply = mesh.call("api", &policy, |attempt| {
///     let mut request = client.get(format!("http://{}/", attempt.authority()));
///     for (name, value) in attempt.headers() {
///         request = request.header(name, value.to_string());
///     }
///     request.send()
/// });
/// # reply.await.map(drop)
/// # }
/// ```
#[derive(Clone)]
pub struct Attempt {
    instance: Arc<Instance>,
    /// Whose clock it goes by. Each thread has one of its own, so that its count is not fought over.
    owner: Arc<Owner>,
    deadline: Deadline,
    number: u32,
    kind: AttemptKind,
}

impl Attempt {
    pub(super) fn new(lease: &Lease, number: u32, kind: AttemptKind, deadline: Deadline) -> Self {
        Self { instance: Arc::clone(lease.instance()), owner: Arc::clone(lease.owner()), deadline, number, kind }
    }

    /// The instance that it is made at.
    #[must_use]
    pub const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The instance alone.
    #[must_use]
    pub fn into_instance(self) -> Arc<Instance> {
        self.instance
    }

    /// Its number in its call: 1 for the first, hedges counted.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What made it necessary.
    #[must_use]
    pub const fn kind(&self) -> AttemptKind {
        self.kind
    }

    /// When it is given up, by the mesh's clock: at the end of its own timeout, or of the call's time if that is sooner.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How much time is left for it now: zero where none is, `None` where nothing bounds it. A timeout for whatever it is
    /// made with.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        match self.deadline {
            // A clock need not be read for that.
            Deadline::NEVER => None,
            deadline => deadline.remaining(self.owner.clock.now()),
        }
    }

    /// What its request is to tell the callee, by the time that is left now.
    #[must_use]
    pub fn told(&self) -> Told {
        Told::new(self.remaining(), NonZeroU32::new(self.number))
    }

    /// The mesh's headers for its request, by the time that is left now: names in lower case, with values to be written.
    /// [`ServiceMesh::incoming`](crate::ServiceMesh::incoming) reads them.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Value)> + use<> {
        self.told().headers()
    }

    /// As [`Attempt::headers`], gRPC's, which every gRPC server understands.
    pub fn grpc_headers(&self) -> impl Iterator<Item = (&'static str, Value)> + use<> {
        self.told().grpc_headers()
    }
}

impl Deref for Attempt {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl AsRef<Instance> for Attempt {
    fn as_ref(&self) -> &Instance {
        &self.instance
    }
}

impl From<Attempt> for Arc<Instance> {
    fn from(attempt: Attempt) -> Self {
        attempt.into_instance()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, owner: _, deadline, number, kind } = self;
        let mut shown = f.debug_struct("Attempt");
        shown.field("number", number).field("kind", kind).field("deadline", deadline).field("instance", instance);
        shown.finish_non_exhaustive()
    }
}
