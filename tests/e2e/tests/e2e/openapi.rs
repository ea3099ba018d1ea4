//! The description of the interface: what is described is there, and nothing else is.

use reqwest::Method;
use serde_json::Value;
use taskhost_e2e::home::Home;

/// A path of the description with something in the place of each name.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    for part in path.split('/').skip(1) {
        filled.push('/');
        filled.push_str(match part {
            "{digest}" => "0000000000000000000000000000000000000000000000000000000000000000",
            "{run}" => "01890000-0000-7000-8000-000000000000",
            part if part.starts_with('{') => "nobody",
            part => part,
        });
    }
    filled
}

#[tokio::test]
async fn every_route_that_is_described_is_there_and_takes_no_other_method() {
    let host = Home::with(&[]).start().await;
    let document = host.get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    for (path, described) in document["paths"].as_object().unwrap() {
        for (name, method) in [
            ("get", Method::GET),
            ("put", Method::PUT),
            ("post", Method::POST),
            ("delete", Method::DELETE),
            ("patch", Method::PATCH),
        ] {
            let request = host.request(method, &filled(path));
            // Streams of events do not end by themselves: their head is enough.
            let answer = request.send().await.unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let Some(operation) = described.get(name) else {
                assert_eq!(status, 405, "{name} {path} is not described");
                assert!(headers.contains_key("allow"), "{name} {path}");
                continue;
            };
            let answers = operation["responses"].as_object().unwrap();
            assert!(
                answers.contains_key(&status.to_string()),
                "{name} {path} answers {status}"
            );
            let kind = headers.get("content-type").map(|it| it.to_str().unwrap());
            if status == 404 && kind == Some("application/problem+json") {
                let problem: Value = answer.json().await.unwrap();
                let detail = problem["detail"].as_str().unwrap();
                assert!(!detail.starts_with("there is nothing at"), "{name} {path}");
            }
        }
    }
    host.get("/v1/nothing").await.problem(404, "not-found");
}

#[tokio::test]
async fn the_docs_are_a_page_with_every_operation_and_nothing_from_outside() {
    let host = Home::with(&[]).start().await;
    let document = host.get("/openapi.json").await.expect(200);
    let page = host.get("/docs").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for path in document["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.text.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            page.text.contains(&format!("id=\"shape-{name}\"")),
            "{name}"
        );
    }
    for attribute in ["src", "href"] {
        for value in page.text.split(&format!(" {attribute}=\"")).skip(1) {
            assert!(value.starts_with(['/', '#']), "{attribute}={value:.80}");
        }
    }
    let script = page.text.split("src=\"").nth(1).unwrap();
    let script = script.split('"').next().unwrap();
    assert_eq!(host.get(script).await.status, 200);
}
