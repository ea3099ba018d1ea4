//! A whole host in this process, over a store in memory, for one input.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_model::ids::{Space, StreamKey, StreamName};
use taskhost_model::requester::Requester;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{Runtime, RuntimeSettings};
use taskhost_server::http::{About, Answers, State, answers};
use taskhost_server::settings::HttpSettings;
use taskhost_service::settings::Settings;
use taskhost_service::{Parts, Service};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};

use crate::place;

/// CPU time of `describe`: far less than the host gives, so that an endless loop is a short one.
const DESCRIBE_CPU: Duration = Duration::from_millis(50);
const CONNECTIONS_MAX: usize = 16;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The service, what lies below it, and what stands before it.
pub(crate) struct Host {
    pub(crate) service: Service,
    pub(crate) stores: Stores,
    pub(crate) clock: Clock,
    pub(crate) answers: Answers,
}

impl Host {
    /// Starts one. Nothing is claimed before `service.begin()`.
    pub(crate) async fn start(stores: Stores, clock: Clock) -> Self {
        let settings = Settings {
            slots: 4,
            retry_backoff: Duration::from_millis(1),
            sweep_interval: Duration::from_secs(1),
            ..Settings::default()
        };
        let service = Service::start(Parts {
            stores: stores.clone(),
            runtime: runtime(),
            clock: clock.clone(),
            settings,
            host: "host-1".to_owned(),
            connectors: Connectors::default(),
            network: Network::default(),
            script: None,
            host_key: Arc::new(taskhost_service::host_key::GivenKey([0; 32])),
            key_ring: None,
            address: None,
            messenger: None,
            spans: None,
        });
        let service = service.await.unwrap();
        let about = About {
            host: "host-1".to_owned(),
            store: "embedded",
            started_at: clock.now(),
        };
        let params_bytes_max = Limits::default().params_bytes_max;
        let state = State::new(
            service.clone(),
            stores.clone(),
            about,
            params_bytes_max,
            &http(),
        );
        state.folder_is_judged();
        Self {
            service,
            stores,
            clock,
            answers: answers(state),
        }
    }

    /// Ends every run. What is left of the host goes with the executor.
    pub(crate) async fn end(self) {
        self.service.drain(Duration::ZERO).await;
    }
}

/// An empty store and its clock, which nobody moves but the input.
pub(crate) fn empty() -> (Stores, Clock) {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    (in_memory(Limits::default(), clock.clone()), clock)
}

/// Runs an input on an executor of its own: nothing is left of it for the next one.
pub(crate) fn block_on<T>(input: impl Future<Output = T>) -> T {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    executor.unwrap().block_on(input)
}

/// One for all inputs; its threads end with the process.
pub(crate) fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let start = || {
        let settings = RuntimeSettings {
            workers: 1,
            runs_max: 32,
            describe_cpu: DESCRIBE_CPU,
            ..RuntimeSettings::new(place::compiled())
        };
        Arc::new(Runtime::start(settings).unwrap())
    };
    Arc::clone(RUNTIME.get_or_init(start))
}

fn http() -> HttpSettings {
    HttpSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        behind_proxy: false,
        tls: None,
        connections_max: CONNECTIONS_MAX,
        requests_a_second: 1,
        header_timeout: BODY_TIMEOUT,
        body_timeout: BODY_TIMEOUT,
        write_timeout: BODY_TIMEOUT,
    }
}

pub(crate) fn somebody() -> Requester {
    Requester::single_user()
}

/// A stream in the space `default`.
pub(crate) fn stream(name: &str) -> StreamKey {
    StreamKey {
        space: Space::parse("default").unwrap(),
        name: StreamName::parse(name).unwrap(),
    }
}
