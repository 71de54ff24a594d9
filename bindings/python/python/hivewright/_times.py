"""Times of the registry: counted from 1601."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1601, 1, 1, tzinfo=timezone.utc)


def after(seconds: int, microseconds: int) -> datetime:
    """The moment so long after the beginning of 1601. Raises OverflowError for one beyond the year 9999."""
    return _EPOCH + timedelta(0, seconds, microseconds)
