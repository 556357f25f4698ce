"""Every setting in one table, and the frozen value the studio runs with.

Later sources win: defaults, then `settings.toml` in the data folder, then
STUDIO_* environment variables, then flags.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.errors import StudioError, UserInputError
from studio.outside import NoSuchContent, exists, text_of, toml_of


@dataclass(frozen=True)
class Setting:
    """One setting: its name, what it is when nobody says, and what it does.

    Attributes:
        default: its type is the setting's type; a None default is a path chosen at start.
        minimum, maximum: inclusive bounds of a number.
    """

    name: str
    default: str | int | bool | None
    help: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"STUDIO_{self.name.upper()}"


SETTINGS: tuple[Setting, ...] = (
    Setting("data_dir", None, "Folder for the database and all media; default the user's data folder."),
    Setting("host", "127.0.0.1", "Address the window listens on; anything but this computer asks for a password."),
    Setting("port", 7860, "Port of the window.", 1, 65535),
    Setting("password", "", "Password of the window (user name: studio); required when `host` is not this computer."),
    Setting("max_upload_mb", 512, "Largest file the window takes, in MB.", 1, 65536),
    Setting("max_request_mb", 4096, "Most the window takes in one go, all files together, in MB.", 1, 65536),
    Setting("names", "", "Further names that the window answers to, such as `studio.example.org`, with commas."),
    Setting("frames", "", "Sites that may show the window in a frame, such as `https://huggingface.co`, with commas."),
    Setting("worker", True, "Start a worker process with the window; false where another one does the jobs."),
    Setting("sample", True, "Make the sample project at the first start."),
    Setting("offline", False, "Never go to the network; base models are not downloaded."),
    Setting("keys", "", "Folder with key.pem and chain.pem that sign what leaves; default made in the data folder."),
    Setting("ai_label", False, "Write the letters AI into a corner of every picture and clip that is made."),
    Setting("agents", False, "Offer the window's actions as tools for agents, too (MCP); needs the package mcp."),
    Setting("theme", "system", "Colors of the window.", choices=("system", "light", "dark")),
    Setting("log_level", "info", "How much is written to the log.", choices=("debug", "info", "warning", "error")),
)
SETTING: dict[str, Setting] = {s.name: s for s in SETTINGS}
IN_A_SPACE: Mapping[str, Any] = {"host": "0.0.0.0", "ai_label": True}
"""Defaults of a hosted Space: the hub's proxy is another machine, and what leaves is seen by the public."""
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """What the studio runs with; made by `load`."""

    data_dir: Path
    host: str
    port: int
    password: str = field(repr=False)
    max_upload_mb: int
    max_request_mb: int
    names: str
    frames: str
    worker: bool
    sample: bool
    offline: bool
    keys: str
    ai_label: bool
    agents: bool
    theme: Literal["system", "light", "dark"]
    log_level: str


def default_data_dir() -> Path:
    """Return the user's data folder of this operating system."""
    from platformdirs import user_data_path

    return user_data_path("likeness-studio", appauthor=False)


def _checked(setting: Setting, value: Any, source: str) -> Any:
    """Turn a text, or a value from a file, into the setting's type.

    Raises:
        UserInputError: the value has the wrong type or lies outside the range.
    """
    wrong = UserInputError(f"{source}: {setting.name} cannot be {value!r}.", setting.help)
    if isinstance(setting.default, bool):
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if str(value).lower() not in words:
            raise wrong
        return words[str(value).lower()]
    if isinstance(setting.default, int):
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise wrong from None
        if isinstance(value, bool) or not (setting.minimum or 0) <= number <= (setting.maximum or number):
            raise wrong
        return number
    if not isinstance(value, str | Path) or (setting.choices and str(value) not in setting.choices):
        raise wrong
    return str(value)


def load(flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that hold now.

    Args:
        flags: values from the command line; None values are not given.
        environment: where STUDIO_* variables are looked up.

    Raises:
        UserInputError: an unknown name in the file, or a value that cannot be used.
    """
    values: dict[str, Any] = {s.name: s.default for s in SETTINGS}
    if environment.get("SPACE_ID"):
        values |= IN_A_SPACE
    given: dict[str, Any] = {}
    for setting in SETTINGS:
        if environment.get(setting.variable):
            given[setting.name] = _checked(setting, environment[setting.variable], setting.variable)
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = _checked(SETTING[name], value, f"--{name.replace('_', '-')}")
    data_dir = Path(given.get("data_dir") or default_data_dir()).expanduser().absolute()
    values |= _from_file(data_dir / "settings.toml")
    values |= given
    values["data_dir"] = data_dir
    if values["host"] not in LOCAL_HOSTS and not values["password"]:
        raise UserInputError(
            f"The window would be open to the network at {values['host']} without a password.",
            "Set STUDIO_PASSWORD as well, or keep STUDIO_HOST at 127.0.0.1.",
        )
    return Settings(**values)


def _from_file(path: Path) -> dict[str, Any]:
    """Read settings.toml; an absent file holds no settings."""
    if not exists(path) or path.stat().st_size == 0:
        return {}
    try:
        table = toml_of(text_of(path))
    except StudioError as exc:
        raise UserInputError(exc.message, "Mend or delete the file in the data folder.") from exc
    except NoSuchContent as exc:
        raise UserInputError(
            f"{path.name} in the data folder cannot be read: {exc}.", "Mend or delete the file."
        ) from exc
    out = {}
    for name, value in table.items():
        if name not in SETTING or name == "data_dir":
            raise UserInputError(f"{path.name}: there is no setting named {name!r}.", f"Names: {', '.join(SETTING)}.")
        out[name] = _checked(SETTING[name], value, path.name)
    return out
