"""Wikitext to text: every kind of markup, broken markup, hostile markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wikipedia.markup import CLEANING

from ultralink.wikipedia.wikitext import categories, plain, template_names


def shown(wikitext: str) -> str:
    return plain(wikitext, CLEANING)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        # inline
        ("'''Tea''' is ''hot''.", "Tea is hot."),
        ("L'''eau''' l''est", "Leau lest"),
        ("'''''Both''''' and '''unclosed", "Both and unclosed"),
        ("[[Tea]] [[tea leaf|leaves]] [[Cup|cup]]s", "Tea leaves cups"),
        ("[[Tea|a ''hot'' [[inner]] drink]]", "a hot inner drink"),
        ("See [[:Category:Tea]] [[:fr:Thé|Thé]] [[wikt:tea|word]]", "See Category:Tea Thé word"),
        ("[https://x.org/a?b=c the label] and [https://x.org] and [//x.org y]", "the label and and y"),
        ("see https://x.org/a now", "see https://x.org/a now"),
        ("5&nbsp;km &amp; &lt;b&gt; &#1090;&#x442; &nothing;", "5\u00a0km & <b> тт &nothing;"),
        ("[[OS&nbsp;X]]", "OS\u00a0X"),
        ("10<sup>6</sup> H<sub>2</sub>O x<sup>th</sup>", "10^6 H2O xth"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("a < b and c > d, <foo> stays", "a < b and c > d, <foo> stays"),
        ("<span style='x'>a</span> <u>b</u> <code>c</code> <nobr>d</nobr>", "a b c d"),
        # what is no prose
        ("a{{cite web|url=x|title={{lang|fr|y}}}}b", "ab"),
        ("a<ref>{{cite|x}} [[y]]</ref>b<ref name=n />c<ref name='m'/>d", "abcd"),
        ("a<ref name=x>one\n\ntwo</ref>b", "ab"),
        ("a <REF>x</Ref>b", "a b"),
        ("one<ref>never closed\ntwo", "one\ntwo"),
        ("one<ref>never closed\ntwo<ref>x</ref> three", "one\ntwo three"),
        ("a<gallery>\nFile:x.jpg|[[y]]\n</gallery>b", "ab"),
        ("[[File:a.jpg|thumb|left|a [[b|c]] and [[File:d.jpg]] e]]Text", "Text"),
        ("[[Image:a.jpg|thumb|a\nbreak]]Text [[fichier: a.jpg]][[ Файл :b]]", "Text"),
        ("[[Category:Tea]]\nText[[Категория:Чай|*]]\n[[fr:Thé]]\n[[zh-min-nan:Tê]]", "Text"),
        ("a<!-- {{x -->b <!-- never closed", "ab "),
        ("a\n<!-- alone -->\nb", "a\nb"),
        ("__NOTOC__a__БЕЗ_ОГЛ__b __init__", "ab __init__"),
        ("{{PAGENAME}}a{{#if:x|y|z}}b{{{1|c}}}d", "abd"),
        ("<includeonly>a</includeonly><noinclude>b</noinclude>", "b"),
        ("<syntaxhighlight lang=py>\na < b\n</syntaxhighlight>c", "c"),
        # what the recipe keeps
        ("{{convert|5|km|mi|abbr=on}}", "5 km"),
        ("{{Convert|5|to|7|km}} {{convert|1|-|2|-|3|m}}", "5 to 7 km 1-2-3 m"),
        (
            "{{formatnum:12345}} {{lang|fr|''thé''}} {{ILL|A|B}} {{ill|A}} {{ill|A|lt=C}} a{{snd}}b",
            "12345 thé B A C a – b",
        ),
        # kept apart from the parser
        ("<nowiki>[[x]] {{y}} &lt; ''z''</nowiki><nowiki/>", "[[x]] {{y}} < ''z''"),
        ("<math>\\frac{{a}}{b} < {{c}}</math>.", "$\\frac{{a}}{b} < {{c}}$."),
        ("<math display=block>\na\n+ b\n</math> <math></math> <chem>H2O</chem>", "$a + b$ H2O"),
        # Chinese variants
        ("-{zh-hans:计算机; zh-hant:電腦;}- -{zh-tw:臺; zh-cn:台}-", "计算机 台"),
        (
            "-{H|zh-cn:a;zh-tw:b}--{T|zh:x}--{原文}- -{zh;zh-hans|字}- -{A|zh-hans:甲;zh-hant:乙}-",
            "原文 字 甲",
        ),
        ("-{zh-hans:-{内}-;zh-hant:外}- [[A|-{zh-cn:a;zh-tw:b}-]] -{{convert|5|km}}", "内 a -5 km"),
        # lines
        ("* a\n** b\n# c\n: d\n; e", "a\nb\nc\nd\ne"),
        ("a\n\n{{Infobox\n| x = [[y]]\n| z = {|\n| t\n|}\n}}\n\nb", "a\n\n\nb"),
        ("a\n{| class=x\n! h\n|-\n| c {{t|\n|}}\n{|\n| inner\n|}\n|}\nb", "a\n\nb"),
        ("a\n----\n{{tablestart}}\n|-\n| c || d\n! e !! f\nb", "a\nb"),
        ("== H ==\n===''I'' [[J]]<ref>x</ref>===\n==K=\n=L==", "== H ==\n=== I J ===\n= K =\n= L ="),
    ],
)
def test_markup(wikitext: str, text: str) -> None:
    assert [" ".join(line.split(" ")) for line in shown(wikitext).split("\n")] == text.split("\n")


@pytest.mark.parametrize(
    ("wikitext", "kept", "gone"),
    [
        ("{{Infobox\n| a = b\n\nText [[stays]].", "Text stays.", "a = b"),
        ("A {{broken [[link]] text.\n\nText stays.", "Text stays.", "broken"),
        ("Text [[stays here.\n\nAnd {{x}}here]].", "Text stays here.", "[["),
        ("Text }} stays ]] here.", "Text  stays  here.", "}"),
        ("{| class=x\n| never closed\n== H ==\nText stays.", "== H ==\nText stays.", "never"),
        ("[[File:a.jpg|thumb|never closed\n\nText stays.", "Text stays.", "thumb"),
        ("<math>never closed\n\nText stays.", "Text stays.", "math>"),
        ("<b>" * 100_000 + "Text stays.", "Text stays.", "<b"),
        ("[http://a b" * 50_000 + "\n\nText stays.", "Text stays.", "[["),
        ("{{a|" * 50_000 + "\n\nText stays.", "Text stays.", "{{"),
        ("[[a|" * 50_000 + "\n\nText stays.", "Text stays.", "[["),
        ("{{a|" * 50 + "x" + "}}" * 50 + "Text stays.", "Text stays.", "{"),
        ("''a" * 50_000 + "\n\nText stays.", "Text stays.", "''"),
        ("<ref>" * 50_000 + "\nText stays.", "Text stays.", "ref"),
        ("{|\n" * 50_000 + "\n==H==\nText stays.", "Text stays.", "{|"),
        ("-{" * 50_000 + "\nText stays.", "Text stays.", "}-"),
    ],
)
def test_broken_markup_costs_its_paragraph_only(wikitext: str, kept: str, gone: str) -> None:
    text = shown(wikitext)
    assert kept in text
    assert gone not in text


def test_a_long_paragraph_is_read_in_pieces_without_loss() -> None:
    sentence = "'''Tea''' is [[drink|drunk]] {{snd}}hot&nbsp;here. "
    assert shown(sentence * 20_000) == "Tea is drunk  – hot\u00a0here. " * 20_000
    assert shown("'''茶'''是[[饮料]]。" * 30_000) == "茶是饮料。" * 30_000


_PIECES = st.sampled_from(
    re.split(
        " +",
        "{{ }} {{a| [[ ]] [[File: [[Category: | = {| |} |- ! <ref> </ref> <ref/> <b> </b> <!-- --> <math> "
        "</math> <nowiki> </nowiki> ''' '' == * # : ; -{ }- zh-hans: &lt; & [http://x ] \n \n\n < > "
        "text 字 . __TOC__",
    )
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_PIECES, max_size=40).map(" ".join))
def test_any_mix_of_markup_leaves_none(wikitext: str) -> None:
    text = shown(wikitext.replace("<nowiki>", "").replace("<math>", "").replace("&lt;", ""))
    for markup in ("{{", "}}", "[[", "]]", "''", "<ref", "<b>", "<!--", "\ue000"):
        assert markup not in text


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_survived(wikitext: str) -> None:
    shown(wikitext)


def test_prose_is_not_touched() -> None:
    prose = "Tea (from 茶) is 3.5 km away; isn't it? «Да», — сказал он.\nNew line: a*b = #1."
    assert shown(prose) == prose


def test_template_names_and_categories() -> None:
    text = "{{ Geo_disambiguation |x}}{{a\n|b={{C-stub}}}}[[Category: Tea |*]][[категория:Чай]][[Category:Tea]]"
    assert template_names(text) == {"geo disambiguation", "a", "c-stub"}
    assert categories(text, ["Category", "Категория"]) == ("Tea", "Чай")
