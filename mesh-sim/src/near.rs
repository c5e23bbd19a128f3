//! Which known name was probably meant by an unknown one.

/// The one of `known` that is spelt most like `name`, if one is near: at most a third of its letters, and not all, differ, or it is
/// the last part of a dotted name.
pub(crate) fn near<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let distance = |other: &str| {
        let other = other.to_ascii_lowercase().replace('_', "-");
        if other.rsplit('.').next() == Some(&plain) {
            return 0;
        }
        strsim::damerau_levenshtein(&plain, &other)
    };
    let letters = name.chars().count();
    let furthest = (letters / 3).max(1).min(letters - 1);
    let rated = known.into_iter().take(NAMES_MAX).map(|other| (distance(other), other));
    rated.filter(|(distance, _)| *distance <= furthest).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// What is said of a near name.
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Of more names only the first are compared: a file may have many wrong ones.
const NAMES_MAX: usize = 1_000;
/// Longer names are compared with none: the comparison takes the square of their length.
const NAME_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_misspelt_name_has_a_near_one_and_a_strange_one_has_none() {
        let known = ["latency_ms.p99", "latency_ms.p999", "retries", "backend"];
        assert_eq!(near("bakend", known), Some("backend"));
        assert_eq!(near("latency-ms.p99", known), Some("latency_ms.p99"));
        assert_eq!(near("p99", known), Some("latency_ms.p99"));
        assert_eq!(near("Retrys", known), Some("retries"));
        assert_eq!(near("frontend", known), None);
        assert_eq!(near("b", ["a"]), None);
        assert_eq!(near("", known), None);
        assert_eq!(near(&"x".repeat(100_000), known), None);
    }
}
