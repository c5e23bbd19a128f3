//! What values weigh where nobody says: as much as can be known without asking.

use std::any::Any;
use std::sync::Arc;

/// The size of `value`, with what it owns elsewhere if it is text or bytes. What other values own is not known here.
pub(super) fn of<V: 'static>(value: &V) -> u64 {
    (size_of::<V>() as u64).saturating_add(elsewhere(value) as u64)
}

/// How many bytes a text, or bytes, have elsewhere.
fn elsewhere(value: &dyn Any) -> usize {
    let lengths = [
        value.downcast_ref::<String>().map(String::capacity),
        value.downcast_ref::<Vec<u8>>().map(Vec::capacity),
        value.downcast_ref::<Box<str>>().map(|text| text.len()),
        value.downcast_ref::<Box<[u8]>>().map(|bytes| bytes.len()),
        value.downcast_ref::<Arc<str>>().map(|text| text.len()),
        value.downcast_ref::<Arc<[u8]>>().map(|bytes| bytes.len()),
        value.downcast_ref::<Vec<String>>().map(|texts| {
            texts.iter().fold(texts.capacity() * size_of::<String>(), |sum, text| sum.saturating_add(text.capacity()))
        }),
    ];
    lengths.into_iter().flatten().next().unwrap_or(0)
}
