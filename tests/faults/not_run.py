"""Numbers of the fault table that `rows.py` does not run: where another test has them, or why none has."""

from __future__ import annotations

ELSEWHERE = {
    "F02": "tests/hosts/test_failures.py::test_a_refused_connection_moves_the_call_to_the_next_host",
    "F03": "tests/hosts/test_failures.py::test_where_no_host_answers_the_call_says_so",
    "F29": "tests/hosts/test_failures.py::test_what_fails_after_the_request_was_sent_is_tried_on_one_other_host",
    "F35": "tests/hosts/test_failures.py::test_a_check_that_succeeds_does_not_bring_back_a_host_whose_calls_fail",
    "F36": "tests/hosts/test_failures.py::test_of_many_calls_only_those_that_had_begun_are_lost_with_a_host",
    "F37": "tests/hosts/test_choice.py::test_expected_finish_answers_sooner_than_the_usual_policy",
    "F04": "tests/server/test_calls.py::test_a_host_that_does_not_resolve_says_dns",
    "F05": "tests/api/test_connections.py::test_a_connection_that_never_comes_about_is_given_up_in_time",
    "F31": "tests/api/test_host_config.py::test_a_certificate_that_fails_is_said_and_not_tried_again",
    "F57": "tests/security/test_tls.py::test_a_certificate_that_cannot_be_used_stops_the_start_with_one_line",
    "F44": "tests/access/test_output.py::test_a_full_disk_is_a_disk_error_and_the_old_file_stays",
    "F46": "tests/media/test_bombs.py::test_no_image_takes_300_megabytes_or_writes_to_stdout",
    "F47": "tests/faults/test_cancel.py::test_a_cancelled_call_is_freed_wherever_it_is",
    "F48": "tests/transports/test_command.py::test_a_vanished_client_frees_the_model",
    "F49": "tests/faults/test_shutdown.py::test_the_end_closes_what_is_in_flight",
    "F55": "tests/faults/test_callbacks.py::test_a_callback_that_fails_at_the_client_does_not_sink_the_call",
    "F50": "tests/faults/test_reader.py::test_a_client_that_stops_reading_holds_back_ollama",
    "F51": "tests/faults/test_shutdown.py::test_closed_stdout_ends_it_like_closed_stdin",
}
"""Tests that have a row in a place of their own."""

LEFT = {
    "F58": "needs several replicas behind a proxy, which come with fleets",
}
"""Rows that are not run, and why."""
