"""Attacks on who is let in and what is kept apart, by what others say, by size, and those of our own."""

from __future__ import annotations

from tests.security.attack import Attack, tests_in

_ARGUMENTS = "security/test_attack_arguments.py"
_CONTENT = "security/test_attack_content.py"
_JOBS = "security/test_attack_jobs.py"
_CHAINED = "security/test_chained_attacks.py"
_NETWORK = "security/test_attack_network.py"
_LIBRARY = "tools/test_library.py"
_TOKENS = "security/test_tokens.py"
_OAUTH = "security/test_oauth.py"
_SESSIONS = "security/test_sessions.py"
_SCOPES = "security/test_scopes.py"
_LIMITS = "security/test_limits.py"
_SECRETS = "security/test_secrets.py"
_GUARD = "transports/test_http_guard.py"
_HTTP_LIMITS = "transports/test_http_limits.py"
_FORMS = "confirmation/test_elicitation.py"
_ROUNDS = "confirmation/test_input_required.py"
_STDIO = "transports/test_stdio_faults.py"

ATTACKS = [
    Attack(
        "A34",
        "a foreign Host on every route and loopback address: 421",
        tests_in(_GUARD, "a_foreign_host_is_misdirected_on_every_route", "every_loopback_address_is_guarded_alike")
        + tests_in(_TOKENS, "host_and_origin_are_judged_before_the_token")
        + tests_in("observation/test_metrics.py", "a_page_under_another_name_gets_nothing"),
    ),
    Attack(
        "A35",
        "a foreign Origin, several, `null`, a preflight: 403, no CORS headers",
        tests_in(
            _GUARD,
            "an_origin_that_is_not_listed_is_forbidden_on_every_route",
            "of_several_origins_each_must_be_listed",
            "a_listed_origin_may_preflight_and_read",
        ),
    ),
    Attack(
        "A36",
        "no Host, two, other spellings, a target that is an URL: only equal spellings pass",
        tests_in(_GUARD, "a_bad_request_gets_its_status_and_one_log_line")
        + tests_in("transports/test_origin.py", "no_host_that_is_allowed_could_resolve_to_another_machine"),
    ),
    Attack(
        "A37",
        "an address for all without tokens, by option, variable or file: the start ends",
        tests_in(
            "security/test_team_command.py",
            "an_address_for_all_is_not_served_without_tokens",
            "nor_where_a_variable_or_a_file_says_so",
        ),
    ),
    Attack(
        "A38",
        "no token, a wrong one, a part of one, two, one in the query: 401 on every route",
        tests_in(
            _TOKENS,
            "without_a_token_every_route_is_unauthorized",
            "what_is_not_exactly_one_known_token_is_unauthorized",
        ),
    ),
    Attack(
        "A39",
        "a tool beyond the scopes of a token, called all the same: refused, nothing is sent",
        tests_in(_SCOPES, "a_tool_beyond_the_scopes_is_refused_and_nothing_is_sent"),
    ),
    Attack(
        "A40",
        "the session of another token: unknown",
        tests_in(_TOKENS, "a_session_is_for_its_token_alone_and_ends_with_it")
        + tests_in(_SESSIONS, "an_event_stream_takes_messages_of_its_token_alone"),
    ),
    Attack(
        "A41", "the job of another token: unknown, and it goes on", tests_in(_SCOPES, "a_job_of_another_is_unknown")
    ),
    Attack(
        "A42",
        "JWTs that are unsigned, forged, of others, expired, early: 401, keys are fetched once a minute",
        tests_in(_OAUTH, "bad_tokens_are_unauthorized", "invented_keys_lead_to_one_fetch"),
    ),
    Attack("A43", "scopes that only begin alike: whole words count", tests_in(_OAUTH, "scopes_are_whole_words")),
    Attack("A44", "the token of a client at Ollama: never", tests_in(_SCOPES, "no_token_reaches_ollama")),
    Attack(
        "A45",
        "a key at another host, by a redirect or a second host: never",
        tests_in(_NETWORK, "a_host_that_sends_every_request_elsewhere")
        + tests_in("api/test_host_config.py", "headers_are_our_own_and_a_key_is_sent_only_where_one_was_given")
        + tests_in("tools/test_system.py", "with_a_key_they_go_to_ollama_com_and_the_key_goes_nowhere_else"),
    ),
    Attack(
        "A46",
        "a key in a result, error, log, span, `config show`, `doctor`, process list: nowhere",
        tests_in(
            _SECRETS,
            "no_result_log_row_or_figure_has_a_secret",
            "spans_log_and_command_line_of_a_process_have_no_secret",
            "config_show_prints_no_secret",
        )
        + tests_in(_CONTENT, "doctor_and_lists_of_a_hostile_host"),
    ),
    Attack(
        "A47",
        "`confirm: true` in place of a form: the form is shown",
        tests_in(_FORMS, "anything_but_yes_does_nothing_whatever_the_argument_says")
        + tests_in(_LIBRARY, "confirming_what_was_never_asked_only_asks"),
    ),
    Attack(
        "A48",
        "the answer to a form, sent again: it is good once",
        tests_in(_ROUNDS, "an_accepted_form_is_good_once", "a_yes_does_not_cover_a_model_that_has_changed_since"),
    ),
    Attack(
        "A49",
        "the state of a question, for another call, changed, late, or from another token: nothing is done",
        tests_in(
            _ROUNDS,
            "a_yes_is_for_one_tool_and_its_arguments",
            "a_state_that_was_tampered_with_is_refused",
            "a_question_that_is_too_old_is_asked_again",
        )
        + tests_in(_SESSIONS, "the_question_of_one_token_is_not_answered_by_another"),
    ),
    Attack(
        "A50",
        "a form that is declined, dismissed, answered wrongly, or left: nothing is done, nothing stays",
        tests_in(
            _FORMS,
            "a_client_that_fails_at_the_form_has_said_no",
            "a_client_that_leaves_while_it_is_asked_has_not_agreed",
            "a_call_cancelled_at_its_form_does_nothing_and_leaves_nothing",
        ),
    ),
    Attack(
        "A51",
        "every tool under read_only, on each transport, with every scope, a user's own too: nothing changes",
        tests_in("security/test_read_only_everywhere.py", "over_stdio", "over_http_with_the_token_of_an_admin"),
    ),
    Attack(
        "A52",
        "an answer of a model that looks like ours: it is the answer, alone",
        tests_in(_CONTENT, "an_answer_that_looks_like_ours")
        + tests_in("server/test_hostile_hosts.py", "no_place_of_a_response_can_forge_a_line_or_break_a_result"),
    ),
    Attack(
        "A53",
        "escape sequences, bidi and invisible characters in names, pages, logs, `doctor`: shown, not sent",
        tests_in(_CONTENT, "models_with_names_that_move_the_cursor", "doctor_and_lists_of_a_hostile_host")
        + tests_in("formats/test_escaping.py", "hidden_characters_of_others_are_shown"),
    ),
    Attack(
        "A54", "a web page that gives orders: data, below its title", tests_in(_CONTENT, "a_page_that_gives_orders")
    ),
    Attack(
        "A55",
        "an argument of a prompt with roles, braces, front matter: plain text in one message",
        tests_in("guidance/test_shipped_prompts.py", "an_argument_goes_in_as_plain_text_in_one_message"),
    ),
    Attack(
        "A56",
        "addresses of resources and skills that are paths: not found, no request, no file",
        tests_in("guidance/test_resources.py", "what_is_no_model_name_is_not_found_and_nothing_is_asked")
        + tests_in("guidance/test_skills.py", "what_is_no_skill_is_refused_as_invalid_and_nothing_else_is_read"),
    ),
    Attack(
        "A57",
        "schemas that explode: refused by their size while another call is answered",
        tests_in(_ARGUMENTS, "schemas_that_explode")
        + tests_in("formats/test_json_schema.py", "a_schema_that_could_do_harm_is_refused_with_the_rule"),
    ),
    Attack("A58", "schemas that name an address: none is fetched", tests_in(_ARGUMENTS, "schemas_that_lead_elsewhere")),
    Attack(
        "A59",
        "JSON that is deep, damaged or no JSON: an error, and the next message is served",
        tests_in(_STDIO, "a_line_that_is_no_message_is_answered_and_the_next_one_served")
        + tests_in("fuzz/test_json_rpc.py", "odd_lines_on_stdio", "odd_bodies_over_http", "odd_headers_over_http"),
    ),
    Attack(
        "A60",
        "floods of sessions, streams, bodies and calls: 503, 429 or 413, and others are served",
        tests_in(_HTTP_LIMITS, "sessions", "event_streams", "unfinished_bodies", "calls_in_flight")
        + tests_in(_GUARD, "a_body_over_the_limit_is_refused_declared_or_chunked")
        + tests_in(_STDIO, "requests_beyond_the_limit_in_flight_are_refused_at_once"),
        "the limits are tried at small numbers, since 20,000 sessions take minutes",
    ),
    Attack(
        "A61",
        "arguments out of proportion: the limit is named, nothing is sent",
        tests_in(_ARGUMENTS, "arguments_out_of_proportion")
        + tests_in(_LIMITS, "a_call_may_not_ask_for_more_than_the_policy_allows"),
    ),
    Attack(
        "A62",
        "a tool or library that prints: stdout has the protocol only",
        tests_in(_ARGUMENTS, "a_tool_that_prints_and_one_that_is_named_like_a_built_in")
        + tests_in(_STDIO, "only_protocol_reaches_stdout_whatever_prints"),
    ),
    Attack(
        "A63",
        "tools of a user that others can write, or with the name of a built-in: warned of, left out",
        tests_in(_ARGUMENTS, "a_tool_that_prints_and_one_that_is_named_like_a_built_in")
        + tests_in("security/test_working_folder.py", "tools_that_others_can_write_are_warned_of")
        + tests_in("server/test_read_only.py", "a_user_tool_that_reads_like_a_built_in_is_skipped_with_one_line"),
    ),
    Attack(
        "A64",
        "a denied model under another spelling, as a copy, as what was made from it: denied",
        tests_in(
            _LIMITS,
            "a_denied_model_is_neither_shown_nor_used_under_any_of_its_names",
            "a_copy_of_a_denied_model_and_what_is_made_from_one_are_denied",
        ),
    ),
    Attack(
        "A65",
        "the ledger: names that break lines, a full disk, rows that are changed",
        tests_in(_CHAINED, "subjects_that_would_break_a_line_of_the_ledger")
        + tests_in(_CONTENT, "a_ledger_without_room_holds_up_no_call")
        + tests_in("observation/test_ledger.py", "rows_cannot_be_changed"),
        "its file in place of which there is a link: it is in a folder of the user alone, and is their choice there",
    ),
    Attack(
        "B01",
        "what others did with a denied model, in sums, lists, proposals, prompts: not shown",
        tests_in(_CHAINED, "what_others_did_with_a_denied_model_shows_nowhere"),
    ),
    Attack(
        "B02",
        "a denied model as the base in a Modelfile that an old server reads itself: denied",
        tests_in(_CHAINED, "a_modelfile_for_an_old_server_names_a_denied_model"),
    ),
    Attack(
        "B03",
        "a base to download in such a Modelfile, by a user's tool under `network` off: not sent",
        tests_in(_NETWORK, "a_users_tool_has_a_base_downloaded_by_a_modelfile"),
    ),
    Attack(
        "B04",
        "ollama.com under another spelling, as the host or among hosts: it is ollama.com",
        tests_in(_NETWORK, "the_cloud_under_another_spelling"),
    ),
    Attack(
        "B05",
        "a job that a restart interrupted, with the rights of who comes first: with those of who began it",
        tests_in(_JOBS, "a_job_goes_on_with_the_rights_of_who_began_it"),
    ),
    Attack(
        "B06",
        "such a job of a token that may less by now: within what it may",
        tests_in(_JOBS, "a_job_of_a_token_that_may_less_by_now_goes_on_within_its_limits"),
    ),
    Attack("B07", "the task of another token: unknown to each request", tests_in(_JOBS, "the_task_of_another_token")),
    Attack(
        "B08",
        "the code of another token, or for another model: confirms nothing",
        tests_in(_CHAINED, "the_code_of_another_token"),
    ),
    Attack(
        "B09",
        "links from the folders of one into those of another: neither read nor written through",
        tests_in(_CHAINED, "links_between_the_folders_of_two"),
    ),
    Attack(
        "B10",
        "answers, vectors and checkpoints that others left of a denied model: refused",
        tests_in(_CHAINED, "answers_and_vectors_that_others_paid_for"),
    ),
    Attack("B11", "more calls than the limit, as tasks: busy", tests_in(_JOBS, "calls_beyond_the_limit_by_tasks")),
    Attack(
        "B12",
        "subjects of an issuer that break lines of the ledger or the log: one line each",
        tests_in(_CHAINED, "subjects_that_would_break_a_line_of_the_ledger"),
    ),
    Attack(
        "B13",
        "subjects that are named like other owners of jobs: theirs only",
        tests_in(_JOBS, "jobs_of_subjects_that_are_named_like_another_owner"),
    ),
    Attack(
        "B14",
        "a host that redirects pulls, pushes and prompts: nothing goes there",
        tests_in(_NETWORK, "a_host_that_sends_every_request_elsewhere"),
    ),
    Attack(
        "B15",
        "a model that moves to the cloud once it was judged, under `network` off: it gets nothing",
        tests_in(_NETWORK, "a_model_that_moves_to_the_cloud_once_it_was_judged"),
    ),
    Attack(
        "B16",
        "a namespace or host whose name begins as an allowed pattern: not allowed",
        tests_in(_CHAINED, "names_that_only_begin_like_an_allowed_model"),
    ),
    Attack(
        "B17",
        "hosts of others, in lists, errors and proposals: not shown",
        tests_in(_CHAINED, "hosts_that_others_use"),
    ),
]
