"""Bytes as Kubernetes writes them."""

import pytest

from bgjobs.domain.quantity import whole_bytes


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("128974848", 128974848, id="bytes"),
        pytest.param("256Mi", 256 * 1024**2, id="binary"),
        pytest.param("1.5Gi", 3 * 512 * 1024**2, id="a fraction"),
        pytest.param(".5Ki", 512, id="a bare fraction"),
        pytest.param("129M", 129_000_000, id="decimal"),
        pytest.param("2k", 2000, id="kilo is small"),
        pytest.param("129e6", 129_000_000, id="an exponent"),
        pytest.param("1E3", 1000, id="a large exponent"),
        pytest.param("2E", 2 * 10**18, id="exa"),
        pytest.param("1500m", 1, id="thousandths"),
        pytest.param("100Ei", None, id="more than 63 bits"),
        pytest.param("1e99", None, id="far more"),
        pytest.param("256 Mi", None, id="no quantity"),
        pytest.param("", None, id="nothing"),
        pytest.param("-1", None, id="less than nothing"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: str, want: int | None) -> None:
    assert whole_bytes(text) == want
