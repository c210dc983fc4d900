"""Servers on loopback for tests of alarms and metrics: a fake mail server, a listener for StatsD's datagrams."""

from __future__ import annotations

import email
import email.policy
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage


class FakeMailServer(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs to hand over a mail; ``refuse`` makes it refuse every recipient."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailDialogue)
        self.mails: list[EmailMessage] = []
        self.refuse = False
        self.silent = threading.Event()  # set: it takes connections and says nothing

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


class _MailDialogue(socketserver.StreamRequestHandler):
    server: FakeMailServer

    def handle(self) -> None:
        if self.server.silent.is_set():
            self.connection.settimeout(30)
            self.rfile.readline()
            return
        self._say("220 fake")
        while line := self.rfile.readline().decode().strip():
            command = line[:4].upper()
            if command == "DATA":
                self._say("354 go on")
                self.server.mails.append(self._mail())
                self._say("250 taken")
            elif command == "RCPT" and self.server.refuse:
                self._say("550 no such mailbox")
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fake")

    def _mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def fake_mail_server() -> Iterator[FakeMailServer]:
    with FakeMailServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def words_of(mail: EmailMessage) -> str:
    """The text of a mail, decoded."""
    return "\n".join(str(part.get_content()) for part in mail.walk() if part.get_content_maintype() == "text")


class Datagrams:
    """Every datagram that came to a UDP port, in order."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                self.lines += self._socket.recv(65536).decode().split("\n")
            except OSError:
                return

    def of(self, name: str) -> list[str]:
        """The lines of one metric, prefix and all."""
        return [line for line in self.lines if line.split(":")[0].split(",")[0].endswith(name)]

    def total(self, name: str) -> float:
        """The sum of a counter."""
        return sum(float(line.rpartition(":")[2].split("|")[0]) for line in self.of(name))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def datagrams() -> Iterator[Datagrams]:
    listener = Datagrams()
    try:
        yield listener
    finally:
        listener.close()
