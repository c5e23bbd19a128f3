//! Numbers and names as people read them, in lines that fit a terminal.

use core::time::Duration;

/// The widest line.
pub(crate) const COLUMNS: usize = 80;

/// Milliseconds in the unit that suits them, with three digits.
pub(crate) fn latency(millis: f64) -> String {
    let (value, unit) = match millis {
        ms if ms >= 999.5 => (ms / 1e3, "s"),
        ms if ms >= 0.9995 || ms == 0.0 => (ms, "ms"),
        ms if ms >= 0.000_999_5 => (ms * 1e3, "µs"),
        ms => (ms * 1e6, "ns"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A span of the scenario, in minutes where it is long.
pub(crate) fn span(long: Duration) -> String {
    let (minutes, seconds) = (long.as_secs() / 60, long.as_secs() % 60);
    match (minutes, seconds) {
        (0, _) => latency(long.as_secs_f64() * 1e3),
        (_, 0) => format!("{minutes} min"),
        _ => format!("{minutes} min {seconds} s"),
    }
}

/// A large number with its prefix.
pub(crate) fn large(number: f64) -> String {
    match number {
        n if n >= 999.5e6 => format!("{:.2} G", n / 1e9),
        n if n >= 999.5e3 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// How many there are of something.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

/// A share of one in percent. What is short of all of it is never shown as all.
pub(crate) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    format!("{:.3} %", if ratio < 1.0 { percent.min(99.999) } else { percent })
}

/// A number with six digits that count, or all of them where it is whole.
pub(crate) fn plain(value: f64) -> String {
    if value.fract() == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let whole = format!("{:.0}", value.abs().trunc());
    let places = if whole == "0" { 6 } else { 6_usize.saturating_sub(whole.len()).max(1) };
    let shown = format!("{value:.places$}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `text` in lines of at most `width` columns; a word that is wider has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `text` in lines that fit a terminal: the first after `first`, the others as far in.
pub(crate) fn hanging(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let mut lines = String::new();
    for (at, line) in wrapped(text, COLUMNS - indent).iter().enumerate() {
        lines.push_str(if at == 0 { first } else { "" });
        lines.extend(core::iter::repeat_n(' ', if at == 0 { 0 } else { indent }));
        lines.push_str(line);
        lines.push('\n');
    }
    lines
}

/// `labels`, none longer than `max`. One that is cut keeps its beginning and its end, where labels of one strategy
/// differ; those that would be the same then are numbered.
pub(crate) fn short(labels: &[&str], max: usize) -> Vec<String> {
    let cut: Vec<_> = labels.iter().map(|label| without_middle(label, max)).collect();
    let numbered = |(at, label): (usize, &String)| {
        let twins: Vec<_> = (0..cut.len()).filter(|&other| cut[other] == *label).collect();
        if twins.len() == 1 {
            return label.clone();
        }
        let number = format!("#{}", twins.iter().filter(|&&other| other <= at).count());
        without_middle(labels[at], max - number.len()) + &number
    };
    cut.iter().enumerate().map(numbered).collect()
}

fn without_middle(label: &str, max: usize) -> String {
    let letters: Vec<char> = label.chars().collect();
    if letters.len() <= max {
        return label.to_owned();
    }
    let end = (max - 1) * 6 / 10;
    let begin = max - 1 - end;
    letters[..begin].iter().chain(&['…']).chain(&letters[letters.len() - end..]).collect()
}

fn three_digits(value: f64) -> String {
    let places = match value {
        whole if whole == whole.trunc() || whole >= 99.95 => 0,
        large if large >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_the_unit_that_suits_them() {
        let shown = [0.0, 0.000_5, 0.25, 1.0, 9.996, 26.56, 99.96, 178.5, 999.4, 999.6, 2000.0, 90_000.0].map(latency);
        let expected = [
            "0 ms", "500 ns", "250 µs", "1 ms", "10.0 ms", "26.6 ms", "100 ms", "178 ms", "999 ms", "1.00 s", "2 s",
            "90 s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn spans_are_in_minutes_where_they_are_long() {
        let shown = [Duration::from_millis(1500), Duration::from_secs(60), Duration::from_secs(90)].map(span);
        assert_eq!(shown, ["1.50 s", "1 min", "1 min 30 s"]);
    }

    #[test]
    fn large_numbers_have_a_prefix() {
        assert_eq!([12.0, 9_999.0, 60_012.0, 1.35e6, 2e9].map(large), ["12", "9999", "60.0 k", "1.35 M", "2.00 G"]);
    }

    #[test]
    fn only_all_of_it_is_shown_as_all() {
        assert_eq!([1.0, 0.999_999_9, 0.954_561, 0.0].map(percent), ["100.000 %", "99.999 %", "95.456 %", "0.000 %"]);
    }

    #[test]
    fn numbers_have_six_digits_or_are_whole() {
        let shown = [0.0, 60_012.0, 49.411_271, 0.954_193, 0.5, -1.25, 1_234_567.8, 1e-9].map(plain);
        assert_eq!(shown, ["0", "60012", "49.4113", "0.954193", "0.5", "-1.25", "1234567.8", "0"]);
    }

    #[test]
    fn a_long_label_keeps_what_tells_it_from_others() {
        let labels = ["random", "p2c-least-loaded(choices=2)", "p2c-least-loaded(choices=3)"];
        assert_eq!(short(&labels, 20), ["random", "p2c-leas…(choices=2)", "p2c-leas…(choices=3)"]);
    }

    #[test]
    fn labels_that_would_be_cut_to_the_same_are_numbered() {
        let labels = ["p2c(choices=2,failure_hold=10s)", "p2c(choices=3,failure_hold=10s)"];
        assert_eq!(short(&labels, 20), ["p2c(cho…_hold=10s)#1", "p2c(cho…_hold=10s)#2"]);
    }

    #[test]
    fn lines_hang_below_their_first_word() {
        let text = "word ".repeat(30);
        let lines = hanging("✓ ", &text);
        assert!(lines.lines().all(|line| line.chars().count() <= COLUMNS), "{lines}");
        assert!(lines.starts_with("✓ word") && lines.contains("\n  word"), "{lines}");
    }
}
