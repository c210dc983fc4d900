"""The page in a real Chromium on a real Airflow: every view, rights, hostile data, dark, phone, pictures of all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tests.e2e.system import Live, Teacher, offline_teacher
from tests.insight import night_rows
from tests.insight.made_nights import night, publish
from tests.real.chromium import chromium
from tests.waiting import wait_for

from ultralink.local.processes import running
from ultralink.local.settings import ROOT, Secrets
from ultralink.stages.statistics import read_statistics

PICTURES = ROOT / "build" / "screenshots"
TODAY = datetime.now(UTC).date()
HOSTILE_NIGHT = "2026-10-20"
BIDI = "\u202e\u2066\u200f"
HOSTILE = f'<script>document.body.dataset.hit="1"</script><img src=x onerror="document.body.dataset.hit=1">{BIDI}'


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teacher]:
    """A quicker teacher than the other modules', which sometimes says 429."""
    with offline_teacher(
        tmp_path_factory.mktemp("teacher"), "--latency", "0.3", "--p429", "0.08", "--seed", "3"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def more_environment() -> dict[str, str]:
    return {"AIRFLOW__CORE__AUTH_MANAGER": "tests.e2e.dagwise.DagWise"}


@dataclass(frozen=True)
class Nights:
    """Runs that the pages are about."""

    live: Live
    good: str  # of Chinese, published
    bad: str  # of Spanish, failed for good

    def url(self, path: str) -> str:
        return f"{self.live.settings.url}{path}"

    def run_page(self, language: str, run_id: str) -> str:
        return self.url(f"/ultralink/runs/ultralink_{language}/{quote(run_id, safe='')}")

    def airflow_run(self, language: str, run_id: str) -> str:
        return self.url(f"/dags/ultralink_{language}/runs/{quote(run_id, safe='')}")


@pytest.fixture(scope="module")
def nights(live: Live) -> Nights:
    _publish_history(live)
    _publish_hostile_night(live)
    good = live.run("zh", TODAY.isoformat(), articles=12, shards=3, chat=0, math=0, code=0)
    bad = live.run("es", TODAY.isoformat(), articles=3, shards=2, chat=0, math=0, code=0, model="no-such-model")
    assert live.finish("zh", good) == "success"
    assert live.finish("es", bad) == "failed"
    return Nights(live, good, bad)


def _publish_history(live: Live) -> None:
    draw = Random(4)
    for language in ("en", "zh", "ru", "fr", "es"):
        for back in range(1, 60):
            if draw.random() < 0.05 or (language == "es" and back > 19):
                continue
            day = (TODAY - timedelta(days=back)).isoformat()
            amounts = {"chat_specific": 300, "chat_agnostic": 108, "math": 315, "code": 155}
            samples = {name: round(most * draw.uniform(0.5, 1)) for name, most in amounts.items()}
            rejects = {
                "chat_specific": {"judge: quote_not_in_passage": draw.randrange(30)},
                "math": {"answer: differs": 9},
            }
            made = night(language, day, cost=draw.uniform(0.9, 2.1), rejects=rejects, **samples)
            publish(live.store, made)


def _publish_hostile_night(live: Live) -> None:
    long_line = "x" * 1_000_000
    row = night_rows.dialogue(
        1,
        messages=night_rows.messages(("user", HOSTILE), ("assistant", HOSTILE + long_line)),
        source=night_rows.article(1, title=HOSTILE, passage=HOSTILE + long_line, url="javascript:alert(1)"),
    )
    turned_away = night_rows.reject(2, gate=HOSTILE, reason=HOSTILE)
    night_rows.publish(live.store, HOSTILE_NIGHT, [row], [turned_away])
    made = night("fr", HOSTILE_NIGHT, chat_specific=1, rejects={"chat_specific": {f"{HOSTILE}: {HOSTILE}": 1}})
    publish(live.store, made)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as started:
        yield started


@dataclass
class Visit:
    """A page of a browser that notes what a sound page never does."""

    page: Page
    faults: list[str]

    def open(self, url: str, status: int = 200) -> Page:
        """Go there; the answer must have ``status``."""
        answer = self.page.goto(url)
        assert answer is not None
        assert answer.status == status
        self.page.wait_for_load_state("networkidle")
        return self.page

    def picture(self, name: str, *, whole: bool = True) -> None:
        """Keep a picture as an artifact of the test."""
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)


def visit(context: BrowserContext, host: str) -> Visit:
    faults: list[str] = []
    page = context.new_page()
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((host, "data:")) else faults.append(asked.url))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    return Visit(page, faults)


@pytest.fixture
def as_admin(nights: Nights, browser: Browser) -> Iterator[Visit]:
    yield from _signed_in(nights, browser, nights.live.api.call("POST", "/auth/token", _login(nights))["access_token"])


def _login(nights: Nights) -> dict[str, str]:
    return {"username": "admin", "password": Secrets.of(nights.live.settings.home).password}


def _signed_in(nights: Nights, browser: Browser, token: str, **settings: object) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1360, "height": 900}, **settings)  # type: ignore[arg-type]
    context.add_cookies([{"name": "_token", "value": token, "url": nights.live.settings.url}])
    visited = visit(context, nights.live.settings.url)
    yield visited
    context.close()
    assert visited.faults == []


def token_of(nights: Nights, name: str, role: str) -> str:
    """A token as the auth manager gives it to a user of this name and role."""
    import jwt

    now = datetime.now(UTC)
    claims = {
        "sub": name,
        "role": role,
        "aud": "apache-airflow",
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(hours=1),
    }
    return jwt.encode({**claims, "jti": name}, Secrets.of(nights.live.settings.home).jwt, "HS512")


def views(nights: Nights) -> dict[str, str]:
    """Every view's address."""
    good = nights.run_page("zh", nights.good)
    return {
        "overview": nights.url("/ultralink/"),
        "language": nights.url("/ultralink/?language=fr"),
        "dag": nights.url("/ultralink/dags/ultralink_zh"),
        "run": good,
        "failed-run": nights.run_page("es", nights.bad),
        "task": f"{good}/tasks/dialogue.generate",
        "shard": f"{good}/tasks/dialogue.generate?map_index=1",
        "browse": nights.url(f"/ultralink/browse?language=zh&date={TODAY.isoformat()}"),
        "row": nights.url(f"/ultralink/rows/zh/{TODAY.isoformat()}/samples/0"),
        "verdicts": nights.url("/ultralink/verdicts?language=zh"),
        "pool": nights.url("/ultralink/dags/ultralink_english_pool"),
        "releases": nights.url("/ultralink/dags/ultralink_release"),
        "runs": nights.url("/ultralink/?metric=runs"),
    }


def test_nobody_gets_in_without_a_session(nights: Nights, browser: Browser) -> None:
    context = browser.new_context()
    stranger = visit(context, nights.live.settings.url)
    for url in views(nights).values():
        page = stranger.open(url, 401)
        assert page.inner_text("h1") == "Please log in"
    stranger.picture("logged-out")
    context.close()


def test_every_view_opens_and_stays_within_a_phone(nights: Nights, as_admin: Visit) -> None:
    for name, url in views(nights).items():
        as_admin.open(url)
        as_admin.page.set_viewport_size({"width": 1360, "height": 900})
        as_admin.picture(name)
        as_admin.page.set_viewport_size({"width": 390, "height": 844})
        as_admin.picture(f"{name}-phone")
        assert as_admin.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


# Texts whose contrast with what is behind them is below WCAG's 4.5, each with its colours as a canvas resolves them.
FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".skip")) continue;
    seen += 1;
    const [one, other] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const told = `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 20)}`;
    if (contrast < 4.5) faint.add(`${contrast.toFixed(2)} ${told}`);
  }
  return { seen, faint: [...faint] };
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(nights: Nights, browser: Browser, theme: str) -> None:
    found = {}
    for visited in _signed_in(nights, browser, token_of(nights, "admin", "admin"), color_scheme=theme):
        for name, url in views(nights).items():
            measured = visited.open(url).evaluate(FAINT)
            assert measured["seen"] > 10
            found[name] = measured["faint"]
    assert {name: faint for name, faint in found.items() if faint} == {}


def test_the_keyboard_reaches_the_content_first_and_everything_after(nights: Nights, as_admin: Visit) -> None:
    page = as_admin.open(nights.url("/ultralink/"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    focused = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(focused) == "solid"


def test_who_wants_no_motion_gets_none(nights: Nights, browser: Browser) -> None:
    row = views(nights)["row"]
    for visited in _signed_in(nights, browser, token_of(nights, "admin", "admin"), reduced_motion="reduce"):
        moving = """[...document.querySelectorAll("*")].map((one) => getComputedStyle(one)).filter(
            (style) => style.scrollBehavior === "smooth" || parseFloat(style.transitionDuration) > 0
        ).length"""
        assert visited.open(row).evaluate(moving) == 0


# How light the page is, of 255: its background as it is painted, whatever colour space it is written in.
BEHIND = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
  canvas.fillRect(0, 0, 1, 1);
  return Math.max(...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


def test_the_page_follows_the_system_into_the_dark(nights: Nights, browser: Browser) -> None:
    for visited in _signed_in(nights, browser, token_of(nights, "eve", "viewer"), color_scheme="dark"):
        for name in views(nights):
            visited.open(views(nights)[name])
            visited.picture(f"{name}-dark")
            assert visited.page.evaluate(BEHIND) < 60


def test_the_overview_says_how_the_nights_went(nights: Nights, as_admin: Visit) -> None:
    page = as_admin.open(nights.url("/ultralink/"))
    cell = page.locator(f'a.cell[aria-label*="中文, {TODAY.isoformat()}"]')
    statistics = read_statistics(nights.live.store, "zh", TODAY.isoformat())
    assert statistics is not None
    assert f"{statistics.samples} samples" in (cell.get_attribute("aria-label") or "")
    assert page.locator("a.cell.failed").count() == 1
    page.get_by_role("link", name="cost", exact=True).click()
    assert "metric=cost" in page.url
    page.locator(f'a.cell[aria-label*="中文, {TODAY.isoformat()}"]').click()
    page.wait_for_url("**/runs/ultralink_zh/**")


def test_the_calendar_is_walked_with_the_arrow_keys(nights: Nights, as_admin: Visit) -> None:
    page = as_admin.open(nights.url("/ultralink/"))
    assert page.locator('.heat a.cell[tabindex="0"]').count() == 1
    page.locator('.heat a.cell[tabindex="0"]').focus()
    before = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowLeft")
    after = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert after != before
    assert page.evaluate("document.activeElement.classList.contains('cell')")


def test_the_run_view_adds_up(nights: Nights, as_admin: Visit) -> None:
    statistics = read_statistics(nights.live.store, "zh", TODAY.isoformat())
    assert statistics is not None
    page = as_admin.open(nights.run_page("zh", nights.good))
    text = page.inner_text("main")
    assert "Nothing is retrying, and nothing has failed." in text
    funnel = page.locator("section", has=page.get_by_role("heading", name="chat specific", exact=True))
    levels = dict(
        zip(
            funnel.locator(".funnel th").all_inner_texts(),
            funnel.locator(".funnel td.n").all_inner_texts(),
            strict=True,
        )
    )
    assert levels["articles chosen"] == "12"
    assert int(levels["articles read"]) == statistics.articles
    assert int(levels["dialogues"]) == statistics.samples
    reasons = funnel.locator(".reasons tbody tr td.n").all_inner_texts()
    assert sum(map(int, reasons)) == statistics.rejects
    by_model = page.locator("tr", has=page.locator("th", has_text="all")).last
    calls, _, limited, *_ = by_model.locator("td").all_inner_texts()
    assert int(calls) == statistics.calls
    assert int(limited) > 0


def test_a_failed_run_says_why_and_what_to_do(nights: Nights, as_admin: Visit) -> None:
    text = as_admin.open(nights.run_page("es", nights.bad)).inner_text("#troubles")
    assert "dialogue.calibrate has failed" in text
    assert "ModelUnknown: " in text
    assert "no-such-model" in text
    assert "What to do: Correct teacher.model in the recipe" in text


def test_a_retry_is_shown_with_its_reason(nights: Nights, as_admin: Visit) -> None:
    live, port = nights.live, nights.live.teacher.url.rpartition(":")[2].partition("/")[0]
    day = (TODAY - timedelta(days=3)).isoformat()
    run_id = live.run("fr", day, articles=10, shards=1, chat=0, math=0, code=0)
    wait_for(lambda: live.teacher.steps().get("fr answer.first", 0) >= 1, 120)
    for process in running(live.settings.home):
        if any(link.raddr and link.raddr.port == int(port) for link in process.net_connections("tcp")):
            os.kill(process.pid, signal.SIGKILL)
    url = nights.run_page("fr", run_id)
    wait_for(lambda: "failed in attempt 1 of 5" in as_admin.open(url).inner_text("#troubles"), 60)
    text = as_admin.page.inner_text("#troubles")
    assert "dialogue.generate, shard 0, failed in attempt 1 of 5" in text
    assert "terminated by signal" in text or "process was probably killed" in text
    as_admin.picture("retrying")
    assert live.finish("fr", run_id) == "success"
    as_admin.open(url)
    assert "Nothing is retrying" in as_admin.page.inner_text("#troubles")
    assert "2 of 5" in as_admin.page.inner_text("main")


def test_who_may_read_one_dag_sees_that_one(nights: Nights, browser: Browser) -> None:
    for visited in _signed_in(nights, browser, token_of(nights, "zoe", "viewer")):
        text = visited.open(nights.url("/ultralink/")).inner_text("body")
        assert "中文" in text
        assert "Français" not in text
        for hidden in (
            "/ultralink/?language=fr",
            f"/ultralink/browse?language=fr&date={HOSTILE_NIGHT}",
            f"/ultralink/rows/fr/{HOSTILE_NIGHT}/samples/0",
            "/ultralink/verdicts.jsonl?language=fr",
        ):
            assert "Français" not in visited.open(nights.url(hidden), 404).inner_text("main")
        visited.open(nights.run_page("es", nights.bad), 404)


@pytest.mark.parametrize("kind", ["samples", "rejects"])
def test_hostile_rows_do_no_harm(nights: Nights, as_admin: Visit, kind: str) -> None:
    for path in (
        f"/ultralink/browse?language=fr&date={HOSTILE_NIGHT}&kind={kind}",
        f"/ultralink/rows/fr/{HOSTILE_NIGHT}/{kind}/0",
        "/ultralink/?language=fr&until=2026-10-25&nights=14",
    ):
        page = as_admin.open(nights.url(path))
        assert page.evaluate("document.body.dataset.hit === undefined")
        assert page.locator("main script, main img").count() == 0
        assert page.locator('a[href^="javascript:"]').count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        as_admin.picture(
            f"hostile-{kind}-{path.partition('?')[0].strip('/').partition('/')[2].partition('/')[0] or 'overview'}"
        )


def test_the_page_is_part_of_airflows_ui(nights: Nights, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    context.add_cookies([{"name": "_token", "value": token_of(nights, "admin", "admin"), "url": nights.url("")}])
    page = context.new_page()
    page.goto(nights.url("/"))
    page.get_by_role("link", name="UltraLink").first.click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="All languages").wait_for()
    page.screenshot(path=PICTURES / "in-airflow.png")
    run = nights.airflow_run("zh", nights.good)
    for url, heading in (
        (nights.url("/dags/ultralink_zh"), "中文"),
        (nights.url("/dags/ultralink_english_pool"), "English pool"),
        (nights.url("/dags/ultralink_release"), "Releases"),
        (run, f"中文 · {TODAY.isoformat()}"),
        (f"{run}/tasks/wikipedia.select", "wikipedia.select"),
        (f"{run}/tasks/dialogue.generate/mapped/1", "dialogue.generate · shard 1"),
    ):
        page.goto(url)
        # The tab, and not the link in the navigation, which is there before it.
        page.locator('a[href*="/dags/"][href*="/plugin/"]', has_text="UltraLink").click()
        frame.get_by_role("heading", name=heading, exact=True).wait_for()
        page.screenshot(path=PICTURES / f"in-airflow-{url.rpartition('/')[2] if url != run else 'run'}.png")
    frame.get_by_role("link", name="log", exact=True).first.click()  # out of the sandboxed frame, into Airflow
    page.wait_for_url(f"{run}/tasks/dialogue.generate/mapped/1")
    page.get_by_text("Logs").first.wait_for()
    context.close()


def test_the_page_follows_the_theme_of_airflows_ui(nights: Nights, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1500, "height": 950}, color_scheme="light")
    context.add_cookies([{"name": "_token", "value": token_of(nights, "admin", "admin"), "url": nights.url("")}])
    context.add_init_script("localStorage.setItem('theme', 'dark')")
    page = context.new_page()
    page.goto(nights.url("/plugin/ultralink"))
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="All languages").wait_for()
    page.wait_for_function(
        "getComputedStyle(document.querySelector('iframe').contentDocument.documentElement).colorScheme === 'dark'"
    )
    page.screenshot(path=PICTURES / "in-airflow-dark.png")
    context.close()
