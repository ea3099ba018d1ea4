//! The HTTP interface. A handler parses, makes one call of the service, and converts.

mod codes;
mod answer;
mod problem;
mod guard;
mod cookie;
mod rates;
mod patient;
mod shares;
mod request;
mod state;
mod described;
mod traced;
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
mod audit;
mod tokens;
mod health;
mod page;
mod login;
mod docs;
mod serve;

use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::HttpSettings;

use self::described::Routes;
pub use serve::Answers;
pub use state::{About, Hearing, State};
pub(crate) use types::SIGNATURE;

/// Every route.
fn routes() -> Routes {
    tasks::routes()
        .and(submit::routes())
        .and(runs::routes())
        .and(bulk::routes())
        .and(events::routes())
        .and(space_events::routes())
        .and(schedules::routes())
        .and(types::routes())
        .and(streams::routes())
        .and(collections::routes())
        .and(features::routes())
        .and(space_collections::routes())
        .and(kibana::routes())
        .and(hosts::routes())
        .and(audit::routes())
        .and(tokens::routes())
        .and(login::routes())
        .and(health::routes())
        .and(docs::routes())
        .and(page::routes())
}

fn router(state: State) -> Router {
    let (router, operations) = routes().into_parts();
    router
        .layer(Extension(docs::Docs::of(operations)))
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
