//! How many documents match: exactly where Elasticsearch can say it or where they are few enough to
//! look at each, else about how many.

use super::query::in_range;
use super::streams_reader::{Plan, Reader, SEARCH_TIME};
use super::streams_scan::{DOCUMENTS_MAX, End, Order, Scan};
use crate::error::StoreError;
use crate::sample::random_seed;
use crate::streams::{Count, Relation};
use serde::Deserialize;
use serde_json::json;

/// Of more documents than one looks at, so many tell how many match.
const SAMPLE: u64 = 10_000;

/// How many match; each is looked at where there are up to so many that may.
pub(crate) async fn count(reader: &Reader, plan: &Plan, each: u64) -> Result<Count, StoreError> {
    if plan.exact {
        return Ok(Count::exactly(total(reader, plan).await?));
    }
    let Some(mut scan) = Scan::begin(reader, plan, Order::any(), u64::MAX).await? else {
        return Ok(Count::exactly(0));
    };
    scan.total_max = each.min(DOCUMENTS_MAX);
    let mut matched = 0;
    let end = scan.each(|found| {
        matched += u64::from(plan.matches(found.body));
        true
    });
    let relation = match end.await? {
        End::All | End::Stopped => Relation::Eq,
        End::Bounds => Relation::Gte,
        End::TooMany => return estimate(reader, plan).await,
    };
    Ok(Count {
        value: matched,
        relation,
    })
}

async fn estimate(reader: &Reader, plan: &Plan) -> Result<Count, StoreError> {
    let order = Order::random(random_seed());
    let Some(mut scan) = Scan::begin(reader, plan, order, SAMPLE).await? else {
        return Ok(Count::exactly(0));
    };
    let (mut looked_at, mut matched) = (0_u64, 0_u64);
    let end = scan.each(|found| {
        looked_at += 1;
        matched += u64::from(plan.matches(found.body));
        looked_at < SAMPLE
    });
    end.await?;
    let all = u128::from(scan.total) * u128::from(matched) / u128::from(looked_at.max(1));
    Ok(Count {
        value: u64::try_from(all).unwrap_or(u64::MAX),
        relation: Relation::Estimate,
    })
}

/// How many documents Elasticsearch finds.
async fn total(reader: &Reader, plan: &Plan) -> Result<u64, StoreError> {
    #[derive(Deserialize)]
    struct Told {
        hits: Hits,
    }
    #[derive(Deserialize)]
    struct Hits {
        total: Total,
    }
    #[derive(Deserialize)]
    struct Total {
        value: u64,
    }
    let body = json!({
        "query": in_range(plan.times, &plan.bound),
        "size": 0,
        "track_total_hits": true,
        "timeout": SEARCH_TIME,
    });
    let request = reader
        .post("_search")
        .with("allow_partial_search_results", "false")
        .json(&body);
    let told: Told = reader.answer(request).await?.json()?;
    Ok(told.hits.total.value)
}
