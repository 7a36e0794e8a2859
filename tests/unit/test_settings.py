"""The operator's settings."""

from typing import Any

import pytest

from bgjobs.settings import Settings

URL = {"BGJOBS_DATABASE_URL": "sqlite://"}


def test_only_the_database_must_be_named() -> None:
    settings = Settings.from_environment({**URL, "HOME": "/root"})
    assert settings == Settings(database_url="sqlite://")
    assert (settings.max_concurrent, settings.ageing_seconds) == (50, 300)


@pytest.mark.parametrize(
    ("variable", "value", "field", "want"),
    [
        ("BGJOBS_NAMESPACE", "jobs", "namespace", "jobs"),
        ("BGJOBS_MAX_CONCURRENT", "0", "max_concurrent", 0),
        ("BGJOBS_HINTS_PER_SECOND", "0.5", "hints_per_second", 0.5),
        ("BGJOBS_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
    ],
)
def test_a_variable_sets_its_field(variable: str, value: str, field: str, want: Any) -> None:
    assert getattr(Settings.from_environment({**URL, variable: value}), field) == want


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        pytest.param({}, "BGJOBS_DATABASE_URL", id="missing"),
        pytest.param({**URL, "BGJOBS_MAXCONCURRENT": "5"}, "BGJOBS_MAXCONCURRENT", id="unknown"),
        pytest.param({**URL, "BGJOBS_WORKERS": "many"}, "BGJOBS_WORKERS", id="no number"),
        pytest.param({**URL, "BGJOBS_WORKERS": "0"}, "BGJOBS_WORKERS", id="nobody works"),
        pytest.param({**URL, "BGJOBS_MAX_CONCURRENT": "-1"}, "BGJOBS_MAX_CONCURRENT", id="below 0"),
        pytest.param(
            {**URL, "BGJOBS_HINTS_PER_SECOND": "0"}, "BGJOBS_HINTS_PER_SECOND", id="no hint ever"
        ),
        pytest.param({**URL, "BGJOBS_HTTP_PORT": "70000"}, "BGJOBS_HTTP_PORT", id="no port"),
        pytest.param({**URL, "BGJOBS_LOG_LEVEL": "LOUD"}, "BGJOBS_LOG_LEVEL", id="no level"),
        pytest.param({**URL, "BGJOBS_AGEING_SECONDS": ""}, "BGJOBS_AGEING_SECONDS", id="empty"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(ValueError, match=f"the settings are wrong: .*{variable}"):
        Settings.from_environment(environment)
