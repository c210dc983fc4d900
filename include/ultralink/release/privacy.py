"""Privacy: e-mail addresses, telephone numbers and credentials in a text, told from all that only looks like them.

The rules prefer to miss a strange form to taking a figure for a telephone:

- An e-mail address has a domain that can exist. The names that are reserved for examples (RFC 2606 and 6761) are
  nobody's; nor are git@host:path, user@host in a URL, icon@2x.png and a matrix product.
- A telephone number is valid by Google's metadata. With a +, that is enough. Without, it is one of the language's own
  countries and is written as people write telephones, in groups that are no thousands, or in one piece where hardly a
  figure looks like that (Chinese and Russian mobiles, French numbers); or a word such as "tel." says what it is.
  A date, an ISBN, an IP address, a span of years and a term of a sum are none.
- A credential has the form that its issuer gives it (detect-secrets knows most of these); one that says that it is
  a placeholder, or repeats a few characters, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import phonenumbers
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector

SHOWN = 2  # characters of what is found


class Secret(StrEnum):
    """A kind of private thing, by its name in the recipe."""

    EMAIL = "email"
    PHONE = "phone"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Found:
    """Something private. Its ``text`` must never be written down: ``masked`` may."""

    kind: Secret
    text: str

    @property
    def masked(self) -> str:
        """The first two characters: enough to find it by hand, too little to use it."""
        return f"{self.text[:SHOWN]}…"


def private(text: str, language: str, kinds: frozenset[Secret]) -> Iterator[Found]:
    """What is private in ``text``, by kind and place; ``language`` says whose telephones are written without a +."""
    plain = _plain(text)
    if Secret.EMAIL in kinds and "@" in plain:
        yield from (Found(Secret.EMAIL, found) for found in _emails(plain))
    if Secret.PHONE in kinds:
        yield from (Found(Secret.PHONE, found) for found in _phones(plain, language))
    if Secret.CREDENTIAL in kinds:
        yield from (Found(Secret.CREDENTIAL, found) for found in _credentials(plain))


# Full-width forms, which Chinese and Japanese keyboards write, and the spaces and hyphens of typesetters.
_WIDE = re.compile("[０-９＠Ａ-Ｚａ-ｚ]")
_SPACES, _HYPHENS = "\u00a0\u2007\u2009\u202f", "\u2010-\u2013"
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {ord(space): " " for space in _SPACES}
_NARROW |= dict.fromkeys(range(0x2010, 0x2014), "-")


def _plain(text: str) -> str:
    return text.translate(_NARROW) if not text.isascii() and _WIDE.search(text) else text


# --- e-mail ---------------------------------------------------------------------------------------

_L = "0-9A-Za-zÀ-ɏͰ-ԯ"  # Latin, Greek and Cyrillic letters; others would run into the text around
_EMAIL = re.compile(
    rf"(?<![{_L}.+%_-])(?P<local>[{_L}_](?:[{_L}.+%_'-]{{0,62}}[{_L}_+-])?)"
    rf"@(?P<domain>(?:[{_L}](?:[{_L}-]{{0,61}}[{_L}])?\.){{1,6}}(?P<top>xn--[a-z0-9-]+|[A-Za-zа-яё]{{2,18}}))"
    rf"(?![{_L}@(_])(?!-[{_L}])"
)
_COUNTRIES = {region.lower() for region in phonenumbers.SUPPORTED_REGIONS} | {"uk", "eu", "su"}
_GENERIC_NAMES = """com org net edu gov mil int info biz name pro mobi asia travel jobs museum coop aero cat tel post
arpa academy agency app art bank berlin blog careers center church cloud club community company consulting cool
design dev digital email energy events expert finance foundation fund global group health help host hotel
institute international law legal life link live london love ltd madrid market marketing media moscow network
news ngo online paris partners photo photography press quebec school science services shop site social software
solutions space store studio support systems team tech technology today top tours university vip website
wiki work works world xyz zone рф рус москва бел укр срб онлайн сайт дети орг"""
_GENERIC = frozenset(_GENERIC_NAMES.split())
_RESERVED = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)$|"
    r"^(?:domain|yourdomain|mydomain|yourcompany)\.(?:com|net|org|tld)$",
    re.IGNORECASE,
)
_FILES = frozenset(
    {"py", "js", "md", "rs", "sh", "ps", "cc"}
)  # of the countries' domains, those that end the names of files


def _emails(text: str) -> Iterator[str]:
    for match in _EMAIL.finditer(text):
        domain, top = match["domain"], match["top"].lower()
        exists = top in _GENERIC or top in _COUNTRIES or top.startswith("xn--")
        if exists and not _RESERVED.search(domain) and not _is_address_of_a_machine(text, match):
            yield match[0]


def _is_address_of_a_machine(text: str, match: re.Match[str]) -> bool:
    """git@host:path, https://user@host, a product of matrices a@b.T or a file's name."""
    after = text[match.end() : match.end() + 2]
    if len(after) == 2 and after[0] == ":" and (after[1] in "/~" or match["local"] == "git"):
        return True
    in_url = re.search(r"://[^/\s]*$", text[max(0, match.start() - 200) : match.start()])
    in_code = len(match["local"]) == 1 and len(match["domain"]) < 6
    return in_url is not None or in_code or (match["top"] in _FILES and len(match["local"]) < 4)


# --- telephones -----------------------------------------------------------------------------------

# The countries of a language whose telephones may be written without a +. A language that is not here has none.
_REGIONS = {
    "ar": ("EG", "SA"),
    "bg": ("BG",),
    "ca": ("ES",),
    "cs": ("CZ",),
    "da": ("DK",),
    "de": ("DE", "AT", "CH"),
    "el": ("GR",),
    "en": ("US", "GB"),
    "es": ("ES", "MX"),
    "fa": ("IR",),
    "fi": ("FI",),
    "fr": ("FR", "CH"),
    "he": ("IL",),
    "hi": ("IN",),
    "hu": ("HU",),
    "id": ("ID",),
    "it": ("IT",),
    "ja": ("JP",),
    "ko": ("KR",),
    "nl": ("NL", "BE"),
    "no": ("NO",),
    "pl": ("PL",),
    "pt": ("PT", "BR"),
    "ro": ("RO",),
    "ru": ("RU",),
    "sv": ("SE",),
    "th": ("TH",),
    "tr": ("TR",),
    "uk": ("UA",),
    "vi": ("VN",),
    "zh": ("CN", "TW"),
}
_SIGNS = f"[ ./()（）{_SPACES}{_HYPHENS}-]"
_DIGITS = re.compile(rf"\d(?:{_SIGNS}{{0,2}}\d){{6}}")  # begins with a digit: far faster to look for than a number
_NUMBER = re.compile(
    rf"(?<![{_L}_/=#$€£¥%^*-])(?<!\d[.,:])(?<![^{_L}]\.)(?:[+＋] ?|[(（])?\d(?:{_SIGNS}{{0,2}}\d){{6,14}}"
    rf"(?![{_L}_%°^*=]|[.,:/]\d|-[{_L}])"
)
_CALLS = re.compile(
    r"(?:\b(?:t[eé]l|t[eé]l[eé]phone|tel[eé]fono|phone|telephone|mobile|call|fax|hotline|whatsapp|dial|sms"
    r"|portable|appele[rz]|ll[aá]m[ae]\w*|m[oó]vil|celular|тел|телефон\w*|звони\w*|позвони\w*|факс|моб\w*"
    r"|telefon\w*|handy)\b|电话|電話|手机|手機|致电|致電|热线|熱線|传真|拨打|撥打"
    r"|联系|聯繫|微信|call me)[^\d\n]{0,24}$",
    re.IGNORECASE,
)
_NO_PHONE = re.compile(
    r"\b(?:isbn(?:-1[03])?|issn|doi|arxiv|pmid|oclc|id|port|ip|version)\b[^\d\n]{0,6}$", re.IGNORECASE
)
# In one piece, and not after the signs or words of a figure.
_MOBILES = {"zh": re.compile(r"1[3-9]\d{9}"), "ru": re.compile(r"89\d{9}"), "fr": re.compile(r"0[1-9]\d{8}")}
_FIGURE = re.compile(r"(?:[=<>+*/×÷^(\[,;:|&≤≥≈-]|数字?|整数|质数|计算|nombre|число|числа)\s*$", re.IGNORECASE)
_OF_WHAT = re.compile(r"\s*(?:[-+×÷*/=<>%€$₽¥]|[元人个個米克吨千万亿年次美欧块公]|руб|чел|дол|eur)", re.IGNORECASE)
_TERM = re.compile(r"[\d)=×·*/^<>]\s*$")  # what stands before the + of a sum
_VARIABLE = re.compile(r"\b[a-z]\s$")
_DATE = re.compile(
    r"(?:1\d|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ][0-3]?\d\b|\b[0-3]?\d[-./ ][01]?\d[-./ ](?:1\d|20)\d\d"
)
_YEARS = re.compile(r"\(?(?:1\d|20)\d\d\)?[ -/]{1,3}\(?(?:1\d|20)\d\d\b")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}$")
_THOUSANDS = re.compile(r"\+?\d{1,3}(?:([ .])\d{3})(?:\1\d{3})*$")
_GROUPS = re.compile(r"\d+")
_BEFORE = 40  # characters in which a word may say what a number is


def _phones(text: str, language: str) -> Iterator[str]:
    if not _DIGITS.search(text):
        return
    for match in _NUMBER.finditer(text):
        number, before = match[0].translate(_NARROW), text[max(0, match.start() - _BEFORE) : match.start()]
        if number.count("(") > number.count(")"):
            number = number.removeprefix("(")
        said = _CALLS.search(before) is not None
        if number.startswith("+"):
            is_sum = _TERM.search(before) or (number[1:].isdecimal() and _VARIABLE.search(before))
            is_phone = (said or not is_sum) and _is_valid(number, None, grouped=False)
        elif _NO_PHONE.search(before) or _DATE.search(number) or _YEARS.search(number) or _ADDRESS.match(number):
            is_phone = False
        else:
            whole = said or _is_mobile(number, language, before, text[match.end() : match.end() + 5])
            regions = _REGIONS.get(language, ()) if whole or _is_written_as_a_phone(number) else ()
            is_phone = any(_is_valid(number, region, grouped=not whole) for region in regions)
        if is_phone:
            yield number


def _is_mobile(number: str, language: str, before: str, after: str) -> bool:
    form = _MOBILES.get(language)
    if form is None or not form.fullmatch(number):
        return False
    return not _FIGURE.search(before) and not _OF_WHAT.match(after)


def _is_written_as_a_phone(number: str) -> bool:
    """Whether groups and signs between them are those of a telephone, and of no figure."""
    groups = _GROUPS.findall(number)
    has_trunk = number[0] in "(0" or number.startswith("8 (") or number.startswith("8(")
    if len(groups) < 2 or _THOUSANDS.match(number) or "/" in number or number.count("(") != number.count(")"):
        return False
    steps = {int(after) - int(before) for before, after in pairwise(groups)}
    if any(len(group) == 1 for group in groups[1:]) or (len(steps) == 1 and len(groups) > 2):
        return False
    signs = set(re.findall(r"[ .()-]", number))
    return has_trunk or "(" in signs or (len(groups) >= 3 and len(signs) == 1 and sum(map(len, groups)) >= 9)


def _is_valid(number: str, region: str | None, *, grouped: bool) -> bool:
    """Whether there can be such a number; ``grouped``: and it is written in its country's groups."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(parsed):
        return False
    if not grouped:
        return True
    strict = phonenumbers.Leniency.STRICT_GROUPING
    return any(found.raw_string == number for found in phonenumbers.PhoneNumberMatcher(number, region, strict))


# --- credentials ----------------------------------------------------------------------------------

_T = "[A-Za-z0-9_-]"
_PRIVATE_KEY = "PRIVATE KEY"
# With some of the key itself: a lesson that only names the line gives nothing away.
_PRIVATE_KEY_FORM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----)[\s\S]){0,300}?[\s\\n])??[A-Za-z0-9+/=]{16,}"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """Forms of credentials, looked for only in a text that holds one of ``cues``."""

    cues: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]


def _by_themselves(patterns: Iterable[re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """Forms that have no mark of their issuer, and so must not be a piece of something longer."""
    return tuple(re.compile(rf"(?<![\w-])(?:{form.pattern})(?!{_T})") for form in patterns)


# Not taken over: user:password@host and "password = ..." (in lessons on code these are placeholders), Artifactory,
# Twilio, SoftLayer and IBM (words and hashes look the same), and all that measures entropy.
_FORMS = (
    _Form((":",), _by_themselves(TelegramBotTokenDetector.denylist)),
    _Form((".",), _by_themselves(DiscordBotTokenDetector.denylist)),
    _Form(("AKIA", "ASIA", "ABIA", "ACCA", "A3T", "aws", "AWS"), tuple(AWSKeyDetector.denylist)),
    # As files of settings have it; detect-secrets asks for quotation marks.
    _Form(
        ("SECRET", "secret"), (re.compile(r"(?i:aws_?secret\w{0,20})\s{0,3}[=:]\s{0,3}[A-Za-z0-9/+=]{40}(?![\w/+=])"),)
    ),
    _Form(("LTAI",), (re.compile(r"\bLTAI[A-Za-z0-9]{16,20}\b"),)),
    _Form(("AKID",), (re.compile(r"\bAKID[A-Za-z0-9]{32}\b"),)),
    _Form(("AccountKey=",), tuple(AzureStorageKeyDetector.denylist)),
    _Form(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), tuple(GitHubTokenDetector.denylist)),
    _Form(("github_pat_",), (re.compile(r"github_pat_[A-Za-z0-9_]{22,}"),)),
    _Form(("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "glcbt-", "glptt-"), tuple(GitLabTokenDetector.denylist)),
    _Form(("_authToken",), tuple(NpmDetector.denylist)),
    _Form(("npm_",), (re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"),)),
    # Of one's own: detect-secrets' pattern for OpenAI takes minutes over "sk-sk-sk-...".
    _Form(("sk-",), (re.compile(rf"\bsk-(?:proj-|svcacct-|ant-[a-z0-9]+-|or-v1-)?{_T}{{32,256}}"),)),
    _Form(("gsk_", "nvapi-", "xai-"), (re.compile(rf"\b(?:gsk_|nvapi-|xai-){_T}{{48,128}}"),)),
    _Form(("dop_v1_", "shpat_"), (re.compile(r"\b(?:dop_v1_[a-f0-9]{64}|shpat_[a-fA-F0-9]{32})\b"),)),
    _Form(("ya29.",), (re.compile(rf"\bya29\.{_T}{{40,512}}"),)),
    _Form(("api/webhooks/",), (re.compile(rf"discord(?:app)?\.com/api/webhooks/\d{{17,20}}/{_T}{{60,80}}"),)),
    _Form(("hf_",), (re.compile(r"\bhf_[A-Za-z0-9]{34}\b"),)),
    _Form(("AIza",), (re.compile(rf"\bAIza{_T}{{35}}(?!{_T})"),)),
    _Form(("pypi-AgE",), tuple(PypiTokenDetector.denylist)),
    _Form(("SG.",), tuple(SendGridDetector.denylist)),
    _Form(("xox", "hooks.slack.com"), tuple(SlackDetector.denylist)),
    _Form(("sq0csp-",), tuple(SquareOAuthDetector.denylist)),
    _Form(("k_live_",), tuple(StripeDetector.denylist)),
    _Form(("-us",), tuple(MailchimpDetector.denylist)),
    _Form((_PRIVATE_KEY,), (_PRIVATE_KEY_FORM,)),
)
# Of one's own for the same reason; detect-secrets tells a token from what only looks like one.
_JWT = re.compile(r"(?<![\w=-])eyJ[\w=-]{8,2000}\.[\w=-]{8,8000}\.[\w=-]{8,2000}", re.ASCII)
# All others are so long without a space. By the sign before them, for so a word is passed over in one go.
_LONG = re.compile(r"[^0-9A-Za-z_/+=-][0-9A-Za-z_/+=-]{20}")
_PLACEHOLDER = re.compile(r"xxxx|your|here|example|placeholder|dummy|changeme|redacted|<|\*\*\*|0{8}", re.IGNORECASE)
_VARIED = 8  # different characters that a real credential has at least


def _credentials(text: str) -> Iterator[str]:
    if not _LONG.search(f" {text}") and _PRIVATE_KEY not in text:
        return
    for form in _FORMS:
        if any(cue in text for cue in form.cues):
            for pattern in form.patterns:
                yield from (match[0] for match in pattern.finditer(text) if not _is_placeholder(match[0]))
    if "eyJ" in text:
        yield from (match[0] for match in _JWT.finditer(text) if JwtTokenDetector.is_formally_valid(match[0]))


def _is_placeholder(credential: str) -> bool:
    return _PLACEHOLDER.search(credential) is not None or len(set(credential)) < _VARIED
