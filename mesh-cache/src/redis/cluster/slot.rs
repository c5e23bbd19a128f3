//! Which slot of a cluster a key belongs to.

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// The slot of `key`: CRC-16/XMODEM of what stands between the first `{` and the first `}` after it, or of all of it
/// where that is nothing (the Redis cluster specification, "Hash tags").
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(tag_of(key).unwrap_or(key)) % SLOTS
}

fn tag_of(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

const POLYNOMIAL: u16 = 0x1021;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_of_the_specification_holds() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), 12_182);
    }

    #[test]
    fn the_first_tag_that_is_not_empty_decides() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(tag_of(b"foo{}{bar}"), None);
        assert_eq!(tag_of(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        assert_eq!(tag_of(b"foo{bar}{zap}"), Some(&b"bar"[..]));
        assert_eq!(tag_of(b"foo{bar"), None);
    }
}
