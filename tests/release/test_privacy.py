"""What is private and what only looks like it, in five languages."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralink.recipe import INCLUDE
from ultralink.release.privacy import Found, Secret, private

KINDS = frozenset(Secret)
# Put together here, so that no scanner of this repository takes them for keys.
TOKEN = "aZ3kP9qL2mN8vB4xC7tR1wY6uE5iO0sDfGhJ"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [(one.kind.value, one.text) for one in private(text, language, KINDS)]


# --- e-mail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "address"),
    [
        ("en", "Write to jane.doe@gmail.com.", "jane.doe@gmail.com"),
        ("en", "mailto:jane+news@mail.museum.co.uk?subject=hi", "jane+news@mail.museum.co.uk"),
        ("en", "<JANE_DOE-2@Post-Office.ORG>", "JANE_DOE-2@Post-Office.ORG"),
        ("zh", "联系我们zhang@mail.cn谢谢", "zhang@mail.cn"),
        ("zh", "邮箱：ｚｈａｎｇ．ｗｅｉ＠１６３．ｃｏｍ。", "zhang.wei@163.com"),
        ("ru", "Пишите на ivan@yandex.ru, спасибо", "ivan@yandex.ru"),
        ("ru", "Адрес: иван@почта.рф", "иван@почта.рф"),
        ("fr", "Contact : jean-luc.dupont@orange.fr", "jean-luc.dupont@orange.fr"),
        ("es", "Escribe a a@correo.es", "a@correo.es"),
        ("en", "https://list.org/?subscribe=jane@gmail.com", "jane@gmail.com"),
    ],
)
def test_addresses(language: str, text: str, address: str) -> None:
    assert found(text, language) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com, a@mail.example.org, b@EXAMPLE.net",
        "a.b@host.test, a.b@host.example, a.b@host.invalid, root@localhost, root@host.localhost",
        "your.name@yourdomain.com",
        "@app.route('/') and @media.print and @user",
        "git@github.com:owner/name.git and deploy@server.org:/srv/www and deploy@server.org:~/www",
        "git clone ssh://git@host.org/name.git from https://user@host.org/path",
        "icon@2x.png, style@3.css, package@1.2.3",
        "y = A@B.T + W@x.dot(y) + weights@inputs.values + first@second.transpose()",
        "a @ b, a@ b.com, a @b.com, @, @@, x@y",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert found(text) == []


# --- telephones -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "number"),
    [
        *((language, "+1 415 555 2671") for language in ("en", "zh", "ru", "fr", "es", "xx")),
        ("en", "+14155552671"),
        ("en", "+44 20 7946 0958"),
        ("en", "(415) 555-2671"),
        ("en", "415-555-2671"),
        ("en", "415.555.2671"),
        ("en", "020 7946 0958"),
        ("fr", "01 42 68 53 00"),
        ("fr", "06.12.34.56.78"),
        ("fr", "06-12-34-56-78"),
        ("fr", "+33 6 12 34 56 78"),
        ("ru", "8 (495) 123-45-67"),
        ("ru", "8-912-345-67-89"),
        ("ru", "+7 (912) 345-67-89"),
        ("zh", "138-1234-5678"),
        ("zh", "138 1234 5678"),
        ("zh", "010-12345678"),
        ("zh", "(010) 8234-5678"),
        ("zh", "+86 138 1234 5678"),
        ("es", "91 234 56 78"),
        ("es", "+34 612 345 678"),
        ("es", "+52 55 1234 5678"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "So {}.", "是{}，好", "({})", "- {}\n- next"])
def test_telephones(language: str, number: str, around: str) -> None:
    assert found(around.format(number), language) == [("phone", number)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Phone: 4155552671"),
        ("zh", "手机：13812345678"),
        ("zh", "电话１３８１２３４５６７８"),
        ("ru", "тел. 84951234567"),
        ("es", "Teléfono: 912345678"),
        ("es", "Llámame al 612 345 678"),
        ("fr", "Tél. : 0142685300"),
        ("en", "Write down his ID. +49 30 90180954"),
        ("en", "+44 20 1914 1918"),
        ("zh", "加微信 13812345678 详谈"),
        ("zh", "有事找我，13812345678。"),
        ("ru", "Мой 89123456789, пишите"),
        ("fr", "Voici le 0612345678."),
        ("fr", "Madame Dupont, 01\u202f42\u202f68\u202f53\u202f00"),
    ],
)
def test_telephones_by_the_word_before_or_in_other_signs(language: str, text: str) -> None:
    assert [kind for kind, _ in found(text, language)] == ["phone"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *(
            (language, text)
            for language in ("en", "zh", "ru", "fr", "es")
            for text in (
                "2023-11-05 10:20:30, 05.11.2023 and 11/05/2023 12:30",
                "1914-1918, 1939–1945, (1879) 1880-1955, 2018 2019 2020 2021",
                "ISBN 978-3-16-148410-0, ISBN 0306406152, 0-306-40615-2, 5-17-012345-6, 2-07-036822-8",
                "192.168.100.100:8080, 10.0.0.1, 255.255.255.255, port 5432123456",
                "$1,234,567.89, 1 234 567 890 €, 12.345.678,90",
                "1234567890, 4155552671, 13912345678, 10000000000",
                "3.14159265358979, 0.000000123, 6.02214076e23",
                "x = 100 +12345678901, 5 + 4155552671, 7 +1 415 555 2671, +1 -1 +1 -1 2 3 4 5 6",
                "[1000000007, 998244353], 1000000007 % 998244353, 2 ** 1234567",
                "48.8566, 2.3522; 55° 45' 20.83\"",
                "550e8400-e29b-41d4-a716-446655440000, 00:11:22:33:44:55, #1234567890",
                "12-34-56-78-90, 02 04 06 08 10, 1 2 3 4 5 6 7 8 9 10",
                "123456-7890-1234567, a_0142685300, v1.0142685300",
                "12 345 678 901 and 912 345 678 and 612 345 678 and 8 495 123 456",
            )
        ),
        ("zh", "数字13912345678是质数吗？公元1911年10月10日"),
        ("zh", "计算13912345678×2，[13912345678, 13912345679]，共13912345678元"),
        ("ru", "x = 89123456789 и 89123456789 рублей"),
        ("es", "una población de 912 345 678 habitantes"),
        ("ru", "население 8 495 123 человек"),
        ("fr", "environ 1 234 567 890 euros en 2006"),
        ("xx", "01 42 68 53 00 and (415) 555-2671"),
    ],
)
def test_what_is_no_telephone(language: str, text: str) -> None:
    assert found(text, language) == []


# --- credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "QX3FJ7LMZ2WT5RVB",
        "aws_secret_access_key = '" + TOKEN + "+/Zq'",
        "AWS_SECRET_ACCESS_KEY=" + TOKEN + "+/Zq\nregion = eu",
        "LTAI" + TOKEN[:20],
        "gsk_" + TOKEN + TOKEN[:16],
        "shpat_" + "0123456789abcdef" * 2,
        "ya29." + TOKEN + TOKEN,
        "https://discord.com/api/webhooks/123456789012345678/" + TOKEN + TOKEN[:32],
        "ghp_" + TOKEN,
        "github_pat_11" + TOKEN,
        "glpat-" + TOKEN[:20],
        "sk-" + TOKEN[:20] + "T3BlbkFJ" + TOKEN[:20],
        "sk-" + TOKEN + TOKEN[:12],
        "sk-proj-" + TOKEN + TOKEN,
        "sk-ant-api03-" + TOKEN + TOKEN,
        "xoxb-123456789012-1234567890123-" + TOKEN[:24],
        "https://hooks.slack.com/services/T0ABC123/B0ABC123/" + TOKEN[:24],
        "sk" + "_live_" + TOKEN[:24],
        "AIza" + TOKEN[:35],
        "hf_" + TOKEN[:34],
        "npm_" + TOKEN,
        "SG." + TOKEN[:22] + "." + (TOKEN + TOKEN)[:43],
        "1204567890:" + TOKEN[:35],
        JWT,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75xlKq2\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAA\\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMHcCAQEEIBXK3pP1Zq8",
    ],
)
@pytest.mark.parametrize("around", ["{}", 'key = "{}"\nprint(key)', "密钥是 {} 。"])
def test_credentials(text: str, around: str) -> None:
    assert {kind for kind, _ in found(around.format(text))} == {"credential"}


@pytest.mark.parametrize(
    "text",
    [
        "sk-" + "x" * 48,
        "ghp_" + "x" * 36,
        "ghp_" + "A" * 36,
        "AKIA" + "X" * 16,
        "AKIA" + "IOSFODNN7EXAMPLE and aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
        "api_key = 'YOUR_API_KEY' or sk-your-api-key-goes-here-and-nowhere-else",
        "hf_" + "0" * 34,
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
        "A file that begins with BEGIN PRIVATE KEY is not to be shown",
        "eyJhbGciOiJIUzI1NiJ9 and eyJub3QganNvbn0.abc.def",
        "postgresql://user:password@localhost:5432/name",
        "password = 'correct horse battery staple'",
        "d41d8cd98f00b204e9800998ecf8427e da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "task-management-and-task-prioritisation-system, sk-learn-pipeline",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "=" * 80 + "\n" + "-" * 80 + "\n" + "_" * 80,
    ],
)
def test_what_is_no_credential(text: str) -> None:
    assert found(text) == []


# --- all --------------------------------------------------------------------------------------------


def test_only_the_kinds_that_are_asked_for() -> None:
    text = f"jane@gmail.com, +1 415 555 2671, ghp_{TOKEN}"
    assert [kind for kind, _ in found(text)] == ["email", "phone", "credential"]
    for kind in Secret:
        assert [one.kind for one in private(text, "en", frozenset({kind}))] == [kind]
    assert list(private(text, "en", frozenset())) == []


def test_what_is_found_is_masked() -> None:
    assert Found(Secret.EMAIL, "jane@gmail.com").masked == "ja…"


NOISE = st.text(st.sampled_from("abc 山水 éд.,!?\n"), max_size=80)


@given(before=NOISE, after=NOISE, thing=st.sampled_from(["jane@gmail.com", "+33 6 12 34 56 78", "ghp_" + TOKEN]))
def test_a_private_thing_is_found_wherever_it_is(before: str, after: str, thing: str) -> None:
    assert thing in [text for _, text in found(f"{before} {thing} {after}")]


@given(
    st.text(st.sampled_from(string.printable + "一二三０１２＠．éдя"), max_size=300),
    st.sampled_from(["en", "zh", "xx"]),
)
def test_any_text_can_be_read(text: str, language: str) -> None:
    for one in private(text, language, KINDS):
        assert one.text


@pytest.mark.parametrize(
    "piece", ["sk-", "a@", "a.", "1 ", "(1) ", "eyJ", "eyJ.", "//", "-----BEGIN PRIVATE KEY-----", "x"]
)
def test_endless_repetition_does_not_hold_up_a_task(piece: str) -> None:
    assert all(one.kind is Secret.CREDENTIAL for one in private(piece * (100_000 // len(piece)), "en", KINDS))


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


@pytest.mark.parametrize("path", sorted((INCLUDE / "samples").rglob("*.jsonl")), ids=lambda path: path.parent.name)
def test_nothing_private_in_the_samples(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        for text in texts(json.loads(line)):
            for language in ("en", "zh", "ru", "fr", "es"):
                assert found(text, language) == [], line[:80]
