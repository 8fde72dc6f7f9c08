"""Machines at Fly.io, through its Machines API (https://docs.machines.dev, OpenAPI 3).

Each machine carries the metadata `nettrace_fleet`; machines of the same app without it are neither listed nor touched.
A machine's name is unique within an app, so that of two applies at once one creates it and the other finds it. The
enrolment token travels as an app secret that Fly puts into a file; it is never in a machine's configuration.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

from nettrace.errors import NotFound, Unreachable
from nettrace.outside.providers.port import NoCapacity, Order, Refused, Secret
from nettrace.outside.providers.rest import Answer, Rest
from nettrace.placement.fleet import GONE, TOKEN_FILE, Machine
from nettrace.placement.fleet_file import Fleet, Fly, split_size

LABEL = "nettrace_fleet"
_BEFORE = "nettrace_image_before"
DATA = "/var/lib/nettrace/node"
_FULL = re.compile(
    r"insufficient (?:resources|memory|cpus?|capacity)|no capacity|at capacity|could not reserve|over the allowed quota",
    re.IGNORECASE,
)
"""How Fly words a region without room: with 400, 403, 409, 412 or 422, so that the words decide, not the number."""


class FlyMachines:
    """The machines of one fleet in one app."""

    def __init__(self, fleet: Fleet, settings: Fly, token: Secret, rest: Rest | None = None) -> None:
        self._label, self._settings = fleet.name, settings
        self._rest = rest or Rest(settings.api, token)
        self._app = f"/apps/{settings.app}"

    def regions(self) -> frozenset[str]:
        """Codes of the regions where machines can be made today.

        Raises:
            Unreachable, Refused: it does not say.
        """
        said = self._good(self._rest.call("GET", "/platform/regions"), "list the regions")
        listed: list[dict[str, Any]] = said.get("Regions") or said.get("regions") or []
        return frozenset(each["code"] for each in listed if not each.get("deprecated"))

    def machines(self, places: Sequence[str] = ()) -> list[Machine]:
        """This fleet's machines, of whatever region."""
        answer = self._rest.call("GET", f"{self._app}/machines", query={f"metadata.{LABEL}": self._label})
        if answer.status == 404:
            return []
        listed = self._good(answer, "list the machines")
        try:
            return [
                _machine(each)
                for each in listed
                if _label(each) == self._label and each.get("state") not in GONE
            ]
        except (AttributeError, KeyError, TypeError) as problem:
            raise Refused(
                "Fly lists machines in a shape that is not known here", "Is there a newer NetTrace?"
            ) from problem

    def create(self, order: Order, place: str) -> Machine:
        """Make it in a region; see `Provider.create`."""
        name = order.wanted.name
        self._app_there()
        secret = _secret_name(name)
        version = self._hand_over(secret, order.token)
        body: dict[str, Any] = {"name": name, "region": place, "config": self._config(order, secret)}
        if version:
            body["min_secrets_version"] = version
        try:
            answer = self._rest.call("POST", f"{self._app}/machines", body, again=False)
        except Unreachable:
            if made := self._named(name):
                return made
            raise
        if answer.status in {409, 422} and "already_exists" in answer.error:
            if made := self._named(name):
                return made
            raise Refused(
                f"a machine '{name}' at Fly is not this fleet's", "Give the fleet another name in fleet.toml"
            )
        if answer.status >= 500 and (made := self._named(name)):
            return made
        return _machine(self._good(answer, f"create {name} in {place}"))

    def version(self, place: str) -> None:
        """Not known before the image runs: the node's own report tells."""

    def replace(self, machine: Machine, order: Order) -> None:
        """Give it the file's image; the rest of its configuration stays.

        Whether Fly keeps the file system through that is not promised, so a new enrolment token goes along: a node
        that finds its identity never looks at it.
        """
        config = self._mine(machine)["config"]
        version = self._hand_over(_secret_name(machine.name), order.token)
        kept = {_BEFORE: config["image"]} | config["metadata"]
        self._update(machine, {**config, "image": order.wanted.image, "metadata": kept}, version)

    def restore(self, machine: Machine) -> None:
        """Give it the image it had."""
        config = self._mine(machine)["config"]
        metadata = dict(config["metadata"])
        image = metadata.pop(_BEFORE, None)
        if image is None:
            self.start(machine)
        else:
            self._update(machine, {**config, "image": image, "metadata": metadata})

    def settle(self, machine: Machine) -> None:
        """Forget the image it had."""
        self._mine(machine)
        gone = self._rest.call("DELETE", f"{self._app}/machines/{machine.id}/metadata/{_BEFORE}")
        if gone.status >= 300 and gone.status != 404:
            self._good(gone, f"forget the image before of {machine.name}")

    def _update(self, machine: Machine, config: dict[str, Any], secrets: int = 0) -> None:
        body: dict[str, Any] = {"config": config}
        if secrets:
            body["min_secrets_version"] = secrets
        answer = self._rest.call("POST", f"{self._app}/machines/{machine.id}", body)
        self._good(answer, f"replace {machine.name}")

    def start(self, machine: Machine) -> None:
        """Start it."""
        self._mine(machine)
        self._good(
            self._rest.call("POST", f"{self._app}/machines/{machine.id}/start"), f"start {machine.name}"
        )

    def destroy(self, machine: Machine) -> None:
        """Let the node hand over what it has (SIGTERM), then remove it with its secret."""
        try:
            self._mine(machine)
        except NotFound:
            return
        path = f"{self._app}/machines/{machine.id}"
        stopped = self._rest.call("POST", f"{path}/stop", {"signal": "SIGTERM", "timeout": "10s"})
        if stopped.status < 300:
            self._rest.call("GET", f"{path}/wait", query={"state": "stopped", "timeout": "20"}, again=False)
        gone = self._rest.call("DELETE", path, query={"force": "true"})
        if gone.status != 404:
            self._good(gone, f"destroy {machine.name}")
        self._rest.call("DELETE", f"{self._app}/secrets/{_secret_name(machine.name)}")

    def logs(self, machine: Machine, lines: int) -> list[str]:
        """The Machines API gives events, not what a process printed."""
        said = self._good(
            self._rest.call("GET", f"{self._app}/machines/{machine.id}"), f"look at {machine.name}"
        )
        events: list[dict[str, Any]] = said.get("events") or []
        shown = [
            f"{each.get('timestamp', '')} {each.get('type', '')} {each.get('status', '')} {each.get('source', '')}"
            for each in reversed(events)
        ]
        return [
            *shown[-lines:],
            f"(events; what it printed: fly logs -a {self._settings.app} -i {machine.id})",
        ]

    def _app_there(self) -> None:
        answer = self._rest.call("GET", self._app)
        if answer.status == 404:
            raise Refused(
                f"there is no app '{self._settings.app}' at Fly",
                f"Make it: fly apps create {self._settings.app}",
            )
        self._good(answer, "look at the app")

    def _hand_over(self, name: str, token: Secret) -> int:
        value = base64.b64encode(token.reveal().encode()).decode()
        answer = self._rest.call("POST", f"{self._app}/secrets/{name}", {"value": value})
        if answer.status >= 300:  # what it says may hold what it was told: it stays out of the error
            raise Refused(
                f"Fly does not take a secret for the machine ({answer.status})", "Check the token's rights"
            )
        said: dict[str, Any] = answer.data or {}
        return int(said.get("version") or said.get("Version") or 0)

    def _config(self, order: Order, secret: str) -> dict[str, Any]:
        kind, cpus, megabytes = split_size(order.wanted.size)
        command = ["nettrace", "node", *order.node, "--region", order.wanted.code, "--token-file", TOKEN_FILE]
        return {
            "image": self._settings.image,
            "guest": {"cpu_kind": kind, "cpus": cpus, "memory_mb": megabytes},
            "init": {"exec": [*command, "--data", DATA]},
            "metadata": {LABEL: self._label, "nettrace_size": order.wanted.size},
            "files": [{"guest_path": TOKEN_FILE, "secret_name": secret}],
            "rootfs": {"persist": "always"},  # a node's identity and spool outlive a restart
            "restart": {"policy": "always"},
            "stop_config": {"signal": "SIGTERM", "timeout": "10s"},
        }

    def _named(self, name: str) -> Machine | None:
        return next((each for each in self.machines() if each.name == name), None)

    def _mine(self, machine: Machine) -> dict[str, Any]:
        """What Fly says of it."""
        answer = self._rest.call("GET", f"{self._app}/machines/{machine.id}")
        if answer.status == 404:
            raise NotFound(f"{machine.name} is gone")
        found: dict[str, Any] = self._good(answer, f"look at {machine.name}")
        if _label(found) != self._label:
            raise Refused(f"machine {machine.id} is not of the fleet '{self._label}'", "It is left alone")
        return found

    def _good(self, answer: Answer, what: str) -> Any:
        """The data of a good answer."""
        if answer.status < 300 and answer.data is not None:
            return answer.data
        if _FULL.search(answer.error):
            raise NoCapacity(f"Fly cannot {what} now: {answer.error}", "Another region may have room")
        hint = "Check the API token and its rights" if answer.status in {401, 403} else "See what Fly says"
        raise Refused(f"Fly does not {what}: {answer.status} {answer.error}", hint)


def _secret_name(name: str) -> str:
    return "NETTRACE_ENROL_" + name.upper().replace("-", "_")


def _label(each: dict[str, Any]) -> str | None:
    return _metadata(each).get(LABEL)


def _metadata(each: dict[str, Any]) -> dict[str, str]:
    config: dict[str, Any] = each.get("config") or each.get("incomplete_config") or {}
    return config.get("metadata") or {}


def _machine(each: dict[str, Any]) -> Machine:
    config: dict[str, Any] = each.get("config") or each.get("incomplete_config") or {}
    return Machine(
        provider="fly",
        id=each["id"],
        name=each["name"],
        place=each["region"],
        state=each.get("state", "unknown"),
        size=_metadata(each).get("nettrace_size", ""),
        image=config.get("image", ""),
    )
