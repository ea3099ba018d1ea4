//! Routes with their descriptions: a route is added together with what it takes and what it
//! answers, and in no other way, so that there is neither without the other.

mod operation;
mod document;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::http::Response;
use axum::middleware::map_response;
use axum::routing::{MethodFilter, MethodRouter, on};

pub(super) use self::document::document;
pub(crate) use self::operation::{Anything, Operation};
use super::state::State;

/// Routes of one subject.
pub(crate) struct Routes {
    subject: &'static str,
    router: Router<State>,
    operations: Vec<Operation>,
}

/// What was asked for, by whatever path: stands in the extensions of a response.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: Arc<str>,
    pub(crate) path: Arc<str>,
}

/// Says of an operation what its route does.
pub(crate) type About = fn(Operation) -> Operation;

impl Routes {
    /// None yet, of a subject: a few words that people read above them.
    pub(crate) fn of(subject: &'static str) -> Self {
        Self {
            subject,
            router: Router::new(),
            operations: Vec::new(),
        }
    }

    pub(crate) fn get<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, State>,
        T: 'static,
    {
        self.add("get", path, on(MethodFilter::GET, handler), about)
    }

    pub(crate) fn put<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, State>,
        T: 'static,
    {
        self.add("put", path, on(MethodFilter::PUT, handler), about)
    }

    pub(crate) fn post<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, State>,
        T: 'static,
    {
        self.add("post", path, on(MethodFilter::POST, handler), about)
    }

    pub(crate) fn delete<H, T>(self, path: &str, handler: H, about: About) -> Self
    where
        H: Handler<T, State>,
        T: 'static,
    {
        self.add("delete", path, on(MethodFilter::DELETE, handler), about)
    }

    fn add(
        mut self,
        method: &'static str,
        path: &str,
        route: MethodRouter<State>,
        about: About,
    ) -> Self {
        let name = Route {
            method: method.to_uppercase().into(),
            path: path.into(),
        };
        // Whoever answers the request tells by it what was asked for.
        let route = route.layer(map_response(move |mut response: Response<Body>| {
            response.extensions_mut().insert(name.clone());
            std::future::ready(response)
        }));
        self.router = self.router.route(path, route);
        let operation = Operation::new(self.subject, method, path);
        self.operations.push(about(operation));
        self
    }

    /// All of them, and those of another subject.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.operations.extend(others.operations);
        self
    }

    /// What answers, and what is said of it.
    pub(crate) fn into_parts(self) -> (Router<State>, Vec<Operation>) {
        (self.router, self.operations)
    }
}
