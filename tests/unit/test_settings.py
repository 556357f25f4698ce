"""Settings: one table, four sources in order, and clear refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from studio.errors import UserInputError
from studio.settings import SETTINGS, Settings, load


def test_the_table_and_the_value_name_the_same_settings() -> None:
    assert [s.name for s in SETTINGS] == [f.name for f in fields(Settings)]
    assert all(s.help.endswith(".") for s in SETTINGS)


def test_later_sources_win(tmp_path: Path) -> None:
    environment = {"STUDIO_DATA_DIR": str(tmp_path)}
    assert load(environment=environment).port == 7860
    (tmp_path / "settings.toml").write_text("port = 8001\ntheme = 'dark'\n")
    assert load(environment=environment).port == 8001
    environment["STUDIO_PORT"] = "8002"
    assert load(environment=environment).port == 8002
    found = load({"port": 8003, "host": None}, environment)
    assert (found.port, found.theme, found.host) == (8003, "dark", "127.0.0.1")


def test_the_data_folder_of_a_flag_wins_and_its_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("sample = false\n")
    found = load({"data_dir": tmp_path}, {"STUDIO_DATA_DIR": "elsewhere"})
    assert found.data_dir == tmp_path
    assert found.sample is False


def test_the_default_folder_is_the_users() -> None:
    found = load(environment={})
    assert found.data_dir.is_absolute()
    assert found.data_dir.name == "likeness-studio"


@pytest.mark.parametrize(
    "environment",
    [
        {"STUDIO_PORT": "none"},
        {"STUDIO_PORT": "0"},
        {"STUDIO_PORT": "70000"},
        {"STUDIO_WORKER": "maybe"},
        {"STUDIO_THEME": "pink"},
        {"STUDIO_HOST": "0.0.0.0"},
    ],
)
def test_values_that_cannot_be_used(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserInputError) as found:
        load(environment={"STUDIO_DATA_DIR": str(tmp_path), **environment})
    assert found.value.hint


@pytest.mark.parametrize("text", ["colour = 'red'", "port = ", "data_dir = 'x'", "port = true"])
def test_a_file_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(UserInputError, match=r"settings\.toml"):
        load(environment={"STUDIO_DATA_DIR": str(tmp_path)})


def test_the_network_asks_for_a_password(tmp_path: Path) -> None:
    found = load(
        environment={"STUDIO_DATA_DIR": str(tmp_path), "STUDIO_HOST": "0.0.0.0", "STUDIO_PASSWORD": "open sesame"}
    )
    assert found.host == "0.0.0.0"
    assert found.password == "open sesame"
    assert "sesame" not in repr(found)
