"""Masks: what is masked, that restoring is the identity, and that every fault of a translation is found."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultralink.translation.masks import Masked, MaskFault, fences, mask, prose

UNHURRIED = settings(deadline=None)  # the machine may be busy: time proves nothing

FENCE = "```python\nx = 1\n```"


def spans(text: str) -> list[str]:
    return [span.text for span in mask(text).spans]


def reasons(masked: Masked, translated: str) -> list[tuple[str, str]]:
    return [(fault.reason, fault.placeholder) for fault in masked.faults(translated)]


def swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


# --- what is masked ---------------------------------------------------------------------------------------------------

MASKED = [
    # fenced code
    (f"Run:\n{FENCE}\nDone.", [FENCE]),
    ("a\n\n```\nno language\n\n$x$\n```\nb", ["```\nno language\n\n$x$\n```"]),
    ("~~~ js title=a\n`x`\n~~~~\nb", ["~~~ js title=a\n`x`\n~~~~"]),
    ("````md\n```\nx\n```\n````\nb", ["````md\n```\nx\n```\n````"]),
    ("- a\n  ```js\n  x\n  ```\n- b", ["  ```js\n  x\n  ```"]),
    ("1. ```py\n   x\n   ```\n2. b", ["```py\n   x\n   ```"]),
    ("> ```\n> x\n> ```\n> b", ["> ```\n> x\n> ```"]),
    ("Look:\n```\nnever closed\n\n`a`", ["```\nnever closed\n\n`a`"]),
    ("Code: ```python\nx\n\ny\n```\nb", ["```python\nx\n\ny\n```"]),
    ("Code: ```pip install x\npip install y\n```\nb", ["```pip install x\npip install y\n```"]),
    ("Cut off: ```sql\nSELECT", ["```sql\nSELECT"]),
    ("a\r\n```\r\nx\r\n```\r\nb", ["```\r\nx\r\n```"]),
    ("~~struck~~ and a ~~~ in a line", []),
    # indented code
    ("Code:\n\n    def f(x):\n        return x + 1\n\nDone.", ["    def f(x):\n        return x + 1"]),
    ("\tx = 1\n\n\n\ty = 2\n\nDone `a`.", ["\tx = 1\n\n\n\ty = 2", "`a`"]),
    ("a\r\n\r\n    f(`x`)  \r\n\r\nb", ["    f(`x`)"]),
    ("Run\n\n    pip install x\n\nor\n \n    >>> f(1)\n    2", ["    pip install x", "    >>> f(1)\n    2"]),
    ("Wrapped\n    f(x)\n  \n   g(x)", []),
    ("It said:\n\n    Roses are red,\n    Violets are blue.\n\nDone.", []),
    ("Note:\n\n    If we let $x = 5$ (see above), then f(x) = 7 holds for it.", ["$x = 5$"]),
    ("1. Open it.\n\n    x = f(1) goes on\n\n- a\n    - b\n\n      y = 1", []),
    ("1. Run:\n\n        x = f(1)\n\n2. b", ["        x = f(1)"]),
    ("- a\n\nThen:\n\n    x = 1", ["    x = 1"]),
    ("Then:\n\n    - a = 1\n    - b = 2\n\n    > c = 3", []),
    ("a\n\n    x = 1\n    ```\n    y\n    ```\nb", ["    x = 1", "    ```\n    y\n    ```"]),
    ("```\n- a\n\n    x = 1\n```\n\n    y = 2", ["```\n- a\n\n    x = 1\n```", "    y = 2"]),
    ("a\n\n    $$\nx\n    $$", ["$$\nx\n    $$"]),
    ("a\n\n    b = 1 | c\n    --- | ---\n", ["|", "    --- | ---"]),
    # inline code
    ("Call `f(x)` or ``a`b`` or ``` c `` d ```.", ["`f(x)`", "``a`b``", "``` c `` d ```"]),
    ("A lone ` sign\n\nand ` another", []),
    ("- use ` here\n- and ` there", []),
    (r"Not \`code\` but `\`.", [r"`\`"]),
    ("`over\nlines`", ["`over\nlines`"]),
    # formulas in dollars
    ("If $x$ and $y = 2$, the $n$th term", ["$x$", "$y = 2$", "$n$"]),
    ("a $3\\times3$ or 3$\\times$3 grid", ["$3\\times3$", "$\\times$"]),
    ("$ x = 5 $ holds", ["$ x = 5 $"]),
    ("$a\n+ b$ over lines", ["$a\n+ b$"]),
    ("It is $\\$5 + \\$7 = \\$12$.", ["$\\$5 + \\$7 = \\$12$"]),
    ("$12$ and $1,000$ and $90^\\circ$", ["$12$", "$1,000$", "$90^\\circ$"]),
    ("Then $$a + b$$ and\n$$\n\nc\n\n$$", ["$$a + b$$", "$$\n\nc\n\n$$"]),
    ("She has $5 and he has $7.", []),
    ("$5-$7, US$5/HK$7, **$8** (or $9).", []),
    ("5$ and 7$; 5$, 6$ or 7$; 5$/kg and 6$/kg", []),
    ("A $20 bill and another 20$ too", []),
    ("36 * $1.75 = $63.00. Then $63.00 + $15.00 = $78.00.", []),
    ("It costs $4 (x = 2) where $x$ is a number", ["$x$"]),
    (r"It costs \$5 or \$6.", []),
    ("$x and $y", []),
    ("a $\n\n$ b $", []),
    # other formulas
    (r"\(a_1\), \[ b \\[2pt] c \], \\(d\\) and \\[e\\]", [r"\(a_1\)", r"\[ b \\[2pt] c \]", r"\\(d\\)", r"\\[e\\]"]),
    ("\\begin{align*}\nx &= 1 \\\\\n\ny\n\\end{align*} end", ["\\begin{align*}\nx &= 1 \\\\\n\ny\n\\end{align*}"]),
    (r"\begin{a}\begin{b}\begin{a}x\end{a}\end{b}\end{a}z", [r"\begin{a}\begin{b}\begin{a}x\end{a}\end{b}\end{a}"]),
    (r"An unclosed \begin{a} and \end{b}", [r"\begin{a}", r"\end{b}"]),
    (r"So \boxed{\frac{1}{\sqrt{2^{3}}}}!", [r"\boxed{\frac{1}{\sqrt{2^{3}}}}"]),
    (r"Hence \sum_{i=1}^{n} i, \sqrt[3]{x} and \pi.", [r"\sum_{i=1}^{n}", r"\sqrt[3]{x}", r"\pi"]),
    (r"\boxed{never closed", [r"\boxed"]),
    # addresses
    (
        "See https://en.wikipedia.org/wiki/Tea_(drink), (http://a.b/c) or ftp://d.e.",
        ["https://en.wikipedia.org/wiki/Tea_(drink)", "http://a.b/c", "ftp://d.e"],
    ),
    ("**https://a.b/?q=1&r=2#s**, www.c.org/d!", ["https://a.b/?q=1&r=2#s", "www.c.org/d"]),
    ("example.com/e; a.b/c", ["example.com/e"]),
    ("茶：https://zh.wikipedia.org/wiki/茶。", ["https://zh.wikipedia.org/wiki/茶"]),
    ("https://api.x.io/{id}/items", ["https://api.x.io/{id}/items"]),
    ("Write to a.b+c@d-e.co.uk. Or @me, or <x@y.org>.", ["a.b+c@d-e.co.uk", "<x@y.org>"]),
    # paths
    ("/etc/hosts, ~/a/b.txt, ./run.sh and ../lib.", ["/etc/hosts", "~/a/b.txt", "./run.sh", "../lib"]),
    (r"C:\Users\me\a.txt or D:/data/b", [r"C:\Users\me\a.txt", "D:/data/b"]),
    (r'"C:\Program Files\App\bin.exe".', [r"C:\Program Files\App\bin.exe"]),
    (r"C:\\Users\\me, the 'C:\' drive and D:\$x$", [r"C:\\Users\\me", "C:\\"]),
    (r"(\\server\share\x)", [r"\\server\share\x"]),
    ("notes/todo.txt, (src/main.rs) and src/lib/.", ["notes/todo.txt", "src/main.rs", "src/lib/"]),
    ("main.py, config.yaml, Node.js and a.test.ts.", ["main.py", "config.yaml", "a.test.ts"]),
    ("and/or, he/she, 3/4, 1/2.5, 12/05/2024, km/h, TCP/IP, 24/7, w/o, I/O, e.g. this", []),
    # markup
    ('<b>x</b><br/><a href="y>z" class=k>', ["<b>", "</b>", "<br/>", '<a href="y>z" class=k>']),
    ("<!-- a\nb --> <?xml version='1'?>", ["<!-- a\nb -->", "<?xml version='1'?>"]),
    ("&nbsp;&#39;&#x2F; AT&T; Q&A", ["&nbsp;", "&#39;", "&#x2F;"]),
    ("<code>a <b>c</b></code>", ["<code>a <b>c</b></code>"]),
    ("<input disabled> <your-key>", ["<input disabled>", "<your-key>"]),
    ("if a < b and x<y and z>w, then a > c", []),
    ("<https://a.b/c>", ["<https://a.b/c>"]),
    # placeholders
    ("{name}, {}, {0}, {x!r:>8}, {{y}}, ${Z}, $HOME", ["{name}", "{}", "{0}", "{x!r:>8}", "{{y}}", "${Z}", "$HOME"]),
    ("%s, %(x)s, %5.2f, %d, %Y-%m and %PATH%", ["%s", "%(x)s", "%5.2f", "%d", "%Y", "%m", "%PATH%"]),
    ("{% if x %}a{% endif %}", ["{% if x %}", "{% endif %}"]),
    ('{1, 2}, {a, b}, {"k": 1}, 50% of it, 100%, 5 % d', []),
    ("16 - 3 = <<16-3=13>>13", ["<<16-3=13>>"]),
    # tables and links
    (
        "| a | b |\n|---|:-:|\n| `x|y` | $|z|$ |\n\na | b",
        ["|", "|", "|", "|---|:-:|", "|", "`x|y`", "|", "$|z|$", "|"],
    ),
    ("a | b\n- | -\n1 || 2\nend", ["|", "- | -", "||"]),
    ("no | table\nof | pipes", []),
    ("[a](b_(c)) ![d](<e f>) [g](h 'i') [j](no link)", ["](b_(c))", "](<e f>)", "](h 'i')"]),
    # brackets like ours
    ("⟦1⟧ and ⟦x⟧ and ⟦ or ⟧", ["⟦1⟧", "⟦x⟧", "⟦ or ⟧"]),
    ("⟦ alone", ["⟦"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_masks_what_must_survive_and_nothing_else(text: str, expected: list[str]) -> None:
    masked = mask(text)
    assert spans(text) == expected
    assert masked.restore(masked.text) == text
    assert masked.faults(masked.text) == []


def test_numbers_the_placeholders_in_order_and_leaves_the_words() -> None:
    assert mask("Call `f` with $x$, then `g`.").text == "Call ⟦1⟧ with ⟦2⟧, then ⟦3⟧."


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (FENCE, [True]),
        ("a\n\n    x = 1\n\n`b`", [True, False]),
        ("a $$x$$ b $y$ `z`", [True, False, False]),
        ("\\[ x \\] \\(y\\)", [True, False]),
        ("\\begin{a}x\\end{a} \\frac{1}{2}", [True, False]),
        ("a|`b`\n-|-", [True, False, True]),
    ],
)
def test_tells_blocks_from_inline_spans(text: str, blocks: list[bool]) -> None:
    assert [span.is_block for span in mask(text).spans] == blocks


def test_keeps_the_indentation_of_a_fence_with_it() -> None:
    assert mask("- a\n\n    ```\n    x\n    ```\n- b").text == "- a\n\n⟦1⟧\n- b"


def test_prose_is_what_is_left_without_placeholders() -> None:
    assert prose(mask("Call `f` now: $x$").text).split() == ["Call", "now:"]


def test_fences_gives_the_offsets_of_fenced_blocks() -> None:
    text = f"`a`\n{FENCE}\n$x$\n~~~\ny"
    assert [text[start:end] for start, end in fences(text)] == [FENCE, "~~~\ny"]


# --- restoring is the identity ----------------------------------------------------------------------------------------

SIGNS = st.sampled_from(
    [
        *"()[]{}<>|-:/.@%&#*=^_!'\"\\ \t\n\x0c\u2028\u200fa1é茶⟦⟧",
        *("`", "``", "```", "~~~", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{a}", "\\end{a}", "\\frac{", "⟦1⟧"),
        *("https://", "www.", "&amp;", "%s", "](", "> ", "- ", "1. ", "# ", ".py", "C:\\", "\n\n", "\r\n"),
        *("\n\n    ", "\n    x = 1", "\n\n\t", "Some plain words. "),
        *("<code>", "</code>", "<!--", "-->", "|-|", "\n|-|-|\n"),
    ]
)
TEXTS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=("Cs",))),
    st.lists(SIGNS, max_size=60).map("".join),
    st.sets(SIGNS, min_size=1, max_size=4).flatmap(lambda few: st.lists(st.sampled_from(sorted(few)))).map("".join),
)


@given(TEXTS)
@settings(UNHURRIED, max_examples=1500)
def test_restoring_is_the_identity_and_sound(text: str) -> None:
    masked = mask(text)
    assert masked.restore(masked.text) == text
    assert masked.faults(masked.text) == []
    assert all(span.text for span in masked.spans)
    assert masked.text.count("⟦") == masked.text.count("⟧") == len(masked.spans)


@given(TEXTS, TEXTS)
@UNHURRIED
def test_faults_of_any_answer_are_told(text: str, answer: str) -> None:
    masked = mask(text)
    kept = all(answer.count(f"⟦{number}⟧") == 1 for number in range(1, len(masked.spans) + 1))
    assert kept or masked.faults(answer)
    masked.restore(answer)


HOSTILE = [
    *(
        "`",
        "``a",
        "$",
        "$a",
        "$$",
        "\\(",
        "\\[",
        "\\a{",
        "\\begin{a}",
        "<",
        "<a ",
        "<!--",
        "<code>",
        "{",
        "{{",
        "%",
        "&a",
    ),
    *("[]((", '](a "', "|", "|-\n", "a|b\n-|-\n", "⟦", "/", "a/", "://", "a@", ".", "\n", "```\n", "a\n- "),
    *("\n    ", "\n\n    x=", "\n\n    [", "\n\n    ```", "    ", "\t", "\n\t\\("),
    "\u200f",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_survives_long_hostile_texts(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    masked = mask(text)
    assert masked.restore(masked.text) == text


# --- faults -----------------------------------------------------------------------------------------------------------

SENTENCE = mask("Call `f` with $x$ and `g`.")
BLOCKS = mask(f"First, set it:\n\n{FENCE}\n\nThen show `x`:\n\n```\nx\n```\n\nDone.")
INDENTED = mask("Set it:\n\n    x = 1\n    y = 2\n\nDone.")
TABLE = mask("| name | use |\n|---|---|\n| `a` | first |\n| `b` | second |")
LISTED = mask("Steps:\n\n- Open `a`.\n- Close `b`.\n\nThen see [here](x.html).")
LINES = mask("First, $a = 1$.\nThen $b = 2$.\nSo $c = 3$.")


def test_the_fixtures_read_as_the_table_below_expects() -> None:
    assert SENTENCE.text == "Call ⟦1⟧ with ⟦2⟧ and ⟦3⟧."
    assert BLOCKS.text == "First, set it:\n\n⟦1⟧\n\nThen show ⟦2⟧:\n\n⟦3⟧\n\nDone."
    assert TABLE.text == "⟦1⟧ name ⟦2⟧ use ⟦3⟧\n⟦4⟧\n⟦5⟧ ⟦6⟧ ⟦7⟧ first ⟦8⟧\n⟦9⟧ ⟦10⟧ ⟦11⟧ second ⟦12⟧"
    assert LISTED.text == "Steps:\n\n- Open ⟦1⟧.\n- Close ⟦2⟧.\n\nThen see [here⟦3⟧."
    assert LINES.text == "First, ⟦1⟧.\nThen ⟦2⟧.\nSo ⟦3⟧."


SOUND = [
    (SENTENCE, "Rufe ⟦1⟧ mit ⟦2⟧ und ⟦3⟧ auf."),
    (SENTENCE, "Mit ⟦2⟧ rufe man ⟦3⟧ und ⟦1⟧ auf."),
    (SENTENCE, "⟦3⟧ и ⟦1⟧ вызовите с ⟦2⟧."),
    (SENTENCE, "用⟦2⟧调用⟦1⟧和⟦3⟧。"),
    (SENTENCE, "استدعِ \u2068⟦1⟧\u2069 مع \u200f⟦2⟧\u200e و\u2067⟦3⟧\u2069."),
    (SENTENCE, "קרא ל-\u200b⟦1⟧\u200b עם ⟦2⟧\ufeff ו-⟦3⟧."),
    (BLOCKS, "先设置：\n\n⟦1⟧\n\n然后显示⟦2⟧：\n\n⟦3⟧\n\n完成。"),
    (BLOCKS, "Erst setzen:\n⟦1⟧\nDann ⟦2⟧ zeigen:\n\n\n⟦3⟧\n\nFertig."),
    (BLOCKS, "أولا:\n\n\u200f⟦1⟧\u200f\n\nثم ⟦2⟧:\n\n⟦3⟧\n\nانتهى."),
    (INDENTED, "设置：\n\n⟦1⟧\u200f\n\n完成。"),
    (TABLE, "⟦1⟧名称⟦2⟧用途⟦3⟧\n⟦4⟧\n⟦5⟧⟦6⟧⟦7⟧第一⟦8⟧\n⟦9⟧⟦10⟧⟦11⟧第二⟦12⟧"),
    (LISTED, "Шаги:\n\n* Откройте ⟦1⟧.\n* Закройте ⟦2⟧.\n\nСмотрите [здесь⟦3⟧."),
    (LISTED, "Pasos :\n\n- ⟦1⟧ se abre.\n- ⟦2⟧ se cierra.\n\nVea luego [aquí⟦3⟧."),
    (LINES, "Zuerst ⟦1⟧.\nDann ⟦2⟧.\nAlso ⟦3⟧."),
    (LINES, "Zuerst ⟦1⟧. Dann ⟦2⟧.\nAlso ⟦3⟧."),
    (mask("A line of `a` that\nis wrapped near `b` here."), "In `c` ⟦2⟧, что\nперенесено ⟦1⟧ тут."),
    (mask("Pay (1) with `a` [1]."), "Bezahle (1) mit ⟦1⟧ [1]."),
    (mask("We get\n$$a$$\nby `b`."), "Mit\n⟦1⟧,\nso ⟦2⟧."),
    (mask("From $$a$$ we get `b`."), "⟦2⟧ folgt aus ⟦1⟧."),
]


@pytest.mark.parametrize(("masked", "translated"), SOUND)
def test_sound_translations_have_no_fault(masked: Masked, translated: str) -> None:
    assert masked.faults(translated) == []


FAULTY = [
    (SENTENCE, "Rufe ⟦1⟧ mit ⟦2⟧ auf.", [("dropped", "⟦3⟧")]),
    (SENTENCE, "", [("dropped", "⟦1⟧"), ("dropped", "⟦2⟧"), ("dropped", "⟦3⟧")]),
    (SENTENCE, "Rufe ⟦1⟧ und ⟦1⟧ mit ⟦2⟧ und ⟦3⟧ auf.", [("doubled", "⟦1⟧")]),
    (SENTENCE, "Rufe ⟦1⟧ mit ⟦2⟧, ⟦4⟧ und ⟦3⟧ auf.", [("unknown", "⟦4⟧")]),
    (SENTENCE, "Rufe [1] mit ⟦2⟧ und ⟦3⟧ auf.", [("mangled", "⟦1⟧")]),
    (SENTENCE, "用【2】调用⟦1⟧和〖3〗。", [("mangled", "⟦2⟧"), ("mangled", "⟦3⟧")]),
    (SENTENCE, "Rufe <1> mit ⟦2⟧ und (3) auf.", [("mangled", "⟦1⟧"), ("mangled", "⟦3⟧")]),
    (SENTENCE, "Rufe ⟦ 1 ⟧ mit ⟦2⟧ und ⟦3⟧ auf.", [("mangled", "⟦1⟧")]),
    (SENTENCE, "调用⟦１⟧，⟦2⟧，⟦3⟧", [("mangled", "⟦1⟧")]),
    (SENTENCE, "⟦١⟧ ⟦2⟧ ⟦3⟧", [("mangled", "⟦1⟧")]),
    (SENTENCE, "⟦01⟧ ⟦2⟧ ⟦3⟧", [("mangled", "⟦1⟧")]),
    (SENTENCE, "⟦1 mit ⟦2⟧ und 3⟧", [("mangled", "⟦1⟧"), ("mangled", "⟦3⟧")]),
    (SENTENCE, "⟦\u200b1⟧ ⟦2⟧ ⟦3⟧", [("mangled", "⟦1⟧")]),
    (SENTENCE, "⟦f⟧ ⟦1⟧ ⟦2⟧ ⟦3⟧", [("mangled", "⟦f⟧")]),
    (SENTENCE, "⟦⟦1⟧ ⟦2⟧ ⟦3⟧", [("mangled", "⟦")]),
    (mask("See (1) and `a`."), "Siehe (1).", [("dropped", "⟦1⟧")]),
    (BLOCKS, "Erst:\n\n⟦3⟧\n\nDann ⟦2⟧:\n\n⟦1⟧\n\nFertig.", [("order", "⟦3⟧"), ("order", "⟦1⟧")]),
    (BLOCKS, "Erst:\n\n⟦1⟧\n\nDann:\n\n⟦3⟧\n\nFertig ⟦2⟧.", [("order", "⟦2⟧")]),
    (BLOCKS, "Erst: ⟦1⟧\n\nDann ⟦2⟧:\n\n⟦3⟧\n\nFertig.", [("moved_line", "⟦1⟧")]),
    (BLOCKS, "Erst:\n\n⟦1⟧ Dann ⟦2⟧:\n\n⟦3⟧\n\nFertig.", [("moved_line", "⟦1⟧")]),
    (BLOCKS, "Erst:\n\n⟦1⟧\n\nDann ⟦2⟧:\n\n⟦3⟧.\n\nFertig.", [("moved_line", "⟦3⟧")]),
    (BLOCKS, "Erst:\n\n    ⟦1⟧\n\nDann ⟦2⟧:\n\n⟦3⟧\n\nFertig.", [("moved_line", "⟦1⟧")]),
    (INDENTED, "Setzen: ⟦1⟧\n\nFertig.", [("moved_line", "⟦1⟧")]),
    (INDENTED, "Setzen:\n\n  ⟦1⟧\n\nFertig.", [("moved_line", "⟦1⟧")]),
    (INDENTED, "Setzen:\n\n    x = 1\n    y = 3\n\nFertig.", [("dropped", "⟦1⟧")]),
    (mask("We get\n$$a$$\nso."), "Wir haben ⟦1⟧, also.", [("moved_line", "⟦1⟧")]),
    (TABLE, TABLE.text.replace("\n⟦9⟧", " ⟦9⟧"), [("moved_line", "⟦9⟧")]),
    (TABLE, TABLE.text.replace("⟦7⟧", "\n⟦7⟧"), [("moved_line", "⟦7⟧")]),
    (TABLE, TABLE.text.replace("\n⟦5⟧", "\n\n⟦5⟧"), [("moved_line", "⟦5⟧")]),
    (TABLE, TABLE.text.replace(" ⟦6⟧ ", " ").replace("first", "⟦6⟧"), [("order", "⟦6⟧")]),
    (TABLE, swapped(TABLE.text, "⟦6⟧", "⟦10⟧"), [("order", "⟦6⟧"), ("order", "⟦10⟧")]),
    (LISTED, "Шаги:\n\n- Откройте ⟦2⟧.\n- Закройте ⟦1⟧.\n\nСмотрите [здесь⟦3⟧.", [("order", "⟦1⟧"), ("order", "⟦2⟧")]),
    (LISTED, "Шаги: откройте ⟦1⟧.\n- Закройте ⟦2⟧.\n\nСмотрите [здесь⟦3⟧.", [("marker", "bullet")]),
    (LISTED, "Шаги:\n\n- Откройте ⟦1⟧.\n- Закройте ⟦2⟧.\n\nСмотрите здесь⟦3⟧.", [("marker", "⟦3⟧")]),
    (LINES, "Zuerst ⟦2⟧.\nDann ⟦1⟧.\nAlso ⟦3⟧.", [("order", "⟦1⟧"), ("order", "⟦2⟧")]),
    (mask("One `a`.\n\nTwo `b`."), "Zwei ⟦2⟧.\n\nEins ⟦1⟧.", [("order", "⟦1⟧"), ("order", "⟦2⟧")]),
    (mask("# Title\n\n> Quote\n\n1. one\n2. two"), "Titel\n\nZitat\n\n1. eins zwei",
     [("marker", "heading"), ("marker", "quotation"), ("marker", "number")]),
]  # fmt: skip


@pytest.mark.parametrize(("masked", "translated", "expected"), FAULTY)
def test_faults_are_found(masked: Masked, translated: str, expected: list[tuple[str, str]]) -> None:
    assert reasons(masked, translated) == expected


WORDS = st.lists(st.sampled_from(["дом", "и", "茶。", "la", "кот,", "12"]), min_size=1, max_size=3).map(" ".join)
INLINE = st.sampled_from(["`f(x)`", "$x^2$", "https://a.b/c", "{name}", "<b>", r"\(y\)", "/etc/hosts", "a@b.org"])


@st.composite
def paragraphs(draw: st.DrawFn) -> list[tuple[list[str], str]]:
    """One or more paragraphs: their inline pieces, and the block that follows ("": none)."""
    paragraph = st.tuples(
        st.lists(INLINE, min_size=2, max_size=4), st.sampled_from(["", FENCE, "$$a = b$$", "\\begin{a}\nx\n\\end{a}"])
    )
    return draw(st.lists(paragraph, min_size=1, max_size=4))


def written(draw: st.DrawFn, parts: list[tuple[list[str], str]]) -> str:
    texts = []
    for pieces, block in parts:
        texts.append(" ".join(f"{draw(WORDS)} {piece}" for piece in pieces) + " end.")
        texts += [block] if block else []
    return "\n\n".join(texts)


@st.composite
def translations(draw: st.DrawFn) -> tuple[Masked, str]:
    """A masked text and a sound translation: other words, the placeholders of each paragraph in any order."""
    parts = draw(paragraphs())
    masked = mask(written(draw, parts))
    number = 0
    translated = []
    for pieces, block in parts:
        numbers = range(number + 1, number + len(pieces) + 1)
        number += len(pieces)
        translated.append((draw(st.permutations([f"⟦{n}⟧" for n in numbers])), f"⟦{number + 1}⟧" if block else ""))
        number += bool(block)
    assert number == len(masked.spans)
    return masked, written(draw, translated)


@given(translations())
@UNHURRIED
def test_sound_translations_are_never_faulted(pair: tuple[Masked, str]) -> None:
    masked, translated = pair
    assert masked.faults(translated) == []
    restored = masked.restore(translated)
    assert all(span.text in restored for span in masked.spans)


@given(translations(), st.data())
@UNHURRIED
def test_each_kind_of_damage_to_a_sound_translation_is_found(pair: tuple[Masked, str], data: st.DataObject) -> None:
    masked, translated = pair
    number = data.draw(st.integers(1, len(masked.spans)))
    held = f"⟦{number}⟧"
    other = data.draw(st.sampled_from(["[{}]", "【{}】", "〖{}〗", "<{}>", "⟦ {} ⟧", "⟦{}", "{}⟧", "{{{}}}"])).format(
        number
    )
    unknown = f"⟦{len(masked.spans) + 1}⟧"
    assert MaskFault("dropped", held) in masked.faults(translated.replace(held, ""))
    assert MaskFault("doubled", held) in masked.faults(f"{translated} {held}")
    assert MaskFault("unknown", unknown) in masked.faults(f"{translated} {unknown}")
    assert MaskFault("mangled", held) in masked.faults(translated.replace(held, other))
    full_width = held.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    assert MaskFault("mangled", held) in masked.faults(translated.replace(held, full_width))


@given(translations(), st.data())
@UNHURRIED
def test_each_misplaced_block_is_found(pair: tuple[Masked, str], data: st.DataObject) -> None:
    masked, translated = pair
    blocks = [f"⟦{number}⟧" for number, span in enumerate(masked.spans, 1) if span.is_block]
    for block in blocks:
        for moved in (f"{block} here", f"here {block}"):
            assert masked.faults(translated.replace(block, moved)) == [MaskFault("moved_line", block)]
    if len(blocks) > 1:
        first, second = data.draw(st.permutations(blocks))[:2]
        found = set(masked.faults(swapped(translated, first, second)))
        assert {MaskFault("order", first), MaskFault("order", second)} <= found


@given(translations())
@UNHURRIED
def test_inline_placeholders_that_leave_their_paragraph_are_found(pair: tuple[Masked, str]) -> None:
    masked, translated = pair
    kept = [row for row in translated.split("\n\n") if not row.strip("⟦⟧").isdigit()]
    if len(kept) > 1:
        first, last = (next(word for word in row.split() if word.startswith("⟦")) for row in (kept[0], kept[-1]))
        assert set(masked.faults(swapped(translated, first, last))) == {
            MaskFault("order", first),
            MaskFault("order", last),
        }


def test_marks_beside_a_fence_go_when_it_is_restored() -> None:
    masked = mask(f"Run:\n{FENCE}\nNow `x`.")
    assert masked.restore("شغّل:\n\u200f⟦1⟧\u200f\nالآن \u200f⟦2⟧.") == f"شغّل:\n{FENCE}\nالآن \u200f`x`."


def test_restore_leaves_what_it_does_not_know() -> None:
    assert SENTENCE.restore("⟦1⟧ ⟦9⟧ ⟦ 2 ⟧") == "`f` ⟦9⟧ ⟦ 2 ⟧"
