"""deploy/README.md names what can be set, all of it and nothing else."""

import re
from pathlib import Path

import msgspec
from prometheus_client import REGISTRY

import bgjobs.metrics  # noqa: F401
from bgjobs.dashboard.settings import Settings as DashboardSettings
from bgjobs.domain.runtimes import Runtime
from bgjobs.settings import Settings

_README = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()


def _section(title: str) -> str:
    return _README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_it_lists_every_setting_of_a_runtime() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", _section("Runtimes"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {field.encode_name for field in msgspec.structs.fields(Runtime)}


def test_every_metric_that_it_names_is_one() -> None:
    counted = {metric.name: metric.type == "counter" for metric in REGISTRY.collect()}
    there = {f"{name}_total" if is_counter else name for name, is_counter in counted.items()}
    alerts = set(re.findall(r"\bbgjobs_\w+", _section("When something is wrong")))
    assert alerts
    assert alerts <= there


def _written(value: object) -> str:
    """As it is set in the environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_it_lists_every_setting_of_the_operator_with_its_default() -> None:
    section = _section("Settings of the operator")
    rows = re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", section, re.MULTILINE)
    defaults = {
        field.encode_name: _shown(field.default) for field in msgspec.structs.fields(Settings)
    }
    assert dict(rows) == defaults


def test_it_lists_every_setting_of_the_dashboard() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", _section("The dashboard"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {field.encode_name for field in msgspec.structs.fields(DashboardSettings)}


def _shown(default: object) -> str:
    if default is msgspec.NODEFAULT:
        return "-"
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
