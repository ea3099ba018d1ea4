//! Makes the indices, and brings those of an earlier version up to date.
//!
//! # Guarantees
//! 1. Hosts that start at once on an empty cluster all find the indices made.
//! 2. Indices of a newer version are left alone, and the store does not open.
//! 3. An upgrade adds fields and nothing else, so that hosts of the former version go on.

mod mappings;
pub(super) mod privileges;

#[cfg(test)]
pub(super) use mappings::properties;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::{Client, Request, unavailable};
use super::names::{Index, Names};
use crate::error::StoreError;

/// The version of all mappings together. It grows with each field that is added.
pub(crate) const VERSION: u64 = 4;

/// Sees to it that all indices are there.
pub(super) async fn prepare(client: &Client, names: &Names) -> Result<(), StoreError> {
    let all = Index::ALL.map(|index| prepare_one(client, names, index));
    join_all(all).await.into_iter().collect()
}

async fn prepare_one(client: &Client, names: &Names, index: Index) -> Result<(), StoreError> {
    let alias = names.alias(index);
    let mapping = Request::get(format!("{alias}/_mapping"));
    let mut answer = client.expect(&mapping, &[200, 404]).await?;
    if answer.status == 404 {
        create(client, names, index).await?;
        answer = client.expect(&mapping, &[200]).await?;
    }
    let found: Value = answer.json()?;
    let stored = found
        .as_object()
        .and_then(|indices| indices.values().next())
        .and_then(|index| index.pointer("/mappings/_meta/version"))
        .and_then(Value::as_u64);
    match stored {
        Some(VERSION) => Ok(()),
        Some(older) if older < VERSION => upgrade(client, names, index).await,
        Some(newer) => Err(StoreError::Corrupt {
            reason: format!(
                "the index {alias} is of schema {newer}, and this host knows {VERSION}: start the \
                 version of taskhost that has written it, or a newer one"
            ),
        }),
        None => Err(StoreError::Corrupt {
            reason: format!("the index {alias} was not made by taskhost: name another prefix"),
        }),
    }
}

async fn create(client: &Client, names: &Names, index: Index) -> Result<(), StoreError> {
    let body = json!({
        "settings": {
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            // Set, so that an index that nobody searches for a while is refreshed all the same.
            "refresh_interval": "1s",
            "hidden": true,
        },
        "mappings": mapping(index),
        "aliases": { (names.alias(index)): { "is_hidden": true, "is_write_index": true } },
    });
    let request = Request::put(names.index(index)).json(&body);
    let answer = client.expect(&request, &[200, 400]).await?;
    // Another host was quicker.
    if answer.status == 400 && answer.cause().kind != "resource_already_exists_exception" {
        return Err(answer.error());
    }
    let health = Request::get(format!("_cluster/health/{}", names.index(index)))
        .with("wait_for_status", "yellow")
        .with("timeout", "20s");
    let answer = client.expect(&health, &[200, 408]).await?;
    if answer.status == 408 {
        let alias = names.alias(index);
        return Err(unavailable(&format!("no node has taken the index {alias}")));
    }
    Ok(())
}

async fn upgrade(client: &Client, names: &Names, index: Index) -> Result<(), StoreError> {
    let request = Request::put(format!("{}/_mapping", names.alias(index))).json(&mapping(index));
    client.expect(&request, &[200]).await.map(drop)
}

fn mapping(index: Index) -> Value {
    json!({
        "dynamic": "strict",
        "_meta": { "version": VERSION },
        "properties": mappings::properties(index),
    })
}
