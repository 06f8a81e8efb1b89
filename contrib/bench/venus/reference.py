# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What libvirglrenderer takes by itself: ``python3 -m contrib.bench.venus.reference``, a process of its own, as the library wants one thread for life.

A line of standard input, in JSON, is a measurement's name and its arguments; what it took comes back.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.driver.closing import Closing

from .library import Library, map_file
from .measured import Runs
from .recording import Create
from .replay import QUEUE_RING

CONTEXT = 1


class LibraryHost:
    """The library, called as vgpud calls it."""

    def __init__(self) -> None:
        self._library = Library()
        self._blobs: set[int] = set()
        self._last = 0

    def begin(self) -> None:
        self._library.create_context(CONTEXT)

    def create(self, blob: Create) -> memoryview:
        self._library.create_blob(
            CONTEXT, blob.resource_id, blob.blob_mem, blob.blob_flags, blob.size, blob.blob_id
        )
        self._blobs.add(blob.resource_id)
        return map_file(*self._library.export(blob.resource_id), blob.size)

    def unref(self, resource_id: int) -> None:
        self._blobs.remove(resource_id)
        self._library.unref(CONTEXT, resource_id)

    def submit(self, stream: bytes) -> None:
        self._library.submit(CONTEXT, stream)

    def fence(self) -> None:
        self._last += 1
        self._library.submit(CONTEXT, b"")
        self._library.create_fence(CONTEXT, QUEUE_RING, self._last)

    def wait(self) -> None:
        passed, last = self._library.passed, self._last
        while passed[0] != last:
            pass

    def end(self) -> None:
        for resource_id in tuple(self._blobs):
            self.unref(resource_id)
        self._library.destroy_context(CONTEXT)


class Reference(Closing):
    """The process, from outside; ``command``: what starts it."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)

    def measure(self, name: str, *arguments: int) -> float:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps([name, *arguments])}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def main() -> None:
    runs = Runs(LibraryHost())
    for line in sys.stdin:
        print(runs.measure(*json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
