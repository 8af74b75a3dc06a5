"""Talking to the cluster that KUBECONFIG names, or in which this process runs: apply, look, delete, and HTTP through the API."""

from __future__ import annotations

import difflib
import json
import os
import ssl
from collections.abc import Iterator, Mapping
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
"""Of what is behind the API server."""

API_SECONDS = (10.0, 30.0)
"""To connect to the API server, and to wait for what it says next: one that is silent must not hold up a way back."""

GONE, CONFLICT = 404, 409


class Cluster:
    """One namespace of a cluster. Every method raises PerennialError when the API server refuses or does not answer."""

    def __init__(self, namespace: str) -> None:
        """Prepare; nothing is contacted before the first use."""
        self.namespace = namespace

    def apply(self, body: Body, *, dry_run: bool = False) -> Body:
        """Apply an object on the server's side as our field manager, and return it as it then stands."""
        options: Body = {"dry_run": "All"} if dry_run else {}
        with _named(f"apply {_title(body)}"):
            found = self._resource(body).server_side_apply(
                body=body, namespace=self.namespace, field_manager=FIELD_MANAGER, force_conflicts=True, **options
            )
            return dict(found.to_dict())

    def create(self, body: Body) -> Body | None:
        """Create an object and return it; None when one of its name is there."""
        with _named(f"create {_title(body)}"):
            try:
                found = self._resource(body).create(body=body, namespace=self.namespace)
            except DynamicApiError as error:
                if error.status == CONFLICT:
                    return None
                raise
            return dict(found.to_dict())

    def read(self, body: Body) -> Body | None:
        """Return an object as it stands, or None."""
        with _named(f"read {_title(body)}"):
            try:
                found = self._resource(body).get(name=body["metadata"]["name"], namespace=self.namespace)
            except DynamicApiError as error:
                if error.status == GONE:
                    return None
                raise
            return dict(found.to_dict())

    def delete(self, body: Body, *, now: bool = False) -> None:
        """
        Delete an object and what it owns; one that is gone is fine, and so is another of its name.

        :param body: with a UID, exactly this one is meant
        :param now: gives a pod no time to stop
        """
        options: Body = {"propagationPolicy": "Background", **({"gracePeriodSeconds": 0} if now else {})}
        if uid := body["metadata"].get("uid"):
            options["preconditions"] = {"uid": uid}
        with _named(f"delete {_title(body)}"):
            try:
                self._resource(body).delete(name=body["metadata"]["name"], namespace=self.namespace, body=options)
            except DynamicApiError as error:
                if error.status != GONE and not (uid and error.status == CONFLICT):
                    raise

    def labelled(self, api_version: str, kind: str, labels: Mapping[str, str]) -> list[Body]:
        """Return the objects of a kind that bear these labels."""
        chosen = ",".join(f"{name}={value}" for name, value in labels.items())
        with _named(f"list {kind}"):
            found = self._dynamic.resources.get(api_version=api_version, kind=kind).get(
                namespace=self.namespace, label_selector=chosen
            )
            return [dict(item) for item in found.to_dict()["items"]]

    def events(self, name: str) -> list[Body]:
        """Return the events about the object of that name."""
        with _named(f"read the events of {name}"):
            found = client.CoreV1Api(self._api).list_namespaced_event(
                self.namespace, field_selector=f"involvedObject.name={name}"
            )
            return list(self._api.sanitize_for_serialization(found)["items"])

    def log(self, pod: str, lines: int | None = None) -> list[str]:
        """Return the (last) lines that a pod said; none when it has said nothing yet."""
        options = {} if lines is None else {"tail_lines": lines}
        try:
            # As bytes: the client makes text of them by repr().
            said = client.CoreV1Api(self._api).read_namespaced_pod_log(pod, self.namespace, _preload_content=False, **options)
        except (ApiException, HTTPError):
            return []
        text: str = said.data.decode(errors="replace")
        return text.splitlines()

    def diff(self, body: Body) -> list[str]:
        """Return what applying an object would change, found out by a dry run on the server, as a unified diff."""
        before, after = self.read(body), self.apply(body, dry_run=True)
        title = _title(body)
        lines = difflib.unified_diff(
            _lines(before), _lines(after), f"{title} as it is", f"{title} as it will be", n=2, lineterm=""
        )
        return list(lines)

    def http(self, path: str) -> httpx.Client:
        """Return a client of something behind the API server's proxy: pods/NAME:PORT/proxy or services/NAME:PORT/proxy."""
        settings = self._api.configuration
        tls = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if settings.cert_file:
            tls.load_cert_chain(settings.cert_file, settings.key_file)

        def signed(request: httpx.Request) -> httpx.Request:
            # Asked anew each time: tokens of a cloud's clusters expire.
            for one in settings.auth_settings().values():
                if one["in"] == "header" and one["value"]:
                    request.headers[one["key"]] = one["value"]
            return request

        base = f"{settings.host}/api/v1/namespaces/{self.namespace}/{path}"
        return httpx.Client(base_url=base, verify=tls, auth=signed, timeout=ANSWER_SECONDS, trust_env=False)

    @cached_property
    def _api(self) -> Any:
        found = client.Configuration()
        if (named := get_settings().kubeconfig) and not any(Path(one).is_file() for one in named.split(os.pathsep)):
            raise RefusedError(
                f"KUBECONFIG names {named}, where no file is", remedy="Name the file of the cluster that is meant."
            )
        try:
            config.load_config(client_configuration=found)
        except (config.ConfigException, YAMLError, OSError) as error:
            said = " ".join(str(error).split())
            raise RefusedError(
                f"No cluster is named: {said}", remedy="Set KUBECONFIG to the file of the cluster that is meant."
            ) from error
        found.retries = False
        return _Patient(found)

    @cached_property
    def _dynamic(self) -> Any:
        with _named("ask what it knows"):
            return dynamic.DynamicClient(self._api)

    def _resource(self, body: Body) -> Any:
        return self._dynamic.resources.get(api_version=body["apiVersion"], kind=body["kind"])


class _Patient(client.ApiClient):  # type: ignore[misc]
    """The client, which by itself would wait for ever."""

    def request(self, *args: Any, **options: Any) -> Any:
        """Send a request; it ends in time."""
        options["_request_timeout"] = options.get("_request_timeout") or API_SECONDS
        return super().request(*args, **options)


@contextmanager
def _named(work: str) -> Iterator[None]:
    try:
        yield
    except (DynamicApiError, ApiException) as error:
        raise PerennialError(f"The cluster refused to {work}: {error.status} {error.reason}: {_message(error)}") from error
    except HTTPError as error:
        raise PerennialError(f"The cluster does not answer (to {work}): {error}") from error
    except AttributeError as error:
        # The client looks for the text of an answer that never came.
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
    """Return an object as lines, without what the server keeps about it."""
    if body is None:
        return []
    metadata = {
        name: value
        for name, value in body["metadata"].items()
        if name not in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp")
    }
    shown = {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata}
    return json.dumps(shown, indent=1, sort_keys=True, default=str).splitlines()
