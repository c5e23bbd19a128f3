//! What a run is told that lets servers die.

/// How long such a run lasts, and what its faults are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChaosOptions {
    /// How many minutes it lasts.
    pub minutes: u64,
    /// What its faults are drawn from: the same seed, the same faults in the same order.
    pub seed: u64,
}

impl ChaosOptions {
    /// What `arguments` say, as `--minutes 2 --seed 7`; without them it lasts `minutes`, and the seed is this process's id, so
    /// that runs differ. `None` where they say anything else.
    #[must_use]
    pub fn parse(arguments: impl IntoIterator<Item = String>, minutes: u64) -> Option<Self> {
        let mut options = Self { minutes, seed: u64::from(std::process::id()) };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next()?.parse().ok()?;
            match argument.as_str() {
                "--minutes" => options.minutes = value,
                "--seed" => options.seed = value,
                _ => return None,
            }
        }
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_ever_and_what_is_not_known_is_refused() {
        let parse = |text: &str| {
            let options = ChaosOptions::parse(text.split_whitespace().map(str::to_owned), 3);
            options.map(|options| (options.minutes, options.seed))
        };
        let own = u64::from(std::process::id());
        assert_eq!(parse(""), Some((3, own)));
        assert_eq!(parse("--minutes 5"), Some((5, own)));
        assert_eq!(parse("--seed 7 --minutes 1"), Some((1, 7)));
        for wrong in ["--minutes", "--minutes five", "--minutes -1", "--hours 1", "5"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
