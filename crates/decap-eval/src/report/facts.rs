//! What the report was made of, when, and by which command.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Report;
use super::escape::{escaped, without_folders};

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

impl Report<'_> {
    /// The line below the title: how many photos, by what, and when.
    pub(super) fn by_line(&self) -> String {
        let photos = counted(self.photos.items.len(), "photo");
        let date = DateTime::utc(self.made_at);
        let program = match self.program.is_empty() {
            true => String::new(),
            false => format!(" · {}", escaped(&self.program)),
        };
        format!(
            "<p class=\"by\">{photos}{program} · <time datetime=\"{}\">{}</time></p>\n",
            date.machine(),
            date.day_for_people()
        )
    }

    /// The section that says how to make the same report again.
    pub(super) fn facts(&self) -> String {
        let model = &self.model;
        let photos = grouped(self.photos.items.len());
        let mut facts = vec![
            ("Photos", format!("{photos} from {}", self.set.name)),
            (
                "Model",
                format!("{} (encoder {})", model.name, model.encoder),
            ),
            (
                "Decoder trained on",
                sentences(model.training_sentences, &model.training_text),
            ),
            (
                "Memory",
                sentences(model.memory_sentences, &model.memory_text),
            ),
            ("Temperature tau", model.tau.to_string()),
        ];
        if self.set.without_references > 0 {
            let left_out = counted(self.set.without_references, "photo");
            facts.push(("Left out", format!("{left_out} without references")));
        }
        let date = DateTime::utc(self.made_at);
        let by = match self.program.is_empty() {
            true => String::new(),
            false => format!(", by {}", self.program),
        };
        facts.push(("Made", format!("{}{by}", date.for_people())));
        let mut html = String::from("<h2 id=\"run\">This run</h2>\n<dl class=\"facts\">\n");
        for (name, value) in facts {
            let _infallible = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
        }
        if !self.command.is_empty() {
            // Lines break between words, not after the hyphens of an option.
            let words = self.command.split(' ');
            let words = words.map(|word| format!("<span>{}</span>", escaped(word)));
            let command = words.collect::<Vec<_>>().join(" ");
            let _infallible = writeln!(html, "<dt>Command</dt><dd><code>{command}</code></dd>");
        }
        html + "</dl>\n"
    }

    /// The photos that are missing from all scores; empty where there are none.
    pub(super) fn failures(&self) -> String {
        let failures = &self.photos.failures;
        if failures.is_empty() {
            return String::new();
        }
        let verb = if failures.len() == 1 { "is" } else { "are" };
        let mut html = format!(
            "<details class=\"warning\"><summary>{} could not be read and {verb} not scored.\
             </summary><ul>\n",
            counted(failures.len(), "photo")
        );
        for failure in failures {
            let path = &self.set.items[failure.item].path;
            let message = match path.is_absolute() {
                true => {
                    let path = path.to_string_lossy();
                    failure.message.replace(&*path, &without_folders(&path))
                }
                false => failure.message.clone(),
            };
            let _infallible = writeln!(html, "<li>{}</li>", escaped(&message));
        }
        html + "</ul></details>\n"
    }
}

/// `1 photo`, `90,100 photos`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{} {noun}s", grouped(count)),
    }
}

/// `90,100`.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `7 sentences from captions.txt`.
fn sentences(count: usize, text: &str) -> String {
    let sentences = counted(count, "sentence");
    match without_folders(text) {
        text if text.is_empty() => sentences,
        text => format!("{sentences} from {text}"),
    }
}

/// A minute in UTC, by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DateTime {
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
    fn utc(time: SystemTime) -> Self {
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

    fn day_for_people(self) -> String {
        let month = usize::try_from(self.month - 1).ok();
        let month = month.and_then(|month| MONTHS.get(month)).unwrap_or(&"");
        format!("{} {month} {}", self.day, self.year)
    }

    fn for_people(self) -> String {
        format!(
            "{}, {:02}:{:02} UTC",
            self.day_for_people(),
            self.hour,
            self.minute
        )
    }

    /// As HTML's `datetime` wants it.
    fn machine(self) -> String {
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
    fn counts_are_grouped_and_nouns_follow_them() {
        let cases = [
            (0, "0 photos"),
            (1, "1 photo"),
            (999, "999 photos"),
            (1000, "1,000 photos"),
            (12_345_678, "12,345,678 photos"),
        ];
        for (count, text) in cases {
            assert_eq!(counted(count, "photo"), text);
        }
    }

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
