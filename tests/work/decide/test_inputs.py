"""What is judged: texts, files and images, each by itself."""

import base64
from pathlib import Path

from ollama_mcp.simulator import Answer, Fault, Simulator
from tests.support import connected, data, error, text
from tests.work.decide.helpers import (
    MODEL,
    SEQUENTIAL,
    TOPIC,
    URGENT,
    VISION_MODEL,
    chats,
    decide,
    folders,
    image,
    letter,
)


async def test_texts_files_and_images_are_each_judged_by_themselves(simulator: Simulator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("Nothing works!", encoding="utf-8")
    (tmp_path / "b.png").write_bytes(image())
    simulator.script(VISION_MODEL, *[letter(A=0.9, B=0.1)] * 4)
    read = folders(tmp_path)
    async with connected(simulator.url, read=read, work=SEQUENTIAL) as client:
        images = [base64.b64encode(image("blue") + bytes(400)).decode()]
        files = [f"{tmp_path}/*.txt", f"{tmp_path}/b.png"]
        result = await decide(client, [URGENT], texts=["Help"], files=files, images=images, model=VISION_MODEL)
    found = data(result)
    names = [row["input"] for row in found["rows"]]
    assert names == ["text 1", str(tmp_path / "a.txt"), str(tmp_path / "b.png"), "image 1"]
    assert all(row["answer"] == "yes" for row in found["rows"])
    sent = [body["messages"][0] for body in chats(simulator)]
    assert [len(message.get("images", [])) for message in sent] == [0, 0, 1, 1]
    assert sent[2]["content"].startswith("The image is data")
    # The agent asked for answers, not for the file.
    assert "Nothing works" not in text(result)


async def test_ranges_of_one_file_are_told_apart(simulator: Simulator, tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\nthree\nfour\n", encoding="utf-8")
    simulator.script(MODEL, letter(A=1.0), letter(B=1.0))
    async with connected(simulator.url, read=folders(tmp_path), work=SEQUENTIAL) as client:
        rows = data(await decide(client, [URGENT], files=[f"{file}:1-2", f"{file}:4"]))["rows"]
    assert [row["input"] for row in rows] == [f"{file}:1-2", f"{file}:4-4"]


async def test_one_input_that_fails_does_not_sink_the_others(simulator: Simulator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("fine", encoding="utf-8")
    (tmp_path / "b.png").write_bytes(image())
    simulator.script(MODEL, letter(A=1.0), letter(A=1.0))
    read, limits = folders(tmp_path), {"num_ctx": 4096}
    texts = ["ok", " ", "word " * 9_000]
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.png"), str(tmp_path / "missing.txt")]
    async with connected(simulator.url, read=read, limits=limits, work=SEQUENTIAL) as client:
        result = await decide(client, [URGENT], texts=texts, files=files)
    rows = {row["input"].removeprefix(f"{tmp_path}/"): row for row in data(result)["rows"]}
    assert rows["text 1"]["answer"] == rows["a.txt"]["answer"] == "yes"
    assert rows["text 2"]["error"].startswith("[invalid_argument] There is no text to judge.")
    assert rows["text 3"]["error"].startswith("[too_long] ")
    assert rows["b.png"]["error"].startswith("[unsupported] ")
    assert rows["missing.txt"]["error"]


async def test_a_table_that_is_judged_as_one_text_comes_with_the_way_to_its_rows(simulator: Simulator, tmp_path: Path):
    (tmp_path / "mails.csv").write_text("id,body\n1,Fire!\n2,Lunch?\n", encoding="utf-8")
    (tmp_path / "mail.txt").write_text("Fire!\nNow.\n", encoding="utf-8")
    async with connected(simulator.url, read=folders(tmp_path)) as client:
        table = data(await decide(client, [URGENT], files=[str(tmp_path / "mails.csv")]))
        letter = data(await decide(client, [URGENT], files=[str(tmp_path / "mail.txt")]))
    assert any("mails.csv' was judged as one text." in note and "ollama_batch" in note for note in table["notes"])
    assert not any("ollama_batch" in note for note in letter.get("notes", []))


async def test_files_of_which_none_can_be_read_do_not_sink_the_texts(simulator: Simulator, tmp_path: Path):
    simulator.script(MODEL, letter(A=1.0))
    missing = str(tmp_path / "missing.txt")
    async with connected(simulator.url, read=folders(tmp_path)) as client:
        rows = data(await decide(client, [URGENT], texts=["ok"], files=[missing]))["rows"]
        error(await decide(client, [URGENT], files=[missing]), "invalid_argument")
        error(await decide(client, [URGENT], texts=["ok"], files=["/etc/hostname"]), "not_allowed")
    assert rows[0]["answer"] == "yes"
    assert (rows[1]["input"], rows[1]["error"][:18]) == (missing, "[invalid_argument]")


async def test_where_every_input_fails_the_call_fails_with_the_first_reason(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(await decide(client, [URGENT], texts=["", "\n"]), "invalid_argument")
    assert "There is no text to judge." in said


async def test_a_host_that_is_gone_is_not_asked_for_each_input(simulator: Simulator):
    simulator.script(MODEL, letter(A=1.0))
    async with connected(simulator.url, work=SEQUENTIAL) as client:
        simulator.faults.add(Fault("status", path="/api/chat", nth=2, status=404, text=f"model '{MODEL}' not found"))
        rows = data(await decide(client, [URGENT], texts=["one", "two", "three", "four"]))["rows"]
    assert rows[0]["answer"] == "yes"
    assert [row["error"][:18] for row in rows[1:]] == ["[model_not_found] "] * 3
    assert len(chats(simulator)) == 2


async def test_files_stay_at_home_unless_the_settings_send_them_to_the_cloud(simulator: Simulator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("private", encoding="utf-8")
    cloud, read = "gpt-oss:120b-cloud", folders(tmp_path)
    async with connected(simulator.url, read=read) as client:
        said = error(await decide(client, [URGENT], files=[str(tmp_path / "a.txt")], model=cloud), "not_allowed")
    assert "policy.cloud_files" in said
    assert chats(simulator) == []


async def test_files_go_to_the_cloud_where_the_settings_let_them(simulator: Simulator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("public", encoding="utf-8")
    cloud = {"files": [str(tmp_path / "a.txt")], "model": "gpt-oss:20b-cloud"}
    async with connected(simulator.url, read=folders(tmp_path), policy={"cloud_files": "allow"}) as client:
        simulator.script("*", Answer(text='{"urgent": "no"}'))
        result = await decide(client, [URGENT], **cloud)
    assert data(result)["rows"][0]["answer"] == "no"
    assert len(chats(simulator)) == 1


async def test_an_image_that_is_none_is_named_by_its_place(simulator: Simulator):
    simulator.script(VISION_MODEL, letter(A=1.0))
    async with connected(simulator.url, work=SEQUENTIAL) as client:
        images = ["ftp://example.com/a.png", base64.b64encode(image()).decode()]
        rows = data(await decide(client, [URGENT], images=images, model=VISION_MODEL))["rows"]
    assert [row["input"] for row in rows] == ["image 1", "image 2"]
    assert "has an unsupported scheme" in rows[0]["error"] and rows[1]["answer"] == "yes"


async def test_too_many_inputs_name_the_batch(simulator: Simulator):
    async with connected(simulator.url, limits={"files": 2}) as client:
        said = error(await decide(client, [URGENT], texts=["a", "b", "c"]), "invalid_argument")
    assert "3 inputs" in said and "ollama_batch" in said


async def test_nothing_to_judge_and_nothing_to_ask_are_refused(simulator: Simulator):
    async with connected(simulator.url) as client:
        assert "Give texts" in error(await decide(client, [URGENT]), "invalid_argument")
        error(await decide(client, [], texts=["a"]), "invalid_argument")
        twice = {**TOPIC, "labels": ["a: one", "a: two"]}
        assert "'a' twice" in error(await decide(client, [twice], texts=["a"]), "invalid_argument")
    assert chats(simulator) == []


async def test_a_model_that_can_neither_decide_nor_chat_is_refused(simulator: Simulator):
    async with connected(simulator.url) as client:
        said = error(await decide(client, [URGENT], texts=["a"], model="nomic-embed-text"), "unsupported")
    assert "neither decide nor chat" in said


async def test_many_answers_come_without_the_other_options(simulator: Simulator):
    simulator.script(MODEL, *[letter(A=1.0)] * 3)
    async with connected(simulator.url, limits={"listed": 2}) as client:
        found = data(await decide(client, [URGENT], texts=["a", "b", "c"]))
    assert [row["probability"] for row in found["rows"]] == [1, 1, 1]
    assert not any("probabilities" in row for row in found["rows"])
    assert "probabilities of the other options are left out" in found["notes"][0]


async def test_progress_counts_the_inputs(simulator: Simulator):
    simulator.script(MODEL, *[letter(A=1.0)] * 3)
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with connected(simulator.url) as client:
        arguments = {"questions": [URGENT], "texts": ["a", "b", "c"], "model": MODEL}
        await client.call_tool("ollama_decide", arguments, progress_callback=note)
    assert seen and all(total in (None, 3) for _, total in seen)
