"""Which cluster a client talks to, and what it says where there is none."""

import asyncio
from pathlib import Path

import pytest
import yaml

from bgjobs.client import Client, NoClusterError, aio, connecting
from bgjobs.client.connecting import Where


def kubeconfig(folder: Path, current: str = "shop") -> str:
    cluster = {"cluster": {"server": "https://127.0.0.1:1"}, "name": "near"}
    contexts = [
        {"name": "shop", "context": {"cluster": "near", "user": "me", "namespace": "shop"}},
        {"name": "bare", "context": {"cluster": "near", "user": "me"}},
    ]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": contexts,
        "users": [{"name": "me", "user": {"token": "t"}}],
        "current-context": current,
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return str(file)


@pytest.mark.parametrize(
    ("context", "namespace", "want"),
    [(None, None, "shop"), ("bare", None, "default"), (None, "other", "other")],
)
def test_jobs_without_a_namespace_go_where_the_context_says(
    tmp_path: Path, context: str | None, namespace: str | None, want: str
) -> None:
    assert connecting.namespace(Where(kubeconfig(tmp_path), context, namespace)) == want


def test_kubeconfig_is_read_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path))
    assert connecting.namespace(Where()) == "shop"


def test_in_a_pod_it_is_the_pods_own_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "namespace"
    file.write_text("orders")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(connecting, "NAMESPACE_FILE", file)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert connecting.namespace(Where()) == "orders"
    assert connecting.namespace(Where(kubeconfig(tmp_path))) == "shop", "what is given counts"


@pytest.mark.parametrize("is_awaited", [False, True], ids=["threads", "asyncio"])
@pytest.mark.parametrize(
    ("content", "context"),
    [
        pytest.param(None, None, id="no file"),
        pytest.param("", None, id="an empty one"),
        pytest.param("contexts: {", None, id="no YAML"),
        pytest.param("[]", None, id="something else"),
        pytest.param("valid", "another", id="no such context"),
    ],
)
def test_without_a_usable_kubeconfig_there_is_no_cluster(
    tmp_path: Path, content: str | None, context: str | None, is_awaited: bool
) -> None:
    file = kubeconfig(tmp_path)
    if content is None:
        Path(file).unlink()
    elif content != "valid":
        Path(file).write_text(content)

    def threads() -> None:
        Client(kubeconfig=file, context=context).handle("stock-7").state()

    async def awaited() -> None:
        async with aio.Client(kubeconfig=file, context=context) as client:
            await client.handle("stock-7").state()

    with pytest.raises(NoClusterError, match="There is no cluster to talk to: "):
        asyncio.run(awaited()) if is_awaited else threads()
