"""Long work has two names, whatever the service: `x` here and now, `submit_x` into the queue."""

from __future__ import annotations

import inspect

import pytest

from studio.studio import OwnerServices


def submitting(owner: OwnerServices) -> dict[str, tuple[object, str]]:
    """Return every method that puts work into the queue, as "service.method" -> (service, method)."""
    return {
        f"{name}.{method}": (service, method)
        for name, service in vars(owner).items()
        for method in dir(service)
        if method.startswith("submit_")
    }


def test_whatever_is_submitted_can_be_done_here_and_now_too(studio) -> None:
    found = submitting(studio)
    assert len(found) >= 10
    for name, (service, method) in found.items():
        assert callable(getattr(service, method.removeprefix("submit_"), None)), name


def test_submitting_returns_the_job(studio) -> None:
    for name, (service, method) in submitting(studio).items():
        function = inspect.unwrap(getattr(service, method))
        assert function.__annotations__["return"] == "Job", name


@pytest.mark.parametrize("name", ["submit", "run_now"])
def test_no_service_has_a_third_name(studio, name) -> None:
    for service in vars(studio).values():
        public = [m for m in dir(service) if not m.startswith("_") and callable(getattr(service, m))]
        assert name not in public
        assert not [m for m in public if m.endswith("_now")]
