//! The suite that every backend passes: functions over the traits, named after what the traits
//! guarantee.
//!
//! # How to use it
//! Give [`exercise`] something that makes an empty store on a manual clock. Each case gets a
//! store of its own and panics, or answers an error, where a guarantee does not hold. What no
//! trait can show (durability over a restart, the plan of a statement) stands in the backend's
//! own tests.

pub mod given;
mod schedules;
mod claims;
mod keys;
pub(crate) mod along;
mod runs;
mod children;
mod lists;
mod histories;
mod texts;
mod collections;
mod kept;
mod recorded;
mod stream_data;
mod samples;
mod retention;
mod imported;
mod versions;
mod hosts;
mod run_keys;
mod audit;
mod tokens;
mod timetables;
pub mod rights;

use taskhost_model::time::Clock;

use crate::open::Stores;

/// An empty store and the manual clock that it was opened with.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The store.
    pub stores: Stores,
    /// Its clock.
    pub clock: Clock,
}

impl Subject {
    /// Here alone a case says that it looks at a list: on a cluster one may be a second late.
    ///
    /// # Errors
    /// The store's.
    pub async fn settle(&self) -> Result<(), crate::error::StoreError> {
        self.stores.settle().await
    }

    async fn close(&self) {
        self.stores.close().await;
    }
}

macro_rules! each_case {
    ($make:expr; $($module:ident { $($case:ident),+ $(,)? })+) => {
        $($({
            let subject = ($make)().await;
            let name = concat!(stringify!($module), "::", stringify!($case));
            $module::$case(&subject).await.expect(name);
            subject.close().await;
        })+)+
    };
}

/// Runs every case on a store of its own.
///
/// # Panics
/// Where a guarantee does not hold.
pub async fn exercise(make: impl AsyncFn() -> Subject) {
    of_apply(&make).await;
    of_tasks(&make).await;
    of_timetables(&make).await;
    of_documents(&make).await;
    of_streams(&make).await;
    of_stream_reads(&make).await;
    of_components(&make).await;
    of_audit(&make).await;
    of_audits_end(&make).await;
}

/// Runs every case of a store that hosts share, each on a store of its own.
///
/// # Panics
/// Where a guarantee does not hold.
pub async fn exercise_shared(make: impl AsyncFn() -> Subject) {
    of_hosts(&make).await;
}

pub(crate) async fn of_hosts(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        hosts {
            a_host_is_listed_as_it_last_beat,
            a_life_that_was_declared_lost_never_beats_again,
            a_beat_or_its_loss_is_first,
            what_a_life_holds_is_told,
            what_was_taken_over_is_held_no_more,
            a_change_of_types_is_told,
            what_was_written_is_told_by_number,
        }
    }
}

/// Runs every case of a store with people, each on a store of its own.
///
/// # Panics
/// Where a guarantee does not hold.
pub async fn exercise_people(make: impl AsyncFn() -> rights::Peopled) {
    of_rights(&make).await;
    of_run_keys(&async || make().await.subject).await;
}

/// Runs every case of a store that makes its people's tokens itself, each on a store of its own.
///
/// # Panics
/// Where a guarantee does not hold.
pub async fn exercise_tokens(make: impl AsyncFn() -> rights::Peopled) {
    of_token_rights(&make).await;
    let make = async || make().await.subject;
    of_run_keys(&make).await;
    of_tokens(&make).await;
}

/// A token's rights never change, and nobody has a key but those that were granted here.
async fn of_token_rights(make: &impl AsyncFn() -> rights::Peopled) {
    each_case! { make;
        rights {
            each_has_what_their_roles_say,
            streams_are_read_as_rights_say,
            a_person_has_a_name,
            what_is_not_accepted_is_said,
            a_key_reads_what_its_person_may,
            a_key_that_was_ended_is_accepted_no_more,
            a_key_ends_by_its_time,
            no_name_means_several,
        }
    }
}

async fn of_tokens(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        tokens {
            a_token_is_accepted_and_listed_without_its_secret,
            a_revoked_token_is_nobodys_at_once,
            of_two_that_revoke_each_other_one_does,
            whose_token_has_ended_changes_nothing,
            a_token_ends_by_its_time_and_is_gone_later,
        }
    }
}

pub(crate) async fn of_audit(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        audit {
            entries_are_kept_with_what_became_of_them,
            entries_are_found_by_what_they_say,
            pages_are_complete,
        }
    }
}

async fn of_audits_end(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        audit {
            what_is_done_often_pushes_out_nothing_rare,
        }
    }
}

pub(crate) async fn of_rights(make: &impl AsyncFn() -> rights::Peopled) {
    each_case! { make;
        rights {
            each_has_what_their_roles_say,
            streams_are_read_as_rights_say,
            a_person_has_a_name,
            who_comes_with_a_key_is_its_owner,
            what_is_not_accepted_is_said,
            a_key_reads_what_its_person_may,
            a_key_keeps_the_rights_of_its_moment,
            a_key_that_was_ended_is_accepted_no_more,
            a_key_ends_by_its_time,
            no_name_means_several,
        }
    }
}

pub(crate) async fn of_run_keys(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        run_keys {
            a_key_is_there_as_it_was_written,
            a_key_is_written_once,
            what_is_sealed_anew_replaces_that_alone,
            whatever_is_unfinished_holds_its_key,
            a_key_is_held_while_a_former_guest_may_be_alive,
            every_schedule_that_was_answered_holds,
            many_runs_may_hold_one_key,
            whoever_sets_the_check_first_has_set_it,
        }
        timetables {
            a_schedule_holds_its_key,
        }
    }
}

pub(crate) async fn of_apply(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        schedules {
            of_many_writers_one_schedules,
            a_schedule_that_is_repeated_is_recognized,
            a_live_run_is_left_alone,
            what_was_done_before_is_kept,
            a_schedule_may_want_absence_or_a_version,
            changes_may_want_a_version,
            a_cancel_ends_what_waits_and_asks_what_runs,
            acknowledging_needs_a_result,
            deleted_is_gone_and_a_late_run_cannot_bring_it_back,
            versions_do_not_come_back_after_a_deletion,
        }
        runs {
            every_report_of_a_run_is_written,
            a_late_writer_is_fenced,
            an_end_that_is_repeated_is_recognized,
            a_canceled_run_ends_canceled_whatever_it_returns,
            a_result_before_the_cancel_stays,
            a_failed_attempt_waits_and_runs_again,
            a_pause_costs_no_attempt,
            a_handed_back_run_keeps_its_attempt_and_deadline,
            a_lost_host_requeues_until_it_is_too_often,
            versions_and_revisions_tell_what_changed,
            reads_see_what_was_answered,
        }
        children {
            a_suspended_run_goes_on_when_it_is_resumed_or_due,
            a_suspended_run_is_canceled_at_once,
            living_children_are_told_by_their_parents_run,
        }
    }
}

pub(crate) async fn of_tasks(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        claims {
            claim_never_gives_one_run_twice,
            claim_gives_due_runs_only,
            claim_gives_wanted_types_only,
            claim_goes_by_rank_then_by_creation,
            claim_takes_the_types_in_turn,
            claim_gives_nothing_while_a_previous_run_may_be_alive,
            claim_pins_the_component_once,
            a_retry_keeps_the_time_that_the_pinned_version_gives,
            a_clock_that_goes_back_makes_nothing_due,
            next_due_is_the_earliest_that_waits,
            held_are_those_that_a_host_may_run,
            unfinished_are_counted,
        }
        imported {
            what_has_ended_is_imported_as_it_was,
            what_has_not_ended_is_imported_as_canceled,
        }
        keys {
            as_many_of_a_key_are_given_as_it_allows,
            a_long_queue_of_one_key_keeps_nobody_waiting,
            of_a_key_the_first_in_rank_is_next,
            a_run_that_waits_again_gives_its_key_back,
            who_is_scheduled_again_stands_behind_older_ones,
            a_suspended_run_holds_its_key,
            a_deleted_run_holds_its_key_while_its_guest_may_be_alive,
            whatever_leaves_a_key_lets_the_next_have_it,
            the_bound_that_a_claim_names_holds,
            what_waits_for_a_key_is_pinned_and_a_living_child,
        }
        along {
            along_is_claimed_as_any_claim,
            along_gives_what_is_due_in_order,
            along_gives_nothing_twice,
            along_without_room_leaves_it_to_claims,
            along_asks_only_where_something_is_ready,
        }
        lists {
            lists_are_newest_first,
            lists_are_filtered,
            lists_are_complete_over_a_cursor,
            a_foreign_cursor_is_refused,
            no_tombstone_is_shown_and_none_stays,
        }
        histories {
            a_run_that_another_one_follows_is_kept_with_its_log,
            so_many_runs_are_kept_and_the_oldest_go,
            a_run_goes_on_with_what_the_former_one_has_kept_where_it_is_wanted,
            what_has_ended_goes_when_its_time_is_up,
            a_promise_outlives_its_task_for_a_day,
            what_waits_for_too_long_is_found_and_ended,
            a_batch_does_to_each_what_is_done_to_one,
            tasks_are_counted_by_status_as_they_are_listed,
        }
        texts {
            texts_are_stored_exactly,
            what_is_too_large_is_refused_and_nothing_written,
            a_log_grows_and_ends_at_its_limit,
            a_new_run_has_none_of_the_old_texts,
        }
    }
}

pub(crate) async fn of_timetables(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        timetables {
            a_schedule_is_there_as_it_was_written,
            of_many_writers_of_a_schedule_one_writes,
            a_repeated_write_of_a_schedule_is_recognized,
            a_removed_schedule_is_gone,
            schedules_are_listed_by_their_ids,
            due_schedules_come_in_the_order_of_their_time,
        }
    }
}

pub(crate) async fn of_documents(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        collections {
            a_label_belongs_to_its_first_owner,
            only_a_live_fence_writes,
            changes_stand_alone_and_in_order,
            a_version_never_comes_back,
            queries_go_by_id_over_a_cursor,
            a_page_keeps_to_its_bytes,
            a_query_looks_at_a_bounded_amount_and_goes_on,
            scopes_are_apart_and_go_with_their_stream,
            bodies_are_stored_exactly,
        }
        kept {
            what_was_saved_is_there_for_the_next_attempt,
            only_a_live_run_reads_and_writes_its_checkpoints,
            a_new_schedule_a_result_and_a_deletion_end_checkpoints,
            a_lost_host_loses_no_checkpoint,
            a_save_beyond_a_limit_changes_nothing,
        }
        recorded {
            pieces_are_read_as_they_were_written,
            only_a_live_run_is_recorded,
            an_attempt_that_begins_again_is_recorded_anew,
            a_new_schedule_and_a_deletion_end_recordings,
            recordings_end_some_time_after_their_run,
        }
    }
}

/// What the embedded store alone does: where streams belong to a cluster they are made, filled
/// and trimmed there.
async fn of_streams(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        stream_data {
            streams_are_made_changed_and_listed,
            what_was_ingested_is_there,
        }
        retention {
            age_counts_from_arrival,
            what_is_too_much_goes_in_the_order_of_arrival,
            a_deleted_stream_leaves_nothing_to_its_successor,
        }
    }
}

/// Reads of streams, whoever fills them.
pub(crate) async fn of_stream_reads(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        stream_data {
            ranges_end_before_their_end,
            conditions_mean_what_the_model_says,
            a_search_is_complete_over_a_cursor,
            a_search_keeps_to_rows_and_bytes,
            fields_are_cut_out_to_the_letter,
            field_statistics_tell_what_is_there,
            a_stream_that_is_not_there_is_named,
        }
        samples {
            a_seed_draws_the_same_again,
            a_sample_has_no_document_twice,
            a_sample_keeps_to_range_and_condition,
            a_sample_keeps_to_its_bytes,
            many_documents_are_drawn_as_few_are,
        }
    }
}

pub(crate) async fn of_components(make: &impl AsyncFn() -> Subject) {
    each_case! { make;
        versions {
            a_component_never_changes,
            one_version_of_a_type_is_active,
            versions_retire_and_go,
            a_version_stays_as_long_as_a_run_is_pinned_to_it,
            no_run_is_pinned_to_a_version_that_has_gone,
            tasks_wait_when_the_last_version_has_gone,
            the_active_version_stays_as_long_as_a_task_waits_for_it,
            the_last_version_frees_the_labels,
            components_are_listed_newest_first,
            an_approval_is_kept_with_what_it_makes_active,
            a_type_is_paused_until_it_goes_on_or_is_gone,
        }
    }
}
