//! What a push message of Redis' says of keys.
//!
//! Decides which entries are forgotten; where it is in doubt, all of them. It never fails.

use ::redis::{PushInfo, PushKind, Value};
use bytes::Bytes;

/// The keys that an invalidation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// These.
    Some(Vec<Bytes>),
    /// Every key: the server was flushed, or what it said could not be understood.
    All,
}

/// What a push message is to the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// Keys changed.
    Invalidated(Keys),
    /// Keys changed, said in a way that Redis is not documented to; it is taken for all keys.
    Odd,
    /// It is about something else.
    Foreign,
}

impl Push {
    pub(crate) fn decode(info: PushInfo) -> Self {
        if info.kind != PushKind::Invalidate {
            return Self::Foreign;
        }
        let mut data = info.data;
        match (data.pop(), data.is_empty()) {
            (Some(Value::Nil), true) => Self::Invalidated(Keys::All),
            (Some(Value::Array(keys)), true) => keys_of(keys).map_or(Self::Odd, Self::Invalidated),
            _ => Self::Odd,
        }
    }
}

/// The keys of an array of strings; an empty one says nothing that Redis ever says.
fn keys_of(values: Vec<Value>) -> Option<Keys> {
    let key = |value| if let Value::BulkString(key) = value { Some(Bytes::from(key)) } else { None };
    let keys: Vec<Bytes> = values.into_iter().map(key).collect::<Option<_>>()?;
    (!keys.is_empty()).then_some(Keys::Some(keys))
}
