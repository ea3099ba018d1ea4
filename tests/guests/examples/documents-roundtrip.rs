//! Stores, reads, replaces, lists and removes documents, and says what each step answered.

use serde_json::{Value, json};
use taskhost_sdk::{Change, Clients, Condition, Error};

fn run(_: Value, clients: &Clients) -> Result<Value, Error> {
    let all = clients.documents.collection::<Value>("roundtrip")?;
    for left in all.all(None)? {
        all.delete(&left.id)?;
    }
    let first = all.create("a", &json!({"n": 1}))?;
    let again = code(all.create("a", &json!({"n": 0})));
    let second = all.replace("a", &first, &json!({"n": 2}))?;
    let outdated = code(all.replace("a", &first, &json!({"n": 3})));
    let changes: Vec<_> = (0..5)
        .map(|n| Change::put(format!("b{n}"), json!({"n": n, "even": n % 2 == 0})))
        .chain([
            Change::delete("missing"),
            Change::delete_version("a", "never"),
        ])
        .collect();
    let applied: Vec<_> = all.apply(&changes)?.into_iter().map(code).collect();
    let even = all.query(Some(&Condition::eq("even", true)), None, 2)?;
    let rest = all.query(Some(&Condition::eq("even", true)), even.next.as_deref(), 2)?;
    let ids = |page: taskhost_sdk::Page<Value>| -> Vec<String> {
        page.documents.into_iter().map(|stored| stored.id).collect()
    };
    let read = all
        .get("a")?
        .map(|stored| (stored.version == second, stored.body));
    all.delete("a")?;
    Ok(json!({
        "again": again,
        "outdated": outdated,
        "applied": applied,
        "even": [ids(even), ids(rest)],
        "read": read,
        "gone": all.get("a")?.is_none(),
    }))
}

/// `ok`, or the error's code.
fn code<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |_| "ok".to_owned())
}

taskhost_guests::guest!("documents-roundtrip", Value, run, |it| it
    .stream(taskhost_sdk::StreamUse::Optional)
    .collection("roundtrip"));
