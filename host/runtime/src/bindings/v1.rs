//! `wit/v1`: turns calls of the contract into calls of clients, and holds nothing else.

mod children;
mod http;
mod inference;
mod secrets;
mod state;

use taskhost_clients::documents as clients;
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::streams::Batch;
use taskhost_model::task::LogLevel;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{HasSelf, InstancePre, Linker, Resource, ResourceTableError};
use wasmtime::error::Context as _;
use wasmtime::{Result, format_err};

use crate::memory::{Full, MemoryLimit};
use crate::meter::Meter;
use crate::state::GuestState;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    reason = "written by a macro; the WIT has the documentation"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        world: "task-type",
        imports: { default: async | trappable },
        exports: { default: async },
        trappable_error_type: {
            "taskhost:task/types.error" => taskhost_clients::error::ClientError,
        },
        with: {
            "taskhost:task/documents.collection": taskhost_clients::documents::Collection,
        },
        include_component_type: true,
    });
}

pub(crate) use generated::taskhost::task::types::Error as GuestError;
pub(crate) use generated::{COMPONENT_TYPE, TaskTypePre};

use generated::taskhost::task::{context, documents, log, progress, streams, types};

/// What every task type exports.
const TASK: &str = "taskhost:task/task@1.0.0";

/// Whether a component's `describe` and `run` take and give what the contract says. The bindings
/// ask only once there is an instance, when it is too late to tell whose fault it is.
pub(crate) fn check_types(code: &InstancePre<GuestState>) -> Result<()> {
    let (component, types) = (code.component(), code.instance_type());
    let task = component.get_export_index(None, TASK);
    for name in ["describe", "run"] {
        let item = component.get_export(task.as_ref(), name);
        let checked = match item {
            Some((ComponentItem::ComponentFunc(function), _)) => match name {
                "describe" => function.typecheck::<(), (String,)>(&types),
                _ => function
                    .typecheck::<(String,), (std::result::Result<String, GuestError>,)>(&types),
            },
            _ => Err(format_err!("it is missing")),
        };
        checked.with_context(|| {
            format!("exports {TASK} with another `{name}` than the WIT of this host has")
        })?;
    }
    Ok(())
}

/// Makes the contract available to components.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> Result<()> {
    generated::TaskType::add_to_linker::<_, HasSelf<GuestState>>(linker, |state| state)
}

/// Waits for a client. What the call brought is kept meanwhile, and there is no other limit on how
/// many wait at once: so it counts as the run's memory.
async fn waited<T>(
    (meter, memory): (&Meter, &MemoryLimit),
    brought_bytes: usize,
    client: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let _held = memory.hold(brought_bytes).map_err(no_memory)?;
    meter.in_host(client).await
}

impl From<ClientError> for types::Error {
    fn from(error: ClientError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            details: error.details.map(|details| details.to_string()),
        }
    }
}

impl types::Host for GuestState {
    fn convert_error(&mut self, error: ClientError) -> Result<types::Error> {
        Ok(error.into())
    }
}

impl context::Host for GuestState {
    async fn task_id(&mut self) -> Result<String> {
        Ok(self.clients.context.task_id())
    }

    async fn task_type(&mut self) -> Result<String> {
        Ok(self.clients.context.task_type())
    }

    async fn run_id(&mut self) -> Result<String> {
        Ok(self.clients.context.run_id())
    }

    async fn attempt(&mut self) -> Result<u32> {
        Ok(self.clients.context.attempt())
    }

    async fn space(&mut self) -> Result<String> {
        Ok(self.clients.context.space())
    }

    async fn stream(&mut self) -> Result<Option<String>> {
        Ok(self.clients.context.stream())
    }

    async fn requested_by(&mut self) -> Result<String> {
        Ok(self.clients.context.requested_by())
    }

    async fn scheduled_at_ms(&mut self) -> Result<u64> {
        Ok(self.clients.context.scheduled_at_ms())
    }

    async fn remaining_ms(&mut self) -> Result<u64> {
        Ok(self.clients.context.remaining_ms())
    }

    async fn cancel_requested(&mut self) -> Result<bool> {
        Ok(self.clients.context.cancel_requested())
    }

    async fn cancel_reason(&mut self) -> Result<Option<String>> {
        Ok(self.clients.context.cancel_reason())
    }

    async fn sleep(&mut self, ms: u64) -> Result<(), ClientError> {
        let sleep = self.clients.context.sleep(ms);
        waited((&self.meter, &self.memory), 0, sleep).await
    }
}

impl progress::Host for GuestState {
    async fn report(
        &mut self,
        done: u64,
        total: Option<u64>,
        message: String,
    ) -> Result<(), ClientError> {
        self.clients.progress.report(done, total, &message)
    }

    async fn phase(&mut self, name: String) -> Result<(), ClientError> {
        self.clients.progress.phase(&name)
    }

    async fn heartbeat(&mut self) -> Result<(), ClientError> {
        self.clients.progress.heartbeat()
    }
}

impl log::Host for GuestState {
    async fn log(
        &mut self,
        level: log::Level,
        message: String,
        fields: Option<String>,
    ) -> Result<()> {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.clients.log.log(level, &message, fields.as_deref());
        Ok(())
    }
}

impl From<Batch> for streams::Batch {
    fn from(batch: Batch) -> Self {
        let Batch {
            documents,
            matched,
            truncated,
            next,
            details,
        } = batch;
        Self {
            documents,
            matched,
            truncated,
            next,
            details,
        }
    }
}

impl streams::Host for GuestState {
    async fn describe(&mut self, name: String) -> Result<String, ClientError> {
        let describe = self.clients.streams.describe(&name);
        waited((&self.meter, &self.memory), name.len(), describe).await
    }

    async fn count(&mut self, name: String, query: String) -> Result<String, ClientError> {
        let brought = name.len() + query.len();
        let count = self.clients.streams.count(&name, &query);
        waited((&self.meter, &self.memory), brought, count).await
    }

    async fn sample(
        &mut self,
        name: String,
        request: String,
    ) -> Result<streams::Batch, ClientError> {
        let brought = name.len() + request.len();
        let sample = self.clients.streams.sample(&name, &request);
        let sample = waited((&self.meter, &self.memory), brought, sample).await?;
        Ok(sample.into())
    }

    async fn sample_many(
        &mut self,
        name: String,
        requests: Vec<String>,
    ) -> Result<Vec<Result<streams::Batch, types::Error>>, ClientError> {
        let brought = name.len() + bytes_of(&requests, String::len);
        let samples = self.clients.streams.sample_many(&name, &requests);
        let samples = waited((&self.meter, &self.memory), brought, samples).await?;
        let each = samples
            .into_iter()
            .map(|one| one.map(Into::into).map_err(Into::into));
        Ok(each.collect())
    }

    async fn field_stats(&mut self, name: String, request: String) -> Result<String, ClientError> {
        let brought = name.len() + request.len();
        let stats = self.clients.streams.field_stats(&name, &request);
        waited((&self.meter, &self.memory), brought, stats).await
    }

    async fn search(
        &mut self,
        name: String,
        request: String,
    ) -> Result<streams::Batch, ClientError> {
        let brought = name.len() + request.len();
        let search = self.clients.streams.search(&name, &request);
        let search = waited((&self.meter, &self.memory), brought, search).await?;
        Ok(search.into())
    }
}

impl From<clients::Document> for documents::Document {
    fn from(document: clients::Document) -> Self {
        let clients::Document { id, version, body } = document;
        Self { id, version, body }
    }
}

impl From<documents::Change> for clients::Change {
    fn from(change: documents::Change) -> Self {
        use documents::{Change, Create, Delete, Put};
        match change {
            Change::Create(Create { id, body }) => Self::Create { id, body },
            Change::Put(Put {
                id,
                body,
                if_version,
            }) => Self::Put {
                id,
                body,
                if_version,
            },
            Change::Delete(Delete { id, if_version }) => Self::Delete { id, if_version },
        }
    }
}

impl documents::Host for GuestState {}

impl documents::HostCollection for GuestState {
    async fn open(
        &mut self,
        label: String,
        options: Option<String>,
    ) -> Result<Resource<clients::Collection>, ClientError> {
        let collection = self.clients.documents.open(&label, options.as_deref())?;
        self.table.push(collection).map_err(no_room)
    }

    async fn get(
        &mut self,
        collection: Resource<clients::Collection>,
        id: String,
    ) -> Result<Option<documents::Document>, ClientError> {
        let collection = self.table.get(&collection).map_err(not_open)?;
        let get = collection.get(&id);
        let found = waited((&self.meter, &self.memory), id.len(), get).await?;
        Ok(found.map(Into::into))
    }

    async fn query(
        &mut self,
        collection: Resource<clients::Collection>,
        filter: Option<String>,
        cursor: Option<String>,
        limit: u32,
        options: Option<String>,
    ) -> Result<documents::Page, ClientError> {
        let collection = self.table.get(&collection).map_err(not_open)?;
        let brought = [&filter, &cursor, &options].map(|text| text.as_ref().map_or(0, String::len));
        let brought = brought.iter().sum();
        let page = collection.query(
            filter.as_deref(),
            cursor.as_deref(),
            limit,
            options.as_deref(),
        );
        let page = waited((&self.meter, &self.memory), brought, page).await?;
        let clients::Page { documents, next } = page;
        Ok(documents::Page {
            documents: documents.into_iter().map(Into::into).collect(),
            next,
            details: None,
        })
    }

    async fn apply(
        &mut self,
        collection: Resource<clients::Collection>,
        changes: Vec<documents::Change>,
        options: Option<String>,
    ) -> Result<Vec<Result<String, types::Error>>, ClientError> {
        let collection = self.table.get(&collection).map_err(not_open)?;
        let changes: Vec<clients::Change> = changes.into_iter().map(Into::into).collect();
        let options_bytes = options.as_ref().map_or(0, String::len);
        let brought = bytes_of(&changes, clients::Change::bytes) + options_bytes;
        let apply = collection.apply(changes, options.as_deref());
        let answers = waited((&self.meter, &self.memory), brought, apply).await?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Into::into))
            .collect())
    }

    async fn drop(&mut self, collection: Resource<clients::Collection>) -> Result<()> {
        self.table.delete(collection)?;
        Ok(())
    }
}

/// What a list takes: its elements, and what each of them has beside itself.
fn bytes_of<T>(list: &[T], beside: impl Fn(&T) -> usize) -> usize {
    size_of_val(list) + list.iter().map(beside).sum::<usize>()
}

/// The same call may go well when fewer others run.
fn no_memory(full: Full) -> ClientError {
    let limit_mib = full.limit_bytes >> 20;
    if full.fits_alone {
        let message = format!(
            "the {limit_mib} MiB are taken that the host gives to all runs (half of them to those \
             of one component), and what the call brings has to be kept until it is answered: \
             bring less at a time, or end with this error to be run again later"
        );
        return ClientError {
            retryable: true,
            ..ClientError::new(ErrorCode::HostOutOfMemory, message)
        };
    }
    let message = format!(
        "what the call brings has to be kept until it is answered, and is more than the \
         {limit_mib} MiB that the host gives to all runs of a component together: bring less at a \
         time"
    );
    ClientError::new(ErrorCode::TooLarge, message)
}

fn no_room(_: ResourceTableError) -> ClientError {
    ClientError::new(
        ErrorCode::TooLarge,
        "the instance holds too many resources: drop some",
    )
}

fn not_open(_: ResourceTableError) -> ClientError {
    ClientError::new(ErrorCode::Invalid, "the collection is not open")
}
