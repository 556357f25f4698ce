"""What holds for every test: neither what hypothesis draws nor a database that others hold may fail for slowness."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from studio.store import database
from tests.patience import PATIENCE_SECONDS

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def patient_database() -> Iterator[None]:
    """Wait longer for the lock of a database than a person would: writers that take turns can starve on a busy disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "BUSY_SECONDS", PATIENCE_SECONDS)
        yield
