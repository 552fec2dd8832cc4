"""Attacks by what an agent passes: paths, addresses, images, names of models."""

from __future__ import annotations

from tests.security.attack import Attack, tests_in

_FILES = "security/test_attack_files.py"
_ARGUMENTS = "security/test_attack_arguments.py"
_READ = "access/test_read_rules.py"
_FETCH = "access/test_fetch.py"
_OUTPUT = "access/test_output.py"
_REFUSALS = "create/test_refusals.py"
_NAMES = "create/test_names.py"
_LIBRARY = "tools/test_library.py"
_LIMITS = "security/test_limits.py"
_BOMBS = "media/test_bombs.py"

ATTACKS = [
    Attack(
        "A01",
        "a path outside of the allowed folders: refused, not read",
        tests_in(_FILES, "paths_outside_of_the_folders")
        + tests_in(_READ, "an_image_outside_is_refused_with_the_setting_and_the_command"),
    ),
    Attack(
        "A02",
        "other spellings of such a path (`..`, `//`, `%2f`, `file:`): the same",
        tests_in(_FILES, "spellings_of_a_path_outside") + tests_in(_READ, "no_spelling_of_an_outside_file_gets_in"),
    ),
    Attack(
        "A03",
        "a link that leads out, by itself or above the file: refused by what was opened",
        tests_in(_FILES, "links_that_lead_out")
        + tests_in(_READ, "symlinks_out_of_the_folder_are_refused_without_naming_their_target"),
    ),
    Attack(
        "A04",
        "a link or folder that is exchanged during the call: nothing outside is read",
        tests_in(_READ, "swapping_a_link_or_folder_during_the_call_never_leaks")
        + tests_in("access/test_globs.py", "swapping_a_folder_during_the_search_never_lists_outside"),
    ),
    Attack(
        "A05",
        "hidden files and folders of programs in home, `.env` in the working folder: refused",
        tests_in(_FILES, "hidden_files_and_folders_of_programs")
        + tests_in(_READ, "a_dot_env_in_the_working_folder_is_refused"),
    ),
    Attack(
        "A06",
        "pipes, sockets, devices, `/proc`, folders: refused without waiting",
        tests_in(_FILES, "what_is_no_ordinary_file")
        + tests_in("access/test_files.py", "pipes_sockets_and_folders_are_refused_without_waiting"),
    ),
    Attack(
        "A07",
        "a key that is named like an image: refused, not quoted",
        tests_in(_FILES, "a_key_that_is_named_like_an_image")
        + tests_in("media/test_sources.py", "files_that_are_not_readable_images_say_what_they_are"),
    ),
    Attack(
        "A08",
        "a Modelfile that is a secret: the error names the line, not the words",
        tests_in(_FILES, "modelfiles_that_hold_or_name_secrets")
        + tests_in(_REFUSALS, "a_modelfile_that_cannot_be_followed_says_where_and_quotes_nothing"),
    ),
    Attack(
        "A09",
        "a Modelfile that names a secret as FROM or ADAPTER: no upload begins",
        tests_in(_FILES, "modelfiles_that_hold_or_name_secrets")
        + tests_in(_REFUSALS, "a_modelfile_leads_to_no_file_that_may_not_be_read"),
    ),
    Attack(
        "A10",
        "a private file as a blob: not a byte of it is sent",
        tests_in(_FILES, "files_that_are_no_models_are_not_uploaded")
        + tests_in(_REFUSALS, "a_private_file_in_an_allowed_folder_is_no_blob"),
    ),
    Attack(
        "A11",
        "results over a file, a tool, a prompt, settings, or by a link: nothing is written or left",
        tests_in(_FILES, "results_over_what_programs_obey")
        + tests_in(_OUTPUT, "swapping_the_folder_during_the_call_never_writes_outside"),
    ),
    Attack(
        "A12",
        "results elsewhere, under names that are none: the same",
        tests_in(_FILES, "results_over_what_programs_obey")
        + tests_in("access/test_write_rules.py", "names_that_are_none_are_invalid_arguments"),
    ),
    Attack(
        "A13",
        "a sparse terabyte, a header that lies about its size: refused before it is read",
        tests_in(_FILES, "files_that_are_no_models_are_not_uploaded")
        + tests_in(_REFUSALS, "a_sparse_file_is_refused_at_once", "a_file_that_is_no_whole_gguf_stays_here"),
    ),
    Attack(
        "A14",
        "any path over HTTP: refused unseen",
        tests_in(_FILES, "paths_outside_of_the_folders")
        + tests_in(_READ, "over_http_no_path_is_even_looked_at")
        + tests_in(_LIMITS, "files_are_for_those_who_have_the_scope_in_their_own_folders"),
    ),
    Attack(
        "A15",
        "shares, devices and streams of Windows: refused by their text, on every system",
        tests_in(_FILES, "shares_and_devices_of_windows")
        + tests_in("access/test_files.py", "shares_devices_and_streams_are_refused_by_their_text"),
        "on Windows itself it was not run",
    ),
    Attack(
        "A16",
        "an address inside (loopback, link-local, private, multicast): no connection",
        tests_in(_ARGUMENTS, "addresses_that_are_not_on_the_internet")
        + tests_in(_FETCH, "a_name_that_leads_to_a_special_address_is_never_connected"),
    ),
    Attack(
        "A17",
        "other spellings of such an address (decimal, octal, mapped, full-width): no connection",
        tests_in(_ARGUMENTS, "addresses_that_are_not_on_the_internet")
        + tests_in(_FETCH, "no_spelling_reaches_this_machine_by_the_systems_own_resolver"),
    ),
    Attack(
        "A18",
        "a redirect inwards, to another scheme, or without end: each step is checked",
        tests_in(_FETCH, "a_redirect_is_checked_anew", "three_redirects_are_followed_and_not_four"),
    ),
    Attack(
        "A19",
        "a name that changes its address after the check: connected where it was checked",
        tests_in(_FETCH, "a_name_that_changes_its_address_is_connected_where_it_was_checked"),
    ),
    Attack(
        "A20",
        "a name with one private record: refused",
        tests_in(_FETCH, "one_private_record_among_public_ones_refuses_the_name"),
    ),
    Attack(
        "A21",
        "a proxy or `.netrc` in the environment: not used",
        tests_in(_ARGUMENTS, "addresses_that_are_not_on_the_internet")
        + tests_in(_FETCH, "proxies_and_netrc_of_the_environment_are_not_used")
        + tests_in("api/test_host_config.py", "cookies_and_proxies_of_the_environment_are_ignored"),
    ),
    Attack(
        "A22",
        "userinfo, backslash, line breaks in an address: refused, no header is added",
        tests_in(_ARGUMENTS, "addresses_that_would_add_a_header_or_another_host")
        + tests_in(
            _FETCH, "urls_with_user_info_or_odd_characters_are_refused", "an_encoded_line_break_injects_no_header"
        ),
    ),
    Attack(
        "A23",
        "a body without end, slow, packed, or with a false length: stops at the limits",
        tests_in(
            _FETCH,
            "an_endless_body_stops_at_the_limit_without_filling_the_memory",
            "a_slow_server_ends_with_the_time_limit",
            "bad_answers_are_errors_that_say_why",
        ),
    ),
    Attack(
        "A24",
        "HTML or SVG that is called an image, an image that is a page too: its bytes decide",
        tests_in("media/test_sources.py", "an_image_is_fetched_and_its_bytes_decide_what_it_is")
        + tests_in("media/test_images.py", "a_file_that_is_also_a_web_page_loses_the_page"),
    ),
    Attack(
        "A25",
        "ports of other services: refused unless listed",
        tests_in(_FETCH, "other_ports_than_80_and_443_are_refused_unless_listed"),
    ),
    Attack(
        "A26",
        "images that explode: refused by their header, within limits of memory",
        tests_in(
            _BOMBS,
            "more_pixels_than_allowed_name_the_limit",
            "ten_thousand_frames_cost_no_more_than_one",
            "directories_that_point_in_a_circle_or_nowhere_end",
            "a_packed_text_of_a_gigabyte_is_not_unpacked",
            "no_image_takes_300_megabytes_or_writes_to_stdout",
        ),
    ),
    Attack(
        "A27",
        "model names that are paths, lines or look-alikes: refused unsent, no line of the log is forged",
        tests_in(_ARGUMENTS, "names_that_are_none")
        + tests_in(_NAMES, "a_name_that_is_none_is_refused_before_any_request"),
    ),
    Attack(
        "A28",
        "model names that are addresses: Ollama is not made to connect there",
        tests_in(_ARGUMENTS, "names_that_are_addresses")
        + tests_in(_NAMES, "a_name_that_is_an_address_sends_the_host_nowhere"),
    ),
    Attack(
        "A29",
        "a push to a foreign registry, after a copy too: refused at each step",
        tests_in(_ARGUMENTS, "names_that_are_addresses")
        + tests_in(_NAMES, "a_listed_name_with_a_foreign_host_cannot_be_published"),
    ),
    Attack(
        "A30",
        "`insecure` by argument: only for registries that the settings list for it",
        tests_in(_ARGUMENTS, "names_that_are_addresses")
        + tests_in(_LIBRARY, "a_listed_registry_may_be_reached_insecurely_where_listed"),
    ),
    Attack(
        "A31",
        "`remote_host` in create, a cloud model where none may be used: refused unsent",
        tests_in(_ARGUMENTS, "names_that_are_addresses")
        + tests_in(_NAMES, "create_takes_no_remote_host_and_nothing_unknown")
        + tests_in("security/test_network.py", "a_tool_of_the_user_reaches_nobody_else"),
    ),
    Attack(
        "A32",
        "digests that are paths: refused unsent",
        tests_in(_ARGUMENTS, "digests_and_file_names_that_are_paths")
        + tests_in(_LIBRARY, "a_digest_that_is_none_never_becomes_a_path"),
    ),
    Attack(
        "A33",
        "names of files in create that are paths: refused, or relative",
        tests_in(_ARGUMENTS, "digests_and_file_names_that_are_paths")
        + tests_in(_LIBRARY, "file_names_of_create_stay_relative"),
    ),
]
