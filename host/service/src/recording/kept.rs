//! What a recorded run has said and is not written yet, and how much more may be kept of it.
//!
//! # Guarantees
//! Whatever is written when, a recording has at most its room when it is stored, the salt, the tags
//! of its pieces and its last line among it. The last line always has its place.

use super::seal::{SALT_BYTES, SEALED_BYTES_MORE};
use super::{End, LastLine, Outcome};

/// A piece before it is sealed.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// With so much that is not written yet a guest waits.
pub(super) const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Clocks and random numbers are not waited for: with so much the recording is cut.
const PENDING_BYTES_MAX: usize = 2 * WAITING_BYTES_MAX;
/// The last line, which has its place from the beginning on.
const END_BYTES_MAX: usize = 192 * 1024;
/// Its place: with it there may be a piece more, and another one that was written too early for it.
const END_ROOM: u64 = (END_BYTES_MAX + 4 * SEALED_BYTES_MORE) as u64;
/// Characters of why something is lost.
const REASON_CHARS_MAX: usize = 500;

/// The text of a recording, on its way into pieces.
#[derive(Debug)]
pub(super) struct Kept {
    /// Not written yet.
    pub(super) text: Vec<u8>,
    pieces: u32,
    /// Bytes of the pieces, sealed.
    stored: u64,
    room: u64,
    /// A line had no room: none after it is kept, but the last one.
    pub(super) is_cut: bool,
    /// Why the store takes no more, if it has refused a piece.
    pub(super) lost: Option<String>,
    has_end: bool,
}

/// A piece to be sealed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) number: u32,
    pub(super) is_last: bool,
    pub(super) text: Vec<u8>,
}

impl Kept {
    /// For a recording that may have so many bytes when it is stored.
    pub(super) fn new(room: u64) -> Self {
        Self {
            text: Vec::new(),
            pieces: 0,
            stored: 0,
            room,
            is_cut: false,
            lost: None,
            has_end: false,
        }
    }

    /// Whether it is of use to hand it more lines.
    pub(super) fn keeps(&self) -> bool {
        !self.is_cut && self.lost.is_none()
    }

    /// A line for which there is no room is where the recording is cut: none after it is kept.
    pub(super) fn push_within(&mut self, line: &str) {
        if !self.keeps() {
            return;
        }
        let has_room = self.stored_with(line.len() + 1) + END_ROOM <= self.room;
        self.is_cut = !has_room || self.text.len() > PENDING_BYTES_MAX;
        if !self.is_cut {
            self.push(line);
        }
    }

    /// The last line, for which there is room. After what was lost in the middle of a line it
    /// begins another one.
    pub(super) fn push_end(&mut self, outcome: Outcome, lost: Option<String>) {
        if lost.is_some() {
            self.text.push(b'\n');
        }
        let lost = lost.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let mut end = End {
            outcome,
            cut: self.is_cut,
            lost,
        };
        let line_of = |end: &End| {
            serde_json::to_string(&LastLine::End(end.clone()))
                .unwrap_or_else(|_| unreachable!("it has no map with other keys than texts"))
        };
        let mut line = line_of(&end);
        if line.len() + 2 > END_BYTES_MAX {
            end.outcome.shorten();
            line = line_of(&end);
        }
        self.push(&line);
        self.has_end = true;
    }

    /// What is stored when all is written, and so many bytes more.
    fn stored_with(&self, more: usize) -> u64 {
        let text = self.text.len() + more;
        let salt = if self.pieces == 0 { SALT_BYTES } else { 0 };
        self.stored + (salt + text + SEALED_BYTES_MORE * (text / PIECE_BYTES + 1)) as u64
    }

    fn push(&mut self, line: &str) {
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
    }

    /// The next piece, when there are at least `rest` bytes.
    pub(super) fn next_piece(&mut self, rest: usize) -> Option<Piece> {
        if self.text.is_empty() || self.text.len() < rest {
            return None;
        }
        let after = self.text.split_off(PIECE_BYTES.min(self.text.len()));
        let text = std::mem::replace(&mut self.text, after);
        let salt = if self.pieces == 0 { SALT_BYTES } else { 0 };
        self.stored += (salt + text.len() + SEALED_BYTES_MORE) as u64;
        let number = self.pieces;
        self.pieces += 1;
        let is_last = self.has_end && self.text.is_empty();
        Some(Piece {
            number,
            is_last,
            text,
        })
    }

    pub(super) fn lose(&mut self, reason: String) {
        self.lost = Some(reason);
        self.text = Vec::new();
    }

    /// The store has so many pieces: the next one comes after them.
    ///
    /// No nonce comes twice: after what is lost there is the last piece and nothing else, and it
    /// is sealed otherwise than those before it.
    pub(super) fn go_on_at(&mut self, pieces: u32) {
        self.pieces = pieces;
    }
}

#[cfg(test)]
mod tests {
    use taskhost_model::error::{ErrorKind, TaskError};
    use taskhost_model::ids::RunId;

    use super::super::BYTES_MAX;
    use super::super::seal::{Place, Seal};
    use super::*;

    fn completed() -> Outcome {
        Outcome::Completed {
            result_sha256: "0".repeat(64),
            result: Some("\"".repeat(64 * 1024)),
        }
    }

    /// Everything that is left, as its bytes are stored.
    fn write(kept: &mut Kept, rest: usize, seal: &Seal, stored: &mut Vec<Vec<u8>>) {
        while let Some(piece) = kept.next_piece(rest) {
            assert_eq!(piece.number as usize, stored.len());
            stored.push(seal.seal(piece.number, piece.is_last, piece.text));
        }
    }

    #[test]
    fn what_is_stored_has_its_room_whatever_is_written_when() {
        let place = Place {
            run: RunId::new(),
            attempt: 1,
            lease_number: 1,
        };
        let seal = Seal::begin(&[7; 32], place).unwrap();
        for (line, write_each) in [(10, 1), (10, 1000), (300_000, 1), (1_000, usize::MAX)] {
            let room = 2 * 1024 * 1024;
            let (mut kept, mut stored) = (Kept::new(room), Vec::new());
            let text = "x".repeat(line);
            for number in 1.. {
                kept.push_within(&text);
                if !kept.keeps() {
                    break;
                }
                if number % write_each == 0 {
                    write(&mut kept, 0, &seal, &mut stored);
                }
                write(&mut kept, PIECE_BYTES, &seal, &mut stored);
            }
            assert!(kept.is_cut);
            kept.push_end(completed(), None);
            write(&mut kept, 0, &seal, &mut stored);
            let bytes: usize = stored.iter().map(Vec::len).sum();
            assert_eq!(bytes as u64, kept.stored);
            assert!(bytes as u64 <= room, "{line} {write_each}: {bytes}");
            assert!(
                bytes as u64 > room - 700_000,
                "{line} {write_each}: {bytes}"
            );
            let last = stored.len() - 1;
            for (number, sealed) in stored.iter().enumerate() {
                let opened = seal.open(u32::try_from(number).unwrap(), sealed).unwrap();
                assert_eq!(opened.is_last, number == last);
            }
        }
    }

    #[test]
    fn the_last_line_has_its_place_however_long_it_is() {
        let details = serde_json::json!({"numbers": vec![1e15; 32 * 1024]});
        let message = "\u{1}".repeat(8 * 1024);
        let error = TaskError {
            details: Some(details),
            ..TaskError::of(ErrorKind::Task, message)
        };
        for outcome in [completed(), Outcome::Failed { error }] {
            for lost in [None, Some("\u{1}".repeat(10_000))] {
                let mut kept = Kept::new(BYTES_MAX);
                kept.push_end(outcome.clone(), lost);
                assert!(kept.text.len() <= END_BYTES_MAX, "{}", kept.text.len());
                let line = kept.text.trim_ascii();
                let LastLine::End(end) = serde_json::from_slice(line).unwrap() else {
                    panic!("it is an end");
                };
                assert!(end.outcome.is_same(&outcome));
            }
        }
    }

    #[test]
    fn what_cannot_wait_is_cut_before_it_fills_the_memory() {
        let mut kept = Kept::new(BYTES_MAX);
        let line = "x".repeat(100_000);
        for _ in 0..1_000 {
            kept.push_within(&line);
        }
        assert!(kept.is_cut);
        assert!(kept.text.len() <= PENDING_BYTES_MAX + line.len() + 1);
    }

    #[test]
    fn pieces_are_numbered_and_none_is_too_large() {
        let mut kept = Kept::new(BYTES_MAX);
        let piece = |number, text: &[u8], is_last| Piece {
            number,
            is_last,
            text: text.to_vec(),
        };
        let line = "x".repeat(PIECE_BYTES);
        kept.push_within(&line);
        kept.push_within("y");
        let whole = kept.next_piece(PIECE_BYTES);
        assert_eq!(whole, Some(piece(0, line.as_bytes(), false)));
        assert_eq!(kept.next_piece(PIECE_BYTES), None);
        assert_eq!(kept.next_piece(0), Some(piece(1, b"\ny\n", false)));
        assert_eq!(kept.next_piece(0), None);
        kept.push_within("z");
        kept.lose("the disk is full".to_owned());
        kept.push_within("z");
        assert_eq!(kept.next_piece(0), None);
        // What came last was written or not: its end comes after it, and on a line of its own.
        kept.go_on_at(3);
        let stopped = Outcome::Stopped {
            reason: "canceled".to_owned(),
        };
        kept.push_end(stopped, kept.lost.clone());
        let end = kept.next_piece(0).unwrap();
        assert_eq!((end.number, end.is_last), (3, true));
        assert!(end.text.starts_with(b"\n{\"end\""), "{end:?}");
    }
}
