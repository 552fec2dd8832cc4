"""The completion scripts of bash, zsh and fish, written from a table of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PROGRAM = "ollama-mcp-server"


@dataclass(frozen=True)
class Values:
    """What an option or an argument takes.

    Args:
        words: The words; none where anything goes.
        are_files: Whether it is a file.
        are_models: Whether it is an installed model.
        repeats: Whether it takes any number.
    """

    words: tuple[str, ...] = ()
    are_files: bool = False
    are_models: bool = False
    repeats: bool = False

    @property
    def kind(self) -> str:
        """The words, or what stands for them in the scripts."""
        return "@models" if self.are_models else "@files" if self.are_files else " ".join(self.words)


@dataclass(frozen=True)
class Option:
    """An option: its names, its help, and what it takes; None for a switch."""

    names: tuple[str, ...]
    help: str
    values: Values | None


@dataclass(frozen=True)
class Command:
    """A command with its options and arguments; "" is the program without one."""

    name: str
    help: str
    options: list[Option] = field(default_factory=list[Option])
    arguments: list[Values] = field(default_factory=list[Values])


def bash_script(commands: list[Command]) -> str:
    """The script that `eval` or a file of bash-completion takes."""
    return f"""\
# Completion of {PROGRAM} for bash, made by `{PROGRAM} completion bash`.
_ollama_mcp_server() {{
    local line=${{COMP_LINE:0:COMP_POINT}} cur='' command='' takes='' kind='' word place=$((0)) count
    local -a words
    read -ra words <<< "$line"
    count=${{#words[@]}}
    if [[ $line != *[[:space:]] ]]; then
        count=$((count - 1))
        cur=${{words[count]}}
    fi
    for word in "${{words[@]:1:count-1}}"; do
{_scan(commands)}
    done
{_choice(commands)}
    case $kind in
        @models) kind=$("${{words[0]}}" completion models 2>/dev/null) ;;
        @files)
            local IFS=$'\\n'
            compopt -o filenames 2>/dev/null
            COMPREPLY=($(compgen -f -- "$cur"))
            return
            ;;
    esac
    COMPREPLY=($(compgen -W "$kind" -- "$cur"))
    # What bash replaces begins after the last colon.
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"${{cur%"${{cur##*:}}"}}"}}")
    fi
}}
complete -F _ollama_mcp_server {PROGRAM}
"""


def zsh_script(commands: list[Command]) -> str:
    """The script that `eval` takes after compinit, or a file `_ollama-mcp-server` on fpath."""
    return f"""\
#compdef {PROGRAM}
# Completion of {PROGRAM} for zsh, made by `{PROGRAM} completion zsh`.
_ollama_mcp_server() {{
    local cur=$words[CURRENT] command='' takes='' kind='' word
    local -i place=$((0))
    for word in "${{(@)words[2,CURRENT-1]}}"; do
{_scan(commands)}
    done
{_choice(commands)}
    case $kind in
        @models) compadd -- ${{(f)"$($words[1] completion models 2>/dev/null)"}} ;;
        @files) _files ;;
        *) compadd -- ${{=kind}} ;;
    esac
}}
if [[ $funcstack[1] == _{PROGRAM} ]]; then
    _ollama_mcp_server "$@"
else
    compdef _ollama_mcp_server {PROGRAM}
fi
"""


def fish_script(commands: list[Command]) -> str:
    """The script that `source` takes, or a file in fish's completions folder."""
    lines = [
        f"# Completion of {PROGRAM} for fish, made by `{PROGRAM} completion fish`.",
        "function __ollama_mcp_server_at -d 'whether the next word is an argument of a command, at a place'",
        "    set -l command ''",
        "    set -l takes ''",
        "    set -l place 0",
        "    for word in (commandline -opc)[2..-1]",
        '        if test -n "$takes"',
        "            set takes ''",
        f"        else if contains -- $word {' '.join(_valued(commands))}",
        "            set takes $word",
        "        else if not string match -q -- '-*' $word",
        '            if test -n "$command"',
        "                set place (math $place + 1)",
        "            else",
        "                set command $word",
        "            end",
        "        end",
        "    end",
        '    test "$command" = "$argv[1]"; and test -z "$argv[2]" -o "$place" = "$argv[2]"',
        "end",
        f"complete -c {PROGRAM} -f",
    ]
    for command in commands:
        seen = f"-n '__ollama_mcp_server_at {_fish(command.name)}'"
        if command.name:
            lines.append(
                f"complete -c {PROGRAM} -n '__ollama_mcp_server_at \"\"' -a {command.name}{_told(command.help)}"
            )
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            lines.append(f"complete -c {PROGRAM} {seen} {names}{_fish_values(option.values, '-x')}{_told(option.help)}")
        for place, values in enumerate(command.arguments):
            if values.kind:
                at = "" if values.repeats else f" {place}"
                lines.append(
                    f"complete -c {PROGRAM} -n '__ollama_mcp_server_at {command.name}{at}'{_fish_values(values, '')}"
                )
    return "\n".join(lines) + "\n"


def _fish(name: str) -> str:
    return name or '""'


def _fish_values(values: Values | None, exclusive: str) -> str:
    match values:
        case None:
            return ""
        case Values(are_files=True):
            return " -rF" if exclusive else " -F"
        case Values(are_models=True):
            words = f"({PROGRAM} completion models 2>/dev/null)"
        case _:
            words = " ".join(values.words)
    return f" {exclusive} -a '{words}'".replace("  ", " ") if words else f" {exclusive}".rstrip()


def _told(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f" -d '{escaped}'"


def _valued(commands: Iterable[Command]) -> dict[str, Values]:
    """What each option takes, by its names; an option of a name takes the same in all commands, or something at all."""
    found: dict[str, Values] = {}
    for command in commands:
        for option in command.options:
            for name in option.names if option.values is not None else ():
                assert option.values is not None
                if name not in found or option.values.kind:
                    found[name] = option.values
    return found


def _scan(commands: list[Command]) -> str:
    """The body of the loop over the words before the one that is completed, in bash and zsh."""
    return f"""\
        if [[ $takes ]]; then
            takes=''
            continue
        fi
        case $word in
            {"|".join(_valued(commands))}) takes=$word ;;
            -*) ;;
            *) if [[ $command ]]; then place=$((place + 1)); else command=$word; fi ;;
        esac"""


def _choice(commands: list[Command]) -> str:
    """What may stand at the place that is completed, in bash and zsh."""
    valued = [
        f"            {name}) kind='{values.kind}' ;;" for name, values in _valued(commands).items() if values.kind
    ]
    options = [
        f"            '{command.name}') kind='{' '.join(name for one in command.options for name in one.names)}' ;;"
        for command in commands
    ]
    places = [f"            ' '*) kind='{' '.join(command.name for command in commands if command.name)}' ;;"]
    for command in commands:
        for place, values in enumerate(command.arguments):
            if values.kind:
                at = "*" if values.repeats else place
                places.append(f"            '{command.name} '{at}) kind='{values.kind}' ;;")
    newline = "\n"
    return f"""\
    if [[ $takes ]]; then
        case $takes in
{newline.join(valued)}
        esac
    elif [[ $cur == -* ]]; then
        case $command in
{newline.join(options)}
        esac
    else
        case "$command $place" in
{newline.join(places)}
        esac
    fi"""
