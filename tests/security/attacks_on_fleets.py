"""Attacks by way of workers, replicas and the database that they share."""

from __future__ import annotations

from tests.security.attack import Attack, tests_in

_FLEET = "fleet/test_attacks.py"
_REPLICAS = "fleet/test_replicas.py"
_LEFT = "security/test_jobs_left.py"

ATTACKS = [
    Attack(
        "B20",
        "more tokens than a day has, by a batch whose rows workers do: all count, to the last range",
        tests_in(_FLEET, "the_tokens_of_a_batch_at_workers_count_to_the_last_row"),
    ),
    Attack(
        "B21",
        "such a batch, cancelled before its ranges end: what was kept and what was cut counts",
        tests_in(_FLEET, "what_workers_had_said_for_a_batch_that_is_cancelled_counts")
        + tests_in("fleet/test_tables.py", "a_run_that_has_ended_takes_and_gives_nothing"),
    ),
    Attack(
        "B22",
        "work that no ledger knows, by having workers do it: a row of whoever began it",
        tests_in(_FLEET, "the_ledger_says_who_had_workers_ask_what"),
    ),
    Attack(
        "B23",
        "the rows that workers did for another, by the same call: done anew",
        tests_in(_FLEET, "nobody_gets_the_rows_that_workers_did_for_another"),
    ),
    Attack(
        "B24",
        "hosts that one may not use, by way of a worker's: not reached",
        tests_in(_FLEET, "a_batch_of_who_may_use_some_hosts_stays_with_these"),
    ),
    Attack(
        "B25",
        "a file that another has sent, at a worker by a batch that names it: not read",
        tests_in(_FLEET, "a_file_of_another_does_not_get_to_a_worker_by_a_batch"),
    ),
    Attack(
        "B26",
        "keys, headers, passwords in a worker's log and figures, in tables and queries of the database: nowhere",
        tests_in(_FLEET, "no_secret_is_in_what_a_worker_says_or_the_database_keeps"),
    ),
    Attack(
        "B27",
        "a token that is revoked while workers have rows of it: they end, for nobody",
        tests_in(_FLEET, "the_run_of_a_revoked_token_ends_and_is_nobodys"),
    ),
    Attack(
        "B28",
        "a host or proxy that ends the connection of each request: what changes something is sent once, a prompt twice",
        tests_in(
            "api/test_retries.py",
            "what_changes_something_is_sent_once_and_never_over_an_idle_connection",
            "a_prompt_that_ends_every_connection_is_sent_twice_and_not_over_each_that_is_idle",
        ),
    ),
    Attack(
        "B29",
        "the password of the database, with `/`, `#`, `?`, `@` in it, in errors and what commands show: no part of it",
        tests_in(
            "security/test_database_secrets.py",
            "no_command_says_it",
            "a_queue_is_not_begun_with_an_address_that_is_none",
        ),
    ),
    Attack(
        "B30",
        "the jobs, tasks and confirmations of another, at another replica: unknown",
        tests_in(
            _REPLICAS,
            "each_replica_shows_and_cancels_the_jobs_of_the_others",
            "a_task_of_one_replica_is_followed_and_ended_at_the_others",
            "a_confirmation_that_one_replica_asked_for_counts_at_another",
        ),
    ),
    Attack(
        "B31",
        "a replica that is killed, so that jobs of revoked or narrowed tokens go on elsewhere: they wait",
        tests_in(_REPLICAS, "a_batch_goes_on_unasked_at_another_replica_when_its_own_is_killed")
        + tests_in(_LEFT, "one_that_was_revoked_or_narrowed_does_not", "a_job_without_a_token_has_none"),
    ),
    Attack(
        "B32",
        "a yes of the user, sent to one replica and then to the next: it counts at one",
        tests_in("confirmation/test_replicas.py", "with_one_database_a_yes_counts_at_one_replica_only"),
    ),
    Attack(
        "B33",
        "many jobs, so that others have no place for one and their results have to go: one's own go",
        tests_in(
            "security/test_jobs_of_tokens.py",
            "the_results_of_one_do_not_go_for_those_of_another",
            "the_jobs_of_one_do_not_take_the_place_of_anothers_first",
        )
        + tests_in("store/test_surplus.py", "whoever_keeps_most_loses_the_oldest"),
    ),
]
