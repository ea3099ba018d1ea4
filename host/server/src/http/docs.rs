//! The description of the interface: for programs at `/openapi.json`, for people at `/docs`.

mod sheet;

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::Markup;
use serde_json::Value;

use super::answer;
use super::asked::Asked;
use super::described::{Operation, Routes, document};
use super::page;
use super::problem::Problem;

pub(crate) fn routes() -> Routes {
    Routes::of("This host")
        .get("/openapi.json", openapi, about_openapi)
        .get("/docs", docs, about_docs)
}

/// What is said of all routes; written when somebody first asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Docs(Arc<Inner>);

struct Inner {
    operations: Vec<Operation>,
    document: OnceLock<Value>,
    sheet: OnceLock<Markup>,
}

impl Docs {
    pub(crate) fn of(operations: Vec<Operation>) -> Self {
        Self(Arc::new(Inner {
            operations,
            document: OnceLock::new(),
            sheet: OnceLock::new(),
        }))
    }

    fn document(&self) -> &Value {
        self.0.document.get_or_init(|| document(&self.0.operations))
    }

    fn sheet(&self) -> &Markup {
        self.0.sheet.get_or_init(|| sheet::sheet(self.document()))
    }
}

type Answer = Result<Response<Body>, Problem>;

fn about_openapi(it: Operation) -> Operation {
    it.says("get_openapi", "Get this description, as OpenAPI 3.1")
        .answers::<serde_json::Map<String, Value>>(StatusCode::OK, "The description.")
}

async fn openapi(_: Asked, Extension(docs): Extension<Docs>) -> Answer {
    Ok(answer::json(StatusCode::OK, docs.document()))
}

fn about_docs(it: Operation) -> Operation {
    it.says("page_of_docs", "This description, as a page")
        .page()
        .answers_other(StatusCode::OK, "text/html", "The page.")
}

async fn docs(_: Asked, Extension(docs): Extension<Docs>) -> Answer {
    Ok(page::reference(docs.sheet()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::routes;
    use super::*;

    /// Where the description is kept, for whoever reads it without a host.
    const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    fn described() -> Docs {
        Docs::of(routes().into_parts().1)
    }

    /// `TASKHOST_WRITE=1 cargo test -p taskhost-server openapi` writes it anew.
    #[test]
    fn the_openapi_that_is_kept_is_the_one_that_is_served() {
        let docs = described();
        let mut text = serde_json::to_string_pretty(docs.document()).unwrap();
        text.push('\n');
        if std::env::var_os("TASKHOST_WRITE").is_some() {
            std::fs::write(KEPT, &text).unwrap();
        }
        let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
        assert!(
            kept == text,
            "host/server/openapi.json is not what the routes say: look at what has changed, and \
             write it with TASKHOST_WRITE=1 cargo test -p taskhost-server openapi"
        );
    }

    #[test]
    fn each_operation_has_a_name_of_its_own_an_answer_and_known_schemas() {
        let docs = described();
        let document = docs.document();
        let mut ids = BTreeSet::new();
        for path in document["paths"].as_object().unwrap().values() {
            for operation in path.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(!id.is_empty() && ids.insert(id), "`{id}` stands twice");
                assert_ne!(operation["summary"], "", "{id}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|it| it < &"400".to_owned()), "{id}");
            }
        }
        let text = document.to_string();
        let referred = text.split("\"#/components/schemas/").skip(1);
        for name in referred.filter_map(|rest| rest.split('"').next()) {
            let schemas = &document["components"]["schemas"];
            assert!(schemas.get(name).is_some(), "{name}");
        }
    }

    /// No route without a description: they are added in one place, together with it.
    #[test]
    fn routes_are_made_where_they_are_described_and_nowhere_else() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
        let mut folders = vec![folder.clone()];
        let maker = folder.join("described.rs");
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") && path != maker {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let makes = text.contains(concat!(".rou", "te("));
                    let makes = makes || text.contains(concat!("axum::", "routing"));
                    assert!(!makes, "{} adds a route by itself", path.display());
                }
            }
        }
    }
}
