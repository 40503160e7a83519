//! Months, in UTC.

/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The same time of the day, so many months later; the last day of a month that is too short.
pub fn months_later(now_ms: u64, months: u64) -> u64 {
    let (year, month, day) = date(now_ms / DAY_MS);
    let months = (year * 12 + month - 1).saturating_add(months);
    let (year, month) = (months / 12, months % 12 + 1);
    let first = days(year, month);
    let length = days(year + month / 12, month % 12 + 1).saturating_sub(first);
    (first + day.min(length) - 1).saturating_mul(DAY_MS).saturating_add(now_ms % DAY_MS)
}

/// Days from 1970 to the first of a month. Years begin with March, so that the leap day is their last.
fn days(year: u64, month: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    // The 1st of March of the year 0 is 719468 days before 1970.
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 - 719_468
}

/// Year, month and day of the month: the month is found from the first one that is not later.
fn date(day: u64) -> (u64, u64, u64) {
    let mut year = 1970 + day / 366;
    while days(year + 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month) <= day).unwrap_or(1);
    (year, month, day - days(year, month) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |year, month, day: u64| (days(year, month) + day - 1) * DAY_MS;
        assert_eq!(at(1970, 1, 1), 0);
        assert_eq!(at(2000, 3, 1), 951_868_800_000);
        assert_eq!(at(2026, 11, 27), 1_795_737_600_000);
        for (from, months, to) in [
            ((2026, 11, 27), 1, (2026, 12, 27)),
            ((2026, 12, 31), 2, (2027, 2, 28)),
            ((2027, 12, 31), 2, (2028, 2, 29)),
            ((2028, 2, 29), 12, (2029, 2, 28)),
            ((2026, 1, 31), 25, (2028, 2, 29)),
            ((2099, 12, 1), 3, (2100, 3, 1)),
        ] {
            let from_ms = at(from.0, from.1, from.2) + 12_345;
            assert_eq!(date(from_ms / DAY_MS), from);
            assert_eq!(months_later(from_ms, months), at(to.0, to.1, to.2) + 12_345, "{from:?} + {months}");
        }
    }
}
