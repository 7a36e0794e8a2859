"""What the dashboard asks of the API server: in its own name who may look, else as the viewer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import yaml
from kubernetes import client as kubernetes
from kubernetes import config
from kubernetes.client import (
    ApiClient,
    AuthenticationV1Api,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    V1SubjectAccessReview,
    V1SubjectAccessReviewSpec,
    V1TokenReview,
    V1TokenReviewSpec,
)

from bgjobs.cli.cluster import Cluster, lease
from bgjobs.cli.errors import API_ERRORS, CommandError, sentence
from bgjobs.cli.explain import Lease
from bgjobs.cli.observe import Unreadable, read_configuration, read_lease
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES, Configuration
from bgjobs.domain.queue_report import LEASE
from bgjobs.domain.resource import GROUP, PLURAL
from bgjobs.domain.runtimes import DEFAULT, runtime_for

_MAY_NOT_READ = "the dashboard may not read it: apply deploy/base/rbac-dashboard.yaml again"
_TIMEOUT = (3, 5)
_RESOURCE = "dashboards"


class Reviewed(NamedTuple):
    """What the API server says about a token."""

    user: str
    may_look: bool


def own_client() -> ApiClient:
    """Raises ConfigException where there is no way to the API server."""
    settings = kubernetes.Configuration()
    settings.retries = False
    config.load_config(client_configuration=settings)
    return ApiClient(settings)


def review(own: ApiClient, token: str) -> Reviewed | None:
    """Whose token it is and whether they may look; None where it is no token of this cluster."""
    answer = AuthenticationV1Api(own).create_token_review(
        V1TokenReview(spec=V1TokenReviewSpec(token=token)), _request_timeout=_TIMEOUT
    )
    if answer.status is None or not answer.status.authenticated or answer.status.user is None:
        return None
    user = answer.status.user
    asked = V1SubjectAccessReviewSpec(
        user=user.username,
        uid=user.uid,
        groups=user.groups,
        extra=user.extra,
        resource_attributes=V1ResourceAttributes(group=GROUP, resource=_RESOURCE, verb="get"),
    )
    allowed = AuthorizationV1Api(own).create_subject_access_review(
        V1SubjectAccessReview(spec=asked), _request_timeout=_TIMEOUT
    )
    return Reviewed(str(user.username), bool(allowed.status and allowed.status.allowed))


def as_itself(own: ApiClient, operator_namespace: str) -> Cluster:
    """For what everybody who is known to the cluster may read: the configuration, the Lease."""
    return Cluster(
        client=own, namespace="", operator_namespace=operator_namespace, timeout=_TIMEOUT
    )


@contextmanager
def as_viewer(
    own: ApiClient, token: str, namespace: str, operator_namespace: str
) -> Iterator[Cluster]:
    """The cluster as the viewer may see and change it, whatever the dashboard itself may."""
    settings = kubernetes.Configuration(host=own.configuration.host)
    settings.ssl_ca_cert = own.configuration.ssl_ca_cert
    settings.retries = False
    settings.api_key = {"authorization": token}
    settings.api_key_prefix = {"authorization": "Bearer"}
    with ApiClient(settings) as client:
        yield Cluster(
            client=client,
            namespace=namespace,
            operator_namespace=operator_namespace,
            timeout=_TIMEOUT,
        )


def in_words(own: ApiClient, error: Exception) -> str:
    """Why something could not be done as the viewer."""
    if isinstance(error, CommandError):
        return str(error)
    return sentence(error, own.configuration.host)


def may_patch(own: ApiClient, token: str, namespace: str) -> bool:
    """Whether the viewer may change BackgroundJobs there."""
    attributes = V1ResourceAttributes(
        group=GROUP, resource=PLURAL, verb="patch", namespace=namespace
    )
    asked = V1SelfSubjectAccessReview(
        spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    with as_viewer(own, token, namespace, "") as cluster:
        answer = AuthorizationV1Api(cluster.client).create_self_subject_access_review(
            asked, _request_timeout=_TIMEOUT
        )
    return bool(answer.status and answer.status.allowed)


def leadership(own: ApiClient, operator_namespace: str) -> Lease | None:
    """The operator's Lease with its report; None where the API server does not tell."""
    try:
        return read_lease(lease(as_itself(own, operator_namespace), LEASE) or {})
    except API_ERRORS:
        return None


def configuration(own: ApiClient, operator_namespace: str) -> Configuration:
    """The allowlist and the runtimes as they are now, and what is wrong with them."""
    found = read_configuration(as_itself(own, operator_namespace), Unreadable())
    parts = {ALLOWLIST: found.allowlist, RUNTIMES: found.runtimes}
    unread = {name: _MAY_NOT_READ for name, part in parts.items() if part is None}
    return msgspec.structs.replace(found, problems=unread | dict(found.problems))


def runtimes_text(found: Configuration) -> list[tuple[str, str]]:
    """Each runtime as YAML, resolved from the shorter keys."""
    runtimes = found.runtimes or {}
    texts = []
    for key in sorted(runtimes, key=lambda key: (key != DEFAULT, key)):
        resolved = msgspec.to_builtins(runtime_for(runtimes, key).settings)
        told = {name: value for name, value in resolved.items() if value is not None}
        texts.append((key, yaml.safe_dump(told, sort_keys=False, allow_unicode=True)))
    return texts
