//! The two messages of the gRPC health protocol, as bytes.
//!
//! Decides what is well-formed. `grpc/health/v1/health.proto` of the repository grpc/grpc-proto has the messages, gRPC
//! over HTTP/2 (`doc/PROTOCOL-HTTP2.md` of grpc/grpc) the five bytes before each.

use bytes::{BufMut as _, Bytes, BytesMut};
use mesh_core::health::{ProbeFailure, ServingStatus};

/// The request for the health of `service`, or of the whole server where that is empty.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(FIELD_SERVICE);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    // A service has at most 256 bytes.
    framed.put_u32(message.len() as u32);
    framed.put(message);
    framed.freeze()
}

/// What the response says: nothing where the service is serving.
pub(super) fn verdict(framed: &[u8]) -> Result<(), ProbeFailure> {
    let status = message(framed).and_then(status).ok_or(ProbeFailure::Broken)?;
    Err(ProbeFailure::NotServing(match status {
        0 => ServingStatus::Unknown,
        1 => return Ok(()),
        2 => ServingStatus::NotServing,
        3 => ServingStatus::ServiceUnknown,
        other => ServingStatus::Other(other),
    }))
}

/// The one message in `framed`, which nobody may have compressed: nobody was told that it could be.
fn message(framed: &[u8]) -> Option<&[u8]> {
    let ([compressed, length @ ..], message) = framed.split_first_chunk::<PREFIX_BYTES>()?;
    let whole = usize::try_from(u32::from_be_bytes(*length)).is_ok_and(|length| length == message.len());
    (*compressed == 0 && whole).then_some(message)
}

/// The field `status` of a `HealthCheckResponse`, 0 where it is left out; of several the last counts. Fields of later
/// versions are skipped.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (0, _) => return None,
            (1, WIRE_VARINT) => status = take_varint(&mut message)?,
            (1, _) => return None,
            (_, WIRE_VARINT) => drop_varint(&mut message)?,
            (_, WIRE_64_BITS) => message = message.get(8..)?,
            (_, WIRE_BYTES) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, WIRE_32_BITS) => message = message.get(4..)?,
            (_, _) => return None,
        }
    }
    Some(status)
}

fn drop_varint(from: &mut &[u8]) -> Option<()> {
    take_varint(from).map(|_| ())
}

/// A number in groups of seven bits, the least first, at most ten of them; bits beyond the 64th are lost, as in
/// protobuf's own decoders.
fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for group in 0..VARINT_BYTES_MAX {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7F) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_varint(into: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        into.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    into.put_u8(number as u8);
}

/// Whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;
/// Field 1, bytes of a length.
const FIELD_SERVICE: u8 = 0x0A;
const VARINT_BYTES_MAX: u32 = 10;
const WIRE_VARINT: u64 = 0;
const WIRE_64_BITS: u64 = 1;
const WIRE_BYTES: u64 = 2;
const WIRE_32_BITS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, message.len() as u8], message].concat()
    }

    #[test]
    fn a_request_names_its_service_or_nothing() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("api.v1")[..], b"\0\0\0\0\x08\x0A\x06api.v1");
        let long = request(&"s".repeat(256));
        assert_eq!(&long[..8], [0, 0, 0, 1, 3, 0x0A, 0x80, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 256);
    }

    #[test]
    fn only_serving_is_well() {
        assert_eq!(verdict(&framed(&[8, 1])), Ok(()));
        for (message, status) in [
            (&[][..], ServingStatus::Unknown),
            (&[8, 0], ServingStatus::Unknown),
            (&[8, 2], ServingStatus::NotServing),
            (&[8, 3], ServingStatus::ServiceUnknown),
            (&[8, 0x81, 1], ServingStatus::Other(129)),
            (&[8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], ServingStatus::Other(u64::MAX)),
            (&[8, 1, 8, 2], ServingStatus::NotServing),
        ] {
            assert_eq!(verdict(&framed(message)), Err(ProbeFailure::NotServing(status)), "{message:?}");
        }
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let others = [&[0x10, 0x96, 1][..], &[0x19, 0, 0, 0, 0, 0, 0, 0, 0], b"\x22\x02\x08\x02", &[0x2D, 8, 2, 8, 2]];
        for other in others {
            assert_eq!(verdict(&framed(&[other, &[8, 1]].concat())), Ok(()), "{other:?}");
            assert_eq!(verdict(&framed(&[&[8, 1], other].concat())), Ok(()), "{other:?}");
            for cut in 1..other.len() {
                let broken = framed(&[&[8, 1], &other[..cut]].concat());
                assert_eq!(verdict(&broken), Err(ProbeFailure::Broken), "{broken:?}");
            }
        }
    }

    #[test]
    fn what_is_no_such_message_is_broken() {
        for framed in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 255, 255, 255, 255, 8, 1],
            &[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0, 1],
            &[0, 0, 0, 0, 3, 0x0A, 1, 1],
            &[0, 0, 0, 0, 1, 0x13],
            &[0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            b"\0\0\0\0\x0b\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(verdict(framed), Err(ProbeFailure::Broken), "{framed:?}");
        }
    }
}
