//! What is checked of a wish to run a task, before anything is written.

use std::sync::Arc;

use taskhost_model::descriptor::StreamUse;
use taskhost_model::ids::{Space, StreamKey, StreamName, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;
use taskhost_store::event::WriteCondition;

use crate::core::Tasks;
use crate::error::ServiceError;
use crate::named_streams::named_streams;
use crate::seen::RESERVED_PREFIX;
use crate::types::LoadedVersion;

/// Priorities go from −100 to 100.
const PRIORITY_MAX: i32 = 100;

/// A wish to run a task.
#[derive(Debug, Clone)]
pub struct ScheduleRequest {
    /// The task type.
    pub type_id: TypeId,
    /// The stream to work on.
    pub stream: Option<StreamName>,
    /// JSON text, against the type's schema.
    pub params: Arc<str>,
    /// −100 to 100, 0 when left out; higher goes first.
    pub priority: Option<i32>,
    /// Not before.
    pub run_at: Option<Timestamp>,
    /// Shortens the type's wall-clock limit.
    pub timeout_ms: Option<u64>,
    /// Whether what the run asks and is answered is to be kept.
    pub record: bool,
    /// The span that schedules it, if any: what the run does stands in its trace.
    pub trace: Option<TraceParent>,
    /// Only when the task is absent, or has a version.
    pub condition: Option<WriteCondition>,
}

/// Who asks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A person, with all their rights.
    Person,
    /// A run, for a child of its own: it reads the stream itself.
    Run,
    /// A schedule: its author had the right when it was made, and its key has it since.
    Schedule,
}

impl Tasks {
    pub(crate) async fn check_stream(
        &self,
        by: &Requester,
        space: &Space,
        request: &ScheduleRequest,
        version: &LoadedVersion,
        asker: Asker,
    ) -> Result<(), ServiceError> {
        let type_id = &request.type_id;
        match (version.descriptor.stream, &request.stream) {
            (StreamUse::Required, None) => Err(ServiceError::invalid(
                "stream",
                format!("is missing: tasks of type `{type_id}` work on a stream"),
            )),
            (StreamUse::None, Some(_)) => Err(ServiceError::invalid(
                "stream",
                format!("is not wanted: tasks of type `{type_id}` work on no stream"),
            )),
            (_, None) => Ok(()),
            (StreamUse::Required | StreamUse::Optional, Some(name)) => {
                self.check_readable(by, space, name, asker).await
            }
        }
    }

    /// # Errors
    /// [`ServiceError::UnknownStream`], also where they may not read it.
    async fn check_readable(
        &self,
        by: &Requester,
        space: &Space,
        name: &StreamName,
        asker: Asker,
    ) -> Result<(), ServiceError> {
        let unknown = || ServiceError::UnknownStream {
            name: name.to_string(),
        };
        // Whoever else asks shows what reads it itself.
        if asker == Asker::Person && !self.0.caller(by).may_read(space, Some(name)).await? {
            return Err(unknown());
        }
        let stream = StreamKey {
            space: space.clone(),
            name: name.clone(),
        };
        match self.0.streams.get(by, &stream).await? {
            Some(_) => Ok(()),
            None => Err(unknown()),
        }
    }

    /// Streams that the params name: they are there, and a person has named them. A component that
    /// could name them for a child would read, by its result, what it was not granted.
    pub(crate) async fn also_reads(
        &self,
        by: &Requester,
        space: &Space,
        request: &ScheduleRequest,
        version: &LoadedVersion,
        asker: Asker,
    ) -> Result<Vec<StreamName>, ServiceError> {
        let Some(pointer) = &version.descriptor.streams_from else {
            return Ok(Vec::new());
        };
        let field = format!("params{}", pointer.replace('/', "."));
        if asker == Asker::Run {
            let problem = "names streams: a person chooses which, and no component; a run has no \
                           child of this type";
            return Err(ServiceError::invalid(&field, problem));
        }
        let names = named_streams(&version.descriptor, &request.params);
        let names = names.map_err(|problem| ServiceError::invalid(&field, problem))?;
        for name in &names {
            self.check_readable(by, space, name, asker).await?;
        }
        Ok(names)
    }

    /// Looks for the key, too: a run that is to be recorded and cannot be is better not begun.
    pub(crate) fn check_record(&self, request: &ScheduleRequest) -> Result<(), ServiceError> {
        if !request.record {
            return Ok(());
        }
        let type_id = &request.type_id;
        if !self.0.settings.policy.may_record(type_id) {
            let problem = format!(
                "is not allowed to tasks of type `{type_id}`: an operator allows it in the host's \
                 settings, by `record = true` in the `[[allow]]` that has `type = \"{type_id}\"`"
            );
            return Err(ServiceError::invalid("record", problem));
        }
        let key = self.0.host_key.to_seal();
        let missing = |reason| ServiceError::Internal { reason };
        key.map(drop).map_err(missing)
    }

    /// Leaves the params as they are kept.
    pub(crate) async fn check_params(
        &self,
        request: &mut ScheduleRequest,
        version: &Arc<LoadedVersion>,
    ) -> Result<(), ServiceError> {
        let given = std::mem::take(&mut request.params);
        let checked = version.params_checked(given).await;
        request.params = checked.map_err(|errors| ServiceError::Invalid { errors })?;
        let bytes = request.params.len() as u64;
        let bytes_max = self.0.settings.params_bytes_max as u64;
        if bytes > bytes_max {
            return Err(ServiceError::TooLarge {
                what: "params",
                bytes,
                bytes_max,
            });
        }
        Ok(())
    }
}

pub(crate) fn check_id(key: &TaskKey, request: &ScheduleRequest) -> Result<(), ServiceError> {
    let Some(stream) = key.id.as_str().strip_prefix(RESERVED_PREFIX) else {
        return Ok(());
    };
    let type_fits = RESERVED_PREFIX.strip_suffix('_') == Some(request.type_id.as_str());
    let stream_fits = request
        .stream
        .as_ref()
        .is_some_and(|name| name.as_str() == stream);
    if type_fits && stream_fits {
        return Ok(());
    }
    let reason = format!(
        "ids that begin with `{RESERVED_PREFIX}` belong to the type \
         `streams_feature_identification` on the stream that the rest names: choose another id"
    );
    Err(ServiceError::IdNotAvailable { reason })
}

pub(crate) fn check_numbers(request: &ScheduleRequest) -> Result<(), ServiceError> {
    if request
        .priority
        .is_some_and(|priority| !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority))
    {
        let problem = format!("has to be between -{PRIORITY_MAX} and {PRIORITY_MAX}");
        return Err(ServiceError::invalid("priority", problem));
    }
    if request.timeout_ms == Some(0) {
        return Err(ServiceError::invalid("timeout_ms", "has to be at least 1"));
    }
    Ok(())
}
