//! The tables of the two files. People may open them with their own tools; times are
//! milliseconds since 1970, `body` is JSON.

use super::connection::Format;
use super::schedules::SCHEDULES_SCHEMA;

/// Tasks, components and collections.
pub(super) const TASKS: Format = Format {
    file: "tasks.sqlite",
    steps: &[
        TASKS_SCHEMA,
        TASKS_SCHEMA_2,
        HISTORY_SCHEMA,
        SCHEDULES_SCHEMA,
        IDENTITY_SCHEMA,
        SEEING_SCHEMA,
        LISTS_SCHEMA,
    ],
};

/// Stream data.
pub(super) const STREAMS: Format = Format {
    file: "streams.sqlite",
    steps: &[STREAMS_SCHEMA],
};

/// Writes something in either file.
pub(super) const PROBE: &str = "UPDATE sequences SET value = value + 1 WHERE name = 'probe'";

/// Each place of a task (`crate::place`) has a small partial index of its own: what is finished
/// stands in none of them, and one update moves a task from one to the next.
const TASKS_SCHEMA: &str = "
    CREATE TABLE tasks (
        number INTEGER PRIMARY KEY,
        space TEXT NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        stream TEXT,
        status TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        deleted_ms INTEGER,
        place INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        digest TEXT,
        requested_by TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX tasks_by_id ON tasks (space, id);
    CREATE INDEX tasks_listed ON tasks (space, created_ms) WHERE deleted_ms IS NULL;
    CREATE INDEX tasks_by_status ON tasks (space, status, created_ms) WHERE deleted_ms IS NULL;
    CREATE INDEX tasks_by_type ON tasks (space, type, created_ms) WHERE deleted_ms IS NULL;
    CREATE INDEX tasks_by_stream ON tasks (space, stream, created_ms)
        WHERE deleted_ms IS NULL AND stream IS NOT NULL;
    CREATE INDEX tasks_ready ON tasks (type, rank, created_ms) WHERE place = 1;
    CREATE INDEX tasks_waiting ON tasks (due_ms) WHERE place = 2;
    CREATE INDEX tasks_held ON tasks (place) WHERE place = 3;
    CREATE INDEX tasks_tombstones ON tasks (place) WHERE place = 4;
    CREATE INDEX tasks_pinned ON tasks (digest) WHERE digest IS NOT NULL AND place IN (1, 2);

    CREATE TABLE params (task INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE payloads (task INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE logs (
        task INTEGER NOT NULL,
        piece INTEGER NOT NULL,
        bytes_so_far INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (task, piece)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE labels (label TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY,
        space TEXT NOT NULL,
        stream TEXT NOT NULL,
        label TEXT NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX documents_by_id ON documents (space, stream, label, id);

    CREATE TABLE components (
        digest TEXT PRIMARY KEY,
        type TEXT NOT NULL,
        state TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        uploaded_ms INTEGER NOT NULL,
        activated_ms INTEGER,
        descriptor TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX components_active ON components (type) WHERE state = 'active';
    CREATE TABLE component_bytes (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

    CREATE TABLE sequences (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO sequences VALUES ('probe', 0), ('document_version', 0);
";

/// Version 2: checkpoints, recordings, children, concurrency keys, and what an operator has decided
/// of task types. `approval` and `paused_types.body` are JSON.
const TASKS_SCHEMA_2: &str = "
    CREATE TABLE checkpoints (
        number INTEGER PRIMARY KEY,
        task INTEGER NOT NULL,
        key TEXT NOT NULL,
        counted_bytes INTEGER NOT NULL,
        schema_version INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX checkpoints_by_key ON checkpoints (task, key);

    CREATE TABLE recordings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        task INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        pieces INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX recordings_of_task ON recordings (task, attempt);
    CREATE TABLE recording_pieces (
        number INTEGER PRIMARY KEY,
        recording INTEGER NOT NULL,
        piece INTEGER NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX recording_pieces_in_order ON recording_pieces (recording, piece);

    ALTER TABLE tasks ADD COLUMN parent_run TEXT;
    CREATE INDEX tasks_children ON tasks (parent_run) WHERE parent_run IS NOT NULL;
    CREATE INDEX tasks_living_children ON tasks (parent_run, place)
        WHERE parent_run IS NOT NULL AND place IN (1, 2, 3, 5);

    ALTER TABLE tasks ADD COLUMN concurrency_key TEXT;
    ALTER TABLE tasks ADD COLUMN holds_key INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tasks ADD COLUMN behind_runs INTEGER;
    CREATE INDEX tasks_holding ON tasks (type, space, concurrency_key) WHERE holds_key = 1;
    CREATE INDEX tasks_behind ON tasks (type, space, concurrency_key, rank, created_ms)
        WHERE place = 5;
    CREATE INDEX tasks_behind_runs ON tasks (type, behind_runs) WHERE place = 5;
    DROP INDEX tasks_pinned;
    CREATE INDEX tasks_pinned ON tasks (digest)
        WHERE digest IS NOT NULL AND place IN (1, 2, 5);

    ALTER TABLE components ADD COLUMN approval TEXT;
    ALTER TABLE components ADD COLUMN signed_by TEXT;
    CREATE TABLE paused_types (type TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// Former runs with their logs, and when tasks go. What had ended before goes as if it had ended
/// under this version, with the usual retention.
const HISTORY_SCHEMA: &str = "
    CREATE TABLE former_runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        task INTEGER NOT NULL,
        run TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX former_runs_of_task ON former_runs (task, number);
    CREATE TABLE former_logs (
        run INTEGER NOT NULL,
        piece INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, piece)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE tasks ADD COLUMN expires_ms INTEGER;
    UPDATE tasks SET expires_ms = 604800000 + CASE status
        WHEN 'completed' THEN json_extract(body, '$.completed_ms')
        WHEN 'acknowledged' THEN json_extract(body, '$.acknowledged_ms')
        WHEN 'failed' THEN json_extract(body, '$.failed_ms')
        WHEN 'canceled' THEN json_extract(body, '$.canceled_ms') END
        WHERE deleted_ms IS NULL AND json_valid(body);
    CREATE INDEX tasks_expiring ON tasks (expires_ms) WHERE expires_ms IS NOT NULL;
";

/// The audit log, each shelf in the order of time; tokens of people, of which only a digest is
/// known; keys with which runs read in somebody's name, and the one that seals them.
const IDENTITY_SCHEMA: &str = "
    CREATE TABLE audit (
        shelf INTEGER NOT NULL,
        id BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (shelf, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit_counts (shelf INTEGER PRIMARY KEY, entries INTEGER NOT NULL) STRICT;
    INSERT INTO audit_counts VALUES (0, 0), (1, 0);

    CREATE TABLE tokens (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE granted_keys (
        id TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        digest BLOB NOT NULL,
        expires_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE run_keys (
        id TEXT PRIMARY KEY,
        sealed BLOB NOT NULL,
        body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE run_key_holders (
        key TEXT NOT NULL,
        task INTEGER NOT NULL,
        PRIMARY KEY (key, task)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE identity (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// The index of what can be claimed tells as well since when it is due, so that the longest wait is
/// found without the tasks.
const SEEING_SCHEMA: &str = "
    DROP INDEX tasks_ready;
    CREATE INDEX tasks_ready ON tasks (type, rank, created_ms, due_ms) WHERE place = 1;
";

/// Tasks of a type lie by their status, so that a list of both reads what it shows: where one type
/// is rare, the ten of it that have failed would be looked for among all that have.
const LISTS_SCHEMA: &str = "
    DROP INDEX tasks_by_type;
    CREATE INDEX tasks_by_type ON tasks (space, type, status, created_ms)
        WHERE deleted_ms IS NULL;
";

/// A document's `number` is its stream's number and its own, the order of arrival within the
/// stream, in one: documents of a stream lie together, and one is found by one seek.
const STREAMS_SCHEMA: &str = "
    CREATE TABLE streams (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        space TEXT NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        description TEXT,
        retention_days INTEGER NOT NULL,
        bytes_max INTEGER NOT NULL,
        documents INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        first_ms INTEGER,
        last_ms INTEGER,
        last_document INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX streams_by_name ON streams (space, name);
    CREATE TABLE deleted_streams (number INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        arrived_ms INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX documents_by_time ON documents (stream, at_ms);

    CREATE TABLE sequences (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO sequences VALUES ('probe', 0);
";
