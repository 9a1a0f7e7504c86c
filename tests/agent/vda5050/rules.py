"""The rules of VDA 5050 that a robot has to keep, and the tests that hold ours to them.

One line a rule: where 2.1 states it, where 3.0 does, what it says, and its tests. 2.0 states it
where 2.1 does, but for the sections in ``ELSEWHERE_IN_2_0``. ``python -m
tests.agent.vda5050.rules`` prints the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("2.0", "2.1", "3.0")

# 2.1 has a section on corridors and one on maps that 2.0 lacks, and moved two chapters.
ELSEWHERE_IN_2_0 = {
    "6.6.5": None,
    "6.6.6": "6.7",
    "6.7": None,
    "6.7.1": None,
    "6.7.2": None,
    "6.7.3": None,
    "6.7.4": None,
    "6.7.5": None,
    "6.15": "7",
    "6.15.1": "7.1.3",
    "7.1": "8.1",
    "7.2": "8.2",
}

# Headings of the documents at their tags 2.1.0 and 3.0.0.
_HEADINGS = {
    "2.1": """
        6.1.1 6.1.2 6.1.3 6.1.4 6.2 6.3 6.4 6.5 6.6 6.6.1 6.6.2 6.6.3 6.6.3.1 6.6.3.2 6.6.4 6.6.4.1
        6.6.4.2 6.6.4.3 6.6.5 6.6.6 6.7 6.7.1 6.7.2 6.7.3 6.7.4 6.7.5 6.8 6.8.1 6.8.2 6.9 6.10
        6.10.1 6.10.2 6.10.3 6.10.4 6.10.5 6.10.6 6.11 6.12 6.13 6.14 6.15 6.15.1 7.1 7.2
    """,
    "3.0": """
        4.1 4.2 4.3 5.1 5.2 5.3 5.4 6.1 6.1.1 6.1.2 6.1.2.1 6.1.3 6.1.3.1 6.1.3.2 6.1.4 6.1.4.1
        6.1.4.2 6.1.4.3 6.1.4.4 6.1.4.5 6.1.4.6 6.1.4.7 6.1.4.8 6.1.4.9 6.1.4.10 6.1.5 6.2 6.2.1
        6.2.2 6.2.3 6.2.3.1 6.2.3.2 6.2.3.3 6.3 6.3.1 6.3.2 6.3.3 6.3.4 6.3.5 6.4 6.4.1 6.4.1.1
        6.4.1.2 6.4.2 6.4.3 6.4.4 6.4.5 6.5 6.6 6.6.1 6.6.2 6.6.2.1 6.6.3 6.6.4 6.6.5 6.6.5.1
        6.6.5.2 6.6.5.3 6.6.5.4 6.6.6 6.6.7 6.6.8 6.6.9 6.6.9.1 6.6.10 6.7 6.8 6.9 6.10 7.1.1
        7.1.2 7.1.3 7.1.4 7.2 7.3 7.3.1 7.4 7.5 7.6 7.7 7.8 7.9 7.10
    """,
}
SECTIONS = {version: frozenset(text.split()) for version, text in _HEADINGS.items()}

HERE = Path(__file__).parent
FILES = {
    "acting": HERE.parent / "test_acting.py",
    "book": HERE / "test_order_book.py",
    "broker": HERE.parent / "telemetry" / "test_broker.py",
    "certificates": HERE / "storage" / "test_certificates.py",
    "clearance": HERE / "zones" / "test_clearance.py",
    "corridors": HERE / "test_order_corridors.py",
    "docking": HERE.parent / "test_docking_actions.py",
    "factsheet": HERE.parent / "test_factsheet.py",
    "faults": HERE.parent / "test_order_faults.py",
    "hibernation": HERE.parent / "test_hibernation.py",
    "loop": HERE.parent / "test_loop.py",
    "machine": HERE / "test_order_machine.py",
    "maps": HERE.parent / "test_map_actions.py",
    "messages": HERE / "test_messages.py",
    "paths": HERE / "test_paths.py",
    "repeated": HERE / "test_repeated_actions.py",
    "resumption": HERE.parent / "test_resumption.py",
    "runner": HERE / "test_action_runner.py",
    "state": HERE / "test_state_report.py",
    "stream": HERE.parent / "test_order_stream.py",
    "versions": HERE.parent / "test_versions.py",
    "wire": HERE / "test_wire.py",
    "zones": HERE.parent / "test_zones.py",
}

TABLE = """
2.1     | 3.0      | rule                                                               | tests
6.1.1   | 7.1.1    | an optional field that is unset is left out, never null            | messages test_unset_fields_are_left_out
6.1.3   | 7.1.3    | unknown fields are tolerated, unknown enum values are not          | messages test_wrong_types_and_values_are_refused; wire test_names_of_another_version_are_unknown_fields_and_tolerated
6.1.4   | 7.1.4    | types are those of JSON; NaN and infinity are none                 | messages test_wrong_types_and_values_are_refused; state test_unknown_values_never_become_nan
6.2     | 4.1      | connection is retained with QoS 1, the rest has QoS 0              | messages test_connection_messages_are_retained_and_acknowledged
6.2     | 4.1      | a robot without a broker keeps its order, and tells once it is back | loop test_after_the_broker_came_back_a_state_is_sent
6.3     | 4.2      | topics name interface, major version, manufacturer, serial number  | messages test_topics_are_addressed_and_parsed; versions test_presence_and_topics
6.4     | 7.2      | header ids count per topic and wrap at 32 bits                     | messages test_header_ids_count_per_topic_and_wrap
6.4     | 7.2      | time stamps are ISO 8601 in UTC                                    | messages test_time_stamps_as_masters_write_them test_time_stamps_have_milliseconds
6.4     | 7.2      | another major version is rejected                                  | versions test_an_order_of_another_major_version_is_rejected_for_that
6.4     | 7.2      | a message of a newer minor version is read as the nearest known    | wire test_a_message_is_read_in_the_nearest_known_version
6.5     | 4.3      | every message is valid by the schema of its version                | state test_every_message_meets_the_official_schema; wire test_whatever_is_sent_is_valid_by_the_official_schema test_every_field_of_the_schema_is_spoken
6.6.1   | 6.1.1    | only the base is driven, the horizon is reported                   | book test_only_released_nodes_are_driven_and_the_horizon_is_reported; machine TestDispatch
6.6.1   | 6.1.1    | sequence ids are continuous over nodes and edges                   | book test_a_malformed_order_is_rejected; machine TestDispatch
6.6.1   | 6.1.1    | the first node is trivially reachable, and counts as reached       | book test_the_first_node_counts_as_reached_where_the_robot_stands_on_it test_the_first_node_stays_where_its_heading_is_not_met
6.6.1   | 6.1.1    | a single node is an order                                          | book test_a_single_node_is_a_whole_order
6.6.2   | 6.1.2    | an update replaces the horizon and extends the base at its end     | book test_an_update_replaces_the_horizon_and_extends_the_base test_an_update_may_delete_the_horizon; machine TestDispatch
6.6.2   | 6.1.2    | the base does not change                                           | machine TestDispatch
6.6.2   | 6.1.2    | an update that begins elsewhere is rejected                        | book test_what_does_not_fit_is_rejected_and_changes_nothing; machine TestDispatch
6.6.2   | 6.1.2    | actions of the stitching node are not done again                   | book test_elements_arrive_once_and_in_sequence; machine TestDispatch
6.6.2   | 6.1.2    | an update needs no node near the robot                             | book test_an_update_needs_no_pose
6.6.2   | 6.1.2    | released nodes are rolled through                                  | stream test_the_agent_rolls_through_sixty_streamed_nodes
6.6.2   | 6.1.2.1  | an order whose base is done waits for its update                   | book test_an_update_may_follow_a_finished_base
6.6.2   | 6.1.2.1  | a new order is taken once the last one is done                     | book test_a_new_order_after_the_last_one; acting test_the_order_is_over_once_its_actions_are
6.6.3   | 6.1.3    | a cancel stops the robot and keeps the ids                         | book test_cancelling_keeps_the_ids_and_refuses_updates; loop test_a_cancelled_order_ends_in_standstill
6.6.3   | 6.1.3    | cancelOrder is RUNNING, and what was ahead is told, until it stands | state test_cancel_runs_until_the_robot_stands
6.6.3   | 6.1.3    | WAITING actions fail, what cannot be interrupted is finished       | runner test_cancel_interrupts_what_it_may_6_6_3; acting test_a_cancel_gives_up_actions_too test_an_order_without_way_left_is_cancelled_by_its_actions_alone
-       | 6.1.3    | a cancel may name the order                                        | acting test_a_cancel_of_another_order_fails
6.6.3.1 | 6.1.3.1  | no update of a cancelled order is taken, but a new order is        | book test_cancelling_keeps_the_ids_and_refuses_updates; machine TestDispatch
6.6.3.2 | 6.1.3.2  | a cancel without an order fails with noOrderToCancel               | state test_cancel_without_an_order_fails
6.6.4   | 6.1.4    | a rejection is told until an order is accepted                     | state test_a_rejection_is_reported_until_an_order_is_accepted
6.6.4   | 6.1.4    | what was at hand goes on after a rejection                         | book test_what_does_not_fit_is_rejected_and_changes_nothing; loop test_a_rejected_order_is_told_and_changes_nothing
6.6.4.1 | 6.1.4.1  | a malformed order is rejected                                      | book test_a_malformed_order_is_rejected test_garbage_is_rejected test_a_malformed_order_is_named_as_far_as_it_can_be_read; wire test_what_is_wrong_is_named_in_the_words_of_the_version test_no_json_raises_anything_else
6.6.4.2 | 6.1.4.3  | an order with an action that the robot cannot do is rejected       | book test_an_action_that_it_cannot_perform_is_rejected_with_the_reason; runner test_what_the_robot_cannot_do_is_told_6_6_4_2
6.6.4.2 | 6.1.4.2  | an order with a field that the robot cannot obey is rejected       | book test_what_the_robot_cannot_do_is_rejected test_optional_fields_without_effect_on_this_robot_are_accepted
6.6.4.3 | 6.1.4.4  | an older update is rejected                                        | book test_what_does_not_fit_is_rejected_and_changes_nothing; machine TestDispatch
6.6.4.3 | 6.1.4.5  | the same update again is ignored                                   | book test_the_same_update_again_is_ignored; state test_a_repeated_order_is_answered_with_a_state
-       | 6.1.4.5  | the same update with another content is an error                   | book test_in_3_the_same_update_with_another_content_is_an_error
-       | 6.1.2    | an order begins with update 0                                      | book test_in_3_an_order_begins_with_update_0
6.6.2   | 6.1.4.6  | another order is rejected while one is active                      | machine TestDispatch
6.6.1   | 6.1.4.7  | a start out of range is rejected                                   | book test_what_the_robot_cannot_do_is_rejected test_an_order_begins_on_the_map_that_the_robot_is_on; loop test_an_order_elsewhere_is_rejected
6.6.4.2 | 6.1.4.8  | a node that cannot be reached is rejected                          | book test_every_node_must_lie_on_its_map
6.10.6  | 6.1.4.9  | orders are taken in the modes that the table names                 | book test_orders_are_taken_in_modes_that_the_standard_names
6.7.1   | 6.1.4.10 | a node on a map that is not there is rejected                      | book test_what_the_robot_cannot_do_is_rejected
6.6.5   | 6.1.5    | a corridor belongs to the edge's way                               | book test_a_corridor_belongs_to_the_way_to_its_end_node
-       | 6.1.5    | a corridor that needs a release is kept out of until it is granted | corridors test_a_corridor_is_asked_for_and_kept_out_of_until_it_is_granted
6.6.6   | 7.3      | speed, deviation and heading are obeyed                            | book test_speed_deviation_and_heading_reach_the_waypoint
6.6.6   | 7.3      | a trajectory is the way of its edge, or the order is rejected      | book test_a_trajectory_is_the_way_to_its_end_node test_a_trajectory_that_makes_no_way_is_rejected; resumption test_a_curve_is_driven_and_its_corridor_asked_for
6.6.6   | 7.3      | a NURBS' degree and knots have the defaults of the document        | wire test_a_degree_is_a_whole_number_however_it_is_written test_left_out_knots_are_clamped_and_equally_spaced
6.6.6   | 7.3      | an orientation is met where the robot can                          | book test_a_global_orientation_is_met_where_it_is_the_way_ahead
6.6.6   | 7.3      | action ids are unique within the order                             | book test_an_action_id_is_used_once
6.6.6   | 7.3      | nodes may lie on several maps                                      | book test_an_order_over_two_maps_is_driven_map_by_map test_a_horizon_on_another_map_waits_for_its_release test_the_way_between_two_maps_is_none_on_the_base
-       | 6.6.2.1  | a deviation may be an ellipse                                      | book test_an_ellipse_says_what_counts_as_near; wire test_an_ellipse_turned_by_half_is_the_same
6.7.2   | 6.3.2    | maps and their status are in the state                             | maps test_a_map_is_downloaded_enabled_and_deleted; state test_the_first_tick_tells_everything
6.7.3   | 6.3.3    | a map is downloaded; a duplicate or a broken one fails             | maps test_a_map_is_downloaded_enabled_and_deleted test_a_duplicate_is_refused test_what_cannot_be_used_changes_nothing
6.7.4   | 6.3.4    | a map is enabled, and others of its id are disabled                | maps test_the_robot_goes_on_on_the_new_map test_a_map_is_enabled_on_a_node
6.7.5   | 6.3.5    | a map is deleted unless it is in use                               | maps test_maps_in_use_and_maps_that_are_not_there
-       | 6.3.3    | a map action that is accepted ends DUPLICATE_MAP                   | maps test_errors_end_with_the_next_action_that_is_accepted_table_9
6.8.1   | 6.2.3.1  | initPosition on a node goes on on the other map                    | faults test_a_pose_is_stated_on_a_node_of_an_elevator_6_8 test_an_incomplete_pose_on_a_node_is_rejected_6_6_4_2
6.6.5   | 6.1.5    | a robot outside of its corridor stops, and says so                 | faults test_a_robot_that_is_pushed_out_of_its_corridor_stops_6_6_5 test_a_breach_is_what_lies_beyond_either_side
6.10.6  | 6.6.5.4  | a robot that is not localized says so from the beginning           | faults test_before_the_first_pose_the_robot_says_that_it_is_not_localized
-       | 6.4.2    | a new zone set is DISABLED; it is enabled and deleted by action    | zones test_zone_sets_are_kept_enabled_and_deleted_6_4_2 test_a_zone_that_is_not_enabled_does_not_hold_6_4_2
-       | 6.4.2    | a zone set of a known id is refused                                | zones test_a_zone_set_comes_once_6_4_2
-       | 6.4.2    | zone sets are downloaded                                           | zones test_zone_sets_are_downloaded_6_4_2
-       | 6.4      | zones that the factsheet does not name are rejected                | zones test_what_the_robot_cannot_obey_is_rejected_7_6 test_without_a_storage_zones_are_rejected
-       | 7.6      | fewer than three vertices, or sides that cross, make no zone       | zones test_what_the_robot_cannot_obey_is_rejected_7_6
-       | 6.4.1.1  | a BLOCKED zone is not entered                                      | zones test_a_blocked_zone_is_driven_around_6_4_1_1
-       | 6.4.1.1  | a robot in a BLOCKED zone stops with BLOCKED_ZONE_VIOLATION        | zones test_a_robot_in_a_blocked_zone_stops_6_4_1_1
-       | 6.4.5    | a node behind zones is NODE_UNREACHABLE                            | zones test_no_way_leads_through_a_blocked_zone_6_4_5
-       | 6.4.1.1  | a speed limit is reached on entering                               | zones test_speed_limits_are_reached_on_entering_6_4_1_1
-       | 6.4.1.1  | a LINE_GUIDED zone is entered on a trajectory alone                | zones test_zones_of_lines_and_directions_6_4_1
-       | 6.4.1.2  | DIRECTED and BIDIRECTED zones are driven as they say               | zones test_zones_of_lines_and_directions_6_4_1
-       | 6.4.4    | a trajectory of the edge overrides a direction                     | zones test_zones_of_lines_and_directions_6_4_1
-       | 6.4.3    | a RELEASE zone is asked for, and not entered before it is granted  | zones test_the_robot_waits_for_the_release_of_a_zone_6_4_3 test_a_zone_that_is_granted_in_time_does_not_stop_the_robot_6_4_3
-       | 6.4.3    | a COORDINATED_REPLANNING zone is asked for with the way through    | zones test_the_robot_waits_for_the_release_of_a_zone_6_4_3; clearance test_another_way_has_to_be_granted_as_well
-       | 6.4.3    | a request leaves the state with its zone                           | zones test_the_robot_waits_for_the_release_of_a_zone_6_4_3
-       | 6.9      | EXPIRED before the zone closes it, REVOKED takes the request away  | zones test_a_lease_that_runs_out_before_the_zone_closes_it_6_9 test_a_grant_that_is_revoked_before_the_zone_is_dropped_6_9
-       | 6.9      | no request opens a zone but by what the master says                | clearance test_a_zone_is_open_only_while_the_master_has_said_so test_an_answer_to_no_request_changes_nothing
-       | 6.9      | a rejected request leaves the state; the robot may ask anew        | clearance test_a_rejected_request_is_stated_anew_after_a_while
-       | 6.4.1.1  | a release lost inside: STOP with RELEASE_LOST, CONTINUE, EVACUATE  | zones test_a_release_that_is_lost_inside_6_4_1_1
-       | 6.6.7    | a cancel takes the requests out of the state                       | zones test_requests_go_with_the_order_6_6_7
-       | 6.2.3.1  | a robot that hibernates has cleared its order, and is silent       | hibernation test_the_order_is_cleared_and_the_robot_falls_silent
-       | 6.2.3.1  | it hears stopHibernation and nothing else, and keeps wakeUpTime    | hibernation test_it_hears_nothing_but_that_it_shall_wake_up test_it_wakes_up_at_the_time_that_was_set
-       | 6.5      | the connection is HIBERNATING meanwhile                            | hibernation test_the_connection_says_that_the_robot_hibernates_6_5
-       | 6.2.3.2  | shutdown is for an idle robot, and FINISHED before OFFLINE         | hibernation test_an_idle_robot_is_shut_down_once_the_platform_knows test_a_robot_with_an_order_is_not_shut_down
-       | 6.2.3.3  | certificates are fetched by TLS, checked, and taken back if useless | certificates test_a_real_broker_decides test_what_cannot_be_used_replaces_nothing
-       | 6.8      | planned and intermediate path begin at the robot                   | paths test_a_driving_robot_shares_its_way test_the_near_way_has_times_that_go_with_the_speed
6.15.1  | 7.10     | wheels, envelopes, load sets and network are told                  | factsheet test_what_is_configured_is_told_in_2_1 test_what_is_configured_is_told_in_3_0
6.8     | 6.2.3.1  | startPause stops and pauses what may be, stopPause goes on         | acting test_a_pause_stops_between_nodes_and_is_resumed; runner test_pause_pauses_what_it_may_and_nothing_begins_6_8
6.8     | 6.2.3.1  | actions of a node go on after it unless they block driving         | runner test_actions_of_a_node_go_on_after_it_6_8
6.8.2   | 6.2.3.2  | initPosition is finished once the robot has found itself           | state test_init_position_is_finished_once_the_robot_has_found_itself test_init_position_fails_with_the_reason_until_it_succeeds test_init_position_needs_its_parameters
6.8.1   | 6.2.3.1  | after initPosition an order begins at the node it names            | book test_after_the_platform_said_where_it_stands_an_update_begins_there
6.8.1   | 6.2.3.1  | stateRequest and factsheetRequest are answered                     | state test_state_and_factsheet_on_request; repeated test_every_request_of_a_state_is_heard
6.8.2   | 6.2.3.2  | logReport stores a report under the name that it returns           | runner test_log_report_6_8_2; acting test_a_report_goes_to_the_journal
6.8.2   | 6.2.3.2  | startCharging is finished once it charges, stopCharging ends it    | runner test_charging_is_told_by_the_voltage_6_8_2 test_stop_charging_6_8; acting test_charging_is_told
6.8.2   | 6.2.3.2  | pick and drop change the loads                                     | runner test_pick_and_drop_change_the_loads_6_8; docking test_an_order_docks_under_a_carrier_takes_it_and_leaves_it
6.8.2   | 6.2.3.2  | finePositioning ends at its pose                                   | docking test_fine_positioning_ends_at_the_end_pose
6.8.2   | 6.2.3.2  | detectObject fails where nothing is                                | docking test_what_is_not_there_is_not_found
6.8.2   | 6.2.3.2  | waitForTrigger waits for its trigger                               | runner test_wait_for_trigger_6_2_3_1
-       | 6.2.3.1  | a retriable action waits for retry or skipRetry                    | runner test_retry_6_6_9; acting test_a_retriable_action_waits_for_somebody_to_decide_in_3_0
6.9     | 6.2.1    | instant actions are performed at once, beside all else             | runner test_actions_at_once_block_nothing_6_2_1
6.9     | 6.2.1    | an instant action must not conflict with the order                 | state test_init_position_would_conflict_with_an_order
6.9     | 6.2.1    | an instant action that the robot cannot do fails                   | state test_an_unsupported_action_fails_and_a_new_order_clears_it
6.9     | 7.4      | a message of instant actions that is malformed is refused          | state test_broken_instant_actions_are_refused; messages test_both_spellings_of_instant_actions
6.9     | 6.2.1    | an instant action is performed once                                | repeated test_the_same_message_twice_is_one test_what_came_of_them_survives_a_power_cut
6.10    | 6.6.1    | a state goes out on events, at least every 30 s                    | state test_nothing_new_means_one_state_per_period test_an_event_sends_a_state_at_once
6.10    | 6.6.1    | events close together share a state                                | state test_events_close_together_share_a_state test_states_keep_their_distance_and_miss_nothing
6.10    | 6.6.1    | an order is answered with a state, accepted or not                 | state test_a_repeated_order_is_answered_with_a_state
6.10.1  | 6.6.1    | node and edge states are those still ahead                         | state test_order_progress_is_reported; machine TestDispatch
6.10.2  | 6.6.2    | nodes and edges are reached in sequence, each once                 | book test_elements_arrive_once_and_in_sequence; machine TestDispatch
6.10.2  | 6.6.2    | an edge is entered as its start node is left                       | book test_an_edge_is_entered_no_sooner_than_its_start_is_reached; runner test_the_edge_is_entered_once_the_robot_may_drive_again_6_10_2
6.10.2  | 6.6.2    | actions of an edge end with it                                     | runner test_actions_of_an_edge_end_with_it_6_10_2 test_what_did_not_get_its_turn_on_the_edge_has_failed_6_10_2
6.10.2  | 6.6.2    | an action that stops the robot does so on the node where it begins | runner test_an_edge_lets_the_robot_stand_on_the_node_where_it_begins_6_10_2; acting test_it_stops_on_the_node_whose_action_needs_it_and_on_no_other
6.10.3  | 6.6.3    | the base is asked for when it runs low                             | book test_the_base_is_asked_for_when_it_runs_low; stream test_the_base_is_asked_for_early_enough_at_full_speed
6.10.5  | 6.6.5    | errors have a type, a level, references, and do not flicker        | state test_an_error_whose_text_drifts_is_one_event test_a_warning_of_localization_is_no_fatal_error
7.1     | 6.6.5.2  | an error names what it is about                                    | book test_a_malformed_order_is_named_as_far_as_it_can_be_read test_what_the_robot_cannot_do_is_rejected
-       | 6.6.5.4  | predefined error types are used                                    | versions test_a_rejection_is_as_fine_as_the_version_knows
6.10.6  | 7.8      | the ids of order and last node stay until there are others         | state test_order_progress_is_reported; book test_a_new_book_is_idle_and_empty
6.10.6  | 7.8      | a position that is not known is marked                             | state test_before_the_first_estimate_the_position_is_not_initialized
6.10.6  | 7.8      | emergency stop and field violation are told                        | state test_safety_state
6.10.6  | -        | a new order clears the states of actions that are over             | runner test_a_new_order_clears_the_states_6_10_6; state test_an_unsupported_action_fails_and_a_new_order_clears_it
-       | 7.8      | clearInstantActions clears the states of those that are over       | repeated test_in_3_0_states_stay_until_they_are_cleared
-       | 6.6.7    | giving up an order drops its requests                              | corridors test_a_request_is_dropped_with_its_edge_and_with_its_order
-       | 6.6.8    | the robot is idle with no states and no action under way           | acting test_the_order_is_over_once_its_actions_are
6.11    | 6.6.9    | an action goes from WAITING to its end as the diagram says         | runner test_an_action_waits_until_its_element_is_reached_6_11 test_statuses_of_the_standard_are_all_known
-       | 6.6.9.1  | actions that leave the horizon are no longer told                  | runner test_what_an_update_takes_out_of_the_horizon_is_no_longer_reported_6_6_9_1
-       | 6.6.10   | corridors ahead are asked for, lost ones are left                  | corridors test_a_release_that_is_lost_closes_the_corridor test_few_are_asked_for_at_once
-       | 6.9      | a lease runs out unless it is extended; a rejected request leaves  | corridors test_a_lease_runs_out_unless_it_is_extended test_a_rejected_request_leaves_the_state
6.12    | 6.2.2    | NONE, SOFT, SINGLE and HARD block what the table says              | runner test_blocking_types_6_2_2 test_the_robot_stands_only_for_actions_that_ask_for_it_6_12; wire test_single_is_a_blocking_type_of_3_0
6.13    | 6.7      | visualization keeps its rate                                       | state test_visualization_keeps_its_rate; versions test_factsheet_and_visualization
6.14    | 6.5      | the robot is ONLINE, OFFLINE, or its will says that it is gone     | broker test_online_while_there_and_offline_after test_the_will_speaks_for_a_killed_robot
6.15    | 6.10     | the factsheet tells measures and actions                           | state test_factsheet_tells_the_robots_measures; acting test_the_factsheet_tells_what_it_can_do; versions test_factsheet_and_visualization
7.2     | 7.3.1    | parameters take any JSON                                           | messages test_action_parameters_take_any_json
"""  # noqa: E501

# Files of this directory that are about tools of ours.
TOOLS = {"test_conformance.py", "test_layout.py"}

# Tests that hold the code to something else: robustness, translation between the versions, tools.
BESIDE_THE_STANDARD = """
paths test_a_way_is_told_by_its_corners_and_nodes
book test_an_order_read_by_another_thread_is_taken_as_it_is
book test_what_cannot_be_read_ahead_is_left_to_the_loop
book test_a_snapshot_is_json_and_all_that_there_is
book test_a_snapshot_that_is_none_changes_nothing
book test_reaching_what_is_not_there_is_a_mistake
book test_a_cancelled_order_arrives_nowhere
messages test_an_order_survives_the_round_trip
messages test_names_that_camel_case_alone_would_miss
messages test_no_bytes_raise_anything_else
repeated test_a_pause_may_come_again_by_the_same_id
repeated test_a_pause_that_is_repeated_changes_nothing
repeated test_a_cancel_may_come_again_for_the_next_order
repeated test_another_pose_by_the_same_id_is_another_request
repeated test_broken_records_change_nothing
runner test_an_action_that_stands_alone_does_so_whatever_the_order_asks
runner test_after_a_restart_no_action_runs_twice
runner test_a_broken_snapshot_changes_nothing
runner test_a_retriable_action_that_a_restart_interrupted_may_be_retried
runner test_other_distributions_bring_actions
runner test_an_action_begins_only_once_a_power_cut_would_not_have_it_begin_again
runner test_what_is_told_of_all_actions_is_made_anew_only_when_something_changes
runner TestMachine
state test_a_master_in_a_loop_does_not_fill_the_state
state test_a_requested_state_is_sent_although_nothing_changed
state test_init_position_survives_a_new_order_and_a_cancel
state test_action_states_do_not_grow_without_end
wire test_what_was_sent_and_read_is_sent_the_same_again
wire test_each_difference_on_its_own
wire test_each_difference_of_shape
wire test_the_official_schema_agrees
wire test_one_order_in_the_words_of_every_version
wire test_document_and_schema_name_the_rotation_speed_differently
wire test_both_spellings_of_instant_actions_in_every_version
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the standard.

    Attributes:
        sections: Where each version states it; a version that does not is not in here.
        text: What it says.
        tests: By their file and name.
    """

    sections: dict[str, str]
    text: str
    tests: tuple[tuple[str, str], ...]


def rules() -> tuple[Rule, ...]:
    """Return all rules of the table."""
    return tuple(_rule(line) for line in TABLE.strip().splitlines()[1:])


def beside() -> set[tuple[str, str]]:
    """Return the tests that are about no rule."""
    return set(_tests(BESIDE_THE_STANDARD.strip().replace("\n", ";")))


def counts() -> dict[str, int]:
    """Return how many rules each version has."""
    return {version: sum(version in rule.sections for rule in rules()) for version in VERSIONS}


def _rule(line: str) -> Rule:
    of_2_1, of_3_0, text, tests = (cell.strip() for cell in line.split("|"))
    stated = {
        "2.0": ELSEWHERE_IN_2_0.get(of_2_1, of_2_1),
        "2.1": of_2_1,
        "3.0": of_3_0,
    }
    sections = {version: where for version, where in stated.items() if where not in (None, "-")}
    return Rule({v: str(s) for v, s in sections.items()}, text, tuple(_tests(tests)))


def _tests(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";"):
        file, *names = part.split()
        yield from ((file, name) for name in names)


if __name__ == "__main__":
    for rule in rules():
        where = " ".join(f"{rule.sections.get(version, '-'):9}" for version in VERSIONS)
        print(f"{where} {len(rule.tests):2} tests  {rule.text}")
    print(*(f"{version}: {count} rules" for version, count in counts().items()), sep=", ")
