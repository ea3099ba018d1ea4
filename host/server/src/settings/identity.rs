//! Whether the embedded store has people: `identity`.

use super::reader::Reader;
use super::store::StoreSettings;

const IDENTITY: &str = "identity";

/// Elasticsearch has people of its own.
pub(super) fn has_tokens(reader: &mut Reader<'_>, store: &StoreSettings) -> bool {
    match reader.text(IDENTITY, "none").as_str() {
        "none" => false,
        "tokens" if store.has_people() => {
            let problem = "is tokens, and on Elasticsearch people come with what the cluster knows \
                           them by: leave it out";
            reader.contradiction(IDENTITY, problem.to_owned());
            false
        }
        "tokens" => true,
        other => {
            let problem = format!("has to be none or tokens, and is {other:?}");
            reader.contradiction(IDENTITY, problem);
            false
        }
    }
}
