"""The accounts of all principals: one of each name, however many tokens and sessions it has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ollama_mcp.hosts.principal import Account
from ollama_mcp.hosts.recent import RecentDict

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings
    from ollama_mcp.store import Store
    from ollama_mcp.store.spending import Spending

MAX_ACCOUNTS = 100_000


class Accounts:
    """Makes an account with the first request of a name."""

    def __init__(self) -> None:
        self._accounts: RecentDict[str, Account] = RecentDict(MAX_ACCOUNTS)
        self._spending: Spending | None = None

    def keep_in(self, store: Store, settings: Settings) -> None:
        """Have the tokens of a day outlive the process, where anybody's are limited; before the first request."""
        if any(limits.tokens_per_day for limits in settings.principals.values()):
            self._spending = store.open_spending(settings)
            self._spending.corrected = self._correct

    async def of(self, name: str) -> Account:
        """The account of a name."""
        if name not in self._accounts:
            spending = self._spending
            account = Account()
            if spending is not None:
                account = Account(await spending.of_today(name), partial(spending.add, name))
            # Another request of the same name may have been quicker.
            if name not in self._accounts:
                self._accounts[name] = account
        return self._accounts[name]

    def _correct(self, day: int, name: str, tokens: int) -> None:
        if name in self._accounts:
            self._accounts[name].correct(day, tokens)
