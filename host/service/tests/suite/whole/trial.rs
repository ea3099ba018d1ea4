//! Does to the service and to the model the same, and compares them after each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskhost_model::ids::{TaskId, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::view::WaitReason;
use taskhost_service::{
    Accepted, BatchItem, BulkOp, BulkRequest, ScheduleRequest, Scheduled, Service, Submitted,
};
use taskhost_store::event::WriteCondition;
use taskhost_store::tasks::ListRequest;

use super::answers::{Answer, of_bulk, of_error, of_schedule, of_view};
use super::command::{Bulk, Command, Match, TASKS, Target, Wish, again};
use super::facts::{Happened, Shown, What, nth_of, same};
use super::guest::{self, GRACE_MS, Word};
use super::lab::{Ground, Lab, STEPPED_MS_MAX};
use super::model::World;
use super::watch::Told;
use crate::people::{key, somebody, space};

/// Both, side by side.
#[derive(Debug)]
pub(crate) struct Trial {
    lab: Lab,
    world: World,
    /// Tasks that were submitted.
    submitted: Vec<String>,
    stepped_ms: i64,
}

type Verdict = Result<(), String>;

impl Trial {
    /// A host that runs so many of the type at once.
    pub(crate) fn start(ground: &Ground, limit: Option<usize>) -> Self {
        Self {
            lab: Lab::start(ground, limit),
            world: World::of(limit),
            submitted: Vec::new(),
            stepped_ms: 0,
        }
    }

    /// Does it, and compares.
    ///
    /// # Errors
    /// Where they differ.
    pub(crate) fn step(&mut self, command: &Command) -> Verdict {
        let told = |error: String| format!("{error}\nat {command:?}");
        self.act(command).map_err(told)?;
        self.check().map_err(told)
    }

    fn act(&mut self, command: &Command) -> Verdict {
        match command {
            Command::Schedule(wish, condition) => {
                let id = format!("t{}", wish.task);
                let condition = self.world.condition(&id, *condition);
                self.schedule(&id, wish, condition)
            }
            Command::Submit(key, body) => self.submit(*key, *body),
            Command::Batch(wishes) => self.batch(wishes),
            Command::Cancel(target, matched) => self.cancel(*target, *matched),
            Command::Acknowledge(target, matched) => self.acknowledge(*target, *matched),
            Command::Delete(target, matched) => self.delete(*target, *matched),
            Command::Retry(target, fresh, matched) => self.retry(*target, *fresh, *matched),
            Command::Bulk(op, is_dry) => self.bulk(*op, *is_dry),
            Command::Tell(nth, word, keeps) => self.tell(*nth, (*word, *keeps), false),
            Command::EndHeld(nth, word) => self.tell(*nth, (*word, false), true),
            Command::LetGo(nth) => self.let_go(*nth),
            Command::Pass(steps) => self.pass(*steps),
            Command::Step(by_ms) => self.set_clock(*by_ms),
            Command::Crash => self.crash(),
            Command::Drain => self.drain(),
        }
    }

    fn schedule(&mut self, id: &str, wish: &Wish, condition: Option<WriteCondition>) -> Verdict {
        let (request, body) = (self.request(wish, condition), wish.body.to_string());
        let wanted = self.world.on_schedule(id, &body, condition);
        let due_at = request.run_at;
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.schedule(&somebody(), key(id), request).await
        });
        self.answered(&of_schedule(&answer), &wanted)?;
        let Ok(Scheduled::New(view)) = answer else {
            return Ok(());
        };
        let doc = self
            .world
            .seen(id)
            .ok_or("it was accepted, and is not there")?;
        let now_ms = self.lab.now().wall_ms;
        let due_ms = due_at.map_or(now_ms, |at| at.as_ms().max(now_ms));
        let asked = (body.as_str(), due_ms, wish.priority.unwrap_or(0));
        let got = (doc.body.as_str(), doc.shown.due_ms, doc.shown.priority);
        let run = view.task.as_ref().map(|task| task.run.id);
        same("what was scheduled", &got, &asked)?;
        same(
            "the version that was answered",
            &view.version(),
            &doc.shown.version,
        )?;
        same("the run that was answered", &run, &Some(doc.shown.run))
    }

    fn submit(&mut self, repeat_key: u8, body: u8) -> Verdict {
        let wish = Wish {
            task: 0,
            body,
            priority: None,
            in_ms: None,
        };
        let (request, body) = (self.request(&wish, None), body.to_string());
        let wanted = self.world.on_submit(repeat_key, &body);
        let answer = self.lab.run(async |service| {
            let (tasks, name) = (&service.tasks, format!("key-{repeat_key}"));
            let (by, space) = (somebody(), space());
            tasks.submit(&by, &space, Some(&name), request).await
        });
        let got = match &answer {
            Ok(Submitted { key, run, .. }) if wanted != Answer::New => {
                Answer::Promised(*run, key.id.to_string())
            }
            Ok(_) => Answer::New,
            Err(error) => of_error(error),
        };
        self.answered(&got, &wanted)?;
        if let (Answer::New, Ok(Submitted { key, run, .. })) = (wanted, answer) {
            let id = key.id.to_string();
            let made = self.world.seen(&id).map(|doc| doc.shown.run);
            same("the run that was submitted", &made, &Some(run))?;
            self.submitted.push(id.clone());
            self.world.promises.insert(repeat_key, (body, run, id));
        }
        Ok(())
    }

    fn batch(&mut self, wishes: &[Wish]) -> Verdict {
        let names = wishes.iter();
        let names = names.map(|wish| (format!("t{}", wish.task), wish.body.to_string()));
        let names: Vec<_> = names.collect();
        let wanted = self.world.on_batch(&names);
        let items = wishes.iter().map(|wish| BatchItem {
            id: Some(TaskId::parse(&format!("t{}", wish.task)).unwrap()),
            request: self.request(wish, None),
        });
        let items = items.collect();
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.schedule_all(&somebody(), &space(), items).await
        });
        let got = match &answer {
            Ok(each) => Answer::Each(
                each.iter()
                    .map(|answer| match &answer.outcome {
                        Ok(Accepted::Scheduled) => Answer::New,
                        Ok(Accepted::AlreadyRunning) => Answer::Running(true),
                        Err(error) => of_error(error),
                    })
                    .collect(),
            ),
            Err(error) => of_error(error),
        };
        self.answered(&got, &wanted)
    }

    fn cancel(&mut self, target: Target, matched: Match) -> Verdict {
        let (id, version) = self.meant(target, matched);
        let wanted = self.world.on_cancel(&id, version);
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.cancel(&somebody(), &key(&id), None, version).await
        });
        self.answered(&of_view(&answer), &wanted)
    }

    fn acknowledge(&mut self, target: Target, matched: Match) -> Verdict {
        let (id, version) = self.meant(target, matched);
        let wanted = self.world.on_acknowledge(&id, version);
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.acknowledge(&somebody(), &key(&id), version).await
        });
        let has_payload = answer.as_ref().ok().map(|view| view.payload.is_some());
        same("what comes with it", &has_payload.unwrap_or(true), &true)?;
        self.answered(&of_view(&answer), &wanted)
    }

    fn delete(&mut self, target: Target, matched: Match) -> Verdict {
        let (id, version) = self.meant(target, matched);
        let wanted = self.world.on_delete(&id, version);
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.delete(&somebody(), &key(&id), version).await
        });
        let got = match answer {
            Ok(()) => Answer::Deleted,
            Err(error) => of_error(&error),
        };
        self.answered(&got, &wanted)
    }

    fn retry(&mut self, target: Target, is_fresh: bool, matched: Match) -> Verdict {
        let (id, version) = self.meant(target, matched);
        let wanted = self.world.on_retry(&id, version);
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks
                .retry(&somebody(), &key(&id), again(is_fresh, version))
                .await
        });
        self.answered(&of_schedule(&answer), &wanted)
    }

    fn bulk(&mut self, op: Bulk, is_dry: bool) -> Verdict {
        let wanted = self.world.on_bulk(op, is_dry, self.lab.now());
        let request = BulkRequest {
            op: match op {
                Bulk::Cancel => BulkOp::Cancel { reason: None },
                Bulk::Acknowledge => BulkOp::Acknowledge,
                Bulk::Delete => BulkOp::Delete,
                Bulk::Retry => BulkOp::Retry { fresh: false },
            },
            filter: ListRequest::all(space()),
            dry_run: is_dry,
            trace: None,
        };
        let answer = self.lab.run(async |service| {
            let tasks = &service.tasks;
            tasks.bulk(&somebody(), request).await
        });
        self.answered(&of_bulk(&answer), &wanted)
    }

    fn tell(&mut self, nth: u8, (word, keeps): (Word, bool), is_held: bool) -> Verdict {
        let (lab, at) = (&self.lab, self.lab.now());
        let guests = self.world.guests.iter();
        let mut asking = guests.filter(|(_, guest)| lab.watch().is_asking(guest.fence));
        let Some((id, fence)) = nth_of(&mut asking, nth).map(|(id, it)| (id.clone(), it.fence))
        else {
            return Ok(());
        };
        drop(asking);
        self.world.tell(&id, word, at);
        if let Some(doc) = self.world.docs.get_mut(&id) {
            doc.keeps |= keeps;
        }
        self.lab.watch().tell(fence, Told { word, keeps }, is_held);
        self.lab.run(async |_| {});
        self.follow()
    }

    fn let_go(&mut self, nth: u8) -> Verdict {
        let lab = &self.lab;
        let guests = self.world.guests.values();
        let mut held = guests.filter(|guest| lab.watch().is_held(guest.fence));
        let Some(fence) = nth_of(&mut held, nth).map(|guest| guest.fence) else {
            return Ok(());
        };
        self.lab.watch().let_go(fence);
        self.lab.run(async |_| {});
        self.follow()
    }

    fn pass(&mut self, steps: u16) -> Verdict {
        for _ in 0..steps {
            let at = self.lab.now();
            let grace_ms = GRACE_MS.unsigned_abs();
            for guest in self.world.guests.values() {
                // With this step its grace is over.
                let is_last = |asked_ms| at.passed_ms + 10 >= asked_ms + grace_ms;
                if guest.canceled_ms.is_some_and(is_last) {
                    self.lab.watch().expect_end(guest.fence);
                }
            }
            self.lab.pass();
            self.follow()?;
            self.world.check_settled(self.lab.now())?;
        }
        Ok(())
    }

    fn set_clock(&mut self, by_ms: i64) -> Verdict {
        if self.stepped_ms + by_ms > STEPPED_MS_MAX {
            return Ok(());
        }
        self.stepped_ms += by_ms;
        let before_ms = self.lab.now().wall_ms;
        self.lab.step(by_ms);
        self.world.step(before_ms, self.lab.now());
        Ok(())
    }

    fn drain(&mut self) -> Verdict {
        // What is on its way is written first.
        while self.world.guests.values().any(|it| it.word.is_some()) {
            self.let_go(0)?;
        }
        for guest in self.world.guests.values() {
            self.lab.watch().expect_end(guest.fence);
        }
        self.world.drain();
        self.lab.drain();
        self.follow()?;
        same("guests after a drain", &self.world.guests.len(), &0)?;
        self.crash()
    }

    fn crash(&mut self) -> Verdict {
        self.lab.kill();
        self.world.crash();
        self.lab.boot();
        self.follow()
    }

    /// The model takes what has happened, and then they have to agree on the answer.
    fn answered(&mut self, got: &Answer, wanted: &Answer) -> Verdict {
        self.follow()?;
        same("the answer", got, wanted)
    }

    /// The model takes what has happened, in an order in which it can have.
    fn follow(&mut self) -> Verdict {
        let at = self.lab.now();
        let mut left = self.lab.watch().take();
        while !left.is_empty() {
            // What is claimed along with a write is heard of before that.
            let next = left.iter().position(|it| self.is_next(it)).unwrap_or(0);
            let it = left.remove(next);
            self.world.take(&it, at)?;
            self.check_found(&it)?;
        }
        Ok(())
    }

    fn is_next(&self, it: &Happened) -> bool {
        let known = self.world.docs.get(&it.id);
        let (Some(after), Some(known)) = (&it.after, known) else {
            return it.what != What::Claim;
        };
        let step = u64::from(after.revision != known.shown.revision);
        after.revision <= known.shown.revision + step
    }

    /// What a guest finds of what was kept, when it begins.
    fn check_found(&self, it: &Happened) -> Verdict {
        let (What::Claim, Some(after)) = (&it.what, &it.after) else {
            return Ok(());
        };
        let found = self.lab.watch().has_found(after.fence());
        let keeps = self.world.docs.get(&it.id).map(|doc| doc.keeps);
        // Deleted in the same moment, it has found nothing.
        if self.world.status(&it.id) == Status::InProgress && found.is_some() {
            return same("what was kept for it", &found, &keeps);
        }
        Ok(())
    }

    fn meant(&self, target: Target, matched: Match) -> (String, Option<u64>) {
        let of_submitted = self
            .submitted
            .get(usize::from(target.saturating_sub(TASKS)));
        let id = match of_submitted {
            Some(id) if target >= TASKS => id.clone(),
            _ => format!("t{target}"),
        };
        let version = self.world.version(&id, matched);
        (id, version)
    }

    fn request(&self, wish: &Wish, condition: Option<WriteCondition>) -> ScheduleRequest {
        let at_ms = |in_ms| Timestamp::from_ms(self.lab.now().wall_ms + in_ms);
        ScheduleRequest {
            type_id: TypeId::parse(guest::TYPE).unwrap(),
            stream: None,
            params: Arc::from(wish.body.to_string()),
            priority: wish.priority,
            run_at: wish.in_ms.map(at_ms),
            timeout_ms: None,
            record: false,
            trace: None,
            condition,
        }
    }

    /// What people read is what the model has.
    fn check(&self) -> Verdict {
        let at = self.lab.now();
        self.world.check_settled(at)?;
        for guest in self.world.guests.values() {
            let watch = self.lab.watch();
            let is_somewhere = watch.is_asking(guest.fence) || watch.is_held(guest.fence);
            same(
                "whether a guest is where it has to be",
                &is_somewhere,
                &true,
            )?;
            let is_held = watch.is_held(guest.fence);
            same(
                "whether its end is held up",
                &is_held,
                &guest.word.is_some(),
            )?;
        }
        let chosen = (0..=TASKS).map(|task| format!("t{task}"));
        for id in chosen.chain(self.submitted.iter().cloned()) {
            self.check_get(&id)?;
        }
        self.check_list()
    }

    fn check_get(&self, id: &str) -> Verdict {
        let read = async |service: &Service| {
            let (tasks, by, key) = (&service.tasks, somebody(), key(id));
            let view = tasks.get(&by, &key).await;
            (view, tasks.runs(&by, &key).await)
        };
        let (view, runs) = self.lab.read(read);
        let view = view.map_err(|error| error.to_string())?;
        let doc = self.world.seen(id);
        same("the status", &view.status, &self.world.status(id))?;
        let shown = view.task.as_ref().map(Shown::of);
        same("the document", &shown.as_ref(), &doc.map(|doc| &doc.shown))?;
        let Some(doc) = doc else {
            return same("whether it has runs", &runs.is_ok(), &false);
        };
        same(
            "its params",
            &view.params.as_deref(),
            &Some(doc.body.as_str()),
        )?;
        let has_payload = matches!(view.status, Status::Completed | Status::Acknowledged);
        let payload = has_payload.then_some("{}");
        same("its payload", &view.payload.as_deref(), &payload)?;
        let reason = view.waiting_for.as_ref().map(|it| it.reason);
        let wanted = doc.shown.waits().then(|| self.reason_to_wait(&doc.shown));
        same("why it waits", &reason, &wanted)?;
        let runs = runs.map_err(|error| error.to_string())?;
        let runs: Vec<_> = runs.iter().map(|run| (run.id, run.status)).collect();
        let mut wanted = doc.former.clone();
        wanted.insert(0, (doc.shown.run, doc.shown.status));
        same("its runs", &runs, &wanted)
    }

    fn reason_to_wait(&self, shown: &Shown) -> WaitReason {
        if shown.due_ms > self.lab.now().wall_ms {
            return WaitReason::RunAt;
        }
        // One whose former run has not ended counts as one that is at work itself.
        match self.world.is_at_limit() && shown.previous.is_empty() {
            true => WaitReason::TypeLimit,
            false => WaitReason::Slot,
        }
    }

    /// How often each kind of thing has happened.
    pub(crate) fn tally(&self) -> &BTreeMap<String, u64> {
        &self.world.tally
    }

    fn check_list(&self) -> Verdict {
        let read = async |service: &Service| {
            let (tasks, by) = (&service.tasks, somebody());
            let all = ListRequest::all(space());
            let page = tasks.list(&by, all.clone()).await;
            (page, tasks.counts(&by, all).await)
        };
        let (page, counts) = self.lab.read(read);
        let listed = page.map_err(|error| error.to_string())?.tasks;
        let is_sorted = listed.is_sorted_by(|a, b| a.created_at >= b.created_at);
        same("whether the newest comes first", &is_sorted, &true)?;
        let mut listed: Vec<_> = listed
            .iter()
            .map(|task| (task.id.to_string(), Shown::of(task)))
            .collect();
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let docs = self.world.docs.iter();
        let docs = docs.filter(|(_, doc)| !doc.shown.is_deleted());
        let wanted: Vec<_> = docs
            .map(|(id, doc)| (id.clone(), doc.shown.clone()))
            .collect();
        same("the list", &listed, &wanted)?;
        let counts = counts.map_err(|error| error.to_string())?;
        let counted = |status| wanted.iter().filter(|it| it.1.status == status).count() as u64;
        for (status, count) in counts.unwrap_or_default() {
            same(
                "how many there are",
                &(status, count),
                &(status, counted(status)),
            )?;
        }
        Ok(())
    }
}
