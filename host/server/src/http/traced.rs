//! The span of a request: what it is part of, by its `traceparent`, and what it was, for whoever
//! collects traces.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use taskhost_model::trace::TraceParent;
use taskhost_service::spans::{Begun, Span, Value};

use super::described::Route;
use super::state::State;

/// The header, as W3C's Trace Context names it.
pub(crate) const HEADER: &str = "traceparent";

/// A request on its way, where somebody collects traces.
pub(crate) struct Traced {
    begun: Begun,
    parent: Option<TraceParent>,
    place: TraceParent,
}

/// What a handler is told: the span that it works in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within(pub(crate) TraceParent);

impl Traced {
    /// Tells the handler what it works in. Of what reads alone there are too many to be told,
    /// unless somebody asks for it.
    pub(crate) fn begin(state: &State, request: &mut Request<Body>) -> Option<Self> {
        let given = request.headers().get(HEADER);
        // Whatever else it is, the request is not the worse for it.
        let parent: Option<TraceParent> = given.and_then(|it| it.to_str().ok()?.parse().ok());
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_wanted = parent.map_or(!is_read, TraceParent::is_sampled);
        let traced = (state.spans().is_some() && is_wanted).then(|| Self {
            begun: Begun::now(),
            parent,
            place: parent.map_or_else(TraceParent::root, TraceParent::child),
        });
        let within = traced.as_ref().map(|it| it.place).or(parent);
        if let Some(place) = within {
            request.extensions_mut().insert(Within(place));
        }
        traced
    }

    /// It is answered.
    pub(crate) fn end(self, state: &State, route: Option<&Route>, status: StatusCode) {
        let Some(spans) = state.spans() else { return };
        let (begun_ns, ended_ns) = self.begun.until_now();
        let text = |text: &str| Value::Text(text.to_owned());
        let mut attributes = vec![(
            "http.response.status_code",
            Value::Number(status.as_u16().into()),
        )];
        // A path that is no route is whatever somebody wrote.
        let name = route.map_or_else(
            || "HTTP".to_owned(),
            |route| format!("{} {}", route.method, route.path),
        );
        if let Some(route) = route {
            attributes.push(("http.request.method", text(&route.method)));
            attributes.push(("http.route", text(&route.path)));
        }
        spans.take(Span {
            place: self.place,
            parent: self.parent,
            name,
            is_answer: true,
            begun_ns,
            ended_ns,
            failure: status
                .is_server_error()
                .then(|| status.as_u16().to_string()),
            attributes,
        });
    }
}
