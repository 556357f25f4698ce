"""The languages of speech that a person can choose from: those the engine has tables of."""

from __future__ import annotations

from studio.engines.voice.languages import ANY, load_languages


def spoken_languages() -> list[tuple[str, str]]:
    """Return title and code of every language: English first, any other one last."""
    found = sorted(load_languages().values(), key=lambda one: (one.code == ANY, one.code != "en", one.title))
    return [(one.title, one.code) for one in found]
