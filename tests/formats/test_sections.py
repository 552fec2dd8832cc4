"""Sections of texts: nothing is lost between them, and each stands under the titles or names that are above it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.formats.sections import sections

NAMES = ("a.md", "a.rst", "a.py", "a.ts", "a.c", "a.rs", "a.sql", "a.txt")
# Pieces of all formats, so that what one format means by them meets what another does.
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "# Title\n",
                "## Sub ##\n",
                "Under\n===\n",
                "Under\n---\n",
                "---\n",
                "```\n",
                "~~~ py\n",
                "#\n",
                "\n",
                "text\n",
            ),
            *(
                "def f(a,\n      b):\n",
                "    return 1\n",
                "class C:\n",
                "    @x(\n        1)\n",
                "    def g(self): ...\n",
            ),
            *("func (s *S) Run() {\n", "}\n", "impl<T> A for B {\n", "create table t (\n", "const f = (a) => {\n"),
            *("[page 1 of 2]\n", "[cell 3: code]\n", "é\u200d", "\t", " ", "(" * 400, "int main()\n{\n", "// note\n"),
        ]
    ),
    max_size=60,
).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(PIECES, st.sampled_from(NAMES), st.sampled_from(["text", "pdf", "docx", "html", "notebook"]))
def test_sections_put_together_are_the_text_and_begin_at_lines(text: str, name: str, kind: str) -> None:
    found = sections(text, kind, name)
    assert "".join(text[one.start : one.end] for one in found) == text
    assert all(one.start < one.end for one in found)
    assert all(one.start == 0 or text[one.start - 1] == "\n" for one in found)
    assert all("\n" not in one.heading and len(one.heading) <= 300 for one in found)


def headings(text: str, name: str, kind: str = "text") -> list[tuple[int, str]]:
    """Line and heading of each section."""
    return [(text.count("\n", 0, one.start) + 1, one.heading) for one in sections(text, kind, name)]


def test_markdown_is_taken_apart_by_its_headings() -> None:
    text = """\
---
title: front matter
---
Before.

# Guide
Intro.

## Install
```sh
# no heading
```
### Linux ###
apt

Windows
-------
msi

| a |
|---|

Notes
=====
"""
    assert headings(text, "guide.md") == [
        (1, ""),
        (6, "Guide"),
        (9, "Guide > Install"),
        (13, "Guide > Install > Linux"),
        (16, "Guide > Windows"),
        (23, "Notes"),
    ]
    assert headings("# A\n\nx\n\n## B\n", "page.html", "html") == [(1, "A"), (5, "A > B")]


def test_underlines_of_restructured_text_have_the_level_of_their_order() -> None:
    text = "Title\n=====\n\nPart\n----\n\ntext\n\nOther\n-----\n\nNext\n====\n"
    assert headings(text, "a.rst") == [(1, "Title"), (4, "Title > Part"), (9, "Title > Other"), (12, "Next")]


def test_pages_and_cells_are_sections() -> None:
    pdf = "[page 1 of 2]\nOne\n\n[page 2 of 2: no text]\n\n"
    assert headings(pdf, "a.pdf", "pdf") == [(1, "page 1"), (4, "page 2")]
    book = "[cell 1: markdown]\n# A\n\n[cell 2: code]\nx = 1\n[output]\n1\n\n"
    assert headings(book, "a.ipynb", "notebook") == [(1, "cell 1"), (4, "cell 2")]


PYTHON = '''\
"""Module."""

import os

# Why.
@decorated(
    "x",
)
async def first(a: int,
    b: int,
) -> int:
    if a:
        return b

    def inner():
        return 1


class Box(list[int]):
    """Doc."""

    def put(self) -> None: ...
    size = 3

VALUE = 1
'''
TYPESCRIPT = """\
import { a } from 'b';

export interface Foo<T> {
  a: string;
}

/** Docs. */
export class Bar extends Foo {
  private x = 1;

  constructor(private readonly y: string) {
    super();
  }

  async load<T>(a: string): Promise<void> {
    for (const x of y) {
      if (x) {
        log(x);
      }
    }
  }
}

export const handler = async (event: Event) => {
  return 1;
};
"""
GO = """\
package main

// Run runs.
func (s *Server) Run(ctx context.Context) error {
\tif x := foo(); x {
\t\treturn nil
\t}
\tgo func() {
\t}()
}

var global = 3
"""
RUST = """\
#[derive(Debug)]
pub struct Foo<T> {
    a: T,
}

impl<T: Clone> Foo<T> {
    pub fn new(a: T) -> Self {
        Self { a }
    }
}

impl fmt::Display for Foo<u8> {
    fn fmt(&self) -> fmt::Result {
        match self { A => 1, _ => 2 }
    }
}
"""
C = """\
#include <stdio.h>

static const char *name_of(struct foo *f,
                           int x)
{
    while (x) {
        use(x);
    }
}

int
main(int argc, char **argv)
{
    return 0;
}
"""
SQL = """\
CREATE TABLE IF NOT EXISTS users (
  id INTEGER
);
create or replace function f() returns int as $$
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.py",
            PYTHON,
            [(1, ""), (5, "first"), (15, "first.inner"), (19, "Box"), (22, "Box.put"), (23, "Box"), (25, "")],
        ),
        (
            "a.ts",
            TYPESCRIPT,
            [(1, ""), (3, "Foo"), (7, "Bar"), (11, "Bar.constructor"), (15, "Bar.load"), (24, "handler")],
        ),
        ("a.go", GO, [(1, ""), (3, "Run"), (12, "")]),
        (
            "a.rs",
            RUST,
            [
                *((1, "Foo"), (6, "Foo<T>"), (7, "Foo<T>.new")),
                *((12, "fmt::Display for Foo<u8>"), (13, "fmt::Display for Foo<u8>.fmt")),
            ],
        ),
        ("a.c", C, [(1, ""), (3, "name_of"), (11, ""), (12, "main")]),
        ("a.sql", SQL, [(1, "users"), (4, "f")]),
    ],
)
def test_code_is_taken_apart_by_its_definitions(name: str, text: str, expected: list[tuple[int, str]]) -> None:
    assert headings(text, name) == expected


def test_long_headings_lose_their_outermost_titles_and_their_ends() -> None:
    text = "".join(f"{'#' * level} {'x' * 90} {level}\n" for level in range(1, 7))
    last = headings(text, "a.md")[-1][1]
    assert len(last) <= 200 and last.count(" > ") == 1 and last.endswith("x…")


def test_hostile_lines_take_no_longer_than_others() -> None:
    # What a pattern that backtracks would take hours for; the test has a limit of its own.
    pieces = ("# " + " #" * 100_000, "a b " * 50_000 + "(", "(" * 100_000, "impl" + "<" * 100_000, "#\n" * 10_000)
    for piece in pieces:
        for name in NAMES:
            assert sections(piece, "text", name)
