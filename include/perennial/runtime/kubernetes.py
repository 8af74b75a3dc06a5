"""Settings and spec that all of Perennial's pods share: namespace, storage, security. Nothing here talks to a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from perennial.errors import RefusedError
from perennial.lake.identity import lake_mark
from perennial.lake.layout import lake_root
from perennial.runtime.environment import TORCH
from perennial.runtime.peers import parse_peers
from perennial.settings import Settings, describe_missing, get_settings, variables_of
from perennial.signing.keys import read_trusted_keys
from perennial.store.objects import Objects

Body = dict[str, Any]
"""An object of Kubernetes, as its API reference describes it."""

STORAGE_SECRET = "perennial-storage"  # noqa: S105  the Secret's name
STORAGE_FOLDER = "/var/run/secrets/perennial"
CREDENTIALS_KEY = "aws_credentials"
TOKENS_SECRET = "perennial-server-tokens"  # noqa: S105  the Secret's name
TOKENS_FOLDER = "/var/run/secrets/perennial-server"
TOKENS_KEY = "tokens"
TRUSTED_KEYS_FOLDER = "/var/run/perennial/trusted-keys"
MANAGED_BY = "perennial"
USER = 10001

TRAINING, SERVING = "training", "serving"
_IMAGES = {TRAINING: "trainer_image", SERVING: "server_image"}
_OWN_IMAGES = {TORCH: "torch_trainer_image"}
_NAMESPACES = {TRAINING: "training_namespace", SERVING: "serving_namespace"}
LAKE_LABEL = "perennial/lake"
"""The installation that owns an object: two installations in one namespace must not take over each other's objects."""


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Settings of pods: namespace, image and storage. The cluster is that of KUBECONFIG, or of this process's own pod."""

    namespace: str
    s3_endpoint: str | None
    region: str
    image: str | None = None
    image_setting: str = "server_image"
    asks_token: bool = False
    """Predictions need a token, of the Secret TOKENS_SECRET."""

    address_connections: int | None = None
    """Maximum number of connections to a model server from one address; None: the server's default."""

    lake_mark: str = ""
    """The installation that owns the pods: see perennial.lake.identity."""

    trusted_keys: Mapping[str, str] = field(default_factory=dict)
    """The public keys that a model server trusts, as PEM texts by file name; empty: it checks no signatures."""

    dns: Sequence[Body] | None = None
    """The servers of names that pods ask, as peers of a NetworkPolicy; None: any."""

    store: Sequence[Body] | None = None
    """The object store, as peers of a NetworkPolicy; None: any place."""

    clients: Sequence[Body] | None = None
    """The clients that may connect to model servers, as peers of a NetworkPolicy; None: all."""

    @classmethod
    def read(cls, work: str, family: str = "") -> KubernetesSettings:
        """
        Read the settings of one kind of work (training, serving); docs/how-to/run-on-kubernetes.md explains them.

        :param family: of the candidate to train: one with libraries of its own has its own image
        """
        settings, image = get_settings(), _OWN_IMAGES.get(family, _IMAGES[work])
        trusted = read_trusted_keys() if work == SERVING else None
        sets_connections = work == SERVING and "server_address_connections" in settings.model_fields_set
        return cls(
            namespace=getattr(settings, _NAMESPACES[work]),
            image=getattr(settings, image),
            image_setting=image,
            asks_token=work == SERVING and settings.server_tokens is not None,
            address_connections=settings.server_address_connections if sets_connections else None,
            s3_endpoint=_endpoint(settings),
            region=settings.region,
            trusted_keys=trusted.to_pem() if trusted else {},
            dns=_peers(settings, "kubernetes_dns"),
            store=_peers(settings, "kubernetes_egress"),
            clients=_peers(settings, "kubernetes_ingress"),
        )

    def of(self, objects: Objects) -> KubernetesSettings:
        """Return the settings with the mark of the lake in this store."""
        return replace(self, lake_mark=lake_mark(objects))

    def named_image(self) -> str:
        """Return the image, or raise RefusedError. Only callers that start pods need one."""
        if self.image is None:
            target = "image-trainer-torch" if self.image_setting in _OWN_IMAGES.values() else "images"
            raise RefusedError(
                f"Pods in {self.namespace} need an image: {describe_missing(self.image_setting)}",
                remedy=f"`make {target}` builds it and prints its name; push it to a registry that the cluster pulls from.",
            )
        return self.image

    def variables(self) -> dict[str, str]:
        """Return the environment of a container: the location of the lake. The credentials are files of a Secret."""
        return {
            "AWS_SHARED_CREDENTIALS_FILE": f"{STORAGE_FOLDER}/{CREDENTIALS_KEY}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            **({"AWS_ENDPOINT_URL_S3": self.s3_endpoint} if self.s3_endpoint else {}),
            "PERENNIAL_LAKE": lake_root(),
            **({"PERENNIAL_TRUSTED_KEYS": TRUSTED_KEYS_FOLDER} if self.trusted_keys else {}),
            **({"PERENNIAL_SERVER_TOKENS": f"{TOKENS_FOLDER}/{TOKENS_KEY}"} if self.asks_token else {}),
            **({"PERENNIAL_SERVER_ADDRESS_CONNECTIONS": str(limit)} if (limit := self.address_connections) else {}),
            "HOME": "/tmp",  # noqa: S108  the pod's own
        }

    def egress(self) -> list[Body]:
        """Return the rules of a NetworkPolicy that lets pods connect to DNS and the object store."""
        parts = urlsplit(self.s3_endpoint or "https://s3.amazonaws.com")
        port = parts.port or (80 if parts.scheme == "http" else 443)
        names = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
        return [
            {**_with_peers("to", self.dns), "ports": names},
            {**_with_peers("to", self.store), "ports": [{"port": port, "protocol": "TCP"}]},
        ]

    def ingress(self, port: int) -> list[Body]:
        """Return the rules of a NetworkPolicy that lets clients connect to a port of a model server."""
        return [{**_with_peers("from", self.clients), "ports": [{"port": port, "protocol": "TCP"}]}]


def _peers(settings: Settings, field: str) -> list[Body] | None:
    return parse_peers(variables_of(field)[0], getattr(settings, field))


def _with_peers(name: str, peers: Sequence[Body] | None) -> Body:
    """Return the part of a rule that names its peers. A rule without this part is for everyone."""
    return {} if peers is None else {name: list(peers)}


def _endpoint(settings: Settings) -> str | None:
    """Return the address of the object store for pods; None: AWS."""
    field = "s3_endpoint" if settings.kubernetes_s3_endpoint is None else "kubernetes_s3_endpoint"
    endpoint: str | None = getattr(settings, field)
    if endpoint is None:
        return None
    try:
        parts = urlsplit(endpoint)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise RefusedError(f"{variables_of(field)[0]} is {endpoint!r}, expected http://HOST:PORT or https://HOST")
    return endpoint


@dataclass(frozen=True, slots=True)
class Mount:
    """
    A volume of a pod, which its container sees as a folder that it cannot change.

    :param source: the source of the volume in the words of Kubernetes, such as `{"configMap": …}`
    """

    name: str
    folder: str
    source: Body


def restricted_pod(container: Body, mounts: Sequence[Mount] = (), tmp: Body | None = None) -> Body:
    """
    Return the spec of a pod with one container that Pod Security *restricted* admits.

    It has no service-account token and a read-only root file system. Storage credentials are files of a Secret.

    :param mounts: further volumes
    :param tmp: the volume for temporary files, in the words of emptyDir
    """
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "storage", "mountPath": STORAGE_FOLDER, "readOnly": True},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                    *({"name": mount.name, "mountPath": mount.folder, "readOnly": True} for mount in mounts),
                ],
                **container,
            }
        ],
        "volumes": [
            {"name": "storage", "secret": {"secretName": STORAGE_SECRET, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": tmp or {}},
            *({"name": mount.name, **mount.source} for mount in mounts),
        ],
    }


HOPELESS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "CrashLoopBackOff",
    }
)
"""Reasons for a waiting container that will not resolve by themselves."""


def waits_for(pod: Body) -> set[str]:
    """Return the reasons why a pod's containers are waiting."""
    states = [container.get("state") or {} for container in pod["status"].get("containerStatuses") or []]
    return {str((state.get("waiting") or {}).get("reason")) for state in states}


def why_failed(pod: Body, events: Sequence[Body]) -> list[str]:
    """Return the causes that the cluster reports for a failed pod: from its container, its conditions, its events."""
    status = pod.get("status") or {}
    found = []
    if status.get("reason"):
        found.append(f"pod {status.get('phase')}: {status['reason']}: {status.get('message') or ''}".rstrip(": "))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found.append(f"{condition.get('reason')}: {condition.get('message')}")
    for container in status.get("containerStatuses") or []:
        state, before = container.get("state") or {}, container.get("lastState") or {}
        if waiting := state.get("waiting"):
            found.append(f"container waits: {waiting.get('reason')}: {waiting.get('message') or ''}".rstrip(": "))
        if (ended := state.get("terminated") or before.get("terminated")) and ended.get("exitCode") != 0:
            limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory")
            hit = f" at its memory limit of {limit}" if ended.get("reason") == "OOMKilled" else ""
            found.append(f"container ended with {ended.get('exitCode')}: {ended.get('reason')}{hit}")
            if ended.get("message"):
                found.append("its last lines:\n    " + ended["message"].strip().replace("\n", "\n    "))
    found += [f"event {event.get('reason')}: {event.get('message')}" for event in events if event.get("type") == "Warning"]
    return list(dict.fromkeys(found))
