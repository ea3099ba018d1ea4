//! Sends what goes on to a collector of traces: OTLP over HTTP, as JSON
//! (opentelemetry.io/docs/specs/otlp). Nothing is sent unless the settings name one.
//!
//! # Guarantees
//! 1. Nobody waits for the collector. What it cannot take is left out, counted in
//!    `taskhost_trace_spans_dropped_total`, and said once until it takes something again.
//! 2. At most [`WAITING_MAX`] spans are in memory.
//!
//! # Why this way
//! Three kinds of spans need no framework: the format is a page of JSON, and what OpenTelemetry's
//! crates would bring along is more than the rest of the interface.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter};
use serde_json::{Value, json};
use taskhost_service::spans::{Span, SpanSink, Value as Attribute};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// So many spans wait to be sent at most.
const WAITING_MAX: usize = 4_096;
/// So many are sent together.
const TOGETHER: usize = 512;
/// They wait so long for each other.
const GATHERING: Duration = Duration::from_secs(1);
/// A collector that takes longer is as good as none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// When the host stops, what is left is sent within.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

const DROPPED: &str = "taskhost_trace_spans_dropped_total";

/// Where spans are handed over.
#[derive(Debug)]
pub(crate) struct Traces(mpsc::Sender<Span>);

/// Sends them, until it is ended.
#[derive(Debug)]
pub(crate) struct Exporting {
    end: CancellationToken,
    work: JoinHandle<()>,
}

#[derive(Debug)]
struct Exporter {
    waiting: mpsc::Receiver<Span>,
    http: reqwest::Client,
    url: String,
    resource: Value,
    is_in_trouble: bool,
}

impl Traces {
    /// For a collector at `endpoint`; `host` is this host's name.
    ///
    /// # Errors
    /// When the system allows no client.
    pub(crate) fn to(
        endpoint: &str,
        host: &str,
    ) -> Result<(Arc<dyn SpanSink>, Exporting), reqwest::Error> {
        let (spans, exporter) = Self::and_exporter(endpoint, host)?;
        let end = CancellationToken::new();
        let work = tokio::spawn(exporter.run(end.clone()));
        Ok((Arc::new(spans), Exporting { end, work }))
    }

    fn and_exporter(endpoint: &str, host: &str) -> Result<(Self, Exporter), reqwest::Error> {
        describe_counter!(
            DROPPED,
            Unit::Count,
            "Spans of traces that were not sent, since there were too many or nobody took them"
        );
        counter!(DROPPED).increment(0);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        let (spans, waiting) = mpsc::channel(WAITING_MAX);
        let text = |key: &str, value: &str| attribute(key, &json!({ "stringValue": value }));
        let exporter = Exporter {
            waiting,
            http,
            url: format!("{endpoint}/v1/traces"),
            resource: json!({ "attributes": [
                text("service.name", "taskhost"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", host),
            ] }),
            is_in_trouble: false,
        };
        Ok((Self(spans), exporter))
    }
}

impl SpanSink for Traces {
    fn take(&self, span: Span) {
        if self.0.try_send(span).is_err() {
            counter!(DROPPED).increment(1);
        }
    }
}

impl Exporting {
    /// Sends what is left.
    pub(crate) async fn end(self) {
        self.end.cancel();
        // An error means that it has ended already.
        let _ = self.work.await;
    }
}

impl Exporter {
    /// Sends until it is stopped, and then what is left.
    async fn run(mut self, stop: CancellationToken) {
        let mut spans = Vec::with_capacity(TOGETHER);
        loop {
            tokio::select! {
                taken = self.waiting.recv_many(&mut spans, TOGETHER) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = stop.cancelled() => break,
            }
            if spans.len() < TOGETHER {
                let more = tokio::time::sleep(GATHERING);
                stop.run_until_cancelled(more).await;
            }
            while spans.len() < TOGETHER
                && let Ok(span) = self.waiting.try_recv()
            {
                spans.push(span);
            }
            self.send(&mut spans).await;
        }
        let rest = async {
            loop {
                while spans.len() < TOGETHER
                    && let Ok(span) = self.waiting.try_recv()
                {
                    spans.push(span);
                }
                if spans.is_empty() {
                    return;
                }
                self.send(&mut spans).await;
            }
        };
        if tokio::time::timeout(LAST_TIMEOUT, rest).await.is_err() {
            tracing::debug!("some traces were not sent before the end");
        }
    }

    async fn send(&mut self, spans: &mut Vec<Span>) {
        let body = self.body(spans);
        let request = self.http.post(&self.url).json(&body).send();
        let answer = request.await.and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(_) => self.is_in_trouble = false,
            Err(error) => {
                counter!(DROPPED).increment(spans.len() as u64);
                if !self.is_in_trouble {
                    let error = words(&error);
                    tracing::warn!(
                        url = self.url,
                        error,
                        "traces are not taken: they are left out until they are"
                    );
                }
                self.is_in_trouble = true;
            }
        }
        spans.clear();
    }

    fn body(&self, spans: &[Span]) -> Value {
        let spans: Vec<Value> = spans.iter().map(written).collect();
        json!({ "resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{ "scope": { "name": "taskhost" }, "spans": spans }],
        }] })
    }
}

/// An error with its causes.
fn words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": value })
}

fn written(span: &Span) -> Value {
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Attribute::Text(text) => json!({ "stringValue": text }),
            // A number of 64 bits is a text in JSON of protocol buffers.
            Attribute::Number(number) => json!({ "intValue": number.to_string() }),
        };
        attribute(key, &value)
    });
    let mut written = json!({
        "traceId": span.place.trace_id(),
        "spanId": span.place.span_id(),
        "name": span.name,
        // SERVER, or INTERNAL.
        "kind": if span.is_answer { 2 } else { 1 },
        "startTimeUnixNano": span.begun_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        "status": match &span.failure {
            None => json!({}),
            Some(failure) => json!({ "code": 2, "message": failure }),
        },
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = parent.span_id().into();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskhost_model::trace::TraceParent;

    fn span() -> Span {
        Span {
            place: TraceParent::root(),
            parent: None,
            name: "run hello".to_owned(),
            is_answer: false,
            begun_ns: 1,
            ended_ns: 2,
            failure: None,
            attributes: vec![("n", Attribute::Number(u64::MAX))],
        }
    }

    /// Complaint 18: what nobody takes does not pile up.
    #[tokio::test]
    async fn what_nobody_takes_is_left_out_and_holds_nobody_up() {
        let (traces, exporter) = Traces::and_exporter("http://127.0.0.1:1", "h").unwrap();
        for _ in 0..3 * WAITING_MAX {
            traces.take(span());
        }
        assert_eq!(exporter.waiting.len(), WAITING_MAX);
        let stop = CancellationToken::new();
        drop(traces);
        // Every one of them is tried, and given up.
        exporter.run(stop).await;
    }

    #[test]
    fn a_span_is_written_as_otlp_wants_it() {
        let parent = TraceParent::root();
        let span = Span {
            place: parent.child(),
            parent: Some(parent),
            failure: Some("trap".to_owned()),
            ..span()
        };
        let written = written(&span);
        assert_eq!(written["traceId"], parent.trace_id());
        assert_eq!(written["parentSpanId"], parent.span_id());
        assert_eq!(written["startTimeUnixNano"], "1");
        assert_eq!(written["status"]["code"], 2);
        let number = &written["attributes"][0]["value"]["intValue"];
        assert_eq!(number, &u64::MAX.to_string());
    }
}
