"""Where the rows of a batch come from: each form, and what is wrong with files that people have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Answer, Simulator
from ollama_mcp.work.batch.rows import InputRow
from ollama_mcp.work.batch.template import Template
from tests.media.image_samples import photo, saved
from tests.support import error, texts
from tests.work.batch.batching import EMBEDDER, MODEL, Bench, batching

OUT = {"output": "out.jsonl"}


async def test_a_list_of_texts_is_worked_through_in_its_order(bench: Bench):
    report = await bench.report(["one", "two", "three"], **OUT)
    assert (report["rows"], report["done"], report["failed"]) == (3, 3, 0)
    assert [row["row"] for row in bench.rows()] == [1, 2, 3]
    assert bench.prompts() == ["Say it: one", "Say it: three", "Say it: two"]
    assert all(isinstance(row["output"], str) and "input" not in row for row in bench.rows())


async def test_a_template_without_a_place_gets_the_input_behind_it_in_tags_that_it_cannot_close(bench: Bench):
    await bench.report(["plain", "a </input> b"], prompt="Translate.", **OUT)
    assert bench.prompts() == [
        "Translate.\n\n<input-2>\na </input> b\n</input-2>",
        "Translate.\n\n<input>\nplain\n</input>",
    ]


def test_a_text_full_of_closing_tags_gets_a_tag_of_its_own():
    # Looked for one after the other these took minutes, in which the server answered nobody.
    text = "".join(f"</input-{number}>" for number in range(1, 100_000))
    prompt = Template("Read.", ()).fill(InputRow(1, columns={"text": text}))
    assert prompt == f"Read.\n\n<input-100000>\n{text}\n</input-100000>"


async def test_braces_of_json_in_a_prompt_are_no_places_and_doubled_ones_are_single(bench: Bench):
    await bench.report(["x", "y"], prompt='{"a": 1} {{text}} {} {text}', **OUT)
    assert bench.prompts() == ['{"a": 1} {text} {} x', '{"a": 1} {text} {} y']


async def test_lines_of_a_text_file_are_rows_and_blank_ones_are_none(bench: Bench):
    path = bench.write("in.txt", "\ufefferste\r\n\r\n  \r\nzweite ünd\rdritte")
    report = await bench.report([path], **OUT)
    assert report["rows"] == 3
    assert bench.prompts() == ["Say it: dritte", "Say it: erste", "Say it: zweite ünd"]
    assert [row["line"] for row in bench.rows()] == [1, 4, 5]


async def test_any_common_encoding_is_read(bench: Bench):
    words = "Größe und Maße der Straße\nDas Mädchen öffnet die Tür\n" * 3
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"):
        await bench.report([bench.write("in.txt", words.encode(encoding))], prompt=encoding + " {text}", limit=2)
        asked = {prompt.removeprefix(encoding + " ") for prompt in bench.prompts() if prompt.startswith(encoding + " ")}
        assert asked == set(words.splitlines()), encoding


async def test_a_byte_late_in_a_long_file_that_is_no_utf8_decides_its_encoding(bench: Bench):
    content = "nur ein Satz hier\n" * 150_000 + "Größe und Maße der Straße, schöne Grüße\n"
    report = await bench.report([bench.write("in.txt", content.encode("cp1252"))], limit=1, **OUT)
    assert report["rows"] == 150_001


@pytest.mark.parametrize("indent", [None, 2])
async def test_a_jsonl_file_that_is_one_array_has_its_items_as_rows(bench: Bench, indent: int | None):
    people: list[dict[str, Any]] = [{"name": 'A "[n]", \\', "tags": ["a", {"b": 1}]}, {"name": "Bo", "tags": []}]
    path = bench.write("in.jsonl", f" \n{json.dumps(people, indent=indent)}\n\n")
    report = await bench.report([path], prompt="Greet {name}", **OUT)
    assert (report["done"], report["failed"]) == (2, 0)
    assert bench.prompts() == ['Greet A "[n]", \\', "Greet Bo"]
    assert [(row["item"], row["input"]) for row in bench.rows()] == list(enumerate(people, start=1))
    assert any("is one JSON array; its items are the rows" in note for note in report["notes"])


async def test_a_long_array_is_read_whole_and_a_bad_item_is_a_marked_row(bench: Bench):
    texts = [f"text {number} " + "y" * 700 for number in range(300)]
    path = bench.write("in.jsonl", json.dumps([*texts, "end"]).replace('"end"', "nonsense, 7,"))
    report = await bench.report([path], embed=True, model=EMBEDDER, output="out.jsonl")
    assert (report["done"], report["failed"]) == (301, 1)
    errors = [row for row in bench.rows() if "error" in row]
    assert [row["item"] for row in errors] == [301] and "not valid JSON" in errors[0]["error"]["message"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('[\n{"a": 1},\n{"a": 2}\n', "its end is missing after 1 items"),
        ("[]", "it has no items"),
        ('[{"a": 1},\n{"a": 2}]\n{"a": 3}', "something follows its end"),
    ],
)
async def test_what_begins_as_an_array_and_is_none_is_refused_before_any_row(bench: Bench, content: str, why: str):
    said = error(await bench.batch([bench.write("in.jsonl", content)], **OUT), "invalid_argument")
    assert f"begins as one JSON array, but {why}" in said
    assert bench.prompts() == []


async def test_lines_that_are_arrays_are_rows_each(bench: Bench):
    report = await bench.report([bench.write("in.jsonl", "[1, 2]\n[3]\n")], prompt="Sum {text}", **OUT)
    assert report["done"] == 2 and bench.prompts() == ["Sum [1, 2]", "Sum [3]"]


async def test_rows_of_jsonl_are_objects_or_texts_and_a_bad_line_is_a_marked_row(bench: Bench):
    lines = '{"name": "Ann", "age": 3}\nno json\n\n"bare"\n{"age": 4}\n[1, 2]\n' + "[" * 100_000 + "\n"
    report = await bench.report([bench.write("in.jsonl", lines)], prompt="Greet {name}", **OUT)
    rows = bench.rows()
    assert (report["done"], report["failed"]) == (1, 5)
    assert [row.get("error", {}).get("kind") for row in rows] == [None] + ["invalid_argument"] * 5
    assert [row["line"] for row in rows] == [1, 2, 4, 5, 6, 7]
    assert rows[0]["input"] == {"name": "Ann", "age": 3}
    assert "Line 2 cannot be used: it is not valid JSON" in rows[1]["error"]["message"]
    assert "no 'name'" in rows[2]["error"]["message"]
    assert bench.prompts() == ["Greet Ann"]


async def test_csv_cells_hold_quotes_line_breaks_and_delimiters(bench: Bench):
    content = '\ufeffname,text\r\nAnn,"says ""hi"",\r\nthen goes"\r\nBob,plain\r\n'
    await bench.report([bench.write("in.csv", content)], prompt="{name}: {text}", **OUT)
    assert bench.prompts() == ['Ann: says "hi",\r\nthen goes', "Bob: plain"]
    assert [row["line"] for row in bench.rows()] == [2, 4]
    assert bench.rows()[0]["input"] == {"name": "Ann", "text": 'says "hi",\r\nthen goes'}


async def test_the_delimiter_is_the_one_that_the_first_row_has(bench: Bench):
    for number, delimiter in enumerate(",;\t|"):
        path = bench.write("in.csv", delimiter.join(("a", "b")) + "\n" + delimiter.join((str(number), "2")) + "\n")
        await bench.report([path], prompt="{a}-{b}")
    assert bench.prompts() == ["0-2", "1-2", "2-2", "3-2"]


async def test_a_row_of_a_table_without_a_place_goes_in_as_json(bench: Bench):
    await bench.report([bench.write("in.csv", "a,b\n1,ü\n")], prompt="Judge", **OUT)
    assert bench.prompts() == ['Judge\n\n<input>\n{"a": "1", "b": "ü"}\n</input>']


async def test_ragged_rows_nul_characters_and_open_quotes_are_marked_rows_and_the_others_go_on(bench: Bench):
    content = 'a,b\n1,2\n1\n1,2,3\n"x"y,2\n1,\0\n5,6\n7,"open\n8,9\n'
    report = await bench.report([bench.write("in.csv", content)], prompt="{a}+{b}", **OUT)
    assert (report["done"], report["failed"]) == (2, 5)
    words = [row["error"]["message"] for row in bench.rows() if "error" in row]
    assert ["1 cells" in words[0], "3 cells" in words[1], "not a valid CSV row" in words[2], "NUL" in words[3]] == [
        True
    ] * 4
    assert "not a valid CSV row" in words[4]
    assert bench.prompts() == ["1+2", "5+6"]


async def test_a_first_row_that_names_no_columns_is_refused(bench: Bench):
    for content, why in (
        ("a,a\n1,2\n", "two columns 'a'"),
        ("a,\n1,2\n", "without a name"),
        ('"a\n', "first row cannot be read"),
    ):
        assert why in error(await bench.batch([bench.write("in.csv", content)], **OUT), "invalid_argument")
    assert bench.prompts() == []


async def test_ten_megabytes_in_one_cell_or_line_are_a_row_like_any_other(bench: Bench):
    huge = "x" * 10_000_000
    for name, content in (("a.csv", f"a\n{huge}\nsmall\n"), ("b.txt", f"{huge}\nsmall\n")):
        report = await bench.report([bench.write(name, content)], prompt="Say", output=f"{name}.jsonl")
        assert (report["done"], report["failed"]) == (1, 1)
        assert report["errors"][0]["kind"] == "too_long"
    assert len(bench.prompts()) == 2


async def test_what_is_longer_than_a_prompt_may_be_is_a_marked_row(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, limits={"prompt_bytes": 1_000}) as bench:
        huge = "y" * 5_000
        for name, content in (
            ("a.csv", f"a,b\n1,{huge}\n2,3\n"),
            ("b.txt", f"{huge}\nsmall\n"),
            ("c.csv", f'a\n"{huge}"\n1\n'),
        ):
            report = await bench.report([bench.write(name, content)], prompt="Say", output=f"{name}.jsonl")
            assert (report["rows"], report["done"]) == (2, 1), name
    assert len(bench.prompts()) == 3


async def test_an_empty_file_is_refused(bench: Bench):
    for name in ("in.txt", "in.csv", "in.jsonl"):
        for content in ("", "\n \n\r\n", "\ufeff"):
            assert "is empty" in error(await bench.batch([bench.write(name, content)], **OUT), "invalid_argument")
    assert sorted(os.listdir(bench.folder)) == ["in.csv", "in.jsonl", "in.txt"]


async def test_a_table_of_names_alone_has_no_rows(bench: Bench):
    assert "has no rows" in error(await bench.batch([bench.write("in.csv", "a,b\n")], **OUT), "invalid_argument")


async def test_what_is_no_text_is_refused_by_what_it_is(bench: Bench):
    for name in ("in.txt", "in.csv"):
        path = bench.write(name, b"\x89PNG\r\n\x1a\n" + bytes(50))
        assert "image" in error(await bench.batch([path], **OUT), "invalid_argument")


async def test_a_name_that_looks_like_a_pattern_is_the_file_of_that_name(bench: Bench):
    report = await bench.report([bench.write("report[1].csv", "a\n1\n2\n")], prompt="{a}", **OUT)
    assert report["rows"] == 2


async def test_files_of_a_glob_are_rows_each_and_one_that_cannot_be_read_is_marked(bench: Bench):
    bench.write("docs/a.md", "Alpha")
    bench.write("docs/b.md", "Beta\r\n")
    bench.write("docs/c.md", b"\x7fELF\0\0\0")
    report = await bench.report([str(bench.folder / "docs" / "*.md")], prompt="Sum up {text} of {path}", **OUT)
    assert (report["done"], report["failed"]) == (2, 1)
    rows = bench.rows()
    assert [Path(row["path"]).name for row in rows] == ["a.md", "b.md", "c.md"]
    assert rows[2]["error"]["kind"] == "invalid_argument"
    assert [prompt.split(" of ")[0] for prompt in bench.prompts()] == ["Sum up Alpha", "Sum up Beta\n"]
    assert "Alpha" not in (bench.folder / "out.jsonl").read_text().replace(rows[0]["output"], "")


async def test_several_paths_are_files_each(bench: Bench):
    paths = [bench.write("a.txt", "one\ntwo"), bench.write("b.csv", "x\n1\n")]
    report = await bench.report(paths, **OUT)
    assert report["rows"] == 2
    assert bench.prompts() == ["Say it: one\ntwo", "Say it: x\n1\n"]


async def test_images_of_a_glob_go_to_a_model_that_sees(bench: Bench):
    for name in ("a.png", "b.png"):
        bench.write(f"pictures/{name}", saved(photo(), "PNG"))
    report = await bench.report([str(bench.folder / "pictures/*.png")], prompt="What is it?", model="gemma3:4b", **OUT)
    assert (report["done"], report["failed"]) == (2, 0)
    bodies = [seen.json for seen in bench.simulator.requests if seen.path == "/api/chat"]
    assert [len(body["messages"][-1]["images"]) for body in bodies] == [1, 1]
    assert bench.prompts() == ["What is it?"] * 2


async def test_one_long_file_goes_in_pieces_with_their_lines(bench: Bench):
    path = bench.write("book.md", "".join(f"Line {n} of the book, which is long enough.\n" for n in range(40)))
    report = await bench.report([path], chunk_chars=400, prompt="Piece: {text}", **OUT)
    rows = bench.rows()
    assert report["rows"] == len(rows) > 3
    assert rows[0]["lines"].startswith("1-") and rows[-1]["lines"].endswith("-40")
    assert all(len(prompt) <= 407 for prompt in bench.prompts())


WRONG: list[tuple[list[str], dict[str, object], str]] = [
    (["only one text"], {}, "neither a file, a folder nor a glob"),
    (["notes/*.md", "!draft*"], {}, "input takes no exclusions such as '!draft*'"),
    (["one", "two"], {"chunk_chars": 500}, "a list of texts"),
    (["one", "two"], {"chunk_chars": 5}, "greater than or equal to 200"),
    (["one", "two"], {"limit": 0}, "limit is 0"),
    (["one", "two"], {"prompt": ""}, "nothing to do"),
    (["one", "two"], {"prompt": "{nmae}"}, "names {nmae}"),
    (["one", "two"], {"embed": True, "prompt": "x"}, "no placeholder"),
    (["one", "two"], {"embed": True, "output": ""}, "embed needs output"),
    (["one", "two"], {"embed": True, "system": "x"}, "system can only be used with prompt"),
    ([], {}, "input"),
]


async def test_arguments_that_do_not_go_together_are_refused_before_anything_runs(bench: Bench):
    for given, more, why in WRONG:
        assert why in error(await bench.batch(given, **{**OUT, **more}), "invalid_argument"), why
    assert bench.prompts() == []
    assert os.listdir(bench.folder) == []


async def test_a_column_that_is_missing_is_told_with_those_that_there_are(bench: Bench):
    path = bench.write("in.csv", "first name,age\nAnn,3\n")
    said = error(await bench.batch([path], prompt="Hi {name}", **OUT), "invalid_argument")
    assert "{name}" in said and "{first name}, {age}" in said
    await bench.report([path], prompt="Hi {first name}", **OUT)
    assert bench.prompts() == ["Hi Ann"]


async def test_one_file_without_rows_is_sent_elsewhere(bench: Bench):
    said = error(await bench.batch([bench.write("book.md", "text")], **OUT), "invalid_argument")
    assert "chunk_chars=" in said and "ollama_chat" in said


async def test_more_rows_than_a_result_holds_need_an_output(bench: Bench):
    said = error(await bench.batch([str(n) for n in range(21)]), "invalid_argument")
    assert "21 rows need output" in said
    report = await bench.report([str(n) for n in range(21)], limit=20)
    assert [row["row"] for row in report["samples"]] == list(range(1, 21))


async def test_hidden_and_key_like_files_and_links_out_of_the_folder_are_left_out_and_counted(
    bench: Bench, tmp_path: Path
):
    outside = tmp_path / "outside.md"
    outside.write_text("secret outside")
    for name in ("a.md", ".hidden.md", "id_rsa.md"):
        bench.write(f"docs/{name}", f"content of {name}")
    (bench.folder / "docs" / "link.md").symlink_to(outside)
    result = await bench.batch([str(bench.folder / "docs/*.md")], prompt="Say {text}", **OUT)
    assert bench.prompts() == ["Say content of a.md"]
    assert "Left out" in "\n".join(texts(result))


async def test_what_lies_outside_is_refused_before_anything_runs(bench: Bench, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("one\ntwo\n")
    for given in (str(tmp_path / "secret.txt"), str(tmp_path / "*.txt")):
        error(await bench.batch([given], **OUT), "not_allowed")
    assert bench.prompts() == []


async def test_a_row_that_does_not_fit_the_context_is_marked_and_the_others_go_on(simulator: Simulator, tmp_path: Path):
    async with batching(simulator, tmp_path, limits={"num_ctx": 4_096}) as bench:
        report = await bench.report(["short", "long words here " * 4_000, "also short"], **OUT)
    assert [row.get("error", {}).get("kind") for row in bench.rows()] == [None, "too_long", None]
    assert report["errors"][0]["kind"] == "too_long"
    assert report["model"] == MODEL


NOTHING: list[tuple[str, dict[str, object], str]] = [
    ("none/*.md", {}, "matches nothing"),
    ("docs/*.rst", {}, "No file matches"),
    ("docs/.*.md", {}, "No file matches"),
    ("picture.png", {"chunk_chars": 500}, "one text file"),
    ("docs/*.md", {"chunk_chars": 500}, "one text file"),
    ("empty.md", {"chunk_chars": 500}, "is empty"),
]


async def test_a_path_that_gives_nothing_to_work_on_is_refused(bench: Bench):
    for name in ("docs/a.md", "docs/b.md", "docs/.c.md"):
        bench.write(name, "text")
    bench.write("empty.md", "")
    bench.write("picture.png", saved(photo(), "PNG"))
    for given, more, why in NOTHING:
        said = error(await bench.batch([str(bench.folder / given)], **{**OUT, **more}), "invalid_argument")
        assert why in said, given
    assert bench.prompts() == []


async def test_images_are_judged_by_questions_too(bench: Bench):
    for name in ("a.png", "b.png"):
        bench.write(f"pictures/{name}", saved(photo(), "PNG"))
    bench.simulator.script("gemma3:4b", *[Answer(text=["A"], chances=[{"A": 0.9, "B": 0.1}])] * 2)
    asked = [{"name": "cat", "type": "yes_no", "question": "Is there a cat?"}]
    pattern = str(bench.folder / "pictures/*.png")
    report = await bench.report([pattern], questions=asked, model="gemma3:4b", **OUT)
    assert [row["output"]["cat"]["answer"] for row in bench.rows()] == ["yes", "yes"]
    assert "tokens" not in report


async def test_a_row_that_cannot_be_used_has_no_verdict(bench: Bench):
    asked = [{"name": "ok", "type": "yes_no", "question": "Is it fine?"}]
    bench.simulator.script(MODEL, Answer(text=["A"], chances=[{"A": 0.9, "B": 0.1}]))
    report = await bench.report([bench.write("in.csv", "a,b\n1\n1,2\n")], questions=asked, **OUT)
    assert (report["done"], report["failed"]) == (1, 1)


async def test_lists_of_jsonl_columns_go_into_a_template_as_json(bench: Bench):
    await bench.report([bench.write("in.jsonl", '{"tags": ["a", "ü"], "n": 1.5}\n')], prompt="{tags} {n}", **OUT)
    assert bench.prompts() == ['["a", "ü"] 1.5']
