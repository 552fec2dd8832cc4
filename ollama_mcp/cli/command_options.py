"""The options of the commands that do a tool's work from the shell, and those that all commands share."""

from __future__ import annotations

import argparse

_MODEL = "the model; otherwise the one that the tool would use"
_SCHEMA = "a JSON Schema, or its file: the answer is such JSON"


def output_options(parser: argparse.ArgumentParser) -> None:
    """`--json`, `--no-color`, `--quiet`; see `cli.output`."""
    parser.add_argument("--json", action="store_true", default=False, help="print JSON")
    parser.add_argument("--no-color", action="store_true", default=False, help="no colours, as with NO_COLOR set")
    parser.add_argument("--quiet", action="store_true", default=False, help="print only what matters")


def ask_options(parser: argparse.ArgumentParser) -> None:
    """What `ask` takes."""
    parser.set_defaults(takes_words="prompt")
    parser.add_argument("prompt", nargs="*", default=[], help="what to ask; without it, what is piped in")
    parser.add_argument(
        "-f", "--file", metavar="FILE", action="append", default=[], help="a file, folder or glob to read"
    )
    parser.add_argument("-m", "--model", default="", help="the model; otherwise the one that ollama_chat would use")
    parser.add_argument("--system", default="", help="instructions for the model")
    parser.add_argument("--schema", metavar="JSON", default="", help=_SCHEMA)
    output_options(parser)


def batch_options(parser: argparse.ArgumentParser) -> None:
    """What `batch` takes."""
    parser.set_defaults(takes_words="input")
    parser.add_argument("input", nargs="*", default=[], help="a file of rows (.txt, .csv, .jsonl), a glob, or texts")
    parser.add_argument("-p", "--prompt", default="", help="what to ask of each, with {text} or {column}")
    parser.add_argument("--questions", metavar="JSON", default="", help="closed questions, or their file")
    parser.add_argument("--embed", action="store_true", default=False, help="write vectors")
    parser.add_argument("-o", "--output", metavar="FILE", default="", help="for the rows: .jsonl, .csv or .npy")
    parser.add_argument("--overwrite", action="store_true", default=False, help="replace that file")
    parser.add_argument("-m", "--model", default="", help=_MODEL)
    parser.add_argument("--system", default="", help="instructions for the model")
    parser.add_argument("--schema", metavar="JSON", default="", help=_SCHEMA)
    parser.add_argument("--limit", type=int, default=None, help="only so many rows")
    parser.add_argument("--chunk-chars", type=int, default=None, help="split one long file into pieces of this size")
    output_options(parser)


def decide_options(parser: argparse.ArgumentParser) -> None:
    """What `decide` takes."""
    parser.set_defaults(takes_words="texts")
    parser.add_argument("question", help="such as 'Is this spam?'")
    parser.add_argument("texts", nargs="*", default=[], metavar="text", help="what it is about; or what is piped in")
    parser.add_argument("-f", "--file", metavar="FILE", action="append", default=[], help="a file or glob to judge")
    parser.add_argument("-i", "--image", metavar="FILE", action="append", default=[], help="an image to judge")
    parser.add_argument("--labels", metavar="A,B", default="", help="the answers, such as bug,idea; else yes or no")
    parser.add_argument("--levels", metavar="A,B", default="", help="levels to score by, the lowest first")
    parser.add_argument("-m", "--model", default="", help=_MODEL)
    parser.add_argument("--shuffle", action="store_true", default=False, help="average over orders of the answers")
    output_options(parser)


def compare_options(parser: argparse.ArgumentParser) -> None:
    """What `compare` takes."""
    parser.set_defaults(takes_words="prompt")
    parser.add_argument("prompt", nargs="*", default=[], help="what to ask all of them; or what is piped in")
    parser.add_argument("-m", "--model", metavar="MODEL", action="append", default=[], help="a model; give two or more")
    parser.add_argument("--prompts", metavar="FILE", default="", help="several prompts: .txt lines, .jsonl, .json")
    parser.add_argument("-i", "--image", metavar="FILE", action="append", default=[], help="an image for all")
    parser.add_argument("--system", default="", help="instructions for the models")
    parser.add_argument("-o", "--output", metavar="FILE", default="", help="for whole answers: .json, .jsonl or .md")
    parser.add_argument("--overwrite", action="store_true", default=False, help="replace that file")
    output_options(parser)


def evaluate_options(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` takes."""
    parser.add_argument("examples", help=".csv or .jsonl with a column 'expected'")
    parser.add_argument("-m", "--models", metavar="A,B", default="", help="the models; otherwise all that can do it")
    parser.add_argument("--prompt", default="", help="a template such as 'Translate: {text}'")
    parser.add_argument("--question", default="", help="a question with a fixed set of answers, instead of a prompt")
    parser.add_argument("--labels", metavar="A,B", default="", help="its answers; otherwise yes and no")
    parser.add_argument("--system", default="", help="instructions for the model")
    parser.add_argument("--schema", metavar="JSON", default="", help="a JSON Schema, or its file, for the answers")
    parser.add_argument("--metric", default="", help="exact, label, number:0.1, fields, contains, regex, judge:RUBRIC")
    parser.add_argument("--judge", metavar="MODEL", default="", help="the model that judges")
    parser.add_argument("--goal", type=float, default=0.9, help="the share of right answers to reach (0.9)")
    parser.add_argument("--confidence", type=float, default=0.95, help="how sure that has to be (0.95)")
    parser.add_argument("--profile", metavar="NAME", default="", help="keep what is found as model='profile:NAME'")
    parser.add_argument("--show-failures", action="store_true", default=False, help="failures with their content")
    output_options(parser)


def search_options(parser: argparse.ArgumentParser) -> None:
    """What `search` takes."""
    parser.set_defaults(takes_words="file")
    parser.add_argument("query", help="what to look for")
    parser.add_argument("file", nargs="*", default=[], help="files, folders or globs; or what is piped in")
    parser.add_argument("-n", "--most", type=int, default=10, metavar="N", help="so many places (10)")
    parser.add_argument("-m", "--model", default="", help="the embedding model; otherwise one that is installed")
    parser.add_argument("--words", action="store_true", default=False, help="by words only, without a model")
    parser.add_argument("--meaning", action="store_true", default=False, help="by meaning only")
    parser.add_argument("--rerank", action="store_true", default=False, help="have a model judge the best 40")
    output_options(parser)


def jobs_options(parser: argparse.ArgumentParser) -> None:
    """What `jobs` takes."""
    actions = ["list", "show", "result", "cancel", "resume"]
    parser.add_argument("action", nargs="?", choices=actions, default="list")
    parser.add_argument("id", nargs="?", default="", help="its id, from the list")
    parser.add_argument("--offset", type=int, default=0, help="where the result goes on")
    output_options(parser)
