"""A real worker of the fleet whose analysis takes no time: what is left is the fleet's own cost."""

from __future__ import annotations

import sys

from shared import queues
from shared.queues import Role
from shared.settings import get_settings

for _role in ("audio", "video"):  # the parent and its pool children both come through here
    queues._TASK_MODULES[_role] = "benching.instant_tasks"  # noqa: SLF001  # no other way in


def main(role: Role) -> int:
    """Run the worker until SIGTERM."""
    from shared.telemetry import configure_logging  # noqa: PLC0415  # of the parent alone
    from workers import fleet  # noqa: PLC0415  # the same

    configure_logging("json", "warning")
    return fleet.run(get_settings(), role)


if __name__ == "__main__":
    sys.exit(main("audio" if sys.argv[1] == "audio" else "video"))
