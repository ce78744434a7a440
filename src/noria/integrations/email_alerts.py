"""E-mail over SMTP, with STARTTLS where the server has it; the password, if any, is in NORIA_SMTP_PASSWORD."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import closing
from email.message import EmailMessage

from noria.alerting.channels import Alert, ChannelFailed
from noria.core.errors import UserMistake
from noria.core.settings import AlertSettings

TIMEOUT_SECONDS = 15


class EmailChannel:
    """One thread of messages an incident."""

    def __init__(self, settings: AlertSettings, password: str) -> None:
        self._settings, self._password = settings, password

    def send(self, alert: Alert) -> None:
        s = self._settings
        try:
            with closing(smtplib.SMTP(s.smtp_host, s.smtp_port, timeout=TIMEOUT_SECONDS)) as server:
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=ssl.create_default_context())
                    server.ehlo()
                elif self._password:
                    raise ChannelFailed("email", "the server does not support STARTTLS, and passwords are not sent unencrypted")
                if self._password:
                    server.login(s.smtp_user or s.email_from, self._password)
                refused = server.send_message(_message(alert, s))
                server.quit()
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelFailed("email", f"{type(error).__name__}: {error}") from None
        if refused:
            raise ChannelFailed("email", "recipients refused: " + ", ".join(refused))


def _message(alert: Alert, settings: AlertSettings) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = settings.email_from, ", ".join(settings.email_to)
    message["Subject"] = " ".join(f"[{alert.endpoint}] {alert.event}: {alert.summary}".split())[:200]
    thread = f"<{hashlib.sha256(alert.incident.encode()).hexdigest()[:32]}@noria>"
    message["References"] = message["In-Reply-To"] = thread
    message.set_content("\n".join([alert.summary, "", *alert.lines, "", alert.fix, "", alert.at]))
    return message


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> EmailChannel:
    if not settings.email_to or not settings.email_from:
        raise UserMistake(
            what="the alert channel email has no addresses",
            where="alerts.email_from and alerts.email_to in noria.toml",
            fix="set both, or take 'email' out of alerts.channels",
        )
    return EmailChannel(settings, environ.get("NORIA_SMTP_PASSWORD", ""))
