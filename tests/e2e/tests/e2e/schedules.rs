//! Schedules over HTTP and on the command line, on the embedded store.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::fleet::pass;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

fn schedule(id: &str) -> String {
    format!("/v1/spaces/default/schedules/{id}")
}

/// A schedule of greetings.
fn greeting(rule: &str, value: &str) -> Value {
    json!({"type": "hello", "params": {"name": "you"}, (rule): value})
}

/// Waits until a schedule is as it has to be.
async fn until(host: &Host, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let seen = async || {
        let seen = host.get(&schedule(id)).await.expect(200);
        is_so(&seen).then_some(seen)
    };
    host.see("the schedule", seen).await
}

/// The ids of all tasks that it has fired.
async fn fired(host: &Host, id: &str) -> Vec<String> {
    let path = format!("/v1/spaces/default/tasks?limit=1000&q={id}.");
    let page = host.get(&path).await.expect(200);
    assert!(page["next"].is_null(), "a test fires less");
    let tasks = page["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_schedule_from_put_to_delete() {
    let host = Home::with(&["hello-task"]).start().await;
    let mut body = greeting("cron", "30 2 * * MON-FRI");
    body["time_zone"] = json!("europe/berlin");
    body["overlap"] = json!("queue");
    body["jitter"] = json!("5m");
    let put = host.put(&schedule("nightly"), &body).await;
    let made = put.expect(201);
    assert_eq!(made["time_zone"], "Europe/Berlin");
    assert_eq!(
        (&made["state"], &made["overlap"]),
        (&json!("active"), &json!("queue"))
    );
    assert_eq!(
        (&made["catch_up"], &made["jitter"]),
        (&json!("latest"), &json!("300s"))
    );
    assert_eq!(made["params"], json!({"name": "you"}));
    assert_eq!(made["next_fires"].as_array().unwrap().len(), 3);
    assert!(
        made["in_words"].as_str().unwrap().contains("02:30"),
        "{made:#}"
    );
    assert_eq!(
        put.header("etag"),
        format!("\"{}\"", made["version"].as_str().unwrap())
    );
    assert_eq!(host.get(&schedule("nightly")).await.expect(200), made);

    // What stays as it was goes on as it did.
    let again = host.put(&schedule("nightly"), &body).await.expect(200);
    assert_eq!(again["next_fires"], made["next_fires"]);
    let stale = host.request(Method::PUT, &schedule("nightly")).json(&body);
    let stale = stale.header("if-match", put.header("etag"));
    host.send(stale).await.problem(412, "version-mismatch");
    let absent = host.request(Method::PUT, &schedule("nightly")).json(&body);
    let absent = absent.header("if-none-match", "*");
    host.send(absent).await.problem(412, "version-mismatch");

    host.stop().await;
}

#[tokio::test]
async fn a_schedule_is_paused_fired_and_resumed() {
    let host = Home::with(&["hello-task"]).start().await;
    let body = greeting("cron", "30 2 * * MON-FRI");
    host.put(&schedule("nightly"), &body).await.expect(201);
    let reason = json!({"reason": "moving"});
    let paused = host
        .post(&format!("{}/pause", schedule("nightly")), &reason)
        .await
        .expect(200);
    assert_eq!(
        (&paused["state"], &paused["paused"]["reason"]),
        (&json!("paused"), &json!("moving"))
    );
    assert_eq!(paused["next_fires"], json!([]));
    let run = host
        .post(&format!("{}/run", schedule("nightly")), &json!({}))
        .await
        .expect(202);
    assert_eq!(run["outcome"], "fired");
    let task = run["task"].as_str().unwrap();
    assert!(task.starts_with("nightly."), "{task}");
    assert_eq!(
        host.reaches(task, "completed").await["greeting"],
        "Hello, you!"
    );
    let seen = host.get(&schedule("nightly")).await.expect(200);
    let last = &seen["last"];
    assert_eq!(
        (&last["outcome"], &last["task"]),
        (&json!("fired"), &run["task"])
    );
    assert_eq!(
        (&last["status"], &last["wanted_by"]),
        (&json!("completed"), &json!("local"))
    );
    assert_eq!(seen["counts"]["fired"], 1);
    let resumed = host
        .post(&format!("{}/resume", schedule("nightly")), &json!({}))
        .await
        .expect(200);
    assert_eq!(resumed["state"], "active");

    host.delete(&schedule("nightly")).await.expect(204);
    host.delete(&schedule("nightly"))
        .await
        .problem(404, "not-found");
    host.get(&schedule("nightly"))
        .await
        .problem(404, "not-found");
    assert_eq!(fired(&host, "nightly").await, [task], "its task stays");
    host.stop().await;
}

#[tokio::test]
async fn schedules_are_listed_in_the_order_of_their_ids() {
    let host = Home::with(&["hello-task"]).start().await;
    for id in ["nightly", "Another"] {
        let body = greeting("interval", "1h");
        host.put(&schedule(id), &body).await.expect(201);
    }
    let path = "/v1/spaces/default/schedules";
    let first = host.get(&format!("{path}?limit=1")).await.expect(200);
    assert_eq!(
        (&first["schedules"][0]["id"], &first["next"]),
        (&json!("Another"), &json!("Another"))
    );
    let rest = host
        .get(&format!("{path}?cursor=Another"))
        .await
        .expect(200);
    assert_eq!(rest["schedules"].as_array().unwrap().len(), 1);
    let elsewhere = host.get("/v1/spaces/elsewhere/schedules").await.expect(200);
    assert_eq!(elsewhere["schedules"], json!([]));
    host.stop().await;
}

fn with(more: &Value) -> Value {
    let mut body = greeting("cron", "* * * * *");
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

/// What nobody can mean, and the field in which it is wrong.
fn nonsense() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"type": "hello", "params": {}}), "cron"),
        (with(&json!({"interval": "1h"})), "cron"),
        (greeting("cron", "0 0 30 2 *"), "cron"),
        (greeting("cron", "every monday"), "cron"),
        (greeting("cron", "* * * * * * 2020"), "cron"),
        (
            greeting("rrule", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"),
            "rrule",
        ),
        (
            greeting("rrule", "FREQ=DAILY;UNTIL=20200101T000000Z"),
            "rrule",
        ),
        (
            greeting("rrule", "FREQ=SECONDLY;INTERVAL=60;BYSECOND=61"),
            "rrule",
        ),
        (greeting("interval", "0s"), "interval"),
        (greeting("interval", "-1h"), "interval"),
        (greeting("interval", "99999999999999999999h"), "interval"),
        (with(&json!({"time_zone": "Mars/Olympus"})), "time_zone"),
        (with(&json!({"time_zone": "../../etc/passwd"})), "time_zone"),
        (
            with(&json!({"starts_at": "9999-12-30T00:00:00Z"})),
            "starts_at",
        ),
        (
            with(&json!({"starts_at": "2030-01-01T00:00:00Z", "ends_at": 0})),
            "ends_at",
        ),
        (with(&json!({"jitter": "2d"})), "jitter"),
        (with(&json!({"overlap": "both"})), "overlap"),
        (
            with(&json!({"catch_up": "all", "catch_up_max": 0})),
            "catch_up_max",
        ),
        (with(&json!({"catch_up_max": 7})), "catch_up_max"),
        (with(&json!({"params": {"name": 7}})), "params.name"),
        (with(&json!({"priority": 1000})), "priority"),
        (with(&json!({"stream": "logs"})), "stream"),
        (with(&json!({"surprise": 1})), "surprise"),
    ]
}

/// T18: whatever is sent is refused with its field, or means something.
#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let host = Home::with(&["hello-task"]).start().await;
    for (body, field) in nonsense() {
        let answer = host.put(&schedule("s"), &body).await;
        println!("{body} {}", answer.text);
        answer.names(field);
    }
    let unknown = json!({"type": "nobody-knows", "interval": "1h"});
    host.put(&schedule("s"), &unknown)
        .await
        .problem(404, "unknown-task-type");
    host.put(&schedule("a%20b"), &greeting("interval", "1h"))
        .await
        .names("id");
    let long = "x".repeat(201);
    host.put(&schedule(&long), &greeting("interval", "1h"))
        .await
        .names("id");
    for verb in ["pause", "resume", "run"] {
        let path = format!("{}/{verb}", schedule("s"));
        host.post(&path, &json!({})).await.problem(404, "not-found");
    }
    assert_eq!(
        host.get("/v1/spaces/default/schedules").await.expect(200)["schedules"],
        json!([])
    );
    // The last moment that can be said, and a rule that would go on for ever.
    let late = with(&json!({"starts_at": "9899-01-01T00:00:00Z"}));
    host.put(&schedule("late"), &late).await.names("cron");
    host.stop().await;
}

/// T22: the host is killed again and again while it fires each second, and once each at the points
/// around the write of a fire's task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_due_time_fires_once_though_the_host_is_killed() {
    let kills = if taskhost_e2e::long() { 100 } else { 8 };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let home = Home::with(&["hello-task"]);
    home.settings("runs.crashes_max = 100\n");
    let host = home.start().await;
    let mut body = greeting("interval", "1s");
    body["overlap"] = json!("queue");
    body["catch_up"] = json!("all");
    body["catch_up_max"] = json!(1_000);
    let made = host.put(&schedule("each"), &body).await.expect(201);
    let first = made["next_fires"][0].as_str().unwrap().to_owned();
    until(&host, "each", |it| it["counts"]["fired"].as_u64() > Some(1)).await;
    host.kill().await;
    for point in ["before_schedule_commit", "after_schedule_commit"] {
        // It may die before it is ready.
        if let Ok(host) = home.start_doomed(point).await {
            host.died().await;
        }
    }
    for _ in 0..kills {
        let host = home.start().await;
        pass(Duration::from_millis(random.random_range(0..1_500))).await;
        host.kill().await;
    }
    let host = home.start().await;
    host.post(&format!("{}/pause", schedule("each")), &json!({}))
        .await
        .expect(200);
    let is_idle = |it: &Value| it["active"] == json!([]) || it["last"]["status"] == "completed";
    let seen = until(&host, "each", |it| is_idle(it) && it["waiting"] == 0).await;
    let counts = &seen["counts"];
    assert_eq!(
        (&counts["failed"], &counts["missed"]),
        (&json!(0), &json!(0)),
        "{counts}"
    );
    let ids = fired(&host, "each").await;
    let different: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "none twice");
    assert_eq!(counts["fired"], json!(ids.len()));
    for id in &ids {
        let task = host.ends(id).await;
        assert_eq!(task["status"], "completed", "{task:#}");
    }
    // Each second from the first one has its task, or was waiting when the schedule was paused.
    let compact: String = first.chars().filter(|c| !"-:".contains(*c)).collect();
    let oldest = different.first().unwrap();
    assert_eq!(**oldest, format!("each.{}", compact.replace(".000", "")));
    let span = seconds_between(oldest, different.last().unwrap());
    assert_eq!(ids.len() as u64, span + 1, "none lost: {different:?}");
    host.stop().await;
}

/// Between two fires of one schedule, by their ids.
fn seconds_between(first: &str, last: &str) -> u64 {
    let second = |id: &str| {
        let (_, at) = id.rsplit_once('.').unwrap();
        let part = |from: usize, to: usize| at[from..to].parse::<u64>().unwrap();
        // Nobody runs this over the end of a month.
        ((part(6, 8) * 24 + part(9, 11)) * 60 + part(11, 13)) * 60 + part(13, 15)
    };
    second(last) - second(first)
}

/// What was due while no host was there is made up for as the schedule wants it.
#[tokio::test]
async fn what_is_missed_while_no_host_runs_is_made_up_for() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    for (id, catch_up) in [("latest", "latest"), ("all", "all")] {
        let mut body = greeting("interval", "1s");
        body["catch_up"] = json!(catch_up);
        body["overlap"] = json!("queue");
        host.put(&schedule(id), &body).await.expect(201);
        until(&host, id, |it| it["counts"]["fired"].as_u64() > Some(0)).await;
    }
    let before = until(&host, "latest", |_| true).await["counts"]["missed"].clone();
    host.kill().await;
    let away = Instant::now();
    pass(Duration::from_secs(4)).await;
    let host = home.start().await;
    let missed = until(&host, "latest", |it| it["counts"]["missed"] != before).await;
    assert!(missed["counts"]["missed"].as_u64() >= Some(2), "{missed:#}");
    let all = until(&host, "all", |it| it["counts"]["fired"].as_u64() >= Some(5)).await;
    assert_eq!(
        all["counts"]["missed"],
        0,
        "after {:?}: {all:#}",
        away.elapsed()
    );
    host.stop().await;
}

#[tokio::test]
async fn the_fire_of_a_stream_that_has_gone_says_so() {
    let host = Home::with(&["streams-reader"]).start().await;
    let stream = "/v1/spaces/default/streams/logs";
    host.put(stream, &json!({})).await.expect(201);
    let body = json!({"type": "streams-reader", "stream": "logs", "interval": "1h",
        "params": {"request": {"from": 0, "to": 1}}});
    let put = host.put(&schedule("reads"), &body).await;
    put.expect(201);
    host.delete(stream).await.expect(204);
    let path = format!("{}/run", schedule("reads"));
    let problem = host.post(&path, &json!({})).await.problem(409, "not-fired");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("no stream `logs`"),
        "{problem}"
    );
    let seen = host.get(&schedule("reads")).await.expect(200);
    assert_eq!(
        (&seen["state"], &seen["last"]["outcome"]),
        (&json!("active"), &json!("failed"))
    );
    assert!(
        seen["last"]["reason"]
            .as_str()
            .unwrap()
            .contains("no stream `logs`")
    );
    host.stop().await;
}

#[tokio::test]
async fn schedules_on_the_command_line() {
    let host = Home::with(&["hello-task", "cooperative"]).start().await;
    let none = host.cli(&["schedules", "list"]).await.done();
    assert!(none.starts_with("no schedules"), "{none}");
    let put = [
        "schedules",
        "put",
        "nightly",
        "hello",
        "--cron",
        "30 2 * * *",
    ];
    let more = [
        "--params",
        r#"{"name":"you"}"#,
        "--time-zone",
        "Europe/Berlin",
    ];
    let made = host.cli(&[put.as_slice(), &more].concat()).await.done();
    assert!(
        made.contains("02:30") && made.matches("fires at").count() == 3,
        "{made}"
    );
    let listed = host.cli(&["schedules", "list"]).await.done();
    assert!(
        listed.contains("nightly") && listed.contains("Europe/Berlin"),
        "{listed}"
    );
    let run = host
        .cli(&["schedules", "run", "nightly", "--json"])
        .await
        .done();
    let run: Value = serde_json::from_str(&run).unwrap();
    host.reaches(run["task"].as_str().unwrap(), "completed")
        .await;
    let shown = host.cli(&["schedules", "show", "nightly"]).await.done();
    assert!(
        shown.contains("1 fired") && shown.contains("completed"),
        "{shown}"
    );
    let paused = host
        .cli(&["schedules", "pause", "nightly", "--reason", "a\u{1b}[2J"])
        .await
        .done();
    assert_eq!(paused, "nightly: paused\n");
    let shown = host.cli(&["schedules", "show", "nightly"]).await.done();
    assert!(
        shown.contains("paused since") && !shown.contains('\u{1b}'),
        "{shown:?}"
    );
    let resumed = host.cli(&["schedules", "resume", "nightly"]).await.done();
    assert!(
        resumed.starts_with("nightly: resumed\nfires at "),
        "{resumed}"
    );

    host.cli(&["schedules", "delete", "nightly"]).await.done();
    let gone = host.cli(&["schedules", "show", "nightly"]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    host.stop().await;
}

#[tokio::test]
async fn what_the_command_line_refuses_it_explains() {
    let host = Home::with(&["hello-task", "cooperative"]).start().await;
    let more = ["--params", r#"{"name":"you"}"#];
    // One whose task goes on stands in the way of the next.
    let slow = [
        "schedules",
        "put",
        "slow",
        "cooperative",
        "--interval",
        "1h",
    ];
    host.cli(&slow).await.done();
    host.cli(&["schedules", "run", "slow"]).await.done();
    let refused = host.cli(&["schedules", "run", "slow"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("has not ended"), "{refused:?}");

    let often = ["schedules", "put", "x", "hello", "--cron", "often"];
    let wrong = host.cli(&[often.as_slice(), &more].concat()).await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("cron"), "{wrong:?}");
    let both = [
        "schedules",
        "put",
        "x",
        "hello",
        "--cron",
        "* * * * *",
        "--interval",
        "1h",
    ];
    assert_eq!(host.cli(&both).await.code, Some(2));
    host.stop().await;
}
