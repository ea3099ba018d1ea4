//! How long the audit log is kept.

use std::time::Duration;

use taskhost_service::settings::AuditBounds;

use super::reader::Reader;

const DAY_S: u64 = 86_400;

pub(super) fn audit(reader: &mut Reader<'_>) -> AuditBounds {
    AuditBounds {
        age: Duration::from_secs(reader.number("audit.days", 90, 1..=36_500) * DAY_S),
        entries: reader.number("audit.entries_max", 1_000_000, 1_000..=1_000_000_000),
    }
}
