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

use crate::memory::MemoryLimit;
use crate::meter::Meter;
use crate::state::GuestState;
use crate::tape::{LOG, Tape};

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
            "taskhost:task/documents.collection": crate::bindings::v1::Opened,
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
    let _held = memory.hold(brought_bytes)?;
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
        let call = self.call("context.task-id", &());
        let answer = async { self.clients.context.task_id() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn task_type(&mut self) -> Result<String> {
        let call = self.call("context.task-type", &());
        let answer = async { self.clients.context.task_type() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn run_id(&mut self) -> Result<String> {
        let call = self.call("context.run-id", &());
        let answer = async { self.clients.context.run_id() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn attempt(&mut self) -> Result<u32> {
        let call = self.call("context.attempt", &());
        let answer = async { self.clients.context.attempt() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn space(&mut self) -> Result<String> {
        let call = self.call("context.space", &());
        let answer = async { self.clients.context.space() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn stream(&mut self) -> Result<Option<String>> {
        let call = self.call("context.stream", &());
        let answer = async { self.clients.context.stream() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn requested_by(&mut self) -> Result<String> {
        let call = self.call("context.requested-by", &());
        let answer = async { self.clients.context.requested_by() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn scheduled_at_ms(&mut self) -> Result<u64> {
        let call = self.call("context.scheduled-at-ms", &());
        let answer = async { self.clients.context.scheduled_at_ms() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn remaining_ms(&mut self) -> Result<u64> {
        let call = self.call("context.remaining-ms", &());
        let answer = async { self.clients.context.remaining_ms() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn cancel_requested(&mut self) -> Result<bool> {
        let call = self.call("context.cancel-requested", &());
        let answer = async { self.clients.context.cancel_requested() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn cancel_reason(&mut self) -> Result<Option<String>> {
        let call = self.call("context.cancel-reason", &());
        let answer = async { self.clients.context.cancel_reason() };
        Ok(call.answer(&self.meter, answer).await)
    }

    async fn sleep(&mut self, ms: u64) -> Result<(), ClientError> {
        let call = self.call("context.sleep", &(ms,));
        let sleep = self.clients.context.sleep(ms);
        let sleep = waited((&self.meter, &self.memory), 0, sleep);
        call.answer(&self.meter, sleep).await
    }
}

impl progress::Host for GuestState {
    async fn report(
        &mut self,
        done: u64,
        total: Option<u64>,
        message: String,
    ) -> Result<(), ClientError> {
        let call = self.call("progress.report", &(done, total, &message));
        let said = async { self.clients.progress.report(done, total, &message) };
        call.answer(&self.meter, said).await
    }

    async fn phase(&mut self, name: String) -> Result<(), ClientError> {
        let call = self.call("progress.phase", &(&name,));
        let said = async { self.clients.progress.phase(&name) };
        call.answer(&self.meter, said).await
    }

    async fn heartbeat(&mut self) -> Result<(), ClientError> {
        let call = self.call("progress.heartbeat", &());
        let said = async { self.clients.progress.heartbeat() };
        call.answer(&self.meter, said).await
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
        let log = &self.clients.log;
        let logged = || log.log(level, &message, fields.as_deref());
        // A replay shows what the guest logs now.
        match &self.tape {
            Tape::Records(_) => {
                let call = self.call(LOG, &(level, &message, &fields));
                call.answer(&self.meter, async { logged() }).await;
            }
            Tape::Off | Tape::Replays(_) => logged(),
        }
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
        let call = self.call("streams.describe", &(&name,));
        let describe = self.clients.streams.describe(&name);
        let describe = waited((&self.meter, &self.memory), name.len(), describe);
        call.answer(&self.meter, describe).await
    }

    async fn count(&mut self, name: String, query: String) -> Result<String, ClientError> {
        let call = self.call("streams.count", &(&name, &query));
        let brought = name.len() + query.len();
        let count = self.clients.streams.count(&name, &query);
        let count = waited((&self.meter, &self.memory), brought, count);
        call.answer(&self.meter, count).await
    }

    async fn sample(
        &mut self,
        name: String,
        request: String,
    ) -> Result<streams::Batch, ClientError> {
        let call = self.call("streams.sample", &(&name, &request));
        let brought = name.len() + request.len();
        let sample = self.clients.streams.sample(&name, &request);
        let sample = waited((&self.meter, &self.memory), brought, sample);
        Ok(call.answer(&self.meter, sample).await?.into())
    }

    async fn sample_many(
        &mut self,
        name: String,
        requests: Vec<String>,
    ) -> Result<Vec<Result<streams::Batch, types::Error>>, ClientError> {
        let call = self.call("streams.sample-many", &(&name, &requests));
        let brought = name.len() + bytes_of(&requests, String::len);
        let samples = self.clients.streams.sample_many(&name, &requests);
        let samples = waited((&self.meter, &self.memory), brought, samples);
        let samples = call.answer(&self.meter, samples).await?;
        let each = samples
            .into_iter()
            .map(|one| one.map(Into::into).map_err(Into::into));
        Ok(each.collect())
    }

    async fn field_stats(&mut self, name: String, request: String) -> Result<String, ClientError> {
        let call = self.call("streams.field-stats", &(&name, &request));
        let brought = name.len() + request.len();
        let stats = self.clients.streams.field_stats(&name, &request);
        let stats = waited((&self.meter, &self.memory), brought, stats);
        call.answer(&self.meter, stats).await
    }

    async fn search(
        &mut self,
        name: String,
        request: String,
    ) -> Result<streams::Batch, ClientError> {
        let call = self.call("streams.search", &(&name, &request));
        let brought = name.len() + request.len();
        let search = self.clients.streams.search(&name, &request);
        let search = waited((&self.meter, &self.memory), brought, search);
        Ok(call.answer(&self.meter, search).await?.into())
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

/// A collection that a guest holds.
#[derive(Debug)]
#[expect(
    unreachable_pub,
    reason = "what the macro writes hands it on as if it were public"
)]
pub struct Opened {
    /// Which one it is of those that the guest has opened.
    number: u32,
    /// None where a recording answers.
    client: Option<clients::Collection>,
}

impl Opened {
    fn client(&self) -> Result<&clients::Collection, ClientError> {
        let missing = || ClientError::new(ErrorCode::Internal, "the collection has no store");
        self.client.as_ref().ok_or_else(missing)
    }
}

impl documents::Host for GuestState {}

impl documents::HostCollection for GuestState {
    async fn open(
        &mut self,
        label: String,
        options: Option<String>,
    ) -> Result<Resource<Opened>, ClientError> {
        let call = self.call("collection.open", &(&label, &options));
        let mut client = None;
        let open = async {
            client = Some(self.clients.documents.open(&label, options.as_deref())?);
            Ok::<_, ClientError>(())
        };
        call.answer(&self.meter, open).await?;
        self.opened += 1;
        let number = self.opened;
        self.table.push(Opened { number, client }).map_err(no_room)
    }

    async fn get(
        &mut self,
        collection: Resource<Opened>,
        id: String,
    ) -> Result<Option<documents::Document>, ClientError> {
        let open = self.table.get(&collection).map_err(not_open)?;
        let call = self.call("collection.get", &(open.number, &id));
        let get = async { open.client()?.get(&id).await };
        let found = waited((&self.meter, &self.memory), id.len(), get);
        let found = call.answer(&self.meter, found).await?;
        Ok(found.map(Into::into))
    }

    async fn query(
        &mut self,
        collection: Resource<Opened>,
        filter: Option<String>,
        cursor: Option<String>,
        limit: u32,
        options: Option<String>,
    ) -> Result<documents::Page, ClientError> {
        let open = self.table.get(&collection).map_err(not_open)?;
        let call = self.call(
            "collection.query",
            &(open.number, &filter, &cursor, limit, &options),
        );
        let brought = [&filter, &cursor, &options].map(|text| text.as_ref().map_or(0, String::len));
        let brought = brought.iter().sum();
        let page = async {
            let client = open.client()?;
            let page = client.query(
                filter.as_deref(),
                cursor.as_deref(),
                limit,
                options.as_deref(),
            );
            page.await
        };
        let page = waited((&self.meter, &self.memory), brought, page);
        let clients::Page { documents, next } = call.answer(&self.meter, page).await?;
        Ok(documents::Page {
            documents: documents.into_iter().map(Into::into).collect(),
            next,
            details: None,
        })
    }

    async fn apply(
        &mut self,
        collection: Resource<Opened>,
        changes: Vec<documents::Change>,
        options: Option<String>,
    ) -> Result<Vec<Result<String, types::Error>>, ClientError> {
        let open = self.table.get(&collection).map_err(not_open)?;
        let changes: Vec<clients::Change> = changes.into_iter().map(Into::into).collect();
        let call = self.call("collection.apply", &(open.number, &changes, &options));
        let options_bytes = options.as_ref().map_or(0, String::len);
        let brought = bytes_of(&changes, clients::Change::bytes) + options_bytes;
        let apply = async { open.client()?.apply(changes, options.as_deref()).await };
        let answers = waited((&self.meter, &self.memory), brought, apply);
        let answers = call.answer(&self.meter, answers).await?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Into::into))
            .collect())
    }

    async fn drop(&mut self, collection: Resource<Opened>) -> Result<()> {
        self.table.delete(collection)?;
        Ok(())
    }
}

/// What a list takes: its elements, and what each of them has beside itself.
fn bytes_of<T>(list: &[T], beside: impl Fn(&T) -> usize) -> usize {
    size_of_val(list) + list.iter().map(beside).sum::<usize>()
}

/// The same call may go well when fewer others run.
fn no_room(_: ResourceTableError) -> ClientError {
    ClientError::new(
        ErrorCode::TooLarge,
        "the instance holds too many resources: drop some",
    )
}

fn not_open(_: ResourceTableError) -> ClientError {
    ClientError::new(ErrorCode::Invalid, "the collection is not open")
}
