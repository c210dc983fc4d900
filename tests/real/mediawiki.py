"""Real MediaWikis for tests: Debian's package on SQLite behind a private nginx and php-fpm, on loopback."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import httpx
from tests.real.debian import have

PACKAGES = [
    "nginx-light",
    "php8.2-fpm",
    "php-cli",
    "php-sqlite3",
    "php-intl",
    "php-mbstring",
    "php-xml",
    "php-apcu",
    "php-curl",
    "mediawiki",
]

_CODE = Path("/usr/share/mediawiki")
_NEEDED = [_CODE / "api.php", Path("/usr/sbin/nginx"), Path("/usr/sbin/php-fpm8.2"), Path("/usr/bin/php")]
# Leaves out the deprecations that MediaWiki 1.39 draws from PHP 8.2.
_PHP = ["php", "-d", "error_reporting=4437"]
_SAMPLES = Path(__file__).parents[2] / "include" / "samples" / "wikipedia"

_LOCAL_SETTINGS = r"""
$wgArticlePath = "/wiki/$1";
$wgMainCacheType = CACHE_ACCEL;
$wgSessionCacheType = CACHE_DB;
$wgParserCacheType = CACHE_DB;
$wgJobRunRate = 0;
$wgCacheDirectory = "{cache}";
$wgLocalisationCacheConf['store'] = 'array';
$wgAPIMaxResultSize = 400000;
require "{extension}";
$wgHooks['ApiMaxLagInfo'][] = static function ( &$info ) {{
	if ( is_file( "{lag}" ) ) {{
		$info = [ 'host' => 'replica', 'lag' => (float)file_get_contents( "{lag}" ), 'type' => 'db' ];
	}}
	return true;
}};
"""

# Stands in for the extension Disambiguator, which Debian does not have: __DISAMBIG__ sets the page property.
_DISAMBIGUATION = r"""<?php
$wgExtensionMessagesFiles['TestDisambiguation'] = "{words}";
$wgHooks['GetDoubleUnderscoreIDs'][] = static function ( array &$ids ) {{
	$ids[] = 'disambiguation';
}};
"""
_DISAMBIGUATION_WORDS = r"""<?php
$magicWords = [ 'en' => [ 'disambiguation' => [ 0, '__DISAMBIG__' ] ] ];
"""

_FPM = """
[global]
error_log = {run}/fpm.log
[www]
listen = {run}/fpm.sock
pm = static
pm.max_children = 3
catch_workers_output = yes
php_admin_value[error_reporting] = 4437
php_admin_value[opcache.enable] = 1
php_admin_value[opcache.max_accelerated_files] = 10000
"""

# Three doors to the same wikis: /<language>/w/api.php; /limited/<language>/w/api.php with a real limit;
# and, as on Wikimedia's machines, /w/api.php with the language in the Host header.
_NGINX = """
pid {run}/nginx.pid;
error_log {run}/nginx.err;
worker_processes 1;
events {{ worker_connections 128; }}
http {{
  access_log {run}/access.log;
  client_body_temp_path {run}/body; fastcgi_temp_path {run}/fastcgi; proxy_temp_path {run}/proxy;
  uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
  limit_req_zone $binary_remote_addr zone=few:1m rate=12r/s;
  limit_req_status 429;
  server {{
    listen 127.0.0.1:{port};
    server_name ~^(?<named>[a-z]+)\\.wikipedia\\.org$ localhost;
    location ~ ^/w/api\\.php$ {{ set $wiki $named; {php} }}
    location ~ ^/moved/(?<lang>[a-z]+)/w/api\\.php$ {{ return 301 /$lang/w/api.php$is_args$args; }}
    location ~ ^/(?<lang>[a-z]+)/w/api\\.php$ {{ set $wiki $lang; {php} }}
    location ~ ^/limited/(?<lang>[a-z]+)/w/api\\.php$ {{ limit_req zone=few; set $wiki $lang; {php} }}
  }}
}}
"""
_PHP_REQUEST = """
      fastcgi_pass unix:{run}/fpm.sock;
      fastcgi_param SCRIPT_FILENAME {code}/api.php; fastcgi_param SCRIPT_NAME /w/api.php;
      fastcgi_param MW_CONFIG_FILE {conf}/$wiki/LocalSettings.php;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REQUEST_URI $request_uri; fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param HTTP_HOST $wiki.wikipedia.org; fastcgi_param SERVER_NAME $wiki.wikipedia.org;
      fastcgi_param SERVER_PORT 443; fastcgi_param HTTPS on; fastcgi_param REMOTE_ADDR $remote_addr;
"""


@dataclass(frozen=True)
class Farm:
    """Running wikis, one per language, all on one loopback port."""

    root: Path
    port: int

    @property
    def address(self) -> str:
        """The machine: its Host header says which wiki is meant."""
        return f"http://127.0.0.1:{self.port}"

    def api(self, language: str, door: str = "") -> str:
        """The Action API of a wiki; ``door`` is "limited" (12 requests per second) or "moved" (301)."""
        return f"{self.address}{f'/{door}' if door else ''}/{language}/w/api.php"

    @property
    def lag(self) -> Path:
        """While this file is there, the wikis lag by the seconds in it."""
        return self.root / "lag"

    def edit(self, language: str, title: str, text: str) -> None:
        """Save a new revision of a page."""
        _maintain(self.root, language, "edit", "--no-rc", title, stdin=text)

    def load(self, language: str, pages: Mapping[str, str]) -> None:
        """Import pages: title to wikitext."""
        _import(self.root, language, _export(pages))

    def requests(self) -> list[str]:
        """The lines of nginx's log so far. It writes them after it has answered, so a mark ends them."""
        mark = f"/mark-{time.time_ns()} "
        httpx.get(self.address + mark.strip())
        while mark not in (text := (self.root / "run" / "access.log").read_text()):
            time.sleep(0.01)
        return [line for line in text.splitlines() if "/mark-" not in line]


def install() -> None:
    """Have Debian's packages."""
    have(PACKAGES, lambda: all(path.exists() for path in _NEEDED))


@contextlib.contextmanager
def running(languages: Sequence[str], pages: Mapping[str, Mapping[str, str]]) -> Iterator[Farm]:
    """Wikis with the bundled samples of their language and ``pages`` (language to title to wikitext)."""
    install()
    root = Path(tempfile.mkdtemp(prefix="ultralink-wikis-"))
    root.chmod(0o755)
    try:
        for name in ("conf", "data", "cache", "run"):
            (root / name).mkdir()
        (root / "disambiguation.php").write_text(_DISAMBIGUATION.format(words=root / "words.php"))
        (root / "words.php").write_text(_DISAMBIGUATION_WORDS)
        if user := _user():
            shutil.chown(root, user, user)
            for path in root.iterdir():
                shutil.chown(path, user, user)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda language: _build(root, language, pages.get(language, {})), languages))
        with _serving(root) as port:
            yield Farm(root, port)
    finally:
        shutil.rmtree(root, ignore_errors=True)


# --- building a wiki ----------------------------------------------------------------------------


def _build(root: Path, language: str, pages: Mapping[str, str]) -> None:
    conf, cache = root / "conf" / language, root / "cache" / language
    for folder in (conf, cache):
        folder.mkdir()
        if user := _user():
            shutil.chown(folder, user, user)
    _run(
        [
            *_PHP,
            "maintenance/install.php",
            "--dbtype",
            "sqlite",
            "--dbpath",
            str(root / "data"),
            "--dbname",
            f"{language}wiki",
            "--confpath",
            str(conf),
            "--server",
            f"https://{language}.wikipedia.org",
            "--scriptpath",
            "/w",
            "--lang",
            language,
            "--pass",
            "long-enough-for-a-test",
            "--skins",
            "",
            "--extensions",
            "TextExtracts,ParserFunctions,Cite",
            "Wikipedia",
            "Admin",
        ]
    )
    settings = conf / "LocalSettings.php"
    settings.write_text(
        settings.read_text()
        + _LOCAL_SETTINGS.format(cache=cache, extension=root / "disambiguation.php", lag=root / "lag")
    )
    sample = _SAMPLES / f"{language}wiki.xml"
    if sample.is_file():
        text = sample.read_text(encoding="utf-8")
        _import(root, language, text[text.index("<mediawiki") :])  # MediaWiki takes no comment before it
    if pages:
        _import(root, language, _export(pages))


def _import(root: Path, language: str, xml: str) -> None:
    _maintain(root, language, "importDump", "--quiet", stdin=xml)
    _maintain(root, language, "runJobs", "--quiet")


def _maintain(root: Path, language: str, script: str, *arguments: str, stdin: str = "") -> None:
    settings = root / "conf" / language / "LocalSettings.php"
    _run([*_PHP, f"maintenance/{script}.php", *arguments], {"MW_CONFIG_FILE": str(settings)}, stdin)


def _run(command: list[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> None:
    # MediaWiki writes its SQLite files, so whoever serves them must own them.
    inherited = {key: value for key, value in os.environ.items() if key != "MW_CONFIG_FILE"}
    done = subprocess.run(
        command,
        cwd=_CODE,
        env=inherited | dict(environment or {}),
        input=stdin,
        user=_user(),
        group=_user(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[3:5]}: {done.stdout[:1500]} {done.stderr[:500]}")


def _export(pages: Mapping[str, str]) -> str:
    """Pages as a MediaWiki export. Text that begins ``#REDIRECT`` makes a redirect, as when it is saved."""
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">'
        + "".join(_exported(number, title, text) for number, (title, text) in enumerate(pages.items(), 1))
        + "</mediawiki>"
    )


def _exported(number: int, title: str, text: str) -> str:
    return (
        f"<page><title>{escape(title)}</title><id>{number}</id><revision><id>{number}</id>"
        "<timestamp>2026-01-01T00:00:00Z</timestamp><contributor><username>Test</username><id>1</id></contributor>"
        f"<model>wikitext</model><format>text/x-wiki</format><text>{escape(text)}</text></revision></page>"
    )


def _user() -> str | None:
    """Whom the wikis run as: php-fpm refuses root, so a test that runs as root hands them to www-data."""
    return pwd.getpwnam("www-data").pw_name if os.geteuid() == 0 else None


# --- serving ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _serving(root: Path) -> Iterator[int]:
    run, port = root / "run", _free_port()
    php = _PHP_REQUEST.format(run=run, code=_CODE, conf=root / "conf")
    (run / "fpm.conf").write_text(_FPM.format(run=run))
    (run / "nginx.conf").write_text(_NGINX.format(run=run, port=port, php=php))
    with (
        _process(["php-fpm8.2", "--nodaemonize", "-y", str(run / "fpm.conf")], run / "fpm.out"),
        _process(
            ["nginx", "-e", str(run / "nginx.err"), "-c", str(run / "nginx.conf"), "-g", "daemon off;"],
            run / "nginx.out",
        ),
    ):
        for language in sorted(path.name for path in (root / "conf").iterdir()):
            _await(f"http://127.0.0.1:{port}/{language}/w/api.php?action=query&meta=siteinfo&format=json", run)
        yield port


@contextlib.contextmanager
def _process(command: list[str], output: Path) -> Iterator[None]:
    """A server with all its workers, in a session of its own that ends with the test."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            user=_user(),
            group=_user(),
            start_new_session=True,
            env=environment,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(url: str, run: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if "general" in httpx.get(url, timeout=30).json()["query"]:
                return
        except (httpx.HTTPError, ValueError, KeyError) as error:
            if time.monotonic() > deadline:
                logs = [path.read_text(errors="replace")[-500:] for path in sorted(run.glob("*.[elo]*"))]
                raise RuntimeError(f"{url}: {error!r}\n" + "\n".join(logs)) from error
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
