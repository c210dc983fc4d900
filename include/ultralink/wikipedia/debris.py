"""What markup leaves in a sentence when it is cut out of it, ``()`` or `` ,``: mended there and nowhere else.

Of wikitext the places are known: CUT stands where something was taken out. Of an extract, which the wiki has cut
itself, only this much is known: pronunciations and native names go missing from the brackets of the first sentence.
All other text may be meant: ``main()`` and ``.NET`` are words, ``(...)`` is a quotation.
"""

from __future__ import annotations

import re

CUT = "\ue002"  # private use: in no prose

_OPENING, _CLOSING = "(（[", ")）]"
_SEPARATORS = ",;:，、；："
_ATTACHED = "!?…”»"  # stand right after a word, but for French, which puts a space between
_GAP = re.compile(f" ?{CUT}[ {CUT}]*")
_EMPTY = re.compile(rf"[(（\[][ {_SEPARATORS}{CUT}./·•–—-]*[)）\]]")
_RUN = re.compile(rf"(?: ?[{_SEPARATORS}{CUT}])+ ?")
_SEPARATOR = re.compile(f"[{_SEPARATORS}]")
_FULL_STOP = re.compile(rf"\.(?![^\s{CUT}])|[。！？]")
_ASIDE = re.compile(r"(?<=\S) \(([^()]*)\)|（([^（）]*)）")
_NESTED = 3  # brackets inside brackets, all of them empty


def mended(line: str) -> str:
    """The line without CUT, and without brackets, separators and spaces that have lost their sense around it.

    Linear time.
    """
    if CUT not in line:
        return line
    line = _GAP.sub(_gap, " ".join(line.split()))
    for _ in range(_NESTED):
        line = _EMPTY.sub(lambda bracket: CUT if CUT in bracket[0] else bracket[0], line)
    return _RUN.sub(_joined, line).strip()


def mended_opening(sentence: str) -> str:
    """An extract's first sentence without brackets that hold only separators: ``Tea ( ; ) is``, ``Tea (, 茶) is``.

    Not those that follow without a space (``main()``) or hold anything else (``f (·)``).
    """
    for _ in range(_NESTED):
        sentence = _ASIDE.sub(_aside, sentence)
    return sentence


def _gap(found: re.Match[str]) -> str:
    """One CUT for neighbours, and at most one space on each side of it."""
    before = " " if found[0].startswith(" ") else ""
    return f"{before}{CUT}{' ' if ' ' in found[0][len(before) :] else ''}"


def _joined(run: re.Match[str]) -> str:
    """What is to stand between the text before the run and that after it: a separator, a space, or nothing."""
    said, text = run[0], run.string
    if CUT not in said:
        return said
    before, after = text[max(0, run.start() - 1) : run.start()], text[run.end() : run.end() + 1]
    if not before or before in _OPENING or (after and after in _CLOSING) or _FULL_STOP.match(text, run.end()):
        return ""
    separator = _SEPARATOR.search(said)
    if separator is None:
        return " " if said.endswith(" ") or (said.startswith(" ") and after not in _ATTACHED) else ""
    lead, rest = said[: separator.start()], said[separator.start() :]
    if CUT in lead:
        lead = " " if lead.endswith(" ") and separator[0] in ";:" else ""
    return lead + (separator[0] + " " * (" " in rest) if CUT in rest else rest)


def _aside(bracket: re.Match[str]) -> str:
    said = bracket[1] if bracket[2] is None else bracket[2]
    if not said.strip(f" {_SEPARATORS}/–—-"):
        return ""
    said = said.strip(f" {_SEPARATORS}")
    return f" ({said})" if bracket[2] is None else f"（{said}）"
