//! Params and results against the schemas of their type.
//!
//! # Guarantees
//! 1. As a tree JSON takes up to eighty times the memory of its text, so only texts wait: a text
//!    of some size becomes a tree once its turn and a core are held, and the tree is gone before
//!    they are. There are never more such trees than cores.
//! 2. A text that is small, and cheap to check, is checked where it is asked for: most are.

use std::sync::Arc;

use serde_json::Value;
use taskhost_clients::schema::Schema;
use taskhost_model::descriptor::JSON_DEPTH_MAX;

use super::LoadedVersion;
use crate::error::FieldError;

/// Larger ones are not even parsed where they are asked for.
const IN_PLACE_BYTES_MAX: usize = 16 * 1024;

/// Of a check that has panicked: it is nobody's mistake that could be named.
const NOT_CHECKED: &str = "could not be checked";

/// A tree, or why there is none.
type Tree = Result<Value, Vec<FieldError>>;

/// What is checked.
#[derive(Debug, Clone, Copy)]
enum Part {
    Params,
    Result,
}

impl Part {
    fn schema(self, version: &LoadedVersion) -> Option<&Schema> {
        match self {
            Self::Params => version.params.as_ref(),
            Self::Result => version.result.as_ref(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Result => "result",
        }
    }

    fn mistakes(self, version: &LoadedVersion, tree: &Value) -> Vec<FieldError> {
        let mistakes = |schema: &Schema| schema.mistakes(self.name(), tree);
        self.schema(version).map_or_else(Vec::new, mistakes)
    }

    fn mistake(self, problem: impl Into<String>) -> Vec<FieldError> {
        let (field, problem) = (self.name().to_owned(), problem.into());
        vec![FieldError { field, problem }]
    }

    fn tree(self, text: &str) -> Tree {
        serde_json::from_str(text).map_err(|error| self.mistake(format!("is no JSON: {error}")))
    }
}

impl LoadedVersion {
    /// Params as they are kept: as their tree is written, so that those that say the same are the
    /// same text. Or their mistakes.
    pub(crate) async fn params_checked(
        self: &Arc<Self>,
        params: Arc<str>,
    ) -> Result<Arc<str>, Vec<FieldError>> {
        let part = Part::Params;
        let written = self.looked_at(part, params, move |version, tree| {
            let tree = tree?;
            if is_deeper_than(&tree, JSON_DEPTH_MAX) {
                return Err(part.mistake(format!("is nested deeper than {JSON_DEPTH_MAX}")));
            }
            let mistakes = part.mistakes(version, &tree);
            match mistakes.is_empty() {
                true => Ok(Arc::from(tree.to_string())),
                false => Err(mistakes),
            }
        });
        let (_, written) = written.await;
        written.unwrap_or_else(|| Err(part.mistake(NOT_CHECKED)))
    }

    /// Mistakes of params that are kept already.
    pub(crate) async fn params_mistakes(self: &Arc<Self>, params: &Arc<str>) -> Vec<FieldError> {
        self.mistakes(Part::Params, Arc::clone(params)).await.1
    }

    /// A result and its mistakes.
    pub(crate) async fn result_mistakes(
        self: &Arc<Self>,
        result: String,
    ) -> (String, Vec<FieldError>) {
        self.mistakes(Part::Result, result).await
    }

    async fn mistakes<S>(self: &Arc<Self>, part: Part, text: S) -> (S, Vec<FieldError>)
    where
        S: AsRef<str> + Default + Send + 'static,
    {
        if part.schema(self).is_none() {
            return (text, Vec::new());
        }
        let looked_at = self.looked_at(part, text, move |version, tree| match tree {
            Ok(tree) => part.mistakes(version, &tree),
            Err(mistakes) => mistakes,
        });
        let (text, mistakes) = looked_at.await;
        (text, mistakes.unwrap_or_else(|| part.mistake(NOT_CHECKED)))
    }

    /// A text and what is seen of it as a tree; neither when looking at it has panicked.
    async fn looked_at<S, T>(
        self: &Arc<Self>,
        part: Part,
        text: S,
        look: impl FnOnce(&Self, Tree) -> T + Send + 'static,
    ) -> (S, Option<T>)
    where
        S: AsRef<str> + Default + Send + 'static,
        T: Send + 'static,
    {
        if let Some(tree) = self.tree_in_place(part, text.as_ref()) {
            return (text, Some(look(self, tree)));
        }
        let version = Arc::clone(self);
        let looked_at = self.checks.work(move || {
            let seen = look(&version, part.tree(text.as_ref()));
            (text, seen)
        });
        match looked_at.await {
            Some((text, seen)) => (text, Some(seen)),
            None => (S::default(), None),
        }
    }

    /// A tree that may be looked at here and now.
    fn tree_in_place(&self, part: Part, text: &str) -> Option<Tree> {
        if text.len() > IN_PLACE_BYTES_MAX {
            return None;
        }
        let tree = part.tree(text);
        let is_slow = |schema: &Schema| tree.as_ref().is_ok_and(|tree| schema.is_slow_for(tree));
        let is_slow = part.schema(self).is_some_and(is_slow);
        (!is_slow).then_some(tree)
    }
}

/// Whether arrays and objects are nested deeper than `depth`.
fn is_deeper_than(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => {
            depth == 0 || items.iter().any(|item| is_deeper_than(item, depth - 1))
        }
        Value::Object(entries) => {
            depth == 0 || entries.values().any(|item| is_deeper_than(item, depth - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::sync::mpsc;
    use std::task::Poll;

    use serde_json::json;
    use taskhost_model::ids::{Digest, TypeId};
    use taskhost_model::time::Timestamp;
    use taskhost_store::components::{Version, VersionState};
    use tokio::sync::oneshot;

    use super::super::Rules;
    use super::*;

    /// A version whose params and results are anything; checking them costs next to nothing.
    fn version(schema: &Value) -> Arc<LoadedVersion> {
        let descriptor = json!({
            "id": "worker", "version": "1.0.0", "title": "Works",
            "params_schema": schema, "result_schema": schema,
        });
        let version = Version {
            digest: Digest::parse(&"0".repeat(64)).unwrap(),
            type_id: TypeId::parse("worker").unwrap(),
            descriptor: descriptor.to_string(),
            state: VersionState::Active,
            bytes: 0,
            uploaded_at: Timestamp::from_ms(0),
            activated_at: None,
            approval: None,
            signed_by: None,
        };
        Arc::new(LoadedVersion::read(version, &Rules::default()).unwrap())
    }

    /// Holds the type's turn until it is told to let go.
    async fn hold(version: &Arc<LoadedVersion>) -> mpsc::Sender<()> {
        let (begin, begun) = oneshot::channel();
        let (let_go, held) = mpsc::channel::<()>();
        let version = Arc::clone(version);
        tokio::spawn(async move {
            let hold = move || {
                begin.send(()).unwrap();
                held.recv().ok();
            };
            version.checks.work(hold).await
        });
        begun.await.unwrap();
        let_go
    }

    /// What a future has come to by now.
    async fn by_now<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let polled = |context: &mut std::task::Context<'_>| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        };
        poll_fn(polled).await
    }

    /// Whoever parsed these before their turn would have an answer at once: they are no JSON, and
    /// the schema is no work.
    #[tokio::test]
    async fn a_text_of_some_size_is_not_parsed_before_its_turn() {
        let version = version(&json!({"type": "array"}));
        let let_go = hold(&version).await;
        let broken = format!("[{}", r#"{"":0},"#.repeat(IN_PLACE_BYTES_MAX / 7 + 1));
        let params = Arc::<str>::from(broken.as_str());
        let mut result = pin!(version.result_mistakes(broken.clone()));
        let mut checked = pin!(version.params_checked(Arc::clone(&params)));
        let mut mistakes = pin!(version.params_mistakes(&params));
        assert_eq!(by_now(result.as_mut()).await, None);
        assert_eq!(by_now(checked.as_mut()).await, None);
        assert_eq!(by_now(mistakes.as_mut()).await, None);
        drop(let_go);
        let (text, of_result) = result.await;
        assert_eq!(text, broken);
        for mistakes in [of_result, checked.await.unwrap_err(), mistakes.await] {
            assert!(mistakes[0].problem.contains("is no JSON"), "{mistakes:?}");
        }
    }

    #[tokio::test]
    async fn what_is_small_and_cheap_waits_for_nobody() {
        let version = version(&json!({"type": "array"}));
        let _held = hold(&version).await;
        let small = format!("[{}0]", "0,".repeat(IN_PLACE_BYTES_MAX / 2 - 2));
        let result = by_now(pin!(version.result_mistakes(small.clone()))).await;
        assert_eq!(result, Some((small.clone(), Vec::new())));
        let params = by_now(pin!(version.params_checked(Arc::from(small.as_str())))).await;
        assert_eq!(params, Some(Ok(Arc::from(small))));
        let mistakes = by_now(pin!(version.params_mistakes(&Arc::from("1")))).await;
        assert_eq!(mistakes.unwrap()[0].field, "params");
    }

    #[tokio::test]
    async fn what_is_small_and_dear_waits_for_its_turn() {
        let version = version(&json!({"items": {"pattern": "a+b+c+d+e+"}}));
        let let_go = hold(&version).await;
        let dear = json!(["a".repeat(IN_PLACE_BYTES_MAX / 2)]).to_string();
        let mut result = pin!(version.result_mistakes(dear));
        assert_eq!(by_now(result.as_mut()).await, None);
        drop(let_go);
        assert_eq!(result.await.1[0].field, "result.0");
    }

    #[tokio::test]
    async fn params_that_say_the_same_are_kept_as_the_same_text() {
        let version = version(&json!({}));
        let kept = |text: &str| version.params_checked(Arc::from(text));
        let a = kept(r#"{"a":1,"b":[1.50,"\u0061"]}"#).await.unwrap();
        assert_eq!(kept(r#" { "b":[15e-1,"a"], "a":1 } "#).await.unwrap(), a);
        assert_ne!(kept(r#"{"a":2,"b":[1.5,"a"]}"#).await.unwrap(), a);
        let large = |gap: &str| format!("[{gap}{}0]", "0,".repeat(IN_PLACE_BYTES_MAX));
        assert_eq!(*kept(&large("\n")).await.unwrap(), large(""));
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(kept(&deep).await.unwrap_err()[0].problem.contains("deeper"));
    }

    #[test]
    fn nesting_is_counted_in_arrays_and_objects() {
        assert!(!is_deeper_than(&json!(1), 0));
        assert!(is_deeper_than(&json!([]), 0));
        assert!(!is_deeper_than(&json!({"a": [1]}), 2));
        assert!(is_deeper_than(&json!({"a": [[1]]}), 2));
    }
}
