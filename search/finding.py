"""One thing the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "absent", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        topic: group, such as ``packages``.
        name: what was looked at.
        status: ``ok``; ``absent``: optional and not there; ``wrong``: must be mended.
        detail: what was found.
        fix: command or step that mends it; empty if nothing is to be done.
    """

    topic: str
    name: str
    status: Status
    detail: str
    fix: str = ""
