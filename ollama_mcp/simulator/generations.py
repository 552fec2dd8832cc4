"""What differs between Ollama's versions, as far as a client can see it; one property per difference.

v0.5.7, v0.17.7 and v0.33 were recorded. What is marked `documented` comes from Ollama's release notes and documentation
up to v0.40 and was not recorded from a running server.
"""

from __future__ import annotations

import re
from functools import cached_property

RECORDED = ("0.5.7", "0.17.7", "0.33.0")
DEFAULT = "0.33.0"
# No difference of an older one is known here.
OLDEST = "0.1.44"
LATEST = "0.40.12"
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?")


class Generation:
    """A version of Ollama. `0.0.0` (a build from source) counts as the default one, as clients should treat it.

    Args:
        version: Such as "0.17.7"; "latest" for the newest that is documented.

    Raises:
        ValueError: It is no version, or one that nothing is known of.
    """

    def __init__(self, version: str) -> None:
        self.version = LATEST if version == "latest" else version.removeprefix("v")
        self._number = _numbers(self.version)
        if self._number == (0, 0, 0):
            self._number = _numbers(DEFAULT)
        if not _numbers(OLDEST) <= self._number <= _numbers(LATEST):
            raise ValueError(
                f"The simulator does not play Ollama {version}: the oldest that it plays is {OLDEST}, the newest"
                f" {LATEST} ('latest')."
            )

    def since(self, *number: int) -> bool:
        """Whether this generation is at least version `number`."""
        return self._number >= number

    def between(self, first: tuple[int, ...], end: tuple[int, ...]) -> bool:
        """Whether this generation is at least `first` and below `end`."""
        return first <= self._number < end

    @cached_property
    def wrong_method_is_405(self) -> bool:
        return self.since(0, 7, 0)

    @cached_property
    def status_before_stream(self) -> bool:
        """Errors before the first line carry their status; before, all streams were 200 with an error line."""
        return self.since(0, 12, 6)

    @cached_property
    def has_capabilities(self) -> bool:
        return self.since(0, 6, 4)

    @cached_property
    def has_thinking(self) -> bool:
        return self.since(0, 9, 0)

    @cached_property
    def thinks_unasked(self) -> bool:
        """A model that can think does so unless `think` is false."""
        return self.since(0, 12, 4)

    @cached_property
    def has_logprobs(self) -> bool:
        return self.since(0, 12, 11)

    @cached_property
    def has_dimensions(self) -> bool:
        return self.since(0, 11, 11)

    @cached_property
    def native_templates(self) -> bool:
        """llama-server runs the models: chat templates of the GGUF count, and errors come as JSON in a string."""
        return self.since(0, 30, 0)

    @cached_property
    def trims_names(self) -> bool:
        """Names are checked the same way everywhere, and `:cloud` and `:local` mean something."""
        return self.since(0, 18, 0)

    @cached_property
    def hears(self) -> bool:
        """Models that take sounds among the images; documented."""
        return self.since(0, 20, 0)

    @cached_property
    def decides(self) -> bool:
        """POST /v1/systemone and decision models; documented."""
        return self.since(0, 35, 0)

    @cached_property
    def describes_thinking(self) -> bool:
        """`show` lists the values of `think`, and any string is taken; documented."""
        return self.since(0, 34, 2)

    @cached_property
    def counts_cached_prompt(self) -> bool:
        """`prompt_eval_cached_count` in the last line; documented."""
        return self.since(0, 33, 3)

    @cached_property
    def repeat_guard_is_error(self) -> bool:
        """documented"""
        return self.since(0, 34, 1)

    @cached_property
    def refuses_typical_p(self) -> bool:
        """documented"""
        return self.between((0, 34, 1), (0, 35, 0))

    @cached_property
    def fills_renderer(self) -> bool:
        """`show` tells renderer, parser and template_source; documented."""
        return self.since(0, 40, 0)


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version; a suffix such as "-rc1" does not count.

    Raises:
        ValueError: It is none.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no version of Ollama; give one such as {DEFAULT!r}, or 'latest'.")
    return tuple(int(part or 0) for part in match.groups())
