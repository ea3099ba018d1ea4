//! Cuts lines into bodies that a stream takes: JSON as it is, plain lines as `{"message": …}`.
//! Every line of the file is a line of a body, an empty one where there is nothing to send, so
//! that the host's line numbers can be told in the file's.

/// A line above this is not even sent, as it is or as JSON.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Each line is a message.
    Plain,
}

/// A body on its way, and where its first line stands in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) body: Vec<u8>,
    /// Counted from 1.
    pub(crate) first_line: u64,
}

/// Collects lines.
#[derive(Debug)]
pub(crate) struct Batches {
    format: Option<Format>,
    bytes_max: usize,
    body: Vec<u8>,
    first_line: u64,
    next_line: u64,
    /// Lines that are not sent, with their bytes.
    too_long: Vec<(u64, u64)>,
}

impl Batches {
    /// `format` none: the first line that is not empty decides.
    pub(crate) fn new(format: Option<Format>, bytes_max: usize) -> Self {
        Self {
            format,
            bytes_max,
            body: Vec::new(),
            first_line: 1,
            next_line: 1,
            too_long: Vec::new(),
        }
    }

    /// Takes the next line, without its end; answers the batch before it when that is full.
    pub(crate) fn take(&mut self, line: &[u8]) -> Option<Batch> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A mark that some programs put before the first line of a file.
        let is_first = self.next_line == 1;
        let line = if is_first {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        let is_blank = line.iter().all(u8::is_ascii_whitespace);
        let mut encoded = match (is_blank, self.format(line, is_blank)) {
            (true, _) => Vec::new(),
            (false, Format::Ndjson) => line.to_vec(),
            (false, Format::Plain) => {
                let message = String::from_utf8_lossy(line);
                serde_json::json!({ "message": message })
                    .to_string()
                    .into_bytes()
            }
        };
        if encoded.len() > LINE_BYTES_MAX {
            self.too_long.push((self.next_line, encoded.len() as u64));
            encoded.clear();
        }
        let is_full = self.body.len() + encoded.len() + 1 > self.bytes_max;
        let full = if is_full { self.finish() } else { None };
        self.body.extend_from_slice(&encoded);
        self.body.push(b'\n');
        self.next_line += 1;
        full
    }

    /// Counts a line of so many bytes that is too long to be taken.
    pub(crate) fn skip(&mut self, length: u64) -> Option<Batch> {
        self.too_long.push((self.next_line, length));
        self.take(b"")
    }

    /// The lines that were too long, each with its bytes.
    pub(crate) fn too_long(self) -> Vec<(u64, u64)> {
        self.too_long
    }

    /// What is left.
    pub(crate) fn finish(&mut self) -> Option<Batch> {
        let (body, first_line) = (std::mem::take(&mut self.body), self.first_line);
        self.first_line = self.next_line;
        (!body.is_empty()).then_some(Batch { body, first_line })
    }

    fn format(&mut self, line: &[u8], is_blank: bool) -> Format {
        match self.format {
            Some(format) => format,
            None if is_blank => Format::Plain,
            None => {
                let is_object = serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok();
                let format = if is_object {
                    Format::Ndjson
                } else {
                    Format::Plain
                };
                self.format = Some(format);
                format
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(format: Option<Format>, bytes_max: usize, lines: &[&str]) -> Vec<(u64, String)> {
        let mut batches = Batches::new(format, bytes_max);
        let mut taken: Vec<Batch> = lines
            .iter()
            .filter_map(|line| batches.take(line.as_bytes()))
            .collect();
        taken.extend(batches.finish());
        let text = |batch: Batch| (batch.first_line, String::from_utf8(batch.body).unwrap());
        taken.into_iter().map(text).collect()
    }

    #[test]
    fn the_first_line_decides_and_a_format_can_be_forced() {
        let json = ["", "{\"a\":1}", "broken"];
        assert_eq!(
            all(None, 1000, &json),
            [(1, "\n{\"a\":1}\nbroken\n".to_owned())]
        );
        let plain = ["say \"hi\"\r", "", "{\"a\":1}"];
        let expected = "{\"message\":\"say \\\"hi\\\"\"}\n\n{\"message\":\"{\\\"a\\\":1}\"}\n";
        assert_eq!(all(None, 1000, &plain), [(1, expected.to_owned())]);
        assert_eq!(
            all(Some(Format::Plain), 1000, &["{}"]),
            [(1, "{\"message\":\"{}\"}\n".to_owned())]
        );
        assert_eq!(
            all(Some(Format::Ndjson), 1000, &["x"]),
            [(1, "x\n".to_owned())]
        );
        assert_eq!(
            all(None, 1000, &["[1]"]),
            [(1, "{\"message\":\"[1]\"}\n".to_owned())]
        );
        assert_eq!(all(None, 1000, &["\u{feff}{}"]), [(1, "{}\n".to_owned())]);
    }

    #[test]
    fn batches_keep_to_their_size_and_know_their_lines() {
        let lines = ["{\"a\":1}", "{\"a\":2}", "", "{\"a\":3}"];
        let expected = [
            (1, "{\"a\":1}\n{\"a\":2}\n".to_owned()),
            (3, "\n{\"a\":3}\n".to_owned()),
        ];
        assert_eq!(all(None, 16, &lines), expected);
        assert!(all(None, 16, &[]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_keeps_its_number_and_decides_no_format() {
        let mut batches = Batches::new(None, 1000);
        let long = vec![b'"'; LINE_BYTES_MAX];
        assert_eq!(batches.skip(99), None);
        assert_eq!(batches.take(b"plain"), None);
        assert_eq!(batches.take(&long), None);
        assert_eq!(batches.take(b"end"), None);
        let expected = b"\n{\"message\":\"plain\"}\n\n{\"message\":\"end\"}\n";
        assert_eq!(batches.finish().unwrap().body, expected);
        // As JSON a quotation mark is two bytes.
        let escaped = 2 * LINE_BYTES_MAX as u64 + r#"{"message":""}"#.len() as u64;
        assert_eq!(batches.too_long(), [(1, 99), (3, escaped)]);
    }

    #[test]
    fn a_line_larger_than_a_batch_goes_alone() {
        let lines = ["{}", "{\"a\":\"0123456789\"}", "{}"];
        let batches = all(None, 8, &lines);
        assert_eq!(
            batches.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }
}
