"""Mail to students."""

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit

from academic.store.schema import Submission

_ANSWERS_WITHIN_SECONDS = 20
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True)
class MailSettings:
    server: SplitResult
    """smtp://, smtp+starttls:// or smtps://, with user and password where it wants them."""
    sender: str
    public_url: str
    """Of the service, for the links."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "MailSettings":
        """Raises ValueError, naming the variable that is missing or wrong."""
        server = urlsplit(environment.get("ACADEMIC_SMTP_URL", ""))
        if server.scheme not in _PORTS or not server.hostname:
            raise ValueError("set ACADEMIC_SMTP_URL, for example smtp://mail.example.org:25")
        sender = environment.get("ACADEMIC_MAIL_FROM", "")
        if "@" not in sender:
            raise ValueError("set ACADEMIC_MAIL_FROM, the address that mails come from")
        public_url = environment.get("ACADEMIC_PUBLIC_URL", "").rstrip("/")
        if not public_url:
            raise ValueError("set ACADEMIC_PUBLIC_URL, the address of the service")
        return cls(server, sender, public_url)


def confirmation(submission: Submission, settings: MailSettings) -> EmailMessage:
    """That a submission has arrived. Its Message-ID is the submission's own."""
    student, assignment = submission.student, submission.assignment
    message = EmailMessage()
    message["Message-ID"] = f"<submission-{submission.id}@{settings.sender.rpartition('@')[2]}>"
    message["Date"] = submission.submitted_at
    message["From"] = settings.sender
    message["To"] = Address(student.name, addr_spec=student.email)
    message["Subject"] = f"Received: {assignment.title}"
    message.set_content(
        f"Dear {student.name},\n\n"
        f"your submission to “{assignment.title}” ({assignment.course.code}) arrived on "
        f"{submission.submitted_at:%d %B %Y at %H:%M} UTC"
        f"{', after it was due' if submission.is_late else ''}.\n\n"
        f"What becomes of it, and its grade:\n{settings.public_url}/submissions/{submission.id}\n"
    )
    return message


def send(message: EmailMessage, settings: MailSettings) -> None:
    """Returns once the server has taken it. Raises what smtplib raises, or OSError."""
    server = settings.server
    assert server.hostname is not None
    context = ssl.create_default_context()
    encrypted = partial(smtplib.SMTP_SSL, context=context)
    kind = encrypted if server.scheme == "smtps" else smtplib.SMTP
    port = server.port or _PORTS[server.scheme]
    with kind(server.hostname, port, timeout=_ANSWERS_WITHIN_SECONDS) as connection:
        if server.scheme == "smtp+starttls":
            connection.starttls(context=context)
        if server.username:
            connection.login(unquote(server.username), unquote(server.password or ""))
        connection.send_message(message)
