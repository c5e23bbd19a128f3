//! How the result of an operation is kept, and which bytes are believed to be one.

use std::sync::Arc;

use mesh_cache::codec::{Codec, decode_guarded, encode_guarded};
use mesh_cache::seal::{Header, Limits, Nonces, Place, Sealer};
use mesh_retry::coordinator::idempotency::Operation;
use mesh_retry::coordinator::store::RESULT_BYTES_MAX;

use super::error::{KeepError, ReadError};

/// Seals the results of one kind of operation, each for its operation alone, and opens them.
#[derive(Debug)]
pub(super) struct Results<T> {
    codec: Box<dyn Codec<T>>,
    sealer: Sealer,
    nonces: Arc<Nonces>,
}

impl<T> Results<T> {
    pub(super) const fn new(codec: Box<dyn Codec<T>>, sealer: Sealer, nonces: Arc<Nonces>) -> Self {
        Self { codec, sealer, nonces }
    }

    /// `result` as the store is to keep it for `operation`: the version of its format and its bytes, sealed. How long that
    /// may be is decided by who keeps it.
    pub(super) fn seal(&self, operation: &Operation, result: &T) -> Result<Vec<u8>, KeepError> {
        let encoded = encode_guarded(&*self.codec, result).map_err(KeepError::Codec)?;
        let mut payload = self.codec.schema().to_be_bytes().to_vec();
        payload.extend(encoded);
        let (key, nonce) = (key(operation), self.nonces.draw());
        self.sealer.seal(&place(&key), &Header::default(), &payload, nonce).map_err(KeepError::Seal)
    }

    /// The result of `operation` that is in `bytes`.
    pub(super) fn open(&self, operation: &Operation, bytes: &[u8]) -> Result<T, ReadError> {
        let key = key(operation);
        let opened = self.sealer.unseal(&place(&key), bytes, 0, &limits()).map_err(ReadError::Seal)?;
        let (schema, encoded) = opened.payload.split_first_chunk().ok_or(ReadError::Empty)?;
        // It is told apart here and not by the seal, which would only say that it is broken, and which not all have.
        let (written, read) = (u32::from_be_bytes(*schema), self.codec.schema());
        if written != read {
            return Err(ReadError::Schema { written, read });
        }
        decode_guarded(&*self.codec, encoded).map_err(ReadError::Codec)
    }
}

/// What a result is sealed for: its operation, whose key has the names of its fleet and its kind in it. With the fingerprint,
/// lest a store play back what was sealed for an earlier operation under the same key.
fn key(operation: &Operation) -> String {
    format!("{}:{}", operation.key, operation.fingerprint)
}

const fn place(key: &str) -> Place<'_> {
    Place { namespace: NAMESPACE, key, schema: FORMAT }
}

/// Results say nothing of when they were written, and so none is too old: it is the store that forgets them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.value_bytes_max = RESULT_BYTES_MAX;
    limits
}

/// What keeps results from whatever else is sealed with the same keys.
const NAMESPACE: &str = "mesh/operations";
/// The version of what is sealed: the codec's schema in four bytes, then what the codec wrote.
const FORMAT: u32 = 1;
