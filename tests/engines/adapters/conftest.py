"""A random base with a random adapter, made once; it wears nothing after each test."""

from __future__ import annotations

import pytest

from studio.engines.diffusion.adapters.files import unload_adapters
from tests.engines.adapter_cases import Case, make_case


@pytest.fixture(scope="session", params=["sd15", "sdxl"])
def case(request, tmp_path_factory) -> Case:
    return make_case(tmp_path_factory.mktemp("adapters"), request.param)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Case:
    """The quicker family, for what does not depend on it."""
    return make_case(tmp_path_factory.mktemp("small"), "sd15")


@pytest.fixture(autouse=True)
def _bare_afterwards(request):
    yield
    for name in ("case", "small"):
        if name in request.fixturenames:
            unload_adapters(request.getfixturevalue(name).loaded)
