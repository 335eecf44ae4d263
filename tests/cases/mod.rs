//! The conformance cases: written once, in blocking Rust, and run through every client, which is `crate::subject`:
//! those that talk to a memcached on both kinds of server, the others against servers that play a script.

mod admin;
mod batch;
mod close;
mod closing;
mod condition;
mod connections;
mod counter;
mod failure;
mod get;
mod health;
mod item;
mod many;
mod miss_on_error;
mod noreply;
mod observer;
mod protocol;
mod restart;
mod scripted;
mod servers;
mod setting;
mod stats;
mod store;
mod touch;
mod value;

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use memcached2_testkit::{Memcached, MemcachedVersion};

use self::servers::Kind;

/// Makes tests of each case, and counts the cases. A case is skipped on a memcached that is older than its `since` or newer
/// than its `until`.
macro_rules! cases {
    (served { $($file:ident: [$($case:ident $(since $since:tt)? $(until $until:tt)?),* $(,)?])* } scripted { $($play:ident: [$($scene:ident),* $(,)?])* }) => {
        mod embedded {
            $(mod $file { $(#[test] fn $case() { crate::cases::serve_embedded(crate::cases::$file::$case); })* })*
        }

        mod memcached {
            $(mod $file { $(#[test] fn $case() {
                crate::cases::serve_memcached(crate::cases::$file::$case, stringify!($case), &[$($since)?], &[$($until)?]);
            })* })*
        }

        mod scripted {
            $(mod $play { $(#[test] fn $scene() { let _ran = crate::cases::Ran; crate::cases::$play::$scene(); })* })*
        }

        pub(super) const SERVED: usize = [$($(stringify!($case)),*),*].len();
        pub(super) const SCRIPTED: usize = [$($(stringify!($scene)),*),*].len();
    };
}

mod run {
    cases! {
        served {
            get: [
                a_hit_returns_the_value_and_its_flags,
                a_miss_is_none,
                an_empty_value_is_a_hit,
                a_value_may_contain_anything,
                a_value_of_almost_a_megabyte_comes_back,
                a_key_may_hold_every_byte_from_0x80_up,
                a_key_may_have_250_bytes,
                a_key_may_be_a_word_of_the_protocol,
                every_server_tells_its_version,
                what_is_missing_is_computed_once_and_kept,
            ]
            store: [
                a_set_replaces_value_and_flags,
                an_expiry_reaches_the_server,
                what_has_expired_is_a_miss,
                a_value_too_large_is_refused_and_the_client_goes_on,
                shared_and_borrowed_values_of_any_length_arrive_whole,
                a_delete_tells_whether_there_was_an_item,
                a_key_named_noreply_is_deleted,
                a_key_named_noreply_is_fetched since (1, 6, 10),
            ]
            condition: [
                an_add_stores_only_what_is_missing,
                a_replace_stores_only_over_what_is_there,
                an_add_and_a_replace_have_an_expiry,
                data_is_put_behind_and_before_a_value,
                nothing_is_put_behind_or_before_what_is_missing,
                what_is_put_behind_or_before_keeps_flags_and_expiry,
                a_value_that_would_become_too_large_stays_as_it_is,
                a_cas_stores_over_the_version_that_was_fetched,
                a_cas_fails_when_the_item_has_changed_or_is_gone,
                a_cas_has_an_expiry,
            ]
            touch: [
                a_gets_returns_the_version_of_the_item,
                a_gat_returns_the_value_and_changes_its_expiry since (1, 5, 3),
                a_gats_returns_the_version_and_changes_the_expiry since (1, 5, 3),
                a_gat_with_an_expiry_that_has_passed_is_the_last_hit since (1, 5, 3),
                a_touch_tells_whether_there_is_an_item_and_changes_its_expiry,
            ]
            admin: [
                a_flush_empties_every_server,
                a_flush_may_come_later,
                a_verbosity_reaches_every_server,
            ]
            connections: [
                another_connection_takes_the_place_of_one_that_is_too_old,
                a_connection_is_kept_alive_unless_it_is_not_to_be,
            ]
            counter: [
                an_incr_returns_the_sum,
                an_incr_of_a_missing_key_is_none,
                a_sum_wraps_at_64_bits,
                what_is_no_number_cannot_be_counted,
                a_decr_returns_the_difference_and_stops_at_zero,
                blanks_behind_a_stored_number_are_no_part_of_it,
                a_decr_of_a_missing_key_is_none,
            ]
            many: [
                results_come_in_the_order_of_the_keys,
                many_values_are_stored_on_their_servers,
                each_of_many_values_has_options_of_its_own,
                no_keys_are_no_results,
                a_refused_item_of_a_batch_fails_alone,
                more_keys_than_fit_a_line_are_fetched,
                many_versions_are_those_of_the_items,
                many_items_are_fetched_and_get_an_expiry since (1, 5, 3),
                items_can_be_kept_together_by_another_key,
                many_items_are_deleted_on_their_servers,
                an_item_is_deleted_on_every_server,
                a_rule_of_another_client_decides_where_items_lie,
            ]
            value: [
                each_type_comes_back_as_it_was_stored,
                what_cannot_be_converted_says_so,
                a_value_keeps_its_flags_when_it_is_stored_again,
                a_version_is_fetched_anew_only_of_the_same_value,
                a_prefix_parts_what_several_clients_store,
                several_items_that_were_not_all_stored_are_told_one_by_one,
            ]
            item: [
                an_item_changes_its_item,
                an_item_is_deleted_on_every_server,
                an_item_with_its_version_is_stored_over_once,
                an_item_with_its_version_takes_no_change_that_would_not_look_at_it,
            ]
            miss_on_error: [
                what_a_client_finds_is_what_was_stored,
                a_cache_that_is_down_is_one_in_which_nothing_is_found,
                a_mapping_holds_what_was_inserted,
                a_mapping_counts_what_the_servers_that_are_up_hold,
            ]
            observer: [
                an_observer_hears_of_every_request,
                an_observer_hears_of_each_server,
            ]
            stats: [
                every_server_tells_its_counters,
                a_server_tells_its_settings,
                items_and_slabs_are_told_class_by_class,
                sizes_are_told_once_a_server_counts_them until (1, 6, 24),
                sizes_are_told_by_a_server_started_to_count_them,
                counters_begin_anew,
                what_is_asked_for_by_a_prefix_is_counted,
            ]
            noreply: [
                a_request_without_an_answer_has_its_effect,
                a_request_without_an_answer_leaves_the_connection_in_step_when_it_fails,
            ]
            close: [
                a_closed_client_asks_nobody_any_more,
                a_client_that_was_never_used_closes_at_once,
            ]
            batch: [
                a_hundred_thousand_sets_in_one_call_do_not_deadlock,
                ten_thousand_large_values_in_one_call_arrive,
                more_keys_than_any_buffer_holds_do_not_deadlock,
                many_large_values_in_one_call_are_stored,
            ]
            failure: [
                a_server_that_is_down_cannot_be_connected_to,
                a_client_is_made_while_its_servers_are_down,
                each_address_of_a_name_is_tried,
                what_other_servers_hold_survives_a_failure,
            ]
            health: [
                the_keys_of_a_server_that_is_down_go_to_others_until_its_retry_is_due,
                a_large_batch_moves_from_a_server_that_cannot_be_connected_to,
                without_failover_the_keys_of_a_server_that_is_down_fail_and_go_nowhere,
                a_server_that_stands_still_costs_one_deadline,
                a_server_that_reads_nothing_fails_its_own_items_alone,
                a_server_that_is_down_is_told_by_name_where_every_server_is_asked,
                a_client_whose_only_server_is_down_fails_at_once,
                a_server_may_have_less_time_than_the_others,
            ]
            restart: [
                a_read_survives_a_restart,
                a_write_after_a_restart_is_stored_or_says_that_nobody_knows,
                a_write_finds_out_before_it_is_sent_when_the_connection_was_idle,
            ]
        }
        scripted {
            noreply: [
                an_error_line_is_told_of_the_request_that_it_answers,
                a_server_that_closes_before_the_answer_leaves_it_unknown,
            ]
            close: [
                closing_takes_leave_of_the_server,
            ]
            get: [
                an_invalid_key_fails_before_anything_is_sent,
            ]
            store: [
                an_expiry_beyond_the_protocol_fails_before_anything_is_sent,
            ]
            many: [
                a_bad_key_in_a_batch_stops_it_before_anything_is_sent,
            ]
            scripted: [
                a_reply_may_come_in_any_pieces,
                an_error_line_is_refused_and_the_connection_lives,
                an_unknown_line_to_an_admin_command_is_refused_and_the_connection_lives,
                an_error_line_to_a_store_closes_the_connection,
                a_server_that_closes_is_told_as_such,
                a_server_out_of_step_is_not_trusted_any_more,
                a_line_nobody_asked_for_reaches_nobody,
                a_late_line_is_given_to_nobody_else,
                what_came_before_a_failure_is_kept,
                a_write_is_not_repeated_and_a_read_is_repeated_once,
                a_read_that_changes_the_expiry_is_not_repeated,
                a_server_that_is_full_has_taken_nothing,
            ]
            protocol: [
                a_server_that_speaks_tls_or_binary_is_told_as_such,
                a_server_that_answers_in_meta_is_asked_in_meta,
                a_server_that_refuses_meta_is_asked_in_the_classic_protocol,
                a_server_that_closes_when_it_is_asked_for_its_protocol_is_not_asked_again,
                a_server_that_is_silent_when_it_is_asked_for_its_protocol_is_asked_in_the_classic_one,
                a_server_that_wants_credentials_says_so_to_every_caller,
                a_server_that_is_full_says_so_when_it_is_asked_for_its_protocol,
                a_server_that_misses_one_deadline_is_not_down,
                a_server_that_refused_meta_and_stands_still_is_sent_nothing,
                a_value_is_not_sent_in_meta_before_the_server_has_spoken_it,
                what_arrives_while_nothing_is_asked_is_no_answer_in_the_classic_protocol,
                a_late_reply_is_not_taken_for_another_one_in_meta,
                a_key_named_noreply_is_not_fetched_in_the_classic_protocol,
                flags_of_64_bits_are_read,
            ]
            item: [
                a_refresh_finds_out_that_somebody_else_has_stored,
            ]
            miss_on_error: [
                a_server_that_closes_at_once_is_a_cache_in_which_nothing_is_found,
                a_set_that_fails_is_none,
                a_get_that_fails_is_a_miss,
                a_delete_that_fails_has_deleted_nothing,
                a_batch_tells_of_each_item_what_became_of_it,
                a_mapping_of_a_server_that_misbehaves_is_empty,
            ]
            health: [
                a_server_that_is_slow_is_not_down,
                a_server_that_has_closed_an_old_connection_is_not_down,
                a_proxy_that_closes_after_errors_is_asked_for_one_key_at_a_time,
                a_proxy_that_closes_after_errors_is_not_down,
            ]
            observer: [
                an_observer_hears_of_a_read_that_is_repeated,
            ]
            failure: [
                a_stalled_server_costs_one_deadline,
                a_deadline_counts_from_the_call_and_not_from_the_last_byte,
                a_set_without_an_answer_may_have_landed,
                a_client_without_servers_says_so,
                a_call_may_have_more_or_less_time_than_others,
            ]
        }
    }
}

fn serve_embedded(case: fn(Kind)) {
    let _ran = Ran;
    case(Kind::Embedded);
}

/// `since` and `until` hold the oldest and the newest version that the case can run on, if there is one.
fn serve_memcached(case: fn(Kind), name: &'static str, since: &[MemcachedVersion], until: &[MemcachedVersion]) {
    let _ran = Ran;
    if since.iter().any(|oldest| Memcached::is_too_old_for(name, *oldest))
        || until.iter().any(|newest| Memcached::is_too_new_for(name, *newest))
    {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    case(Kind::Memcached(name));
}

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Dropped at the end of each case; behind the last one it tells how many there were.
struct Ran;

impl Drop for Ran {
    fn drop(&mut self) {
        static DONE: AtomicUsize = AtomicUsize::new(0);
        let (name, served, scripted) = (crate::subject::NAME, run::SERVED, run::SCRIPTED);
        if DONE.fetch_add(1, Ordering::Relaxed) + 1 == 2 * served + scripted {
            let skipped = SKIPPED.load(Ordering::Relaxed);
            let told = format!(
                "{name}: {served} cases ran on the embedded server, {} on memcached ({skipped} skipped), {scripted} on \
                 scripted servers",
                served - skipped
            );
            // Unlike `eprintln!`, this is shown for tests that pass, too.
            let _ = writeln!(std::io::stderr(), "{told}");
        }
    }
}
