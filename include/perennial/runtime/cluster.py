"""Client of a cluster, named by KUBECONFIG or around this process: apply, read, delete, HTTP through the API."""

from __future__ import annotations

import difflib
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from perennial.errors import PerennialError, RefusedError
from perennial.runtime.kubernetes import Body
from perennial.settings import get_settings

FIELD_MANAGER = "perennial"
ANSWER_SECONDS = 10.0
"""Time limit of requests to pods and Services behind the API server."""

API_SECONDS = (10.0, 30.0)
"""Time limits to connect to the API server and to wait for its next bytes. A silent server must not delay a rollback."""

NOT_FOUND, CONFLICT = 404, 409


class Cluster:
    """One namespace of a cluster. Every method raises PerennialError if the API server refuses or does not answer."""

    def __init__(self, namespace: str) -> None:
        """Prepare; nothing is contacted before the first use."""
        self.namespace = namespace

    def apply(self, body: Body, *, dry_run: bool = False) -> Body:
        """Apply an object by server-side apply with our field manager. Return the object as the server then has it."""
        options: Body = {"dry_run": "All"} if dry_run else {}
        with _translate_errors(f"apply {_title(body)}"):
            applied = self._resource(body).server_side_apply(
                body=body, namespace=self.namespace, field_manager=FIELD_MANAGER, force_conflicts=True, **options
            )
            return dict(applied.to_dict())

    def create(self, body: Body) -> Body | None:
        """Create an object and return it. Return None if an object with its name exists."""
        with _translate_errors(f"create {_title(body)}"):
            try:
                created = self._resource(body).create(body=body, namespace=self.namespace)
            except DynamicApiError as error:
                if error.status == CONFLICT:
                    return None
                raise
            return dict(created.to_dict())

    def read(self, body: Body) -> Body | None:
        """Return an object in its current state, or None if it does not exist."""
        with _translate_errors(f"read {_title(body)}"):
            try:
                current = self._resource(body).get(name=body["metadata"]["name"], namespace=self.namespace)
            except DynamicApiError as error:
                if error.status == NOT_FOUND:
                    return None
                raise
            return dict(current.to_dict())

    def delete(self, body: Body, *, now: bool = False) -> None:
        """
        Delete an object and everything it owns. Do nothing if it no longer exists, or if its name now belongs to another object.

        :param body: the object; with a UID, only the object with this UID is deleted
        :param now: give a pod no time to stop
        """
        options: Body = {"propagationPolicy": "Background", **({"gracePeriodSeconds": 0} if now else {})}
        if uid := body["metadata"].get("uid"):
            options["preconditions"] = {"uid": uid}
        with _translate_errors(f"delete {_title(body)}"):
            try:
                self._resource(body).delete(name=body["metadata"]["name"], namespace=self.namespace, body=options)
            except DynamicApiError as error:
                if error.status != NOT_FOUND and not (uid and error.status == CONFLICT):
                    raise

    def labelled(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[Body]:
        """Return the objects of a kind that have these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        with _translate_errors(f"list {kind}"):
            matches = self._dynamic.resources.get(api_version=api_version, kind=kind).get(
                namespace=self.namespace, label_selector=selector
            )
            return [dict(item) for item in matches.to_dict()["items"]]

    def events(self, name: str) -> list[Body]:
        """Return the events about the object with this name."""
        with _translate_errors(f"read the events of {name}"):
            events = client.CoreV1Api(self._api).list_namespaced_event(
                self.namespace, field_selector=f"involvedObject.name={name}"
            )
            return list(self._api.sanitize_for_serialization(events)["items"])

    def log(self, pod: str, lines: int | None = None) -> list[str]:
        """Return the log lines of a pod, or only its last `lines`. Return none if there is no log yet."""
        options = {} if lines is None else {"tail_lines": lines}
        try:
            # As bytes: the client would decode them by repr().
            answer = client.CoreV1Api(self._api).read_namespaced_pod_log(pod, self.namespace, _preload_content=False, **options)
        except (ApiException, HTTPError):
            return []
        text: str = answer.data.decode(errors="replace")
        return text.splitlines()

    def diff(self, body: Body) -> list[str]:
        """Return the changes that applying an object would make, by a dry run on the server, as a unified diff."""
        before, after = self.read(body), self.apply(body, dry_run=True)
        title = _title(body)
        lines = difflib.unified_diff(_lines(before), _lines(after), f"{title} now", f"{title} after", n=2, lineterm="")
        return list(lines)

    def http(self, path: str, prepare: Callable[[httpx.Request], None]) -> httpx.Client:
        """
        Return a client of something behind the API server's proxy: pods/NAME:PORT/proxy or services/NAME:PORT/proxy.

        :param prepare: is called with each request before it is sent
        """
        settings = self._api.configuration
        tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if settings.cert_file:
            tls.load_cert_chain(settings.cert_file, settings.key_file)

        def sign(request: httpx.Request) -> httpx.Request:
            # Read again for each request: tokens of cloud clusters expire.
            for setting in settings.auth_settings().values():
                if setting["in"] == "header" and setting["value"]:
                    request.headers[setting["key"]] = setting["value"]
            return request

        base = f"{settings.host}/api/v1/namespaces/{self.namespace}/{path}"
        hooks = {"request": [prepare]}
        return httpx.Client(base_url=base, event_hooks=hooks, verify=tls, auth=sign, timeout=ANSWER_SECONDS, trust_env=False)

    @cached_property
    def _api(self) -> Any:
        configuration = client.Configuration()
        kubeconfig = get_settings().kubeconfig
        if kubeconfig and not any(Path(file).is_file() for file in kubeconfig.split(os.pathsep)):
            raise RefusedError(
                f"KUBECONFIG points to {kubeconfig}, which does not exist", remedy="Set it to your cluster's kubeconfig file."
            )
        try:
            config.load_config(client_configuration=configuration)
        except (config.ConfigException, YAMLError, OSError) as error:
            cause = " ".join(str(error).split())
            raise RefusedError(
                f"No cluster is configured: {cause}", remedy="Set KUBECONFIG to your cluster's kubeconfig file."
            ) from error
        configuration.retries = False
        return _TimedClient(configuration)

    @cached_property
    def _dynamic(self) -> Any:
        with _translate_errors("list its resource types"):
            return dynamic.DynamicClient(self._api)

    def _resource(self, body: Body) -> Any:
        return self._dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])


class _TimedClient(client.ApiClient):  # type: ignore[misc]
    """Kubernetes' client with time limits. On its own it waits forever."""

    def request(self, *args: Any, **options: Any) -> Any:
        """Send a request with a time limit."""
        options["_request_timeout"] = options.get("_request_timeout") or API_SECONDS
        return super().request(*args, **options)


@contextmanager
def _translate_errors(work: str) -> Iterator[None]:
    try:
        yield
    except (DynamicApiError, ApiException) as error:
        raise PerennialError(f"The cluster refused to {work}: {error.status} {error.reason}: {_message(error)}") from error
    except HTTPError as error:
        raise PerennialError(f"The cluster does not answer (to {work}): {error}") from error
    except AttributeError as error:
        # The client reads the body of an answer that never arrived.
        if not isinstance(error.__context__, ApiException):
            raise
        raise PerennialError(f"The cluster does not answer (to {work}): {error.__context__.reason}") from error


def _message(error: Any) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body)
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:500]


def _title(body: Body) -> str:
    return f"{body['kind']} {body['metadata']['name']}"


def _lines(body: Body | None) -> list[str]:
    """Return an object as lines, without the metadata that the server maintains."""
    if body is None:
        return []
    metadata = {
        name: value
        for name, value in body["metadata"].items()
        if name not in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp")
    }
    content = {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata}
    return json.dumps(content, indent=1, sort_keys=True, default=str).splitlines()
