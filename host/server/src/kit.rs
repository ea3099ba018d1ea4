//! A host for one test of a task type: real, on a temporary folder, gone afterwards.

pub(crate) mod script;
pub(crate) mod fixtures;
pub(crate) mod answers;
pub(crate) mod model;
pub(crate) mod stand_in;
pub(crate) mod web;
pub(crate) mod wishes;
pub(crate) mod templates;

use std::path::Path;
use std::sync::Arc;

use taskhost_store::documents::DocumentStore;
use tempfile::TempDir;

use crate::app::{App, AppError, Disturbance};
use crate::settings::{Flags, Settings};

/// Where such a host lives; gone when dropped.
#[derive(Debug)]
pub(crate) struct KitFolder(TempDir);

impl KitFolder {
    pub(crate) fn new() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("taskhost-kit-").tempdir()?;
        std::fs::create_dir(folder.path().join("task-types"))?;
        Ok(Self(folder))
    }

    /// They win over a settings file.
    pub(crate) fn flags(&self) -> Flags {
        let text = |path: &Path| Some(path.to_string_lossy().into_owned());
        Flags {
            listen: Some("127.0.0.1:0".to_owned()),
            data: text(&self.0.path().join("data")),
            task_types: text(&self.0.path().join("task-types")),
            store: Some("embedded".to_owned()),
            elasticsearch_url: None,
            key_file: None,
            identity: Some("none".to_owned()),
        }
    }
}

/// A host that can be killed and started again on what it left.
#[derive(Debug)]
pub(crate) struct KitHost {
    /// None while it is dead.
    app: Option<App>,
    settings: Settings,
    disturbance: Disturbance,
    _folder: KitFolder,
}

impl KitHost {
    /// Starts a host that knows no task types.
    pub(crate) async fn start(
        folder: KitFolder,
        settings: Settings,
        disturbance: Disturbance,
    ) -> Result<Self, AppError> {
        let app = ready(settings.clone(), disturbance.clone()).await?;
        Ok(Self {
            app: Some(app),
            settings,
            disturbance,
            _folder: folder,
        })
    }

    pub(crate) fn url(&self) -> String {
        self.app.as_ref().map(App::url).unwrap_or_default()
    }

    /// Its collections; none while it is dead.
    pub(crate) fn documents(&self) -> Option<Arc<dyn DocumentStore>> {
        self.app.as_ref().map(App::documents)
    }

    /// Kills the host, and starts another one on what it left. `is_dead` is called in between,
    /// before anybody waits for the guests.
    pub(crate) async fn kill(&mut self, is_dead: impl FnOnce()) -> Result<(), AppError> {
        if let Some(app) = self.app.take() {
            app.abandon(is_dead).await;
        }
        self.app = Some(ready(self.settings.clone(), self.disturbance.clone()).await?);
        Ok(())
    }

    pub(crate) async fn stop(self) {
        if let Some(app) = self.app {
            app.stop().await;
        }
    }
}

async fn ready(settings: Settings, disturbance: Disturbance) -> Result<App, AppError> {
    let mut app = App::start_disturbed(settings, disturbance).await?;
    app.get_ready().await;
    Ok(app)
}
