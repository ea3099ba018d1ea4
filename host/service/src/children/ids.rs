//! The ids of children: made of the run and the key, so that a key stands for one child over all
//! attempts.

use sha2::{Digest as _, Sha256};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_model::ids::{RunId, TaskId};

/// What they begin with.
const ID_PREFIX: &str = "child-";
/// Hexadecimal digits after it.
const ID_DIGITS: usize = 32;

/// The child that stands under the key of a run.
pub(super) fn id_of(run: RunId, key: &str) -> Result<TaskId, ClientError> {
    let text = format!("{ID_PREFIX}{}", digest([run.to_string().as_str(), key]));
    TaskId::parse(&text).map_err(|error| ClientError::new(ErrorCode::Internal, error.to_string()))
}

/// Of the parts, and where each ends.
pub(super) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let digits = hash.finalize();
    digits[..ID_DIGITS / 2]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether it looks like the id of a child.
pub(super) fn is_childs(id: &TaskId) -> bool {
    let digits = id.as_str().strip_prefix(ID_PREFIX);
    digits.is_some_and(|digits| {
        digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_run_is_one_id_and_no_other_runs() {
        let (run, other) = (RunId::new(), RunId::new());
        let id = id_of(run, "a").unwrap();
        assert_eq!(id, id_of(run, "a").unwrap());
        assert_ne!(id, id_of(run, "b").unwrap());
        assert_ne!(id, id_of(other, "a").unwrap());
        assert!(is_childs(&id), "{id}");
        for foreign in ["child-1", "t", &id.as_str()[1..], &format!("{id}0")] {
            assert!(!is_childs(&TaskId::parse(foreign).unwrap()), "{foreign}");
        }
    }

    #[test]
    fn lists_that_read_the_same_are_not_the_same_wait() {
        assert_eq!(digest(["a", "b"]).len(), ID_DIGITS);
        assert_ne!(digest(["a", "b"]), digest(["ab"]));
        assert_ne!(digest(["a", "b"]), digest(["b", "a"]));
    }
}
