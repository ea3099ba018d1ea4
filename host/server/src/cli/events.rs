//! Reads server-sent events from parts of a byte stream, however the parts are cut.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// Its name; `message` when the stream does not say.
    pub(crate) name: String,
    /// The cursor after it.
    pub(crate) id: Option<String>,
    /// Its data; lines are joined by line feeds.
    pub(crate) data: String,
}

/// Takes parts and gives events.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    name: String,
    id: Option<String>,
    data: Vec<String>,
}

impl EventParser {
    /// Takes the next part; answers the events that it completes.
    pub(crate) fn take(&mut self, part: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        for byte in part {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            events.extend(self.line(&line));
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push(value.to_owned()),
            // A comment, or a field of no interest here.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<ServerEvent> {
        let (name, data) = (
            std::mem::take(&mut self.name),
            std::mem::take(&mut self.data),
        );
        if data.is_empty() {
            return None;
        }
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        Some(ServerEvent {
            name,
            id: self.id.clone(),
            data: data.join("\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text =
            ": hi\r\n\r\nevent: status\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\nevent: y\n";
        let expected = [
            ServerEvent {
                name: "status".to_owned(),
                id: Some("7".to_owned()),
                data: "{\"a\":\n1}".to_owned(),
            },
            ServerEvent {
                name: "message".to_owned(),
                id: Some("7".to_owned()),
                data: "x".to_owned(),
            },
        ];
        for size in [1, 2, 3, 7, text.len()] {
            let mut parser = EventParser::default();
            let parts = text.as_bytes().chunks(size);
            let events: Vec<ServerEvent> = parts.flat_map(|part| parser.take(part)).collect();
            assert_eq!(events, expected, "in parts of {size}");
        }
    }
}
