"""Differences between versions of Ollama that a client can observe, one property each.

v0.5.7, v0.17.7 and v0.33 were recorded. Properties marked `documented` come from Ollama's release notes and
documentation up to v0.40 and were not recorded from a running server.
"""

from __future__ import annotations

import re
from functools import cached_property

RECORDED = ("0.5.7", "0.17.7", "0.33.0")
DEFAULT = "0.33.0"
# Differences of older versions are not implemented.
OLDEST = "0.1.44"
LATEST = "0.40.12"
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?")


class Generation:
    """A version of Ollama. `0.0.0`, a build from source, behaves like the default version.

    Args:
        version: Such as "0.17.7"; "latest" is the newest documented one.

    Raises:
        ValueError: Not a version, or older or newer than the supported ones.
    """

    def __init__(self, version: str) -> None:
        self.version = LATEST if version == "latest" else version.removeprefix("v")
        self._number = _numbers(self.version)
        # A client cannot know what a build from source supports, and should treat it like a recent version.
        if self._number == (0, 0, 0):
            self._number = _numbers(DEFAULT)
        if not _numbers(OLDEST) <= self._number <= _numbers(LATEST):
            raise ValueError(
                f"The simulator does not support Ollama {version}: the oldest version is {OLDEST}, the newest {LATEST}"
                " ('latest')."
            )

    def since(self, *number: int) -> bool:
        """Whether this is version `number` or newer."""
        return self._number >= number

    def between(self, first: tuple[int, ...], end: tuple[int, ...]) -> bool:
        """Whether this is version `first` or newer, and older than `end`."""
        return first <= self._number < end

    @cached_property
    def has_method_not_allowed(self) -> bool:
        """A wrong method is 405; older servers answered 404."""
        return self.since(0, 7, 0)

    @cached_property
    def status_before_stream(self) -> bool:
        """Errors before the first line have their status; older servers answered 200 with an error line."""
        return self.since(0, 12, 6)

    @cached_property
    def has_capabilities(self) -> bool:
        return self.since(0, 6, 4)

    @cached_property
    def has_thinking(self) -> bool:
        return self.since(0, 9, 0)

    @cached_property
    def thinks_by_default(self) -> bool:
        """A thinking model thinks unless `think` is false."""
        return self.since(0, 12, 4)

    @cached_property
    def has_logprobs(self) -> bool:
        return self.since(0, 12, 11)

    @cached_property
    def has_dimensions(self) -> bool:
        return self.since(0, 11, 11)

    @cached_property
    def has_native_templates(self) -> bool:
        """llama-server runs the models, with the chat template of the GGUF file; its errors are JSON in a string."""
        return self.since(0, 30, 0)

    @cached_property
    def has_strict_names(self) -> bool:
        """All endpoints check names in the same way, and `:cloud` and `:local` have a meaning."""
        return self.since(0, 18, 0)

    @cached_property
    def has_audio(self) -> bool:
        """Models that take sounds among the images; documented."""
        return self.since(0, 20, 0)

    @cached_property
    def has_decisions(self) -> bool:
        """POST /v1/systemone and decision models; documented."""
        return self.since(0, 35, 0)

    @cached_property
    def lists_think_values(self) -> bool:
        """`show` lists the values of `think`, and any string is accepted; documented."""
        return self.since(0, 34, 2)

    @cached_property
    def has_cached_prompt_count(self) -> bool:
        """`prompt_eval_cached_count` in the last line; documented."""
        return self.since(0, 33, 3)

    @cached_property
    def repeat_guard_is_error(self) -> bool:
        """A model that repeats itself ends with an error, not without its last line; documented."""
        return self.since(0, 34, 1)

    @cached_property
    def rejects_typical_p(self) -> bool:
        """The option `typical_p` is an error; documented."""
        return self.between((0, 34, 1), (0, 35, 0))

    @cached_property
    def has_template_source(self) -> bool:
        """`show` has `template_source`; documented."""
        return self.since(0, 40, 0)


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version without a suffix such as "-rc1".

    Raises:
        ValueError: Not a version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a version of Ollama; use one such as {DEFAULT!r}, or 'latest'.")
    return tuple(int(part or 0) for part in match.groups())
