"""What people agreed to, asked before something is done with a picture of them or handed out.

A picture is somebody's however it comes: as a photo that is named, as the same bytes from the disk, as a render.
Whoever has no consent on record is not asked; once there is one, it is the law.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from studio.domain import consent as consents
from studio.domain.consent import Scope
from studio.domain.identity import Identity
from studio.domain.photo import Photo
from studio.errors import ConsentMissingError

if TYPE_CHECKING:
    from studio.store import OwnerStore


def require_agreement(person: Identity, scope: Scope) -> None:
    """Refuse an action unless one of a person's recorded consents covers it now.

    Raises:
        ConsentMissingError: none does.
    """
    consents.require(person.consents, scope, datetime.now(UTC), person.name)


def require_of_photo(store: OwnerStore, photo: Photo | None, scope: Scope) -> None:
    """Refuse an action that the recorded consents of a photo's person do not cover.

    Args:
        photo: None, or one of nobody, asks for nothing.

    Raises:
        ConsentMissingError: there are consents, but none for this scope now.
    """
    if photo is None or photo.identity_id is None:
        return
    person = store.identities.get(photo.identity_id)
    if person.consents:
        require_agreement(person, scope)


def require_of_media(store: OwnerStore, sha256: str, face_index: int | None, scope: Scope) -> None:
    """Refuse an action on bytes that somebody's photo or a render of somebody has.

    Where several people have the same face of the same picture, one who agreed is enough, and so is one without any
    consent on record: whose it is nobody can tell.

    Args:
        face_index: the face that is meant; None asks for each face that is known by itself.

    Raises:
        ConsentMissingError: all whose it is have consents, and none for this scope now.
    """
    photos = store.photos.list(sha256=sha256)
    meant: set[int | None] = {p.face_index for p in photos} - {None} if face_index is None else {face_index}
    for face in meant or {None}:
        _require_any(store, [p.identity_id for p in photos if face is None or p.face_index in (None, face)], scope)
    _require_any(store, [render.identity_id for render in store.renders.of_media(sha256)], scope)


def require_not_taken_back(store: OwnerStore, people: Sequence[str]) -> None:
    """Refuse to hand out what shows somebody whose consent was taken back.

    Args:
        people: ids.

    Raises:
        ConsentMissingError: naming the person.
    """
    now = datetime.now(UTC)
    for id in people:
        person = store.identities.get(id)
        if consents.standing(person.consents, now) == "taken back":
            raise ConsentMissingError(
                f"{person.name} took the consent back: what was made of this person leaves no more.",
                "Record a new consent with `studio identity consent`, or erase it.",
                window="Record a new consent on the Identities tab, or erase what was made there.",
            )


def _require_any(store: OwnerStore, ids: Sequence[str | None], scope: Scope) -> None:
    people = [store.identities.get(id) for id in dict.fromkeys(ids) if id is not None]
    now = datetime.now(UTC)
    if people and all(person.consents and not person.allows(scope, now) for person in people):
        require_agreement(people[0], scope)
