//! A Lua script, as the server keeps it: by its hash.

use std::sync::Arc;

/// A script that Redis runs as one step.
///
/// The server keeps scripts by their hash, and forgets them when it restarts. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    code: Arc<str>,
    hash: Arc<str>,
}

impl Script {
    /// The script of this source text.
    #[must_use]
    pub fn new(code: &str) -> Self {
        Self { code: code.into(), hash: ::redis::Script::new(code).get_hash().into() }
    }

    /// Its hash, 40 hexadecimal digits of SHA-1, under which the server keeps it.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(crate) fn load(&self) -> ::redis::Cmd {
        let mut cmd = ::redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.code.as_bytes());
        cmd
    }

    pub(crate) fn call<K: AsRef<[u8]>>(&self, keys: &[K], args: impl ::redis::ToRedisArgs) -> ::redis::Cmd {
        let mut cmd = ::redis::cmd("EVALSHA");
        cmd.arg(&*self.hash).arg(keys.len());
        for key in keys {
            cmd.arg(key.as_ref());
        }
        cmd.arg(args);
        cmd
    }
}
