//! Keys of runs (`RunKeyStore` 1 to 3).

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::{RunKeyId, Space, TaskKey};
use taskhost_model::status::RunState;

use super::Subject;
use super::children;
use super::given::{cancel, claim_request, delete, key, no_report, run_key};
use super::runs::failed;
use crate::error::StoreError;
use crate::event::{Event, NewRun, Outcome, RunEvent};
use crate::run_keys::{RunKey, RunKeyStore};

/// Longer than a case takes by the store's clock.
const WHILE: Duration = Duration::from_secs(3_600);

fn keys(s: &Subject) -> &Arc<dyn RunKeyStore> {
    &s.stores.people.as_ref().expect("the store has people").keys
}

fn with_key(s: &Subject, id: RunKeyId) -> NewRun {
    NewRun {
        key: Some(id),
        ..s.run("hello")
    }
}

/// Of these keys those that are held have to be these.
async fn held(s: &Subject, all: &[RunKeyId], expected: &[RunKeyId]) -> Result<(), StoreError> {
    let found = keys(s).held(all).await?;
    let expected: Vec<_> = all.iter().filter(|id| expected.contains(id)).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    Ok(())
}

pub(super) async fn a_key_is_there_as_it_was_written(s: &Subject) -> Result<(), StoreError> {
    let mut all: Vec<RunKey> = ["ann", "bob \u{e9}\u{0}", ""].map(run_key).into();
    all[1].granted = None;
    all[2].sealed = Vec::new();
    all.sort_by_key(|it| it.id);
    for it in all.iter().rev() {
        assert_eq!(keys(s).get(it.id).await?, None);
        keys(s).put(it).await?;
        assert_eq!(keys(s).get(it.id).await?.as_ref(), Some(it));
        // Whoever got no answer writes it again.
        keys(s).put(it).await?;
    }
    keys(s).check(b"it is among no keys").await?;
    s.settle().await?;
    assert_eq!(keys(s).list(10).await?, all);
    assert_eq!(keys(s).list(2).await?, all[..2]);
    assert_eq!(keys(s).list(0).await?, []);
    keys(s)
        .remove(&[all[0].id, all[2].id, RunKeyId::new()])
        .await?;
    keys(s).remove(&[all[0].id]).await?;
    keys(s).remove(&[]).await?;
    assert_eq!(keys(s).get(all[0].id).await?, None);
    s.settle().await?;
    assert_eq!(keys(s).list(10).await?, all[1..2]);
    Ok(())
}

pub(super) async fn a_key_is_written_once(s: &Subject) -> Result<(), StoreError> {
    let first = run_key("ann");
    keys(s).put(&first).await?;
    let other = RunKey {
        person: "bob".to_owned(),
        ..first.clone()
    };
    keys(s).put(&other).await?;
    assert_eq!(keys(s).get(first.id).await?, Some(first));
    Ok(())
}

pub(super) async fn what_is_sealed_anew_replaces_that_alone(s: &Subject) -> Result<(), StoreError> {
    let it = run_key("ann");
    keys(s).put(&it).await?;
    let (one, two) = tokio::join!(
        keys(s).reseal(it.id, vec![1]),
        keys(s).reseal(it.id, vec![2]),
    );
    one.and(two)?;
    let found = keys(s).get(it.id).await?.expect("it is there");
    assert!(matches!(*found.sealed, [1 | 2]));
    let sealed = found.sealed.clone();
    assert_eq!(
        found,
        RunKey {
            sealed,
            ..it.clone()
        }
    );
    keys(s).remove(&[it.id]).await?;
    keys(s).reseal(it.id, vec![3]).await?;
    assert_eq!(keys(s).get(it.id).await?, None, "it stays gone");
    Ok(())
}

pub(super) async fn whatever_is_unfinished_holds_its_key(s: &Subject) -> Result<(), StoreError> {
    let all: Vec<RunKeyId> = (0..7).map(|_| RunKeyId::new()).collect();
    let [
        queued,
        later,
        running,
        canceling,
        suspended,
        retrying,
        ended,
    ] = all[..]
    else {
        unreachable!("they are seven");
    };
    held(s, &all, &[]).await?;
    assert_eq!(keys(s).held(&[]).await?, []);
    for (id, of) in [
        ("running", running),
        ("canceling", canceling),
        ("suspended", suspended),
        ("retrying", retrying),
        ("ended", ended),
    ] {
        s.schedule(id, with_key(s, of)).await?;
        held(s, &[of], &[of]).await?;
        let run = s.claim(1).await?.remove(0).task;
        assert_eq!((run.key(), run.run.key), (key(id), Some(of)));
        held(s, &[of], &[of]).await?;
        let event = match id {
            "suspended" => children::suspended(s.now().plus(WHILE)),
            "retrying" => failed(Some(s.now().plus(WHILE).as_ms())),
            "ended" => RunEvent::Completed {
                payload: Arc::from("{}"),
                end: no_report(),
            },
            _ => continue,
        };
        let applied = s.says(id, run.fence(), event).await?;
        assert_eq!(applied.outcome, Outcome::Changed, "{id}");
    }
    s.apply("canceling", cancel()).await?;
    s.schedule("queued", with_key(s, queued)).await?;
    let mut run = with_key(s, later);
    run.due_at = s.now().plus(WHILE);
    s.schedule("later", run).await?;
    let state = |task: taskhost_model::task::Task| task.run.state;
    assert_eq!(state(s.task("suspended").await?), Some(RunState::Suspended));
    assert_eq!(
        state(s.task("retrying").await?),
        Some(RunState::WaitingRetry)
    );
    let unfinished = &all[..6];
    held(s, &all, unfinished).await?;
    // Twice asked is twice answered, and in the order of asking.
    held(s, &[queued, later, queued], unfinished).await?;
    for id in ["queued", "later", "suspended", "retrying"] {
        s.apply(id, cancel()).await?;
    }
    held(s, &all, &[running, canceling]).await?;
    for id in ["running", "canceling"] {
        let task = s.task(id).await?;
        s.completed(id, task.fence(), "{}").await?;
    }
    held(s, &all, &[]).await
}

pub(super) async fn a_key_is_held_while_a_former_guest_may_be_alive(
    s: &Subject,
) -> Result<(), StoreError> {
    let [first, second, third] = [(); 3].map(|()| RunKeyId::new());
    let all = [first, second, third];
    s.schedule("t", with_key(s, first)).await?;
    let former = s.claim(1).await?.remove(0).task;
    s.apply("t", delete()).await?;
    held(s, &all, &[first]).await?;
    s.schedule("t", with_key(s, second)).await?;
    held(s, &all, &[first, second]).await?;
    // The second one ends before it began: it holds nothing, whatever the first one does.
    s.apply("t", delete()).await?;
    held(s, &all, &[first]).await?;
    s.schedule("t", with_key(s, third)).await?;
    s.apply("t", cancel()).await?;
    held(s, &all, &[first]).await?;
    let fence = former.fence();
    s.apply("t", Event::PreviousEnded { fence }).await?;
    held(s, &all, &[]).await?;
    // One that nobody has claimed leaves nothing behind.
    s.schedule("u", with_key(s, second)).await?;
    s.apply("u", delete()).await?;
    held(s, &all, &[]).await
}

pub(super) async fn every_schedule_that_was_answered_holds(s: &Subject) -> Result<(), StoreError> {
    s.has_component('a').await?;
    // In other spaces, with and without a concurrency key, taken along or not.
    for number in 0..20 {
        let (one, other) = (RunKeyId::new(), RunKeyId::new());
        let space = Space::parse(&format!("space-{}", number % 3)).expect("it is valid");
        let task = TaskKey {
            space,
            ..key(&format!("t{number}"))
        };
        let run = NewRun {
            concurrency_key: (number % 2 == 0).then(|| "one".to_owned()),
            ..with_key(s, one)
        };
        let event = Event::Schedule(Box::new(run));
        let applied = s.stores.tasks.apply(&task, event).await?;
        assert_eq!(applied.outcome, Outcome::Changed);
        held(s, &[other, one], &[one]).await?;
    }
    Ok(())
}

pub(super) async fn many_runs_may_hold_one_key(s: &Subject) -> Result<(), StoreError> {
    let (one, other) = (RunKeyId::new(), RunKeyId::new());
    for number in 0..5 {
        s.schedule(&format!("t{number}"), with_key(s, one)).await?;
    }
    let request = claim_request(&["hello"], 5);
    let claimed = s.stores.tasks.claim(&request).await?;
    assert_eq!(claimed.len(), 5);
    for run in claimed {
        held(s, &[one, other], &[one]).await?;
        let id = run.task.id.as_str();
        s.completed(id, run.task.fence(), "{}").await?;
    }
    held(s, &[one, other], &[]).await
}

pub(super) async fn whoever_sets_the_check_first_has_set_it(s: &Subject) -> Result<(), StoreError> {
    let texts: Vec<Vec<u8>> = (0..8).map(|number| vec![number, 0, 255]).collect();
    let setting = texts.iter().map(|text| keys(s).check(text));
    let answers = futures_util::future::try_join_all(setting).await?;
    let first = answers[0].clone();
    assert!(texts.contains(&first));
    assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
    assert_eq!(keys(s).check(b"late").await?, first);
    assert!(!keys(s).replace_check(b"not it", b"new").await?);
    assert_eq!(keys(s).check(b"late").await?, first);
    let replacing = texts.iter().map(|text| {
        let new = [&text[..], b"new"].concat();
        let first = &first;
        async move { Ok::<_, StoreError>((keys(s).replace_check(first, &new).await?, new)) }
    });
    let answers = futures_util::future::try_join_all(replacing).await?;
    let stored = keys(s).check(b"late").await?;
    for (is_new, new) in answers {
        assert_eq!(is_new, new == stored);
    }
    assert!(keys(s).replace_check(&first, &stored).await?, "it is that");
    Ok(())
}
