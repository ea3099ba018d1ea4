//! Takes one log line apart: its lead (what stands before and around the first timestamp) and
//! the columns after it, each with a kind. The text of the message itself is not judged here.

use crate::continued::continues;
use crate::pairs::signature;
use crate::stamp::stamp_at;

/// How many columns after the lead are looked at.
pub const COLUMNS_MAX: usize = 5;
/// A header does not reach further than this, in bytes.
pub const HEADER_MAX: usize = 240;
/// Of a line of JSON this much is read, in bytes.
const JSON_MAX: usize = 1_024;
/// A number at the start of a line that is longer than this is a time or an id of a fixed form.
const LONG_NUMBER: usize = 16;
/// Columns within one field are looked through so far, in bytes.
const SEPARATED_MAX: usize = 48;
/// A timestamp that begins a header has at most this many fields before it.
const FIELDS_BEFORE_STAMP_MAX: usize = 4;

/// What a column looks like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Another timestamp, of this format.
    Stamp(String),
    /// A log level, in brackets or not.
    Level,
    /// Anything else in square brackets.
    Bracket,
    /// Signs alone: `-`, `|`, `*`.
    Signs,
    /// A number or an address, with or without signs around it.
    Number,
    /// `key=value`, with the key.
    Pair(String),
    /// A word that introduces a message: `sshd[12]:`, `dfs.FSNamesystem:`.
    Tag,
    /// A plain word.
    Word,
    /// Whatever else.
    Other,
}

/// One column: its kind and where it stands in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it looks like.
    pub kind: Kind,
    /// Byte offset of its first byte.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
}

/// A line's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How the line opens, up to and around its first timestamp; empty where there is none.
    pub lead: String,
    /// A timestamp is part of the lead.
    pub stamped: bool,
    /// What follows the lead.
    pub columns: Vec<Column>,
    /// Byte ranges that hold timestamps.
    pub stamps: Vec<(usize, usize)>,
    /// The offset from UTC that the first timestamp tells: `+0200`.
    pub zone: Option<(usize, usize)>,
    /// Begins with white space or like a line of a stack trace: it continues another line.
    pub continues: bool,
}

/// Takes a line apart.
#[must_use]
pub fn header(line: &str) -> Header {
    let text = &line.as_bytes()[..line.len().min(HEADER_MAX)];
    let mut header = Header {
        lead: String::new(),
        stamped: false,
        columns: Vec::new(),
        stamps: Vec::new(),
        zone: None,
        continues: continues(text),
    };
    if header.continues {
        return header;
    }
    if text.first() == Some(&b'{') {
        header.lead = format!("json {}", signature(line, JSON_MAX));
        return header;
    }
    let mut at = 0;
    if let Some(lead) = lead(text) {
        header.lead = lead.name;
        header.stamped = true;
        header.stamps.push((lead.stamp_start, lead.stamp_end));
        header.zone = lead.zone;
        at = lead.end;
    }
    columns(text, at, &mut header);
    if header.lead.is_empty() {
        header.lead = opening(text, &header.columns);
    }
    header
}

/// The kind of one field of a line.
#[must_use]
pub fn kind(field: &[u8]) -> Kind {
    let core = trimmed(field);
    if core.is_empty() {
        return Kind::Signs;
    }
    if is_level(core) || bracketed_level(field) {
        return Kind::Level;
    }
    if field[0] == b'[' || (field[0] == b'(' && field.last() == Some(&b')')) {
        return Kind::Bracket;
    }
    if let Some(key) = pair_key(field) {
        return Kind::Pair(key);
    }
    if is_number(core) {
        return Kind::Number;
    }
    let last = field[field.len() - 1];
    let starts_as_word = field[0].is_ascii_alphabetic() || matches!(field[0], b'_' | b'/' | b'%');
    if starts_as_word && last == b':' && field.len() > 2 {
        return Kind::Tag;
    }
    if starts_as_word && !matches!(last, b',' | b';' | b'.' | b'!' | b'?') {
        return Kind::Word;
    }
    Kind::Other
}

/// Whether `word` is a log level.
#[must_use]
pub fn is_level(word: &[u8]) -> bool {
    const LEVELS: [&str; 25] = [
        "trace",
        "debug",
        "info",
        "information",
        "notice",
        "warn",
        "warning",
        "error",
        "err",
        "crit",
        "critical",
        "fatal",
        "alert",
        "emerg",
        "emergency",
        "panic",
        "severe",
        "fine",
        "finer",
        "finest",
        "config",
        "log",
        "verbose",
        "dbug",
        "note",
    ];
    if word.len() == 1 {
        return matches!(
            word[0],
            b'D' | b'I' | b'W' | b'E' | b'F' | b'V' | b'T' | b'N'
        );
    }
    let upper = word.iter().all(u8::is_ascii_uppercase);
    let lower = word.iter().all(u8::is_ascii_lowercase);
    let capital = word[0].is_ascii_uppercase() && word[1..].iter().all(u8::is_ascii_lowercase);
    (upper || lower || capital)
        && LEVELS
            .iter()
            .any(|level| word.eq_ignore_ascii_case(level.as_bytes()))
}

struct Lead {
    name: String,
    stamp_start: usize,
    stamp_end: usize,
    zone: Option<(usize, usize)>,
    end: usize,
}

/// Finds the first timestamp near the start and names what stands around it.
fn lead(text: &[u8]) -> Option<Lead> {
    let mut field = 0;
    let mut at = priority(text);
    while at < text.len() && field <= FIELDS_BEFORE_STAMP_MAX {
        let end = field_end(text, at);
        for start in stamp_starts(text, at, end) {
            let Some(stamp) = stamp_at(text, start) else {
                continue;
            };
            // A time of day alone is a header only where it opens the line.
            if stamp.format.starts_with('h') && field > 0 {
                continue;
            }
            let open = open_mark(&text[at..start]);
            let close = text[stamp.end..]
                .iter()
                .take_while(|byte| byte.is_ascii_punctuation() && !matches!(**byte, b'[' | b'<'))
                .take(2)
                .count();
            let closing = String::from_utf8_lossy(&text[stamp.end..stamp.end + close]);
            let mark = if priority(text) > 0 { "<>" } else { "" };
            let tab = if text.get(stamp.end + close) == Some(&b'\t') {
                "\t"
            } else {
                ""
            };
            return Some(Lead {
                name: format!("{mark}{field} {open}{}{closing}{tab}", stamp.format),
                stamp_start: start,
                stamp_end: stamp.end,
                zone: stamp.zone,
                end: stamp.end + close,
            });
        }
        at = end + blanks(text, end);
        field += 1;
    }
    None
}

/// `<34>` or `<34>1 ` of the syslog protocol: where the line goes on.
fn priority(text: &[u8]) -> usize {
    if text.first() != Some(&b'<') {
        return 0;
    }
    let digits = text[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || text.get(1 + digits) != Some(&b'>') {
        return 0;
    }
    let after = 2 + digits;
    if text.get(after) == Some(&b'1') && text.get(after + 1) == Some(&b' ') {
        return after + 2;
    }
    after
}

/// Where in a field a timestamp may begin: at once, after an opening sign, after `key=`, after a
/// separator of columns.
fn stamp_starts(text: &[u8], start: usize, end: usize) -> impl Iterator<Item = usize> {
    let field = &text[start..end];
    let signs = field
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b'[' | b'"' | b'(' | b'<' | b'*' | b'\'' | b'#'))
        .count();
    let key = field
        .iter()
        .take(24)
        .position(|byte| *byte == b'=')
        .filter(|at| *at > 0 && field[..*at].iter().all(u8::is_ascii_alphabetic))
        .map(|at| at + 1 + usize::from(field.get(at + 1) == Some(&b'"')));
    let offsets = [Some(0), (signs > 0).then_some(signs), key];
    let separated = (1..field.len().min(SEPARATED_MAX)).filter(|at| {
        let before = field[at - 1];
        matches!(before, b',' | b'|' | b';') || (*at > 1 && &field[at - 2..*at] == b"::")
    });
    let offsets: Vec<usize> = offsets.into_iter().flatten().chain(separated).collect();
    offsets.into_iter().map(move |offset| start + offset)
}

/// What stands before a timestamp in its field, as part of a lead: the signs or the key as they
/// are; of columns before it just how many there are.
fn open_mark(open: &[u8]) -> String {
    let columns = open
        .iter()
        .filter(|byte| matches!(byte, b',' | b'|' | b';' | b':'))
        .count();
    if columns == 0 {
        return String::from_utf8_lossy(open).into_owned();
    }
    let last = open.last().copied().unwrap_or(b' ');
    char::from(last).to_string().repeat(columns)
}

fn columns(text: &[u8], mut at: usize, header: &mut Header) {
    while header.columns.len() < COLUMNS_MAX {
        at += blanks(text, at);
        if at >= text.len() {
            return;
        }
        if let Some(stamp) = stamp_starts(text, at, field_end(text, at))
            .find_map(|start| stamp_at(text, start).map(|stamp| (start, stamp)))
            .filter(|(_, stamp)| !stamp.format.starts_with('h'))
        {
            let (start, stamp) = stamp;
            header.stamps.push((start, stamp.end));
            let end = stamp.end.max(field_end(text, stamp.end));
            header.columns.push(Column {
                kind: Kind::Stamp(stamp.format),
                start: at,
                end,
            });
            at = end;
            continue;
        }
        let end = column_end(text, at);
        header.columns.push(Column {
            kind: kind(&text[at..end]),
            start: at,
            end,
        });
        at = end;
    }
}

/// A column ends at white space; brackets and quotes hold theirs together.
fn column_end(text: &[u8], at: usize) -> usize {
    let close = match text[at] {
        b'[' => b']',
        b'"' => b'"',
        _ => return field_end(text, at),
    };
    let mut depth = 0usize;
    for (offset, byte) in text[at..].iter().enumerate().take(96) {
        if *byte == close && offset > 0 {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                let end = at + offset + 1;
                // `[a][b]` are two columns although no space parts them.
                let glued = text.get(end) == Some(&b'[');
                return if glued { end } else { field_end(text, end) };
            }
        } else if *byte == text[at] {
            depth += 1;
        }
    }
    field_end(text, at)
}

fn field_end(text: &[u8], at: usize) -> usize {
    let rest = &text[at.min(text.len())..];
    at + rest
        .iter()
        .take_while(|byte| !byte.is_ascii_whitespace())
        .count()
}

fn blanks(text: &[u8], at: usize) -> usize {
    let rest = &text[at.min(text.len())..];
    rest.iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// How a line without a timestamp opens: only what is formal counts, words do not.
fn opening(text: &[u8], columns: &[Column]) -> String {
    let letters = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let after = text.get(letters).copied().unwrap_or(0);
    if letters > 1 && matches!(after, b':' | b'|' | b']') && is_level(&text[..letters]) {
        return "level".to_owned();
    }
    match columns.first().map(|column| &column.kind) {
        Some(Kind::Pair(key)) => format!("pair {key}"),
        Some(Kind::Level) => "level".to_owned(),
        Some(Kind::Number) if columns[0].end - columns[0].start > LONG_NUMBER => "long".to_owned(),
        Some(Kind::Number) => "number".to_owned(),
        Some(Kind::Bracket) => "bracket".to_owned(),
        _ if text.first() == Some(&b'<') => "markup".to_owned(),
        _ => "text".to_owned(),
    }
}

fn trimmed(field: &[u8]) -> &[u8] {
    let start = field.iter().position(|byte| !byte.is_ascii_punctuation());
    let end = field.iter().rposition(|byte| !byte.is_ascii_punctuation());
    match (start, end) {
        (Some(start), Some(end)) => &field[start..=end],
        _ => &[],
    }
}

/// `[INFO ]`, `[ warn]`.
fn bracketed_level(field: &[u8]) -> bool {
    field[0] == b'[' && field.last() == Some(&b']') && {
        let inner = trimmed(field).trim_ascii();
        !inner.is_empty() && is_level(inner)
    }
}

fn pair_key(field: &[u8]) -> Option<String> {
    let at = field.iter().position(|byte| *byte == b'=')?;
    let key = &field[..at];
    let named = key.first()?.is_ascii_alphabetic()
        && key.len() <= 24
        && key
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    named.then(|| String::from_utf8_lossy(key).into_owned())
}

fn is_number(core: &[u8]) -> bool {
    core[0].is_ascii_hexdigit()
        && core.iter().any(u8::is_ascii_digit)
        && core
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_punctuation() || *byte == b'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(line: &str) -> Vec<Kind> {
        header(line)
            .columns
            .into_iter()
            .map(|column| column.kind)
            .collect()
    }

    #[test]
    fn a_header_is_its_lead_and_its_columns() {
        let header = header("Dec 10 06:55:46 LabSZ sshd[24200]: Failed password");
        assert_eq!(header.lead, "0 Mon d h:m:s");
        let kinds: Vec<Kind> = header
            .columns
            .into_iter()
            .map(|column| column.kind)
            .collect();
        assert_eq!(kinds, [Kind::Word, Kind::Tag, Kind::Word, Kind::Word]);
    }

    #[test]
    fn brackets_hold_their_blanks_together() {
        assert_eq!(
            kinds("2024-01-02 03:04:05,123 INFO [IPC Server handler 19] org.a.B: said")[..3],
            [Kind::Level, Kind::Bracket, Kind::Tag]
        );
        assert_eq!(
            kinds("[2024-01-02T03:04:05,123][INFO ][o.e.n.Node   ] [one] started")[..3],
            [Kind::Level, Kind::Bracket, Kind::Bracket]
        );
    }

    #[test]
    fn leads_tell_how_a_line_opens() {
        for (line, lead) in [
            ("081109 203615 148 INFO dfs.A: x", "0 ymd hms"),
            (
                "[Sun Dec 04 04:47:44 2005] [notice] x",
                "0 [Www Mon d h:m:s Y]",
            ),
            ("- 1117838570 2005.06.03 R02 x", "1 E"),
            (
                "10.0.0.1 - bob [24/Nov/2026:11:45:57 +0000] \"GET\"",
                "3 [d?Mon?Y:h:m:sz]",
            ),
            (
                "time=\"2024-01-02T03:04:05Z\" level=info",
                "0 time=\"Y-m-dTh:m:sZ\"",
            ),
            ("<34>1 2024-01-02T03:04:05Z host app", "<>0 Y-m-dTh:m:sZ"),
            (
                "a::DEBUG::2024-01-02 03:04:05,123::task x",
                "0 ::::Y-m-d h:m:s,f::",
            ),
            ("{\"level\":\"info\",\"ts\":1.5}", "json level:s ts:n "),
            ("level=info msg=x", "pair level"),
            ("INFO:root:started", "level"),
            ("<28 get user:1", "number"),
            ("User bob logged in", "text"),
        ] {
            assert_eq!(header(line).lead, lead, "{line}");
        }
    }
}
