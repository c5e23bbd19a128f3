//! Reads dates of HTTP (RFC 9110 5.6.7) as seconds since the Unix epoch. Never asks what time it is.

/// The time that an HTTP date names, in seconds since the Unix epoch; of a time before that, 0.
///
/// All three forms are read: `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate), `Sunday, 06-Nov-94 08:49:37 GMT`
/// (RFC 850) and `Sun Nov  6 08:49:37 1994` (asctime). Anything else gives `None`, as does a day or an hour that
/// does not exist; whether the name of the day is the right one is not asked.
///
/// The year of the second form has two digits. It is the latest that is no more than 50 years after `now`, which is
/// in seconds since the Unix epoch too and need not be exact; without it, one of 1970 to 2069.
#[must_use]
pub fn parse_http_date(value: &str, now: Option<u64>) -> Option<u64> {
    let text = Text(value.trim_matches([' ', '\t']).as_bytes());
    imf_fixdate(text).or_else(|| rfc_850(text, now)).or_else(|| asctime(text)).and_then(Moment::seconds)
}

/// A date and a time of day as written.
#[derive(Clone, Copy)]
struct Moment {
    year: u64,
    /// 0 to 11.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

fn imf_fixdate(mut text: Text<'_>) -> Option<Moment> {
    text.one_of(&DAYS)?;
    text.exactly(", ")?;
    let day = text.digits(2)?;
    text.exactly(" ")?;
    let month = text.one_of(&MONTHS)?;
    text.exactly(" ")?;
    let year = text.digits(4)?;
    text.exactly(" ")?;
    let (hour, minute, second) = text.time_of_day()?;
    text.exactly(" GMT")?;
    text.end(Moment { year, month, day, hour, minute, second })
}

fn rfc_850(mut text: Text<'_>, now: Option<u64>) -> Option<Moment> {
    text.one_of(&LONG_DAYS)?;
    text.exactly(", ")?;
    let day = text.digits(2)?;
    text.exactly("-")?;
    let month = text.one_of(&MONTHS)?;
    text.exactly("-")?;
    let two_digits = text.digits(2)?;
    text.exactly(" ")?;
    let (hour, minute, second) = text.time_of_day()?;
    text.exactly(" GMT")?;
    let moment = text.end(Moment { year: 0, month, day, hour, minute, second })?;
    Some(moment.in_century(two_digits, now))
}

fn asctime(mut text: Text<'_>) -> Option<Moment> {
    text.one_of(&DAYS)?;
    text.exactly(" ")?;
    let month = text.one_of(&MONTHS)?;
    text.exactly(" ")?;
    let day = if text.exactly(" ").is_some() { text.digits(1)? } else { text.digits(2)? };
    text.exactly(" ")?;
    let (hour, minute, second) = text.time_of_day()?;
    text.exactly(" ")?;
    let year = text.digits(4)?;
    text.end(Moment { year, month, day, hour, minute, second })
}

impl Moment {
    /// Seconds since the Unix epoch, or 0 for what was before; `None` where there is no such time. A leap second is that
    /// after it.
    fn seconds(self) -> Option<u64> {
        let Self { year, month, day, hour, minute, second } = self;
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = DAYS_OF_MONTH.get(month)? + u64::from(is_leap && month == FEBRUARY);
        if day == 0 || day > length || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        if year < EPOCH_YEAR {
            return Some(0);
        }
        let leaps = |before: u64| before / 4 - before / 100 + before / 400;
        let of_years = (year - EPOCH_YEAR) * 365 + leaps(year - 1) - leaps(EPOCH_YEAR - 1);
        let of_months: u64 = DAYS_OF_MONTH.iter().take(month).sum();
        let days = of_years + of_months + u64::from(is_leap && month > FEBRUARY) + day - 1;
        Some(((days * 24 + hour) * 60 + minute) * 60 + second)
    }

    /// The same in a year that ends in `two_digits`.
    fn in_century(self, two_digits: u64, now: Option<u64>) -> Self {
        let Some(now) = now else {
            let century = if two_digits < EPOCH_YEAR % 100 { 2000 } else { 1900 };
            return Self { year: century + two_digits, ..self };
        };
        // One year more, since this is an average year: what is too late is taken back by its second.
        let now = now.min(NOW_MAX);
        let latest = EPOCH_YEAR + (now + FIFTY_YEARS) / (FIFTY_YEARS / 50) + 1;
        let year = latest - (latest + 100 - two_digits) % 100;
        let is_too_late = Self { year, ..self }.seconds().is_some_and(|at| at > now + FIFTY_YEARS);
        Self { year: if is_too_late { year - 100 } else { year }, ..self }
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn exactly(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected.as_bytes())?;
        Some(())
    }

    /// Which of `names` comes next.
    fn one_of(&mut self, names: &[&str]) -> Option<usize> {
        names.iter().position(|name| self.exactly(name).is_some())
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    fn time_of_day(&mut self) -> Option<(u64, u64, u64)> {
        let hour = self.digits(2)?;
        self.exactly(":")?;
        let minute = self.digits(2)?;
        self.exactly(":")?;
        Some((hour, minute, self.digits(2)?))
    }

    /// `read`, where nothing is left.
    fn end(self, read: Moment) -> Option<Moment> {
        self.0.is_empty().then_some(read)
    }
}

const EPOCH_YEAR: u64 = 1970;
const FEBRUARY: usize = 1;
/// 50 years of 365.25 days.
const FIFTY_YEARS: u64 = 50 * 31_557_600;
/// The end of the year 9999, the last that a date can name.
const NOW_MAX: u64 = 253_402_300_799;
const DAYS_OF_MONTH: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
