"""What looks like a secret does not get into the status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjobs.domain.redaction import redact

_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.c2lnbmF0dXJl"
_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("password=hunter2 next", "password=[redacted] next"),
        ("DB_PASSWORD: 'with blanks' next", "DB_PASSWORD: [redacted] next"),
        ('{"apiKey": "hunter2", "a": 1}', '{"apiKey": [redacted], "a": 1}'),
        ("access-key = hunter2;", "access-key = [redacted];"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer [redacted]"),
        ("my_client_secret_v2=hunter2", "my_client_secret_v2=[redacted]"),
        ("mysql+pymysql://shop:hunter2@db/shop", "mysql+pymysql://shop:[redacted]@db/shop"),
        (f"got {_TOKEN} back", "got [redacted] back"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key [redacted] used"),
        (f"a\n{_KEY}\nb", "a\n[redacted] RSA PRIVATE KEY-----\nb"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"),
        ("IBAAK\n-----END RSA PRIVATE KEY-----\nb", "[redacted]-----\nb"),
    ],
)
def test_a_secret_is_taken_out(said: str, kept: str) -> None:
    assert redact(said) == kept


@pytest.mark.parametrize(
    "said",
    [
        "Traceback (most recent call last):",
        "the secret of success is patience",
        "https://shop.example/tokens?page=2",
        "keyboard: 3 left",
        "a=1, b=2",
        "user@host:~/shop",
        "a\n-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\nb",
    ],
)
def test_everything_else_is_kept(said: str) -> None:
    assert redact(said) == said


@given(st.text(alphabet=st.sampled_from("a:/@.-=\"' \n"), max_size=2000))
def test_any_text_is_read_in_no_time(said: str) -> None:
    """A pattern that tries every split of a long text would not come to an end."""
    redact(said * 8)
