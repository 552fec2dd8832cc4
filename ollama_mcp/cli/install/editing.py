"""A server's entry in the text of a host's configuration: found, set and removed; all else stays as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal, cast

from ollama_mcp.cli.install import jsonc

Format = Literal["json", "toml", "yaml"]
Entry = dict[str, Any]


class EditError(ValueError):
    """The text is broken, or has another form than the host's; the message says where."""


@dataclass(frozen=True)
class Place:
    """Where a server's entry stands.

    Args:
        format: The file's format; "json" may have comments.
        container: The keys that lead to all entries.
        name: The entry's own.
        is_list: Whether the entries are a list, in which each says its name.
        beginning: What a new file begins with.
    """

    format: Format
    container: tuple[str, ...]
    name: str
    is_list: bool = False
    beginning: str = ""

    def find(self, text: str) -> Entry | None:
        """The entry, None where there is none.

        Raises:
            EditError: The text is broken, the entries are something else, or two have this name.
        """
        value = self._entries(text)
        found = list(self._named(value)) if value is not None else []
        if len(found) > 1:
            raise EditError(f"there are {len(found)} entries named {self.name!r}")
        if found and not isinstance(found[0], dict):
            raise EditError(f"{self.name!r} in {'.'.join(self.container)} is no entry of a server")
        return cast("Entry", found[0]) if found else None

    def find_all(self, text: str) -> list[Entry]:
        """The entries of all names.

        Raises:
            EditError: The text is broken.
        """
        value = self._entries(text)
        found: list[Any] = list(cast("Entry", value).values() if isinstance(value, dict) else value or [])
        return [cast("Entry", one) for one in found if isinstance(one, dict)]

    def set(self, text: str, entry: Entry) -> str:
        """The text with this entry; what an entry has beside these keys stays.

        Raises:
            EditError: The text is broken or has another form.
        """
        old = self.find(text)
        text = text if text.strip("\ufeff \t\r\n") else self.beginning
        if self.format == "json":
            changed = _json_with(text, [*self.container, self.name], entry, old)
        else:
            changed = _Tree(self.format, text).with_entry(self, entry)
        self._check(text, changed, {**(old or {}), **entry})
        return changed

    def remove(self, text: str) -> str:
        """The text without the entry.

        Raises:
            EditError: The text is broken or has another form.
        """
        if self.format == "json":
            changed = jsonc.without_member(text, [*self.container, self.name])
        else:
            changed = _Tree(self.format, text).without_entry(self)
        self._check(text, changed, None)
        return changed

    def _entries(self, text: str) -> Any:
        value: Any = _parsed(self.format, text)
        for key in self.container:
            value = cast("Entry", value).get(key) if isinstance(value, dict) else value
        return value

    def _named(self, entries: Any) -> Iterator[Any]:
        if isinstance(entries, list) and self.is_list:
            for one in cast("list[Any]", entries):
                if isinstance(one, dict) and cast("Entry", one).get("name") == self.name:
                    yield cast("Entry", one)
        elif isinstance(entries, dict) and not self.is_list:
            if self.name in entries:
                yield cast("Entry", entries)[self.name]
        else:
            raise EditError(f"{'.'.join(self.container)} is {'no list' if self.is_list else 'no table'}")

    def _check(self, before: str, after: str, entry: Entry | None) -> None:
        """Nothing but the entry may have changed: what is written is read once more."""
        if self.find(after) != entry or self._others(before) != self._others(after):
            raise EditError("the entry cannot be placed without changing something else")

    def _others(self, text: str) -> Any:
        whole: Entry = _parsed(self.format, text)
        value = whole
        for key in self.container[:-1]:
            value = value.get(key, {})
        entries: Any = value.pop(self.container[-1], None)
        if isinstance(entries, list):
            others: Any = [one for one in cast("list[Any]", entries) if one not in list(self._named([one]))]
        else:
            others = {key: one for key, one in cast("Entry", entries or {}).items() if key != self.name}
        return whole, others or None


def rendered(place: Place, entry: Entry) -> str:
    """A file with nothing but the entry."""
    return place.set("", entry)


def _parsed(form: Format, text: str) -> Any:
    """The value of a text; an empty one is an empty table.

    Raises:
        EditError: It is broken, or no table.
    """
    if not text.strip("\ufeff \t\r\n"):
        return {}
    try:
        value = jsonc.parse(text) if form == "json" else _Tree(form, text).plain()
    except jsonc.JsoncError as error:
        raise EditError(str(error)) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EditError("the whole is no table")
    return cast("Entry", value)


def _json_with(text: str, path: list[str], entry: Entry, old: Entry | None) -> str:
    try:
        if old is None:
            return jsonc.with_member(text, path, entry)
        for key, value in entry.items():
            if key not in old or old[key] != value:
                text = jsonc.with_member(text, [*path, key], value)
    except jsonc.JsoncError as error:
        raise EditError(str(error)) from None
    return text


class _Tree:
    """A text of TOML or YAML as a tree that keeps comments, order and quotes."""

    def __init__(self, form: Format, text: str) -> None:
        self._is_toml = form == "toml"
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        is_dos = 0 < text.count("\n") == text.count("\r\n")
        self._newline = "\r\n" if is_dos else "\n"
        text = text.removeprefix("\ufeff").replace("\r\n", "\n" if is_dos else "\r\n")
        self._root: Any = self._toml(text) if self._is_toml else self._yaml(text)
        self._comments = ""
        if self._root is None:
            # Nothing but comments, which the tree of an empty text does not hold.
            self._root, self._comments = {}, text.rstrip() + "\n" if text.strip() else ""

    def plain(self) -> Any:
        return self._root.unwrap() if self._is_toml else _plain(self._root)

    def with_entry(self, place: Place, entry: Entry) -> str:
        value: Any = self._root
        for key in place.container[:-1]:
            value = value.setdefault(key, self._table())
        entries = value.get(place.container[-1])
        if entries is None:
            value[place.container[-1]] = [] if place.is_list else self._table(is_super=True)
            entries = value[place.container[-1]]
        old = _at(entries, place)
        if old is not None:
            for key, one in entry.items():
                if key not in old or old[key] != one:
                    old[key] = one
        elif place.is_list:
            cast("MutableSequence[Any]", entries).append(entry)
        elif self._is_toml and not _is_inline(entries):
            table = self._table()
            for key, one in entry.items():
                table[key] = _inline(one)
            if list(self._root)[-1:] != [place.container[0]]:
                import tomlkit

                table.add(tomlkit.nl())
            cast("MutableMapping[str, Any]", entries)[place.name] = table
        else:
            cast("MutableMapping[str, Any]", entries)[place.name] = entry
        return self._text()

    def without_entry(self, place: Place) -> str:
        entries: Any = self._root
        for key in place.container:
            entries = entries[key]
        if place.is_list:
            entries.remove(_at(entries, place))
        else:
            del entries[place.name]
        return self._text()

    def _toml(self, text: str) -> Any:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            return tomlkit.parse(text)
        except TOMLKitError as error:
            raise EditError(str(error)) from None

    def _yaml(self, text: str) -> Any:
        import ruamel.yaml.util as util
        from ruamel.yaml.error import YAMLError

        self._writer = _writer()
        try:
            _, indent, offset = cast("Any", util).load_yaml_guess_indent(text)
            root = self._writer.load(text)
        except (YAMLError, ValueError) as error:  # ValueError: a date that is none
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}: " if mark else ""
            raise EditError(f"{where}{getattr(error, 'problem', None) or 'no YAML'}") from None
        # Only where a list tells how this file is written.
        if indent and offset is not None:
            self._writer.indent(mapping=2, sequence=offset + 2, offset=offset)
        return root

    def _table(self, *, is_super: bool = False) -> Any:
        if not self._is_toml:
            return {}
        import tomlkit

        return tomlkit.table(is_super)

    def _text(self) -> str:
        stream = StringIO()
        if self._is_toml:
            import tomlkit

            tomlkit.dump(self._root, stream)
        else:
            self._writer.dump(self._root, stream)
        return self._mark + (self._comments + stream.getvalue()).replace("\n", self._newline)


def _writer() -> Any:
    from ruamel.yaml import YAML

    writer = YAML()
    writer.preserve_quotes = True
    writer.width = 100_000
    return writer


def _is_inline(entries: Any) -> bool:
    from tomlkit.items import InlineTable

    return isinstance(entries, InlineTable)


def _inline(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    import tomlkit

    table = tomlkit.inline_table()
    for key, one in cast("Entry", value).items():
        table[key] = one
    return table


def _at(entries: Any, place: Place) -> Any:
    if not place.is_list:
        return entries.get(place.name)
    for one in entries:
        if isinstance(one, Mapping) and cast("Entry", one).get("name") == place.name:
            return cast("Any", one)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return value
