//! The HTTP interface. A handler parses, makes one call of the service, and converts.

mod codes;
mod answer;
mod problem;
mod guard;
mod request;
mod state;
mod asked;
mod wish;
mod list;
mod tasks;
mod schedules;
mod events;
mod space_events;
mod types;
mod streams;
mod lines;
mod submit;
mod runs;
mod bulk;
mod collections;
mod features;
mod space_collections;
mod kibana;
mod hosts;
mod health;
mod page;
mod serve;

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::HttpSettings;

pub use serve::Answers;
pub use state::{About, Hearing, State};
pub(crate) use types::SIGNATURE;

/// Every route.
fn router(state: State) -> Router {
    Router::new()
        .merge(tasks::routes())
        .merge(submit::routes())
        .merge(runs::routes())
        .merge(bulk::routes())
        .merge(schedules::routes())
        .merge(events::routes())
        .merge(space_events::routes())
        .merge(types::routes())
        .merge(streams::routes())
        .merge(collections::routes())
        .merge(features::routes())
        .merge(space_collections::routes())
        .merge(kibana::routes())
        .merge(hosts::routes())
        .merge(health::routes())
        .merge(page::routes())
        .with_state(state)
}

/// What answers every request; without a connection where one is made in this process.
#[must_use]
pub fn answers(state: State) -> Answers {
    Answers::of(router(state.clone()), state)
}

/// Serves until `stop` is canceled; requests that are being answered then get `grace`.
pub async fn serve(
    listener: TcpListener,
    state: State,
    settings: &HttpSettings,
    stop: CancellationToken,
    grace: Duration,
) {
    serve::serve(listener, answers(state), settings, stop, grace).await;
}
