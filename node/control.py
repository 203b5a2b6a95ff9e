"""The control port: how a command finds out what the running node of its home knows alone.

A unix socket in the home; one JSON line asks, one
answers. Only this user can reach it. Everything that can go through the store
goes through the store; this is for what lives in the running process: its
connections.
"""

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from unhush.node.errors import NotRunning
from unhush.node.views import LimitMet, NetworkView, OutageInfo, PeerInfo, SyncInfo
from unhush.storage.runtime import bind_in, leave, runtime_dir, short_name

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
MAX_LINE_BYTES: Final = 1_048_576  # an answer with 64 peers has about 20 kB
_NAME: Final = "control"

Answer = Mapping[str, Any]  # JSON, made and read by this module's two ends


class ControlServer:
    """Answers questions by name while the node runs."""

    def __init__(
        self,
        home: Path,
        answers: Mapping[str, Callable[[], Answer]],
        requests: Mapping[str, Callable[[Answer], Answer]] = MappingProxyType({}),
    ) -> None:
        """``requests`` take what was asked; they raise ``ValueError`` for what they cannot read."""
        self._answers = answers
        self._requests = requests
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = bind_in(runtime_dir(home), _NAME, self._socket)
        self._socket.listen(16)
        self._thread = threading.Thread(target=self._serve, name="unhush-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=TIMEOUT_S)
        leave(self._path.parent)

    def _serve(self) -> None:
        while True:
            try:
                asker, _ = self._socket.accept()
            except OSError:
                return
            with asker:
                try:
                    self._answer(asker)
                except (OSError, ValueError) as exc:
                    log.debug("control question not answered error=%s", exc)

    def _answer(self, asker: socket.socket) -> None:
        asker.settimeout(TIMEOUT_S)
        question = json.loads(_read_line(asker))
        reply: Answer = self._reply(question) if isinstance(question, dict) else {"error": "no question"}
        asker.sendall(json.dumps(reply).encode() + b"\n")

    def _reply(self, question: Answer) -> Answer:
        name = str(question.get("ask"))
        if (answer := self._answers.get(name)) is not None:
            return answer()
        request = self._requests.get(name)
        return request(question) if request is not None else {"error": "unknown question"}


def ask(home: Path, question: str, **arguments: Any) -> Answer:
    """Ask the node that runs on a home; raises ``NotRunning``."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker, short_name(runtime_dir(home)) as folder:
            asker.settimeout(TIMEOUT_S)
            asker.connect(f"{folder}/{_NAME}")
            asker.sendall(json.dumps({"ask": question, **arguments}).encode() + b"\n")
            answer = json.loads(_read_line(asker))
    except (OSError, ValueError) as exc:
        raise NotRunning(f"no node is running on {home}") from exc
    if not isinstance(answer, dict) or "error" in answer:
        raise NotRunning(f"the node on {home} is of another version")
    return answer


def parse_sync(given: Any) -> SyncInfo:
    """Read how far a node says it is; raises what malformed JSON makes it raise."""
    counts = {str(name): int(value) for name, value in given.items() if name != "silent"}
    return SyncInfo(**counts, silent=tuple(map(str, given["silent"])))


def parse_network_view(answer: Answer) -> NetworkView:
    """Read an answer to "network"; raises ``NotRunning`` for one of another version."""
    try:
        peers = tuple(
            PeerInfo(
                str(peer["address"]),
                str(peer["peer"]),
                bool(peer["connected"]),
                bool(peer["inbound"]),
                int(peer["covers"]),
                int(peer["gave"]),
            )
            for peer in answer["peers"]
        )
        outage = answer["outage"]
        return NetworkView(
            str(answer["peer"]),
            tuple(map(str, answer["listen"])),
            peers,
            int(answer["own_checked"]),
            OutageInfo(str(outage["reason"]), float(outage["for_s"]), int(outage["starts"])) if outage else None,
            tuple(
                LimitMet(str(met["name"]), str(met["words"]), int(met["count"]), float(met["s_ago"]))
                for met in answer["limits_met"]
            ),
            {str(name): int(value) for name, value in answer["figures"].items()},
            parse_sync(answer["sync"]),
            answer["is_makeshift"] is True,
            str(answer["silent"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise NotRunning("the node on this home is of another version") from exc


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part or len(line) > MAX_LINE_BYTES:
            raise ValueError("no whole line")
        line += part
    return line
