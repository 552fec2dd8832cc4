"""Notes on models: the ratio of estimated to real tokens, and the GPU."""

from __future__ import annotations

import pytest

from ollama_mcp.store import Store, Tuning
from tests.store.support import Place, opened
from tests.support import until

DIGEST = "ab" * 32


async def test_nothing_is_known_of_a_model_that_was_never_used(store: Store) -> None:
    assert await store.models.token_ratio(DIGEST) is None
    assert await store.models.on_gpu(DIGEST) is None
    assert await store.models.gpu_placements() == {}


async def test_the_first_answer_gives_the_ratio(store: Store) -> None:
    await store.models.record_token_estimate(DIGEST, 100, 130)
    assert await store.models.token_ratio(DIGEST) == pytest.approx(1.3)


async def test_a_digest_is_the_same_model_with_and_without_the_name_of_its_hash(store: Store) -> None:
    await store.models.record_token_estimate(f"sha256:{DIGEST.upper()}", 100, 130)
    assert await store.models.token_ratio(DIGEST) == pytest.approx(1.3)


@pytest.mark.parametrize(("estimated", "real"), [(49, 200), (1_000, 0), (1_000, -1)])
async def test_what_says_too_little_is_not_learnt_from(store: Store, estimated: int, real: int) -> None:
    await store.models.record_token_estimate(DIGEST, estimated, real)
    assert await store.models.token_ratio(DIGEST) is None


@pytest.mark.parametrize(("real", "ratio"), [(10, 0.2), (100_000, 5.0)])
async def test_the_ratio_stays_within_reason(store: Store, real: int, ratio: float) -> None:
    await store.models.record_token_estimate(DIGEST, 1_000, real)
    assert await store.models.token_ratio(DIGEST) == pytest.approx(ratio)


async def test_early_answers_weigh_more_than_late_ones(store: Store) -> None:
    await store.models.record_token_estimate(DIGEST, 100, 200)
    await store.models.record_token_estimate(DIGEST, 100, 100)
    early = await store.models.token_ratio(DIGEST)
    for _ in range(30):
        await store.models.record_token_estimate(DIGEST, 100, 100)
    await store.models.record_token_estimate(DIGEST, 100, 200)
    late = await store.models.token_ratio(DIGEST)
    assert early == pytest.approx(2**0.5)
    assert late is not None and 1.0 < late < 1.1


async def test_one_odd_answer_hardly_moves_what_many_have_said(store: Store) -> None:
    for _ in range(20):
        await store.models.record_token_estimate(DIGEST, 1_000, 1_000)
    await store.models.record_token_estimate(DIGEST, 1_000, 100_000)
    ratio = await store.models.token_ratio(DIGEST)
    assert ratio is not None and 1.0 < ratio < 1.05


async def test_a_lasting_change_is_followed(store: Store) -> None:
    for _ in range(50):
        await store.models.record_token_estimate(DIGEST, 1_000, 1_000)
    for _ in range(100):
        await store.models.record_token_estimate(DIGEST, 1_000, 3_000)
    assert await store.models.token_ratio(DIGEST) == pytest.approx(3.0, rel=0.05)


async def test_the_last_look_at_the_gpu_counts(store: Store) -> None:
    await store.models.record_gpu_placement(DIGEST, True)
    await store.models.record_gpu_placement("cd" * 32, True)
    await store.models.record_gpu_placement(DIGEST, False)
    await store.models.record_gpu_placement(DIGEST, False)
    await store.models.record_token_estimate("ef" * 32, 100, 100)
    assert await store.models.on_gpu(DIGEST) is False
    assert await store.models.on_gpu("ef" * 32) is None
    assert await store.models.gpu_placements() == {DIGEST: False, "cd" * 32: True}


async def test_notes_outlive_the_process(place: Place) -> None:
    async with opened(place) as store:
        await store.models.record_token_estimate(DIGEST, 100, 130)
        await store.models.record_gpu_placement(DIGEST, True)
    async with opened(place) as store:
        assert await store.models.token_ratio(DIGEST) == pytest.approx(1.3)
        assert await store.models.on_gpu(DIGEST) is True
        # The sample of the first process counts: this is the second.
        await store.models.record_token_estimate(DIGEST, 1_000, 2_925)
        assert await store.models.token_ratio(DIGEST) == pytest.approx(1.95)


async def test_notes_of_two_servers_do_not_erase_each_other(place: Place) -> None:
    async with opened(place) as one, opened(place) as other:
        assert await one.models.token_ratio(DIGEST) is await other.models.token_ratio(DIGEST) is None
        await one.models.record_token_estimate(DIGEST, 100, 130)
        await other.models.record_gpu_placement(DIGEST, True)
    async with opened(place) as store:
        assert await store.models.token_ratio(DIGEST) == pytest.approx(1.3)
        assert await store.models.on_gpu(DIGEST) is True


@pytest.mark.slow
async def test_what_was_learnt_is_written_while_the_server_runs(store: Store, place: Place) -> None:
    await store.models.record_token_estimate(DIGEST, 100, 130)
    await until(lambda: place.query("SELECT samples FROM models") == [(1,)])


async def test_a_tuning_is_kept_by_host_model_and_digest(place: Place) -> None:
    found = Tuning(8, "slots", 6, {1: 2.5, 2: 5.0, 8: 17.0})
    async with opened(place) as store:
        await store.tunings.keep("http://a:1", "m", DIGEST, Tuning(2, "engine"))
        await store.tunings.keep("http://a:1", "m", DIGEST, found)
    async with opened(place) as store:
        assert await store.tunings.find("http://a:1", "m", DIGEST) == found
        for other in (("http://b:1", "m", DIGEST), ("http://a:1", "n", DIGEST), ("http://a:1", "m", "0")):
            assert await store.tunings.find(*other) is None
