//! Opens the store that the settings name.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use taskhost_model::time::Clock;
use taskhost_store::error::StoreError;
use taskhost_store::limits::Limits;
use taskhost_store::open::{
    ElasticConnection, ElasticSettings, OpenError, Stores, elastic_streams, open_elastic,
};

use crate::settings::{ClusterSettings, Settings, StoreSettings};

/// Between two tries to open a store that cannot be reached.
const CLUSTER_PAUSE: Duration = Duration::from_secs(1);

/// How large what is stored may be.
pub(crate) fn limits(settings: &Settings) -> Limits {
    Limits {
        params_bytes_max: settings.limits.params_bytes_max,
        payload_bytes_max: settings.bounds.output_kib * 1024,
        log_bytes_max: settings.limits.log_bytes_max,
        checkpoints_bytes_max: settings.limits.checkpoints_bytes_max,
        stream_document_bytes_max: settings.limits.document_bytes_max,
        runs_kept: settings.runs.runs_kept,
        retention: settings.runs.retention,
    }
}

/// Opens it, and takes the lock on the data folder.
///
/// # Errors
/// [`OpenError`].
pub(crate) async fn open_stores(settings: &Settings, clock: Clock) -> Result<Stores, OpenError> {
    let limits = limits(settings);
    if let StoreSettings::Elasticsearch(cluster) = &settings.store {
        let mut stores = open_cluster(cluster, limits, &clock).await?;
        stores.hold(&settings.data)?;
        return Ok(stores);
    }
    let wanted = taskhost_store::open::Settings {
        folder: settings.data.clone(),
        limits,
    };
    let has_tokens = settings.has_tokens;
    let open = move || match has_tokens {
        true => taskhost_store::open::open_with_people(&wanted, clock),
        false => taskhost_store::open::open(&wanted, clock),
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|error| OpenError::Folder {
        folder: settings.data.clone(),
        error: io::Error::other(error),
    })?
}

/// A cluster that cannot be reached is waited for: hosts and cluster may start together, and who
/// has started once does not end either because it is away.
async fn open_cluster(
    settings: &ClusterSettings,
    limits: Limits,
    clock: &Clock,
) -> Result<Stores, OpenError> {
    let connection = ElasticConnection {
        urls: settings.urls.clone(),
        credentials: settings.credentials.clone(),
        authority: settings.authority.clone(),
        request_timeout: settings.request_timeout,
        retry_for: settings.retry_for,
    };
    let streams = elastic_streams(&connection)?;
    let wanted = ElasticSettings {
        connection,
        prefix: settings.prefix.clone(),
        limits,
    };
    let mut said = None;
    loop {
        match open_elastic(&wanted, clock.clone(), Arc::clone(&streams)).await {
            Err(OpenError::Elastic(StoreError::Unavailable { reason })) => {
                // What has been said once is not said again every second.
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(urls = ?settings.urls, reason, "waiting for the cluster");
                    said = Some(reason);
                }
                tokio::time::sleep(CLUSTER_PAUSE).await;
            }
            done => return done,
        }
    }
}
