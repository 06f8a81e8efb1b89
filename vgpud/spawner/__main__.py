# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m vgpud.spawner ORDERS REPORTS``: only the daemon starts it, with the numbers of two
descriptors.
"""

import sys

from vgpud.errors import EXIT_INTERNAL
from vgpud.without_asyncio import import_loguru
from vgpud.without_ldconfig import import_trio


def main(arguments: list[str]) -> int:
    """Returns the process's exit status."""
    if len(arguments) != 2 or not all(map(str.isdecimal, arguments)):
        sys.stderr.write("vgpud.spawner: only vgpud can start this program\n")
        return EXIT_INTERNAL
    import_loguru()
    import_trio()
    from vgpud.spawner.prepared import prepare
    from vgpud.spawner.spawner import serve

    prepare()
    return serve(*map(int, arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
