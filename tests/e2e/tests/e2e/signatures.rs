//! Signed components: whose are taken in.

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::component::greeter;
use taskhost_e2e::home::Home;
use taskhost_e2e::signing::Signer;
use taskhost_e2e::tasks::task;

fn requiring(signers: &[&Signer]) -> String {
    let keys: Vec<String> = signers
        .iter()
        .map(|it| format!("{:?}", it.public_key()))
        .collect();
    format!(
        "require_signature = true\ntrusted_keys = [{}]\n",
        keys.join(", ")
    )
}

fn refused(answer: &Answer, parts: &[&str]) {
    let problem = answer.problem(422, "invalid-component");
    let detail = problem["detail"].as_str().unwrap();
    for part in parts {
        assert!(detail.contains(part), "{part} in {detail}");
    }
}

#[tokio::test]
async fn unsigned_altered_and_foreign_ones_are_rejected() {
    let (trusted, also, foreign) = (Signer::new(), Signer::new(), Signer::new());
    let home = Home::new();
    home.settings(&requiring(&[&trusted, &also]));
    let host = home.start().await;
    let bytes = greeter("1", &json!({}));
    let (id, foreign_id) = (trusted.id(), foreign.id());
    let unsigned = host.push_bytes(bytes.clone()).await;
    refused(
        &unsigned,
        &["it has no signature", &id, &also.id(), "minisign -S"],
    );
    let answer = host.push_signed(bytes.clone(), &foreign.sign(&bytes)).await;
    refused(
        &answer,
        &[&format!("signed with the key {foreign_id}"), &id],
    );
    let other = greeter("2", &json!({}));
    let answer = host.push_signed(other.clone(), &trusted.sign(&bytes)).await;
    refused(
        &answer,
        &[&format!("with the trusted key {id} does not fit")],
    );
    // A foreign signature under a trusted key's name.
    let forged = foreign.sign(&bytes);
    let own = trusted.sign(&bytes);
    let lines: Vec<&str> = own
        .lines()
        .zip(forged.lines())
        .enumerate()
        .map(
            |(number, lines)| {
                if number == 3 { lines.1 } else { lines.0 }
            },
        )
        .collect();
    let answer = host.push_signed(bytes.clone(), &lines.join("\n")).await;
    refused(&answer, &["does not fit"]);
    let answer = host.push_signed(bytes.clone(), "sealed with a kiss").await;
    refused(&answer, &["none of minisign's"]);
    let request = host.request(Method::POST, "/v1/task-types");
    let request = request
        .header("content-type", "application/wasm")
        .header("taskhost-signature", "no base64!");
    host.send(request.body(bytes.clone()))
        .await
        .names("header Taskhost-Signature");
    let types = host.get("/v1/task-types").await.expect(200);
    assert_eq!(types["task_types"], json!([]));

    let pushed = host
        .push_signed(bytes.clone(), &also.sign(&bytes))
        .await
        .expect(201);
    assert_eq!(pushed["state"], "active");
    let version = host.version("greeter", &pushed["digest"]).await;
    assert_eq!(version["signed_by"], also.id());
    // It has been signed once: that stays.
    host.push_bytes(bytes).await.expect(200);
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
}

#[tokio::test]
async fn the_command_line_sends_what_lies_beside_the_file() {
    let signer = Signer::new();
    let home = Home::new();
    home.settings(&requiring(&[&signer]));
    let host = home.start().await;
    let bytes = greeter("1", &json!({}));
    let file = home.path().join("greeter.wasm");
    std::fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let unsigned = host.cli(&["types", "push", file]).await;
    assert_eq!(unsigned.code, Some(1), "{unsigned:?}");
    assert!(unsigned.err.contains(&signer.id()), "{unsigned:?}");
    std::fs::write(format!("{file}.minisig"), signer.sign(&bytes)).unwrap();
    let signed = host.cli(&["types", "push", file]).await.done();
    assert!(signed.contains("greeter 1: active"), "{signed}");
}

#[tokio::test]
async fn a_file_in_the_folder_is_judged_again_when_its_signature_comes() {
    let (signer, foreign) = (Signer::new(), Signer::new());
    let home = Home::new();
    home.settings(&requiring(&[&signer]));
    let bytes = greeter("1", &json!({}));
    home.add_bytes("greeter", &bytes);
    let host = home.start().await;
    let reason = async || {
        let types = host.get("/v1/task-types").await.expect(200);
        let rejected = types["rejected"][0].clone();
        assert!(
            rejected.is_null() || rejected["state"] == "rejected",
            "{rejected}"
        );
        rejected["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert!(reason().await.contains("it has no signature"));
    let signature = home.task_types().join("greeter.wasm.minisig");
    std::fs::write(&signature, foreign.sign(&bytes)).unwrap();
    host.see("the foreign signature", async || {
        reason().await.contains(&foreign.id()).then_some(())
    })
    .await;
    std::fs::write(&signature, signer.sign(&bytes)).unwrap();
    host.see("the type", async || {
        let answer = host.get("/v1/task-types/greeter").await;
        (answer.status == 200).then_some(())
    })
    .await;
    // The folder forgets its refusal just after the type is there.
    host.see("no refusal any more", async || {
        reason().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
}

#[tokio::test]
async fn what_is_loaded_already_needs_a_signature_from_then_on_too() {
    let signer = Signer::new();
    let home = Home::new();
    let host = home.start().await;
    let bytes = greeter("1", &json!({}));
    let pushed = host
        .push_signed(bytes.clone(), &signer.sign(&bytes))
        .await
        .expect(201);
    let warnings = pushed["warnings"].to_string();
    assert!(warnings.contains("none of `trusted_keys`"), "{warnings}");
    host.stop().await;

    home.settings(&requiring(&[&signer]));
    let host = home.start().await;
    let version = host.version("greeter", &pushed["digest"]).await;
    assert_eq!(version["state"], "rejected", "{version:#}");
    assert!(
        version["reason"]
            .as_str()
            .unwrap()
            .contains("it has no signature")
    );
    let body = json!({"type": "greeter", "params": {}});
    let answer = host.put(&task("t"), &body).await;
    answer.problem(404, "unknown-task-type");
    let answer = host.decide("greeter", &pushed["digest"], "activate").await;
    refused(&answer, &["it has no signature"]);
    let signed = host
        .push_signed(bytes.clone(), &signer.sign(&bytes))
        .await
        .expect(200);
    assert_eq!(signed["state"], "active");
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    host.stop().await;

    let host = home.start().await;
    assert_eq!(host.run("t", "greeter", json!({})).await["payload"], "1");
    host.stop().await;
    let successor = Signer::new();
    home.settings(&requiring(&[&successor]));
    let host = home.start().await;
    let version = host.version("greeter", &pushed["digest"]).await;
    let reason = version["reason"].as_str().unwrap();
    assert!(
        reason.contains(&signer.id()) && reason.contains("any more"),
        "{reason}"
    );
    assert_eq!(version["signed_by"], Value::from(signer.id()));
}
