"""Every table in one place, for migrations: importing this module fills `Base.metadata`."""

from __future__ import annotations

from contact_hub.audit import models as audit
from contact_hub.citizens import models as citizens
from contact_hub.citizens import sealed, silence
from contact_hub.database import Base
from contact_hub.events import models as events
from contact_hub.flags import models as flags
from contact_hub.handoff import models as handoff
from contact_hub.identity import models as identity
from contact_hub.knowledge import models as knowledge
from contact_hub.operations import queue
from contact_hub.outbox import models as outbox
from contact_hub.privacy import models as privacy
from contact_hub.privacy import records
from contact_hub.ratings import models as ratings
from contact_hub.reports import models as reports
from contact_hub.search import models as search
from contact_hub.staff import models as staff
from contact_hub.timeline import models as timeline

__all__ = [
    "Base",
    "audit",
    "citizens",
    "events",
    "flags",
    "handoff",
    "identity",
    "knowledge",
    "outbox",
    "privacy",
    "queue",
    "ratings",
    "records",
    "reports",
    "sealed",
    "search",
    "silence",
    "staff",
    "timeline",
]
