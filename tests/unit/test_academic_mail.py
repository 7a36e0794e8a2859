"""Which mail servers the academic service trusts."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from academic.mail import MailSettings, send
from bgjobs_local.pki import new_authority, server_pair


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Of a server for one connection, with a certificate of an authority that nobody knows."""
    pair = server_pair(new_authority(tmp_path), tmp_path / "mail", dns=["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with (
            connection,
            contextlib.suppress(OSError),
            context.wrap_socket(connection, server_side=True) as encrypted,
        ):
            encrypted.sendall(b"554 taken for the right one\r\n")

    with socket.create_server(("localhost", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_a_mail_server_that_cannot_prove_its_name_gets_no_mail(port: int) -> None:
    settings = MailSettings.from_environment(
        {
            "ACADEMIC_SMTP_URL": f"smtps://user:password@localhost:{port}",
            "ACADEMIC_MAIL_FROM": "academic@school.example",
            "ACADEMIC_PUBLIC_URL": "http://academic.example",
        }
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        send(EmailMessage(), settings)
