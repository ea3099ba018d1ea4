//! What of the audit log goes, on a cluster, where a host looks for it seldom.

use taskhost_model::audit::{Act, Entry};
use taskhost_model::requester::Requester;

use super::Cluster;
use crate::audit::{AuditRequest, AuditStore};
use crate::conformance::given;
use crate::elastic::Elastic;
use crate::limits::Limits;

#[tokio::test]
async fn what_is_too_old_or_too_much_goes() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (prefix, clock) = (cluster.prefix(), given::clock());
    let elastic = Elastic::open(&cluster.connection, &prefix, Limits::default(), clock).await;
    let elastic = elastic.unwrap();
    let note = |deed: &'static str, at_ms: i64| {
        let act = Act::everywhere(deed, "x");
        elastic.note(Entry::begun(&Requester::host(), act, given::at(at_ms)));
    };
    note("token.create", 5);
    (0..30).for_each(|number| note("task.cancel", number));
    elastic.flush().await.unwrap();
    assert_eq!(elastic.trim_audit(given::at(0), 40).await.unwrap(), 0);
    assert_eq!(elastic.trim_audit(given::at(0), 10).await.unwrap(), 20);
    let request = AuditRequest {
        limit: 100,
        ..AuditRequest::default()
    };
    let left = elastic.list(&request).await.unwrap().entries;
    assert_eq!(left.len(), 11);
    assert!(left[..10].iter().all(|entry| entry.at >= given::at(20)));
    assert_eq!(elastic.trim_audit(given::at(25), 40).await.unwrap(), 6);
    assert_eq!(elastic.list(&request).await.unwrap().entries.len(), 5);
    // A host that has just started looks for none.
    assert_eq!(elastic.trim(given::at(99), 1).await.unwrap(), 0);
    cluster.clear().await;
}
