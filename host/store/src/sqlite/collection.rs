//! Reads a collection piece by piece, each in a transaction of its own, and looks at a piece
//! after its transaction: however long a condition takes, it keeps SQLite's log from beginning
//! anew no longer than reading some documents does.

use rusqlite::Connection;
use taskhost_model::ids::DocumentId;

use super::documents::{columns, document};
use super::readers::is_abandoned;
use crate::documents::{Document, DocumentPage, Scope};
use crate::error::StoreError;
use crate::look::{DOCUMENT_BYTES_MIN, Look};

pub(super) const SELECT_AFTER: &str = "SELECT id, version, body FROM documents \
    WHERE space = ?1 AND stream = ?2 AND label = ?3 AND id > ?4 ORDER BY id";
/// A piece has so many bytes and one document more.
const PIECE_BYTES: u64 = 256 * 1024;

/// Some documents, and whether they are the last ones.
struct Piece {
    documents: Vec<Document>,
    is_last: bool,
}

/// One page of the documents after an id.
pub(super) fn page(
    connection: &Connection,
    scope: &Scope,
    mut after: Option<DocumentId>,
    mut look: Look,
) -> Result<DocumentPage, StoreError> {
    loop {
        let piece = piece(connection, scope, after.as_ref())?;
        after = piece.documents.last().map(|last| last.id.clone());
        for document in piece.documents {
            if is_abandoned() {
                let reason = "nobody waits for it".to_owned();
                return Err(StoreError::Unavailable { reason });
            }
            if !look.takes(document) {
                return Ok(look.cut_off());
            }
        }
        if piece.is_last {
            return Ok(look.end());
        }
    }
}

fn piece(
    connection: &Connection,
    scope: &Scope,
    after: Option<&DocumentId>,
) -> Result<Piece, StoreError> {
    let (space, stream, label) = columns(scope);
    let after = after.map_or("", DocumentId::as_str);
    let mut statement = connection.prepare_cached(SELECT_AFTER)?;
    let mut rows = statement.query((space, stream, label, after))?;
    let (mut documents, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let document = document(row)?;
        bytes += (document.body.len() as u64).max(DOCUMENT_BYTES_MIN);
        documents.push(document);
        if bytes >= PIECE_BYTES {
            let is_last = false;
            return Ok(Piece { documents, is_last });
        }
    }
    let is_last = true;
    Ok(Piece { documents, is_last })
}
