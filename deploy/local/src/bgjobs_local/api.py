"""The few requests to the API server that setting a cluster up needs."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgjobs_local.errors import LocalError
from bgjobs_local.pki import Pair


@dataclass(frozen=True)
class Api:
    """Where an API server is, and as whom to talk to it."""

    address: str
    port: int
    tls: ssl.SSLContext


def connect(address: str, port: int, ca: Path, client: Pair) -> Api:
    """Nothing is sent yet."""
    tls = ssl.create_default_context(cafile=str(ca))
    tls.load_cert_chain(client.certificate, client.key)
    return Api(address, port, tls)


def request(
    api: Api,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
) -> tuple[int, str]:
    """The HTTP status and body, or status 0 where no answer came."""
    connection = http.client.HTTPSConnection(api.address, api.port, context=api.tls, timeout=5)
    try:
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
        )
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def ready(api: Api) -> bool:
    """Whether the server says of itself that it is ready, storage and start-up hooks included."""
    return request(api, "GET", "/readyz")[0] == 200


def apply(api: Api, path: str, manifest: Mapping[str, Any]) -> None:
    """Server-side apply of one object at its path: the same again changes nothing."""
    status, answer = request(
        api,
        "PATCH",
        f"{path}?fieldManager=bgjobs-local&force=true",
        manifest,
        "application/apply-patch+yaml",
    )
    if status not in (200, 201):
        raise LocalError(f"The API server refused {path}: {status} {answer}")
