//! Dates for people, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A minute in UTC, by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DateTime {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    hour: u64,
    minute: u64,
}

impl DateTime {
    /// `time` in UTC; what is before 1970 counts as its beginning.
    pub(super) fn utc(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // The calendar repeats every 400 years; a year here begins on 1 March, so that a leap day
        // is its last. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let since_march_0 = days + 719_468;
        let (era, day_of_era) = (since_march_0 / 146_097, since_march_0 % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = match month_from_march {
            month if month < 10 => month + 3,
            month => month - 9,
        };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
        }
    }

    /// `29 February 2000`.
    pub(super) fn day_for_people(self) -> String {
        let month = usize::try_from(self.month - 1).ok();
        let month = month.and_then(|month| MONTHS.get(month)).unwrap_or(&"");
        format!("{} {month} {}", self.day, self.year)
    }

    /// `29 February 2000, 12:34 UTC`.
    pub(super) fn for_people(self) -> String {
        format!(
            "{}, {:02}:{:02} UTC",
            self.day_for_people(),
            self.hour,
            self.minute
        )
    }

    /// As HTML's `datetime` wants it.
    pub(super) fn machine(self) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
        } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_the_calendar_s() {
        // Seconds by `date -u -d DATE +%s`.
        let cases = [
            (0, "1970-01-01T00:00Z", "1 January 1970, 00:00 UTC"),
            (
                951_827_696,
                "2000-02-29T12:34Z",
                "29 February 2000, 12:34 UTC",
            ),
            (951_868_800, "2000-03-01T00:00Z", "1 March 2000, 00:00 UTC"),
            (
                1_735_689_599,
                "2024-12-31T23:59Z",
                "31 December 2024, 23:59 UTC",
            ),
            (
                4_107_542_400,
                "2100-03-01T00:00Z",
                "1 March 2100, 00:00 UTC",
            ),
        ];
        for (seconds, machine, people) in cases {
            let date = DateTime::utc(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(date.machine(), machine);
            assert_eq!(date.for_people(), people);
        }
        let before = DateTime::utc(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(before.machine(), "1970-01-01T00:00Z");
    }
}
