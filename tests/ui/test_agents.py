"""Agents find the actions as tools, programs find a script that works, and nobody gets past the password."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from studio.ui.api.actions import NAMES
from studio.ui.build import MANUAL
from tests.ui.conftest import ROOT, fetch, serving


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("agents"), STUDIO_AGENTS="yes") as running:
        yield running


@asynccontextmanager
async def session(url: str):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as opened,
    ):
        await opened.initialize()
        yield opened


def answered(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a call in a thread of its own: where a browser is open, this one has a loop that runs already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, call).result()


def ask(url: str, name: str, **arguments):
    """Call a tool; return whether it failed and what it said."""

    async def go():
        async with session(url) as agent:
            answer = await agent.call_tool(name, arguments)
            return answer.isError, "".join(part.text for part in answer.content)

    return answered(go())


def test_every_action_is_a_tool_that_says_what_it_does(studio, chromium) -> None:
    async def go():
        async with session(studio.url) as agent:
            return (await agent.list_tools()).tools

    tools = {tool.name: tool for tool in answered(go())}
    assert set(tools) == set(NAMES)
    assert all(tool.description for tool in tools.values())
    described = tools["edit_expression"].inputSchema["properties"]
    assert described["portrait"]["type"] == "object"
    assert described["neutralise"]["type"] == "boolean"


def test_a_tool_answers_and_refuses_in_words(studio) -> None:
    failed, said = ask(studio.url, "list_identities")
    assert not failed
    assert said in ("[]", "")
    failed, said = ask(studio.url, "show_render", render_id="nothing")
    assert failed
    assert "no render 'nothing'" in said
    failed, said = ask(studio.url, "open_portrait", portrait={"file": {"path": str(ROOT / "README.md")}})
    assert failed
    assert "not uploaded" in said
    assert "Traceback" not in said


def test_the_script_of_the_manual_makes_a_clip(studio, portrait, speech, tmp_path) -> None:
    status, told = fetch(f"{studio.url}agents.md")
    assert status == 200
    assert told.decode() == MANUAL.read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", told.decode(), re.S)
    assert len(script.splitlines()) <= 30
    (tmp_path / "clip.py").write_text(script, "utf-8")
    done = subprocess.run(
        [sys.executable, "clip.py", str(portrait), str(speech), "clip.mp4"],
        cwd=tmp_path, env={**os.environ, "STUDIO_URL": studio.url}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    failed, said = ask(studio.url, "library")
    assert not failed
    assert ast.literal_eval(said)["total"] == 1


def test_tools_are_off_unless_asked_for(server) -> None:
    assert fetch(f"{server.url}gradio_api/mcp/")[0] == 404


def test_a_password_closes_the_tools_too(tmp_path) -> None:
    with serving(tmp_path, STUDIO_AGENTS="yes", STUDIO_PASSWORD="open sesame") as locked:
        assert fetch(f"{locked.url}gradio_api/mcp/")[0] == 401
        assert fetch(f"{locked.url}agents.md")[0] == 401


def test_without_the_library_it_says_what_to_install(monkeypatch, tmp_path) -> None:
    from types import SimpleNamespace

    from studio.errors import EngineUnavailableError
    from studio.ui import build

    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailableError, match="library mcp"):
        build.launch(SimpleNamespace(), tmp_path, agents=True)
