"""Comments and docstrings: all are found, and replacing them never changes the program."""

from __future__ import annotations

import ast
import io
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralink.translation.comments import Comment, NotIdentical, comments, python_blocks, rewritten

CODE = '''\
#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""Count words.

Two rules:
    no case
    no signs
"""
import re  # noqa: F401

# One word: letters only.
WORD = re.compile(r"\\w+ # not a comment")  # é: an accent before  # type: ignore[misc]
# print(WORD)
# -------


class Counter:
    r"""Counts \\d and \\w."""

    def add(self, word: str) -> int:
        'Adds a "word", it\\'s fast.'
        # type: (str) -> int
        return len(word)  #: how long

    async def none(self): "Nothing."; return 1


def count(text):
    """Count all.

    >>> count("a b")  # doctest: +SKIP
    {'a': 1,
     'b': 1}

    Order is "kept".

    ... and more"""
    "not a docstring"
    return f"{text}"  # pragma: no cover
'''

WORDS = [
    "Count words.\n\nTwo rules:\n    no case\n    no signs",
    "One word: letters only.",
    "é: an accent before",
    r"Counts \d and \w.",
    'Adds a "word", it\'s fast.',
    "how long",
    "Nothing.",
    "Count all.",
    'Order is "kept".\n\n... and more',
]

RUSSIAN = '''\
#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""Считает слова.

Правила:
    одно
"""
import re  # noqa: F401

# Только буквы.
WORD = re.compile(r"\\w+ # not a comment")  # знак  # type: ignore[misc]
# print(WORD)
# -------


class Counter:
    r"""Считает \\d."""

    def add(self, word: str) -> int:
        'Слово\\'s "да" \\\\ нет'
        # type: (str) -> int
        return len(word)  #: длина

    async def none(self): "Ничего."; return 1


def count(text):
    """Все \\"\\"\\" слова
    считает.

    >>> count("a b")  # doctest: +SKIP
    {'a': 1,
     'b': 1}

    Порядок "верен\\""""
    "not a docstring"
    return f"{text}"  # pragma: no cover
'''


def program(code: str) -> tuple[str, list[tuple[int, str]]]:
    """The syntax tree without docstrings and the tokens without comments, by other means than the library's."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body[0] = ast.Expr(ast.Constant("docstring"))
    strings = (tokenize.STRING, tokenize.COMMENT, tokenize.NL)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return ast.dump(tree), [(token.type, token.string) for token in tokens if token.type not in strings]


def texts_of(code: str) -> list[str]:
    return [comment.text for comment in comments(code)]


def test_finds_every_comment_and_docstring() -> None:
    assert texts_of(CODE) == WORDS


def test_offsets_are_those_of_the_bare_words() -> None:
    for comment in comments(CODE):
        source = CODE[comment.start : comment.end]
        assert source.split()[0].replace("\\", "") == comment.text.split()[0].replace("\\", "")
        assert source.split()[-1].replace("\\", "") == comment.text.split()[-1].replace("\\", "")
    assert comments("x = 'ж'  # слово") == [Comment(11, 16, "слово")]


def test_keeps_indentation_quotes_directives_and_doctests() -> None:
    texts = ["Считает слова.\n\nПравила:\n    одно", "Только\nбуквы.", "знак", r"Считает \d.", 'Слово\'s "да" \\ нет']
    texts += ["длина", "Ничего.", 'Все """ слова\nсчитает.', 'Порядок "верен"']
    assert rewritten(CODE, texts) == RUSSIAN
    assert program(rewritten(CODE, texts)) == program(CODE)


def test_the_same_texts_give_the_same_code() -> None:
    assert rewritten(CODE, WORDS) == CODE


@pytest.mark.parametrize(
    "code",
    [
        "x = (",
        "print 'old'",
        "  x = 1",
        "for x in y:\n# nothing",
        "\0",
        "x = '\ud800'",
        "$ pip install x  # shell",
    ],
)
def test_code_that_does_not_parse_has_none(code: str) -> None:
    assert comments(code) == []
    assert rewritten(code, []) == code


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("x = 1  # fmt: off", []),
        ("# pylint: disable=all\n# mypy: ignore-errors\n#%% cell", []),
        ("# Type: the kind of thing", ["Type: the kind of thing"]),
        ("# x = f(1)\n# import os\n# Output", ["Output"]),
        ("# sum of a and b (both)", ["sum of a and b (both)"]),
        ("## Two signs", ["Two signs"]),
        ("#", []),
        ("# 42 -- 43", []),
        ("def f():\n    'a' 'b'", []),
        ("def f():\n    b'bytes'", []),
        ("def f():\n    f'{1} text'", []),
        ("def f():\n    'one\\ntwo'", []),
        ("def f():\n    u'caf\\u00e9'", ["café"]),
        ("def f():\n    ('in brackets')", ["in brackets"]),
        ("class é: 'é à'  # ü", ["é à", "ü"]),
        ("def f():\r\n    '''One.\r\n\r\n    Two.\r\n    '''\r\n", ["One.\n\nTwo."]),
        ("def f():\n\t'''One\n\t  two'''", ["One\n  two"]),
        ("def f():\n    '''\n    >>> f()\n    1\n    '''", []),
        ("def f():\n    '''>>> f()\n    1\n\n    after'''", ["after"]),
        ("def f():\n    # only a comment\n    pass", ["only a comment"]),
    ],
)
def test_finds_words_only(code: str, texts: list[str]) -> None:
    assert texts_of(code) == texts


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("# one", "uno\ndos\r\ntres", "# uno dos tres"),
        ('"""One."""', 'Uno "dos"', '"""Uno "dos\\""""'),
        ('"""One."""', '""""""', '"""\\"\\"\\"\\"\\"\\""""'),
        ('"""One."""', '"Uno', '""""Uno"""'),
        ('"""One.\n"""', 'Uno "dos"', '"""Uno "dos"\n"""'),
        ('"""One."""', "C:\\new\\", '"""C:\\\\new\\\\"""'),
        ('"One."', 'Uno "dos"\ntres', '"Uno \\"dos\\" tres"'),
        ("def f():\n    '''One.'''", "Uno.\n\nDos\n  tres", "def f():\n    '''Uno.\n\n    Dos\n      tres'''"),
        ("def f():\n    '''One.\n    '''", "Uno.\n\nDos", "def f():\n    '''Uno.\n\n    Dos\n    '''"),
        ("def f():\r\n    '''One.\r\n    '''", "Uno.\nDos", "def f():\r\n    '''Uno.\r\n    Dos\r\n    '''"),
        ("r'''\\d'''", "\\w 'x", "r'''\\w 'x'''"),
    ],
)
def test_writes_new_words_safely(code: str, text: str, expected: str) -> None:
    assert rewritten(code, [text]) == expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("# one", "noqa"),
        ("# one", "type: int"),
        ("# one", "vim: set coding=latin-1"),
        ("x = 1  # one", "dos # pragma: no cover"),
        ("# one", "a\0b"),
        ("# one", "\ud800"),
        ('r"""One"""', '"""; import os; """'),
        ("r'One'", "it's"),
        ("r'''One'''", "ends with \\"),
        ('"""One."""', "Uno.\n\n>>> import os"),
        ('"""One.\n\n>>> f()\n1\n"""', "Uno.\n>>> g()"),
    ],
)
def test_refuses_words_that_would_be_more_than_words(code: str, text: str) -> None:
    with pytest.raises(NotIdentical):
        rewritten(code, [text])


def test_as_many_texts_as_comments() -> None:
    with pytest.raises(ValueError, match="argument"):
        rewritten(CODE, WORDS[:-1])
    with pytest.raises(ValueError, match="argument"):
        rewritten("x = 1", ["more"])


NASTY = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["'", '"', "'''", '"""', "\\", "\n", "\r", "#", " ", "word", "слово", ">>> ", "{x}", "\\n", "noqa"]
        ),
        max_size=12,
    ).map("".join),
)


@given(st.lists(NASTY, min_size=len(WORDS), max_size=len(WORDS)))
@settings(max_examples=400, deadline=None)
def test_no_text_changes_the_program(texts: list[str]) -> None:
    try:
        new = rewritten(CODE, texts)
    except NotIdentical:
        return
    assert program(new) == program(CODE)


@given(st.sampled_from(["'''", '"""', '"', "'"]), st.sampled_from(["", "\n    "]), NASTY)
@settings(max_examples=400, deadline=None)
def test_docstrings_that_are_not_raw_hold_any_text(quotes: str, end: str, text: str) -> None:
    if ">>>" in text or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return
    code = f"def f():\n    {quotes}One.{end if len(quotes) == 3 else ''}{quotes}\n    return 1\n"
    function = ast.parse(rewritten(code, [text])).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert str(ast.get_docstring(function, clean=False)).split() == text.split()


@given(st.text(alphabet=" \n\t#'\"\\:=()xy1>.é\r\x0c", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_code_is_kept_by_its_own_texts(code: str) -> None:
    assert rewritten(code, texts_of(code)) == code


BLOCKS = """\
Before.

1. One:
   ```python
   # Say it.
   def f():
       return '''

       x'''
   ```

```py
x = 1
```
> ```Python3 title="a"
> # Quoted.
> y = 2
> ```

```
import os
```
```
print("no more than an expression")
```
```
not python
```
```js
z = 3
```
Inline: ```python
w = 4  # four
```
~~~python
open = True"""


def test_finds_python_blocks() -> None:
    blocks = python_blocks(BLOCKS)
    assert [block.code for block in blocks] == [
        "# Say it.\ndef f():\n    return '''\n\n    x'''\n",
        "x = 1\n",
        "# Quoted.\ny = 2\n",
        "import os\n",
        "w = 4  # four\n",
        "open = True",
    ]
    assert all(block.placed(block.code) == BLOCKS[block.start : block.end] for block in blocks)


def test_new_code_is_placed_with_the_margin_of_its_block() -> None:
    first = python_blocks(BLOCKS)[0]
    new = BLOCKS[: first.start] + first.placed(rewritten(first.code, ["Скажи."])) + BLOCKS[first.end :]
    assert new == BLOCKS.replace("Say it.", "Скажи.")


@given(
    st.lists(st.sampled_from(["```", "~~~", "python", "\n", " ", "> ", "- ", "x = 1", "# a", "\t", "'''", "\r\n"])).map(
        "".join
    )
)
@settings(max_examples=500, deadline=None)
def test_any_block_is_placed_as_it_was(text: str) -> None:
    for block in python_blocks(text):
        assert block.placed(block.code) == text[block.start : block.end]
