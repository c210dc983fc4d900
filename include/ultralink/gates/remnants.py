"""What belongs in no turn: prompt separators, role markers, HTML, wikitext, control characters."""

from __future__ import annotations

import re

from ultralink.gates.finding import Finding, Gate
from ultralink.gates.turn import Turn, clip

_KINDS = {
    "separator": re.compile(
        r"[<\\][/\\]?(?:document|passage|dialogue|dialog|question|answer|history|text|system|user|assistant)\b[^<>\n]{0,40}>",
        re.IGNORECASE,
    ),
    "role_marker": re.compile(
        r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|</?s>|^(?:System|User|Assistant|Human): "
        r"|^#{1,4} ?(?:System|User|Assistant|Human|Question|Answer|Instructions?)\b",
        re.MULTILINE,
    ),
    "html": re.compile(
        r"</?(?:p|div|span|br|hr|b|i|u|s|em|strong|small|ul|ol|li|dl|dd|dt|table|tbody|thead|tr|td|th|h[1-6]|a|img|"
        r"script|style|ref|references|sup|sub|pre|code|nowiki|blockquote|font|center|gallery|math|iframe|html|body)"
        r"(?:\s[^<>\n]{0,200})?/?>|&(?:nbsp|amp|lt|gt|quot|ndash|mdash|#x?[0-9a-f]{2,6});|<!--",
        re.IGNORECASE,
    ),
    "wikitext": re.compile(r"\[\[[^\[\]\n]*[^\W\d][^\[\]\n]*\]\]|\{\{[^{}\n]*[^\W\d][^{}\n]*\}\}|'''"),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufffd]")


def remnants(turn: Turn) -> list[Finding]:
    """At most one finding: the first kind that is there. Code may hold any of it but control characters."""
    if found := _CONTROL.search(turn.text):
        return [Finding(Gate.REMNANT, "control_character", f"U+{ord(found.group()):04X}")]
    for kind, pattern in _KINDS.items():
        if found := pattern.search(turn.prose):
            return [Finding(Gate.REMNANT, kind, clip(found.group()))]
    return []
