"""When this home turns out to be an older copy: a new device key without a question, if the root key is at hand.

The store notes the proof while it takes it in; from then on nothing is signed
or sent under the old key. Here somebody wakes up, and either renews the device
or says which command does.
"""

import logging
import threading
import time
from typing import Final

from unhush.identity.errors import UnhushError
from unhush.node.account.devices import Devices
from unhush.node.account.secrets import Keys
from unhush.node.errors import KeyFileError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

REST_S: Final = 10.0  # without anything new in our own log
LONGEST_REST_S: Final = 60.0  # whoever has a copy of our key could write on for ever
LOOK_EVERY_S: Final = 0.05
AGAIN_S: Final = 1.0


class Renewing:
    """Watches the journal while a node runs; ``stop`` ends it."""

    def __init__(self, store: Store, *, keys: Keys, devices: Devices) -> None:
        self._store = store
        self._keys = keys
        self._devices = devices
        self._changed = threading.Event()
        self._is_stopping = False
        self._failure = ""  # said once
        self._key_problem = ""  # of the root key's file; said once too
        self._unsubscribe = store.subscribe(self._changed.set)
        self._thread = threading.Thread(target=self._run, name="unhush-renewing", daemon=True)
        self._changed.set()  # the proof may have come while no node ran
        self._thread.start()

    def stop(self) -> None:
        self._unsubscribe()
        self._is_stopping = True
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        said = ""
        while True:
            # With a problem said we look again by ourselves: the passphrase may become known without any news.
            self._changed.wait(AGAIN_S if said or self._key_problem else None)
            self._changed.clear()
            if self._is_stopping:
                return
            with self._store.snapshot() as snapshot:
                problem = snapshot.why_not_to_write()
                is_found = snapshot.clone_found()
                has_lost = bool(snapshot.lost_operations())
            if problem and problem != said:
                log.error("nothing is published: %s", problem)
            said = problem
            if has_lost and self._can_open_root():
                self._sign_again()
            if is_found and self._can_open_root() and self._wait_for_rest() and self._renew():
                said = ""

    def _can_open_root(self) -> bool:
        try:
            can_open = self._keys.can_open_root()
        except KeyFileError as exc:
            if str(exc) != self._key_problem:
                self._key_problem = str(exc)
                log.error("the root key kept here is of no use: %s", exc)
            return False
        self._key_problem = ""
        return can_open

    def _sign_again(self) -> None:
        try:
            count = self._devices.sign_again()
        except UnhushError as exc:
            log.error("operations on a table that lost to its twin are not signed again: %s", exc)
            return
        log.warning("a twin of our table stands: operations signed again on it=%d", count)

    def _wait_for_rest(self) -> bool:
        """Let what the other home wrote come in, so that nothing of ours that others hold is signed twice.

        False if the node ends meanwhile. Whoever gave the proof may be gone: then we go on with what there is.
        """
        seen, since = -1, time.monotonic()
        latest = since + LONGEST_REST_S
        while not self._is_stopping:
            with self._store.snapshot() as snapshot:
                is_traced, held = snapshot.clone_traced(), snapshot.count_own()
            if held != seen:
                seen, since = held, time.monotonic()
            if is_traced or time.monotonic() > min(since + REST_S, latest):
                return True
            time.sleep(LOOK_EVERY_S)
        return False

    def _renew(self) -> bool:
        """Whether this device has a new key now."""
        try:
            device, written = self._devices.renew()
        except UnhushError as exc:
            if str(exc) != self._failure:
                self._failure = str(exc)
                log.error("this device needs a new key and could not get one: %s", exc)
            return False
        log.warning("this home was an older copy: new device key=%s records signed again=%d", device.key, written)
        return True
