//! Everything that is kept in SQLite.

use async_trait::async_trait;
use rusqlite::Connection;
use taskhost_model::ids::{Space, StreamName, TaskKey};

use super::Sqlite;
use super::row::damaged;
use crate::documents::Scope;
use crate::error::StoreError;
use crate::streams::StreamSettings;
use crate::whole::WholeStore;

const TASKS_AFTER: &str = "\
    SELECT space, id FROM tasks WHERE (space, id) > (?1, ?2) AND deleted_ms IS NULL \
    ORDER BY space, id LIMIT ?3";
const COLLECTIONS: &str =
    "SELECT DISTINCT space, stream, label FROM documents ORDER BY space, stream, label";
const STREAMS: &str = "\
    SELECT space, name, description, retention_days, bytes_max FROM streams ORDER BY space, name";

#[async_trait]
impl WholeStore for Sqlite {
    async fn tasks_after(
        &self,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let after = after.map(|key| (key.space.to_string(), key.id.to_string()));
        let (space, id) = after.unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(TASKS_AFTER)?;
            let mut rows = statement.query((space, id, limit))?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                let (space, id): (String, String) = (row.get(0)?, row.get(1)?);
                keys.push(TaskKey {
                    space: space.parse().map_err(damaged)?,
                    id: id.parse().map_err(damaged)?,
                });
            }
            Ok(keys)
        };
        self.tasks.readers.read(read).await
    }

    async fn collections(&self) -> Result<Vec<Scope>, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(COLLECTIONS)?;
            let mut rows = statement.query([])?;
            let mut scopes = Vec::new();
            while let Some(row) = rows.next()? {
                let (space, stream, label): (String, String, String) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let stream = (!stream.is_empty()).then(|| stream.parse().map_err(damaged));
                scopes.push(Scope {
                    space: space.parse().map_err(damaged)?,
                    stream: stream.transpose()?,
                    label: label.parse().map_err(damaged)?,
                });
            }
            Ok(scopes)
        };
        self.tasks.readers.read_long(read).await
    }

    async fn streams(&self) -> Result<Vec<(Space, StreamName, StreamSettings)>, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(STREAMS)?;
            let mut rows = statement.query([])?;
            let mut streams = Vec::new();
            while let Some(row) = rows.next()? {
                let (space, name): (String, String) = (row.get(0)?, row.get(1)?);
                let settings = StreamSettings {
                    description: row.get(2)?,
                    retention_days: row.get(3)?,
                    max_bytes: row.get::<_, i64>(4)?.cast_unsigned(),
                };
                let space = space.parse().map_err(damaged)?;
                streams.push((space, name.parse().map_err(damaged)?, settings));
            }
            Ok(streams)
        };
        self.streams.readers.read(read).await
    }
}
