"""Confirming an intake: photos of people are made out of what its review keeps.

All of it is one transaction. The photos' bytes are in the media store since they
were dropped, so only rows are written: a crash leaves everything, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.domain.curation import Analysis, Intake, Review
from studio.domain.identity import Identity
from studio.domain.names import as_read, person_name
from studio.errors import ConflictError, UserInputError

if TYPE_CHECKING:
    from studio.store import OwnerStore


@dataclass(frozen=True)
class Confirmation:
    """What confirming an intake did; `sentence` says it in words."""

    people: tuple[Identity, ...]
    photos: int
    left_out: int
    unsure: int

    @property
    def sentence(self) -> str:
        """Return one or two sentences."""
        names = " and ".join(p.name for p in self.people)
        said = f"{self.photos} photo{'s' if self.photos != 1 else ''} of {names} taken over; {self.left_out} left out."
        return said + (f" {self.unsure} unsure ones are still in the heap." if self.unsure else "")


def take_over(store: OwnerStore, intake: Intake, found: Review, name: str) -> Confirmation:
    """Make photos of people out of what is kept; call it in the transaction in which the intake was read.

    Args:
        found: the review of the intake.
        name: for the one proposed person where nobody was named yet.

    Raises:
        UserInputError: nobody is named, or nothing is kept.
        ConflictError: photos still wait to be analysed.
    """
    if intake.waiting:
        raise ConflictError(f"{intake.waiting} photos were not looked at yet.", "Wait until the job is done.")
    names = {c.key: c.name or name for c in found.clusters if c.wanted}
    if not names and intake.identity_id is not None:
        names = {k: "" for v in found.verdicts if v.state == "keep" for k in v.faces}
    kept = [v for v in found.verdicts if v.state == "keep" and v.faces]
    if not kept:
        raise UserInputError("No photo is kept.", "Keep at least one, or drop other photos.")
    if intake.identity_id is None and any(not as_read(n) for n in names.values()):
        raise UserInputError("The person has no name yet.", "Write a name first.")
    known = {c.key for c in found.clusters if c.is_known}
    people, created = _people(store, intake, names, known)
    by_id = {p.id: p for p in intake.photos}
    photos: list[str] = []
    for key, person in people.items():
        for verdict in kept:
            if key in verdict.faces:
                photo = by_id[verdict.photo_id]
                photos += _take_photo(store, photo.analysis, photo.file_name, person, verdict.faces[key])
    store.curation.confirm(
        intake.id, f"Take over {len(kept)} photos", photos=photos, identities=created,
        people={key: person.id for key, person in people.items() if key},
        names={key: person.name for key, person in people.items()},
    )  # fmt: skip
    unique = dict.fromkeys(person.id for person in people.values())
    return Confirmation(
        tuple(store.identities.get(id) for id in unique), len(kept), found.count("drop"), found.count("unsure")
    )


def _people(
    store: OwnerStore, intake: Intake, names: Mapping[str, str], known: set[str]
) -> tuple[dict[str, Identity], list[str]]:
    """Return cluster key -> person, made where there is none of that name, and the ids of those made now."""
    people: dict[str, Identity] = {}
    created: list[str] = []
    for key, name in names.items():
        if intake.identity_id is not None and (key in known or not name):
            people[key] = store.identities.get(intake.identity_id)
            continue
        person = store.identities.find(name)
        if person is None:
            person = store.identities.add(person_name(name))
            created.append(person.id)
        people[key] = person
    return people, created


def _take_photo(
    store: OwnerStore, analysis: Analysis | None, file_name: str, person: Identity, face_key: str
) -> list[str]:
    """Record one photo of a person; return its id, or nothing when the person had it already."""
    assert analysis is not None  # only analysed photos are kept
    found = next(f for f in analysis.faces if f.key == face_key)
    held = store.photos.list(identity_id=person.id, sha256=analysis.sha256)
    if any(p.face_index == found.index for p in held):
        return []
    photo = store.photos.add(
        analysis.sha256, file_name=file_name, width=analysis.width, height=analysis.height,
        identity_id=person.id, project_id=person.project_id, face_index=found.index, face=found.face,
    )  # fmt: skip
    if found.embedding is not None:
        store.photos.put_embedding(photo.id, found.embedding)
    return [photo.id]
