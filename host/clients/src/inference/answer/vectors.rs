//! Vectors of texts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Judged, MODEL_BYTES_MAX, bad, judged, read};
use crate::error::cut;
use crate::inference::request::Wanted;

#[derive(Deserialize)]
struct Vectors {
    data: Vec<Vector>,
    model: Option<String>,
}

#[derive(Deserialize)]
struct Vector {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// Vectors of texts, and what they took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// In the order of the texts: finite numbers, all vectors of one length.
    pub vectors: Vec<Vec<f32>>,
    /// JSON text, as `embedding-details.json` has it.
    pub details: String,
}

/// Vectors in the order of their texts.
pub(crate) fn embeddings(body: &[u8], wanted: &Wanted, sent_bytes: usize) -> Judged<Embeddings> {
    judged(body, sent_bytes, |text, used| {
        let Vectors { mut data, model } = read(text)?;
        let count = match wanted {
            Wanted::Vectors(count) => *count,
            Wanted::Completion { .. } => 0,
        };
        if data.iter().all(|vector| vector.index.is_some()) {
            data.sort_by_key(|vector| vector.index);
        }
        if data.len() != count {
            let problem = format!("it has {} vectors for {count} texts", data.len());
            return Err(bad(&problem, text));
        }
        let length = data.first().map_or(0, |vector| vector.embedding.len());
        if data.iter().any(|vector| vector.embedding.len() != length) {
            return Err(bad("its vectors have different lengths", text));
        }
        let mut details = json!({"usage": {
            "prompt_tokens": used.prompt_tokens,
            "estimated": used.estimated,
        }});
        if let Some(model) = model {
            details["model"] = json!(cut(&model, MODEL_BYTES_MAX));
        }
        Ok(Embeddings {
            vectors: data.into_iter().map(|vector| vector.embedding).collect(),
            details: details.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn vectors_stand_in_the_order_of_their_texts() {
        let two = br#"{"data":[{"index":1,"embedding":[2,2.5]},{"index":0,"embedding":[1,1.5]}],
            "model":"small","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        let judged = embeddings(two, &Wanted::Vectors(2), 40);
        let answered = judged.answer.unwrap();
        assert_eq!(answered.vectors, [vec![1.0, 1.5], vec![2.0, 2.5]]);
        let details: Value = serde_json::from_str(&answered.details).unwrap();
        let usage = json!({"prompt_tokens": 4, "estimated": false});
        assert_eq!(details, json!({"usage": usage, "model": "small"}));
        assert_eq!(judged.used.tokens(), 4);
        for wanted in [1, 3] {
            let judged = embeddings(two, &Wanted::Vectors(wanted), 40);
            assert_eq!(judged.answer.unwrap_err().code, ErrorCode::BadAnswer);
        }
        for (first, why) in [("[1e39,1]", "out of range"), ("[1]", "different lengths")] {
            let text = format!(r#"{{"data":[{{"embedding":{first}}},{{"embedding":[1,2]}}]}}"#);
            let judged = embeddings(text.as_bytes(), &Wanted::Vectors(2), 40);
            let error = judged.answer.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadAnswer);
            assert!(error.message.contains(why), "{error}");
        }
    }
}
