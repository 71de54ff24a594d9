//! FILETIME: 100-nanosecond intervals since 1601-01-01 UTC (MS-DTYP 2.3.3).

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds from 1601-01-01 to 1970-01-01.
const EPOCH_GAP_SECONDS: u64 = 11_644_473_600;
const TICKS_PER_SECOND: u64 = 10_000_000;

/// A time, in 100-nanosecond intervals since 1601-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

impl FileTime {
    /// Returns the current time of the host; 0 before 1970.
    pub fn now() -> Self {
        FileTime::of(SystemTime::now())
    }

    /// Converts a time of the host; 0 before 1970.
    pub fn of(moment: SystemTime) -> Self {
        let Ok(since) = moment.duration_since(UNIX_EPOCH) else {
            return FileTime(0);
        };
        let seconds = since.as_secs().saturating_add(EPOCH_GAP_SECONDS);
        FileTime(seconds.saturating_mul(TICKS_PER_SECOND) + u64::from(since.subsec_nanos()) / 100)
    }

    /// Returns the proleptic Gregorian year, the month and the day, counted from 1, then hour, minute and second in UTC, and
    /// the rest in units of 100 nanoseconds.
    pub fn fields(self) -> [u64; 7] {
        let seconds = self.0 / TICKS_PER_SECOND;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        [year, month, day, second / 3600, second / 60 % 60, second % 60, self.0 % TICKS_PER_SECOND]
    }
}

impl FromStr for FileTime {
    type Err = ();

    /// Parses RFC 3339 in UTC, as [`FileTime`] is displayed. A date without a time is the start of that day.
    ///
    /// # Errors
    /// The text has another form, or is a time before 1601.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, time.strip_suffix('Z').ok_or(())?),
            None => (text, "00:00:00"),
        };
        let numbers = |text: &str, sign: char, sizes: [usize; 3]| -> Result<[u64; 3], ()> {
            let parts: Vec<&str> = text.split(sign).collect();
            let [a, b, c] = parts[..] else { return Err(()) };
            let is_right =
                |(part, size): (&str, usize)| part.len() == size && part.bytes().all(|byte| byte.is_ascii_digit());
            match [a, b, c].into_iter().zip(sizes).all(is_right) {
                true => Ok([a.parse().map_err(drop)?, b.parse().map_err(drop)?, c.parse().map_err(drop)?]),
                false => Err(()),
            }
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        if hour > 23 || minute > 59 || second > 59 || year < 1601 {
            return Err(());
        }
        // The first day of the year: 1601 begins a cycle of 400 years.
        let first = (year - 1601) * 365 + (year - 1601) / 4 - (year - 1601) / 100 + (year - 1601) / 400;
        let in_year = (0..366).find(|more| civil_from_days(first + more) == (year, month, day)).ok_or(())?;
        let seconds = (first + in_year) * 86_400 + hour * 3600 + minute * 60 + second;
        Ok(FileTime(seconds * TICKS_PER_SECOND))
    }
}

impl fmt::Display for FileTime {
    /// Writes RFC 3339 in UTC with whole seconds. Every 64-bit value has a date (up to the year 60056).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day, h, m, s, _] = self.fields();
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
    }
}

/// Returns the proleptic Gregorian date of a day counted from 1601-01-01, which starts a 400-year cycle.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let cycles = days / 146_097;
    let mut rest = days % 146_097;
    let centuries = (rest / 36_524).min(3);
    rest -= centuries * 36_524;
    let quads = rest / 1461;
    rest %= 1461;
    let years = (rest / 365).min(3);
    rest -= years * 365;
    let year = 1601 + cycles * 400 + centuries * 100 + quads * 4 + years;
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["1601-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2100-03-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            assert_eq!(text.parse::<FileTime>().unwrap().to_string(), text);
        }
        assert_eq!("2024-12-31".parse::<FileTime>().unwrap().to_string(), "2024-12-31T00:00:00Z");
        for wrong in
            ["", "2023-02-29", "2023-13-01", "1600-12-31", "2023-1-1", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00"]
        {
            assert!(wrong.parse::<FileTime>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn known_moments() {
        assert_eq!(FileTime(0).to_string(), "1601-01-01T00:00:00Z");
        // 2000-02-29 12:34:56 UTC is 951827696 seconds after 1970.
        let leap_day = (951_827_696 + EPOCH_GAP_SECONDS) * TICKS_PER_SECOND;
        assert_eq!(FileTime(leap_day).to_string(), "2000-02-29T12:34:56Z");
        let last_of_1600_years = (31_535_999 + 365 * 86_400 * 3) * TICKS_PER_SECOND;
        assert_eq!(FileTime(last_of_1600_years).to_string(), "1604-12-30T23:59:59Z");
        assert!(FileTime(u64::MAX).to_string().starts_with("60056-05-28T"));
    }
}
