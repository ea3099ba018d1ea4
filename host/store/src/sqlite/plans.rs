//! Holds the plan of every statement that runs often or over much: a second index that looks
//! fitting to the planner once made each claim sort all that waited.

use rusqlite::Connection;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{Space, StreamName, TypeId};
use taskhost_model::query::Sort;
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;

use super::connection::Format;
use super::range::Range;
use super::{
    checkpoints, children, claim, collection, components, conditions, documents, drawing, history,
    lanes, list, many, read_task, recordings, retention, schedules, schema, search, tasks,
};
use crate::tasks::ListRequest;

fn connection(format: &Format) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for step in format.steps {
        connection.execute_batch(step).unwrap();
    }
    conditions::register(&connection).unwrap();
    connection
}

#[track_caller]
fn check(connection: &Connection, sql: &str, expected: &[&str]) {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get::<_, String>(3).unwrap());
    }
    assert_eq!(plan, expected, "{sql}");
}

#[test]
fn tasks_are_found_and_claimed_by_one_seek() {
    let connection = connection(&schema::TASKS);
    let check = |sql: &str, expected: &[&str]| check(&connection, sql, expected);
    check(
        read_task::SELECT_BY_KEY,
        &["SEARCH tasks USING INDEX tasks_by_id (space=? AND id=?)"],
    );
    check(
        read_task::SELECT_BY_NUMBER,
        &["SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"],
    );
    check(
        claim::SELECT_READY,
        &["SEARCH tasks USING COVERING INDEX tasks_ready (type=?)"],
    );
    check(
        read_task::NEXT_DUE,
        &["SCAN tasks USING COVERING INDEX tasks_waiting"],
    );
    check(
        tasks::SELECT_HELD,
        &["SEARCH tasks USING COVERING INDEX tasks_held (place=?)"],
    );
    check(
        tasks::SELECT_TOMBSTONES,
        &["SEARCH tasks USING COVERING INDEX tasks_tombstones (place=?)"],
    );
    check(
        claim::IS_GONE,
        &[
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 1",
            "SEARCH components USING COVERING INDEX sqlite_autoindex_components_1 (digest=?)",
        ],
    );
    check(
        components::IS_PINNED,
        &[
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 1",
            "SEARCH tasks USING INDEX tasks_pinned (digest=?)",
            "SCALAR SUBQUERY 2",
            "SEARCH tasks USING INDEX tasks_held (place=?)",
        ],
    );
    check(
        components::IS_AWAITED,
        &[
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 1",
            "SEARCH tasks USING COVERING INDEX tasks_ready (type=?)",
            "SCALAR SUBQUERY 2",
            "SCAN tasks USING INDEX tasks_waiting",
            "SCALAR SUBQUERY 3",
            "SEARCH tasks USING INDEX tasks_held (place=?)",
        ],
    );
    check(
        claim::PROMOTE,
        &[
            "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)",
            "LIST SUBQUERY 1",
            "SEARCH tasks USING COVERING INDEX tasks_waiting (due_ms<?)",
        ],
    );
}

#[test]
fn former_runs_and_what_goes_are_found_by_one_seek() {
    let connection = connection(&schema::TASKS);
    let check = |sql: &str, expected: &[&str]| check(&connection, sql, expected);
    let of_task = "SEARCH former_runs USING INDEX former_runs_of_task (task=?)";
    check(history::SELECT, &[of_task]);
    check(history::SELECT_ONE, &[of_task]);
    check(
        history::SELECT_OLDER,
        &["SEARCH former_runs USING COVERING INDEX former_runs_of_task (task=?)"],
    );
    check(
        many::SELECT_EXPIRED,
        &["SEARCH tasks USING INDEX tasks_expiring (expires_ms>? AND expires_ms<?)"],
    );
    check(
        many::SELECT_OVERDUE[0],
        &["SEARCH tasks USING INDEX tasks_ready (type=?)"],
    );
    check(
        many::SELECT_OVERDUE[1],
        &["SEARCH tasks USING INDEX tasks_behind (type=?)"],
    );
}

#[test]
fn unfinished_runs_are_counted_over_small_indexes() {
    let connection = connection(&schema::TASKS);
    for sql in tasks::WAITING_BY_TYPE {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let plan: String = statement.query_row([], |row| row.get(3)).unwrap();
        assert!(plan.contains("USING COVERING INDEX"), "{sql}: {plan}");
    }
    for sql in tasks::UNFINISHED_BY_TYPE
        .iter()
        .chain(&tasks::UNFINISHED_BY_DIGEST)
    {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let plan: Vec<String> = statement
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let partial = [
            "tasks_ready",
            "tasks_waiting",
            "tasks_behind",
            "tasks_held",
            "tasks_pinned",
        ];
        assert!(
            partial.iter().any(|index| plan[0].contains(index)),
            "{sql}: {plan:?}"
        );
    }
}

#[test]
fn lanes_are_found_by_their_key() {
    let connection = connection(&schema::TASKS);
    let check = |sql: &str, expected: &[&str]| check(&connection, sql, expected);
    check(
        lanes::SELECT_READY,
        &["SEARCH tasks USING INDEX tasks_ready (type=?)"],
    );
    check(
        lanes::COUNT_HOLDING,
        &["SEARCH tasks USING COVERING INDEX tasks_holding \
           (type=? AND space=? AND concurrency_key=?)"],
    );
    check(
        lanes::SELECT_HOLDERS,
        &[
            "SEARCH tasks USING INDEX tasks_holding \
             (type=? AND space=? AND concurrency_key=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    );
    check(
        lanes::IS_ANY_BEHIND,
        &[
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 1",
            "SCAN tasks USING COVERING INDEX tasks_behind_runs",
        ],
    );
    for (sql, than) in lanes::COME_BACK.iter().zip(["<", ">"]) {
        let rows = format!(
            "SEARCH tasks USING COVERING INDEX tasks_behind_runs (type=? AND behind_runs{than}?)"
        );
        let by_number = "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)";
        check(sql, &[by_number, "LIST SUBQUERY 1", &rows]);
    }
    check(
        lanes::LET_NEXT,
        &[
            "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH tasks USING COVERING INDEX tasks_behind \
             (type=? AND space=? AND concurrency_key=?)",
        ],
    );
}

#[test]
fn lists_go_along_an_index_without_sorting() {
    let connection = connection(&schema::TASKS);
    let all = ListRequest::all(Space::parse("default").unwrap());
    let mut on_stream = all.clone();
    on_stream.stream = StreamName::parse("logs").ok();
    let mut of_type = all.clone();
    of_type.type_id = TypeId::parse("hello").ok();
    let mut newer = all.clone();
    newer.created_after = Some(Timestamp::from_ms(0));
    let completed = Some(Status::Completed);
    let after = Some((7, 7));
    for (request, status, after, plan) in [
        (&all, None, None, "tasks_listed (space=?)"),
        (
            &newer,
            None,
            None,
            "tasks_listed (space=? AND created_ms>?)",
        ),
        (&all, None, after, "tasks_listed (space=? AND created_ms<?)"),
        (
            &all,
            completed,
            None,
            "tasks_by_status (space=? AND status=?)",
        ),
        (
            &all,
            completed,
            after,
            "tasks_by_status (space=? AND status=? AND created_ms<?)",
        ),
        (
            &of_type,
            completed,
            None,
            "tasks_by_type (space=? AND type=? AND status=?)",
        ),
        (
            &of_type,
            completed,
            after,
            "tasks_by_type (space=? AND type=? AND status=? AND created_ms<?)",
        ),
        (
            &on_stream,
            completed,
            None,
            "tasks_by_stream (space=? AND stream=?)",
        ),
    ] {
        let query = list::Query::of(request, status, after, 100);
        let plan = format!("SEARCH tasks USING INDEX {plan}");
        check(&connection, &query.sql, &[plan.as_str()]);
    }
    for (request, plan) in [
        (&all, "tasks_by_status (space=?)"),
        (&of_type, "tasks_by_type (space=? AND type=?)"),
    ] {
        let query = list::Query::of_counts(request);
        let plan = format!("SEARCH tasks USING INDEX {plan}");
        check(&connection, &query.sql, &[plan.as_str()]);
    }
}

#[test]
fn children_are_found_by_their_parents_run() {
    let connection = connection(&schema::TASKS);
    for (sql, plan) in [
        (
            children::COUNT_CHILDREN,
            "SEARCH tasks USING INDEX tasks_children (parent_run=?)",
        ),
        (
            children::SELECT_LIVING_CHILDREN,
            "SEARCH tasks USING INDEX tasks_living_children (parent_run=? AND place=?)",
        ),
        (
            children::SELECT_PARENTS,
            "SEARCH tasks USING COVERING INDEX tasks_living_children (parent_run>?)",
        ),
    ] {
        check(&connection, sql, &[plan]);
    }
}

#[test]
fn collections_are_read_by_id() {
    let connection = connection(&schema::TASKS);
    let page = "SEARCH documents USING INDEX documents_by_id \
                (space=? AND stream=? AND label=? AND id>?)";
    check(&connection, collection::SELECT_AFTER, &[page]);
    check(
        &connection,
        documents::SELECT_OF_STREAM,
        &["SEARCH documents USING INDEX documents_by_id (space=? AND stream=?)"],
    );
}

#[test]
fn checkpoints_are_found_by_their_task() {
    let connection = connection(&schema::TASKS);
    let one = "SEARCH checkpoints USING INDEX checkpoints_by_key (task=? AND key=?)";
    let all = "SEARCH checkpoints USING INDEX checkpoints_by_key (task=?)";
    check(&connection, checkpoints::SELECT, &[one]);
    check(&connection, checkpoints::FORGET, &[one]);
    check(&connection, checkpoints::COUNT_OTHERS, &[all]);
    check(&connection, checkpoints::END, &[all]);
}

#[test]
fn recordings_are_found_by_their_task() {
    let connection = connection(&schema::TASKS);
    let of_task = "SEARCH recordings USING INDEX recordings_of_task (task=?)";
    check(&connection, recordings::OF_TASK, &[of_task]);
    let index = "SEARCH recording_pieces USING INDEX recording_pieces_in_order";
    let one = format!("{index} (recording=? AND piece=?)");
    check(&connection, recordings::PIECE, &[&one]);
    let all = format!("{index} (recording=?)");
    check(&connection, recordings::END_PIECES, &[&all]);
}

#[test]
fn stream_data_is_read_along_an_index() {
    let connection = connection(&schema::STREAMS);
    let check = |sql: &str, expected: &[&str]| check(&connection, sql, expected);
    let range = |condition: Option<Condition>| Range {
        stream: 1,
        numbers: (0, 9),
        from_ms: 0,
        to_ms: 9,
        condition: conditions::compile(condition.as_ref()),
        whole: false,
        documents: 9,
    };
    let by_time = "documents_by_time (stream=? AND at_ms>? AND at_ms<?)";
    let covering = format!("SEARCH documents USING COVERING INDEX {by_time}");
    let rows = format!("SEARCH documents USING INDEX {by_time}");
    let as_it_lies = "SEARCH documents USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
    let all = range(None);
    let some = range(Some(Condition::exists("a", true)));
    check(&all.sql("count(*)", false), &[&covering]);
    check(&all.sql("number", false), &[&covering]);
    check(&some.sql("count(*)", false), &[&rows]);
    check(&some.sql("number", true), &[as_it_lies]);
    check(
        drawing::SELECT_CANDIDATE,
        &["SEARCH documents USING INTEGER PRIMARY KEY (rowid=?)"],
    );
    let same_time = |later| {
        let index = "documents_by_time (stream=? AND at_ms=? AND rowid";
        format!("SEARCH documents USING INDEX {index}{later}?)")
    };
    check(&search::sql(&all, Sort::Asc), &[&rows]);
    check(&search::sql(&some, Sort::Desc), &[&rows]);
    check(
        &search::sql_of_same_time(&all, Sort::Asc),
        &[&same_time(">")],
    );
    check(
        &search::sql_of_same_time(&some, Sort::Desc),
        &[&same_time("<")],
    );
    check(retention::SELECT_OLDEST, &[as_it_lies]);
    check(retention::DELETE_OLDEST, &[as_it_lies]);
    check(
        retention::DELETE_ORPHANS,
        &[
            "SEARCH documents USING INTEGER PRIMARY KEY (rowid=?)",
            "LIST SUBQUERY 1",
            "SEARCH documents USING COVERING INDEX documents_by_time (stream=?)",
        ],
    );
}

#[test]
fn schedules_are_found_by_one_seek() {
    let connection = connection(&schema::TASKS);
    let check = |sql: &str, expected: &[&str]| check(&connection, sql, expected);
    let by_id = "SEARCH schedules USING INDEX schedules_by_id (space=? AND id";
    check(schedules::BY_KEY, &[&format!("{by_id}=?)")]);
    check(schedules::LIST, &[&format!("{by_id}>?)")]);
    check(
        schedules::DUE,
        &["SEARCH schedules USING INDEX schedules_due ((act_ms,space,id)>(?,?,?) AND act_ms<?)"],
    );
}
