"""Everything the studio holds of a person and has made of them, as a file that can be handed to that person."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.domain.days import minute_of
from studio.errors import UserInputError
from studio.services.people.identities import person_named
from studio.store import OwnerStore

REPORT_SUFFIXES = (".html", ".json")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c1c1a}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd}"
    "td{overflow-wrap:anywhere}"
)


@dataclass(frozen=True)
class Section:
    """One table of a report: a title, the names of its columns, and rows of words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PersonReport:
    """What is held of a person at a moment; times are UTC.

    Attributes:
        sections: agreements, photos, trainings, adapters, their copies that left, pictures and clips; those in
            the trash are among them.
    """

    identity_id: str
    name: str
    notes: str
    added: datetime
    written: datetime
    sections: tuple[Section, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, each row by the names of its columns."""
        tables = {s.title: [dict(zip(s.columns, row, strict=True)) for row in s.rows] for s in self.sections}
        head = {k: v for k, v in asdict(self).items() if k != "sections"}
        return {**head, "added": self.added.isoformat(), "written": self.written.isoformat(), **tables}

    def as_html(self) -> str:
        """Return it as one page without pictures, scripts or anything from elsewhere."""
        parts = [
            f"<h1>{html.escape(self.name)}</h1>",
            f"<p>What is held and was made of this person, as of {minute_of(self.written)}. "
            f"Added {minute_of(self.added)}. {html.escape(self.notes)}</p>",
        ]
        for section in self.sections:
            parts.append(f"<h2>{html.escape(section.title)} ({len(section.rows)})</h2>")
            if section.rows:
                parts.append(_table(section))
        body = "\n".join(parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.name)}</title>'
            f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
        )


class Reports:
    """Writes reports of one owner's people."""

    def __init__(self, store: OwnerStore) -> None:
        self._store = store

    def of(self, identity: str) -> PersonReport:
        """Gather what is held of a person.

        Args:
            identity: an id, or a name that one person has.

        Raises:
            NotFoundError: no such person.
        """
        store = self._store
        person = person_named(store, identity)
        adapters = [a for a in store.adapters.list() if person.id in store.adapters.people(a.id)]
        agreements = tuple(
            (
                c.agreed_by, ", ".join(c.scopes), minute_of(c.granted_at), minute_of(c.until) if c.until else "no end",
                c.evidence, minute_of(c.revoked_at) if c.revoked_at else "", c.id,
            )
            for c in person.consents
        )  # fmt: skip
        photos = tuple(
            (p.file_name, f"{p.width}x{p.height}", minute_of(p.created), p.sha256)
            for p in store.photos.list(identity_id=person.id)
        )
        runs = tuple(
            (r.name, minute_of(r.created), str(len(r.photos)), r.outcome or "unfinished", r.id)
            for r in store.runs.list(identity_id=person.id)
        )
        learned = tuple((a.name, a.base_name, minute_of(a.created), a.media_sha256, a.id) for a in adapters)
        left = tuple(
            (a.name, e.format, e.path, minute_of(e.created)) for a in adapters for e in store.adapters.exports(a.id)
        )
        made = tuple(
            (
                r.title or r.kind, r.kind, minute_of(r.created), f"{r.engine} {r.engine_version}",
                "in the trash" if r.deleted else "", r.media_sha256, r.id,
            )
            for r in map(store.renders.get, store.identities.renders(person.id))
        )  # fmt: skip
        played = tuple(
            (k.name, f"{k.document.duration_seconds:.1f} s", minute_of(k.created), minute_of(k.changed), k.id)
            for k in store.performances.list()
            if k.identity_id == person.id
        )
        return PersonReport(
            person.id, person.name, person.notes, person.created, datetime.now(UTC),
            (
                Section("Agreements", ("agreed by", "to", "from", "until", "evidence", "taken back", "id"), agreements),
                Section("Photos", ("file", "pixels", "added", "sha256"), photos),
                Section("Trainings", ("name", "begun", "photos", "outcome", "id"), runs),
                Section("Adapters", ("name", "base", "made", "sha256", "id"), learned),
                Section("Adapters written to files", ("name", "format", "file", "when"), left),
                Section("Pictures and clips", ("title", "kind", "made", "engine", "state", "sha256", "id"), made),
                Section("Performances", ("name", "length", "made", "changed", "id"), played),
            ),
        )  # fmt: skip

    def write(self, identity: str, out: Path) -> PersonReport:
        """Write a person's report as a web page (.html) or as JSON.

        Raises:
            NotFoundError: no such person, or no such folder.
            UserInputError: another ending.
            StoreError: disk full or read-only.
        """
        from studio.engines.media.atomic import atomic_file

        if out.suffix.lower() not in REPORT_SUFFIXES:
            raise UserInputError(
                f"{out.name} ends in no format of reports.", f"End the name in {' or '.join(REPORT_SUFFIXES)}."
            )
        report = self.of(identity)
        as_page = out.suffix.lower() == ".html"
        text = report.as_html() if as_page else json.dumps(report.as_json(), indent=1, ensure_ascii=False)
        with atomic_file(out) as part:
            part.write_text(text, encoding="utf-8")
        return report


def _table(section: Section) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = "".join(row(r, "td") for r in section.rows)
    return f"<table><thead>{row(section.columns, 'th')}</thead><tbody>{rows}</tbody></table>"
