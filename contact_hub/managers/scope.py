"""Of whose matters a viewer sees figures and reviews: a supervisor of their departments, a manager of all."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, false, func, true

from contact_hub.staff.access import UNASSIGNED, Viewer
from contact_hub.staff.models import Role


def departments_of(viewer: Viewer) -> list[str] | None:
    """The departments a viewer sees, `UNASSIGNED` among them for what has none; None for all of them."""
    if viewer.kind == "system" or viewer.role is Role.MANAGER:
        return None
    return sorted(viewer.departments) if viewer.role is Role.SUPERVISOR else []


def of_theirs(viewer: Viewer, department: Any) -> ColumnElement[bool]:
    """A condition on a column of departments' keys."""
    theirs = departments_of(viewer)
    if theirs is None:
        return true()
    return func.coalesce(department, UNASSIGNED).in_(theirs) if theirs else false()
