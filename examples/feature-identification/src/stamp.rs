//! Recognizes timestamps in log lines and names their format, whatever moment they tell.
//!
//! A format is a short text such as `Y-m-d h:m:s,f`: two lines of the same program have the
//! same format although the digits advance. A trailing zone name is not part of the stamp,
//! because it does not advance and is worth keeping as a constant.

/// A timestamp found in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Byte offset just after the stamp.
    pub end: usize,
    /// How it is written: `Mon d h:m:s`, `E.f` for an epoch with a fraction, and so on.
    pub format: String,
    /// The offset from UTC, if one is written in digits: `+0200`.
    pub zone: Option<(usize, usize)>,
}

/// Reads a timestamp that starts exactly at `at`.
#[must_use]
pub fn stamp_at(text: &[u8], at: usize) -> Option<Stamp> {
    let mut reader = Reader {
        text,
        at,
        format: String::new(),
        zone: None,
    };
    let found = reader.uptime()
        || reader.epoch()
        || reader.letter_day()
        || reader.dated()
        || reader.clock_only();
    let ended = found && !reader.peek(0).is_ascii_alphanumeric();
    ended.then_some(Stamp {
        end: reader.at,
        format: reader.format,
        zone: reader.zone,
    })
}

/// Whether `word` names a month or a day of the week, in English, short or long.
#[must_use]
pub fn is_calendar_word(word: &[u8]) -> bool {
    is_month(word) || is_weekday(word)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn is_month(word: &[u8]) -> bool {
    is_name(word, &MONTHS)
}

fn is_weekday(word: &[u8]) -> bool {
    is_name(word, &WEEKDAYS)
}

fn is_name(word: &[u8], names: &[&str]) -> bool {
    word.first().is_some_and(u8::is_ascii_uppercase)
        && names.iter().any(|name| {
            word.eq_ignore_ascii_case(name.as_bytes())
                || (word.len() == 3 && word.eq_ignore_ascii_case(&name.as_bytes()[..3]))
        })
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    format: String,
    zone: Option<(usize, usize)>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn digits(&self, from: usize) -> usize {
        self.text[from.min(self.text.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    }

    fn letters(&self, from: usize) -> &[u8] {
        let rest = &self.text[from.min(self.text.len())..];
        let length = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        &rest[..length]
    }

    fn spaces(&self, from: usize) -> usize {
        self.text[from.min(self.text.len())..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count()
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// Seconds since start in brackets: `[   12.345678]`, `[0.123s]`.
    fn uptime(&mut self) -> bool {
        if self.peek(0) != b'[' {
            return false;
        }
        let whole_at = self.at + 1 + self.spaces(self.at + 1);
        let dot = whole_at + self.digits(whole_at);
        let fraction = self.digits(dot + 1);
        let unit = dot + 1 + fraction;
        let close = unit + usize::from(self.byte(unit) == b's');
        let precise = fraction == 6 || (fraction == 3 && close > unit);
        if dot == whole_at || self.byte(dot) != b'.' || !precise || self.byte(close) != b']' {
            return false;
        }
        self.at = close + 1;
        self.format
            .push_str(if close > unit { "[up s]" } else { "[up]" });
        true
    }

    /// Seconds or milliseconds since 1970.
    fn epoch(&mut self) -> bool {
        let length = self.digits(self.at);
        if !matches!(length, 10 | 13) || self.peek(0) != b'1' {
            return false;
        }
        self.at += length;
        self.format.push_str(if length == 10 { "E" } else { "Ems" });
        let fraction = self.digits(self.at + 1);
        if length == 10 && self.peek(0) == b'.' && fraction > 0 {
            self.at += 1 + fraction;
            self.format.push_str(".f");
        }
        true
    }

    /// A level letter glued to month and day: `I0102 15:04:05.678901`.
    fn letter_day(&mut self) -> bool {
        let length = self.digits(self.at + 1);
        let after = self.at + 1 + length;
        if !matches!(self.peek(0), b'D' | b'I' | b'W' | b'E' | b'F')
            || !matches!(length, 4 | 8)
            || self.byte(after) != b' '
        {
            return false;
        }
        let start = self.at;
        self.at = after + self.spaces(after);
        self.format.push_str("Lmd ");
        let clock = self.clock(true);
        if !clock {
            self.at = start;
            self.format.clear();
        }
        clock
    }

    /// A date, and the time of day if one follows.
    fn dated(&mut self) -> bool {
        let start = self.at;
        self.weekday();
        let Some(complete) = self.date() else {
            self.at = start;
            self.format.clear();
            return false;
        };
        let (date_end, date_format) = (self.at, self.format.len());
        if self.joiner() && self.clock(true) {
            self.year_at_the_end();
            self.zone_offset();
            return true;
        }
        self.at = date_end;
        self.format.truncate(date_format);
        if !complete {
            self.at = start;
            self.format.clear();
        }
        complete
    }

    fn weekday(&mut self) {
        let word = self.letters(self.at);
        if is_weekday(word) {
            let mut next = self.at + word.len();
            next += usize::from(self.byte(next) == b',');
            let gap = self.spaces(next);
            if gap > 0 {
                self.at = next + gap;
                self.format.push_str("Www ");
            }
        }
    }

    /// `Some(true)`: a date that stands by itself; `Some(false)`: only with a time after it.
    fn date(&mut self) -> Option<bool> {
        self.month_first()
            .or_else(|| self.numeric_date())
            .or_else(|| self.compact_date())
    }

    /// `Jul  9`, `Jan 02, 2024`.
    fn month_first(&mut self) -> Option<bool> {
        let word = self.letters(self.at);
        if !is_month(word) {
            return None;
        }
        let after = self.at + word.len();
        let day_at = after + self.spaces(after);
        let day = self.digits(day_at);
        if day_at == after || !matches!(day, 1 | 2) {
            return None;
        }
        self.at = day_at + day;
        self.format.push_str("Mon d");
        let mut year_at = self.at;
        year_at += usize::from(self.byte(year_at) == b',');
        year_at += self.spaces(year_at);
        if self.digits(year_at) == 4 && year_at > self.at {
            self.at = year_at + 4;
            self.format.push_str(" Y");
            self.at += usize::from(self.peek(0) == b',');
        }
        Some(false)
    }

    /// `2024-01-02`, `17/06/09`, `24/Nov/2026`, `24 Nov 2026`, `03-17`.
    fn numeric_date(&mut self) -> Option<bool> {
        let first = self.digits(self.at);
        if !matches!(first, 1 | 2 | 4) {
            return None;
        }
        let sep_at = self.at + first;
        let sep = self.byte(sep_at);
        if !matches!(sep, b'-' | b'/' | b'.' | b' ') {
            return None;
        }
        let word_length = self.letters(sep_at + 1).len();
        if is_month(self.letters(sep_at + 1)) {
            let second = sep_at + 1 + word_length;
            let year = self.digits(second + 1);
            if self.byte(second) == sep && matches!(year, 2 | 4) {
                self.at = second + 1 + year;
                self.format.push_str("d?Mon?Y");
                return Some(true);
            }
            return None;
        }
        let middle = self.digits(sep_at + 1);
        if sep == b' ' || !matches!(middle, 1 | 2) {
            return None;
        }
        let second = sep_at + 1 + middle;
        let last = self.digits(second + 1);
        if self.byte(second) == sep && matches!((first, last), (4, 1 | 2) | (1 | 2, 2 | 4)) {
            self.at = second + 1 + last;
            self.format.push(if first == 4 { 'Y' } else { 'd' });
            self.format.push(char::from(sep));
            self.format.push_str("m-d");
            return Some(first == 4);
        }
        if first <= 2 && matches!(self.byte(second), b' ' | b'-') {
            self.at = second;
            self.format.push('m');
            self.format.push(char::from(sep));
            self.format.push('d');
            return Some(false);
        }
        None
    }

    /// `20171223`, `081109`: only with a time after it.
    fn compact_date(&mut self) -> Option<bool> {
        let length = self.digits(self.at);
        let digits = self.text.get(self.at..self.at + length)?;
        let (year, rest) = digits.split_at(length.saturating_sub(4));
        let valid = match year.len() {
            4 => year.starts_with(b"19") || year.starts_with(b"20"),
            2 => true,
            _ => false,
        };
        if !valid || number(&rest[..2]) > 12 || number(&rest[2..]) > 31 {
            return None;
        }
        self.at += length;
        self.format
            .push_str(if length == 8 { "Yymd" } else { "ymd" });
        Some(false)
    }

    fn joiner(&mut self) -> bool {
        let gap = self.spaces(self.at);
        if gap > 0 {
            self.at += gap;
            self.format.push(' ');
            return true;
        }
        let byte = self.peek(0);
        if matches!(byte, b'T' | b't' | b'-' | b'_' | b':') {
            self.at += 1;
            self.format.push(char::from(byte));
            return true;
        }
        false
    }

    /// `15:04`, `15:04:05.678`, `15.04.05.678901`; `150405` after a date.
    fn clock(&mut self, after_date: bool) -> bool {
        let hour = self.digits(self.at);
        if after_date && hour == 6 && number(&self.text[self.at..self.at + 2]) < 24 {
            self.at += 6;
            self.format.push_str("hms");
            return true;
        }
        let sep = self.byte(self.at + hour);
        let dotted = sep == b'.' && self.format.ends_with('-');
        if !matches!(hour, 1 | 2) || !(sep == b':' || dotted) {
            return false;
        }
        let minute_at = self.at + hour + 1;
        let minute = self.digits(minute_at);
        // Some programs do not pad: `0:7:20`.
        let fits = |length: usize| length == 2 || (length == 1 && after_date);
        if !fits(minute) || number(&self.text[self.at..self.at + hour]) > 24 {
            return false;
        }
        let mut end = minute_at + minute;
        let second = self.digits(end + 1);
        let seconds = self.byte(end) == sep && fits(second);
        if seconds {
            end += 1 + second;
        } else if !after_date || dotted || minute != 2 {
            return false;
        }
        self.format.push_str(if seconds { "h:m:s" } else { "h:m" });
        self.at = end;
        let fraction = self.digits(end + 1);
        if seconds && matches!(self.peek(0), b'.' | b',' | b':') && (1..=9).contains(&fraction) {
            self.format.push(char::from(self.peek(0)));
            self.format.push('f');
            self.at = end + 1 + fraction;
        }
        self.half_day();
        self.zone_offset();
        true
    }

    fn half_day(&mut self) {
        let gap = self.spaces(self.at);
        let word = self.letters(self.at + gap);
        if word == b"AM" || word == b"PM" {
            self.at += gap + 2;
            self.format.push_str(" p");
        }
    }

    /// `Z`, `+0000`, `-05:00`.
    fn zone_offset(&mut self) {
        if self.peek(0) == b'Z' {
            self.at += 1;
            self.format.push('Z');
            return;
        }
        let gap = usize::from(self.peek(0) == b' ');
        if !matches!(self.peek(gap), b'+' | b'-') {
            return;
        }
        let hours = self.at + gap + 1;
        let digits = self.digits(hours);
        let colon = digits == 2 && self.byte(hours + 2) == b':' && self.digits(hours + 3) == 2;
        if digits == 4 || colon {
            let end = hours + if colon { 5 } else { 4 };
            self.zone = Some((hours - 1, end));
            self.at = end;
            self.format.push('z');
        }
    }

    /// `Sat Jul  9 12:16:49 2005`.
    fn year_at_the_end(&mut self) {
        let year = self.at + 1;
        if self.format.contains("Mon d ")
            && self.peek(0) == b' '
            && self.digits(year) == 4
            && matches!(self.byte(year), b'1' | b'2')
            && !self.format.contains('Y')
        {
            self.at = year + 4;
            self.format.push_str(" Y");
        }
    }

    fn clock_only(&mut self) -> bool {
        self.clock(false)
    }
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum, digit| {
        sum * 10 + u32::from(digit.wrapping_sub(b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> (String, &str) {
        let stamp = stamp_at(text.as_bytes(), 0).unwrap();
        (stamp.format, &text[stamp.end..])
    }

    #[test]
    fn common_stamps_are_read_whole() {
        for (text, wanted) in [
            ("Jul  9 12:16:49 combo", "Mon d h:m:s"),
            ("Jul 27 14:41:58 combo", "Mon d h:m:s"),
            ("Sun Dec 04 20:32:37 2005] [", "Www Mon d h:m:s Y"),
            ("Tue Nov 24 11:46:26.720981 2026] [", "Www Mon d h:m:s.f Y"),
            ("2015-10-18 18:06:18,045 INFO", "Y-m-d h:m:s,f"),
            ("2024-01-02T03:04:05.123Z x", "Y-m-dTh:m:s.fZ"),
            ("2024-01-02T03:04:05+01:00 x", "Y-m-dTh:m:sz"),
            ("2016-09-28 04:30:30, Info", "Y-m-d h:m:s"),
            ("2024/01/02 03:04:05 [error]", "Y/m-d h:m:s"),
            ("24/Nov/2026:11:45:57 +0000] x", "d?Mon?Y:h:m:sz"),
            ("24 Nov 2026 11:49:19.272 - x", "d?Mon?Y h:m:s.f"),
            ("17/06/09 20:10:40 INFO", "d/m-d h:m:s"),
            ("03-17 16:13:38.811  1702", "m-d h:m:s.f"),
            ("10.30 16:49:06] chrome", "m.d h:m:s"),
            ("20171223-22:15:29:606|Step", "Yymd-h:m:s:f"),
            ("20171224-0:7:20:444|Step", "Yymd-h:m:s:f"),
            ("081109 203615 148 INFO", "ymd hms"),
            ("2005-06-03-15.42.50.363779 R02", "Y-m-d-h:m:s.f"),
            ("2005.06.03 R02", "Y.m-d"),
            ("1795520804.205 x", "E.f"),
            ("1795520804: x", "E"),
            ("I0102 15:04:05.678901       1 x", "Lmd h:m:s.f"),
            ("[    0.000000] Linux", "[up]"),
            ("[12.345s][info][gc] x", "[up s]"),
            ("15:04:05.123 [main]", "h:m:s.f"),
            ("Jan 02, 2024 3:04:05 PM org", "Mon d Y h:m:s p"),
        ] {
            let (found, rest) = format(text);
            assert_eq!(found, wanted, "{text}");
            assert!(
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric()),
                "{text}: {rest}"
            );
        }
    }

    #[test]
    fn other_numbers_are_no_stamps() {
        for text in [
            "10.251.31.5:50010",
            "127.0.0.1 - -",
            "134681 node-246",
            "28 END",
            "May we",
            "1.2.3",
            "12:30",
            "2005 files",
            "58.56.49.133 - -",
            "",
        ] {
            assert_eq!(stamp_at(text.as_bytes(), 0), None, "{text}");
        }
    }
}
