# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m vgpud``, and what the installed ``vgpud`` runs."""

import sys

from vgpud.cli.senders import flag_value, name_senders


def main() -> None:
    if descriptor := flag_value(sys.argv[1:], "--fd"):
        name_senders(descriptor)
    from vgpud.cli.capabilities import PRINT_CAPABILITIES, print_capabilities
    from vgpud.cli.environment import forget_secrets

    # Before anything else is imported: a management program asks this of each backend that it
    # finds, and everything else on the command line must be ignored.
    if PRINT_CAPABILITIES in sys.argv[1:]:
        print_capabilities()
        sys.exit(0)
    forget_secrets()
    from vgpud.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
