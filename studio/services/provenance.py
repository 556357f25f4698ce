"""Marks what leaves the studio, and says of any file what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from studio.domain.provenance import OWN_NAME, Credentials, Finding, SourceType, Statement, Verdict
from studio.domain.render import Render
from studio.errors import EngineError, NotFoundError, UnreadableMediaError
from studio.outside import exists, plain_file
from studio.services.marks import Marks, text_of
from studio.services.people.agreement import require_not_taken_back
from studio.services.recipes import FORMAT
from studio.store import OwnerStore

Value = TypeVar("Value")
_TYPES: Mapping[str, str] = {
    "trainedAlgorithmicMedia": "drawn by a trained model",
    "compositeWithTrainedAlgorithmicMedia": "made from recordings and by a trained model",
    "compositeSynthetic": "put together with synthetic parts",
    "algorithmicMedia": "made by an algorithm",
    "digitalCapture": "taken with a camera",
    "humanEdits": "edited by hand",
}
"""What IPTC's digital source types mean, in a few words."""

WORKED_OUT = frozenset({"curves", "speech"})
"""Roles among a clip's inputs that the studio itself found on the way; they are no ingredients."""

_HASHES = ("dataHash", "bmffHash", "boxesHash", "collectionHash")
_PROBLEMS: Mapping[str, str] = {
    **{f"assertion.{kind}.mismatch": "its content is another one" for kind in _HASHES},
    "assertion.hashedURI.mismatch": "what they say was changed",
    "claimSignature.mismatch": "the signature does not fit",
    "signingCredential.expired": "signed when the certificate did not hold",
}
"""What the specification's codes mean."""


class Provenance:
    """Signs for this installation and reads the signatures of all."""

    def __init__(self, store: OwnerStore, keys: Path, marks: Marks) -> None:
        """Remember where the signing key lies; it is made when something is signed for the first time."""
        self._store, self._keys, self.marks = store, keys, marks

    def hand_out(self, render: Render, out: Path) -> Path:
        """Write a render's file, signed, to `out`.

        Returns:
            Where its credentials are; see `sign`.

        Raises:
            NotFoundError: its file is gone, or it lies in the trash.
            ConsentMissingError: somebody in it took the consent back.
            EngineError, EngineUnavailableError, StoreError: as `sign`.
        """
        if render.deleted is not None:
            raise NotFoundError(
                f"{render.title or 'It'} lies in the trash and is not handed out.",
                "Bring it back in the Library first.",
            )
        inputs = {}
        for role, sha256 in render.inputs.items():
            if role in WORKED_OUT or role.endswith(" analysis"):
                continue
            try:
                inputs[role] = self._store.media.get(sha256)
            except NotFoundError:  # deleted since; the statement still names its hash
                continue
        shown = () if render.identity_id is None else (render.identity_id,)
        people = (*shown, *self._people_of(render.inputs))
        require_not_taken_back(self._store, people)
        path = self._store.media.get(render.media_sha256)
        return self.sign(
            path, out, kind=render.kind, recipe=render.recipe, inputs=inputs,
            people=people,
        )  # fmt: skip

    def sign(
        self,
        source: Path,
        out: Path,
        *,
        kind: str,
        recipe: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Path] | None = None,
        people: Sequence[str] = (),
    ) -> Path:
        """Write a finished file with its credentials.

        Args:
            source: the file; it stays as it is.
            out: where it goes; may be `source`.
            kind: "image", "clip" or "head".
            recipe: of the file; None reads the one that it carries.
            inputs: role -> file of what it was made from.
            people: ids of everybody in it, for the consents.

        Returns:
            Where the credentials are: `out`, or the file beside it where its format carries none.

        Raises:
            EngineError: the key cannot be used, or signing failed; nothing was written.
            EngineUnavailableError: the library is not installed.
            StoreError: disk full, read-only folder.
        """
        from studio.engines.media.credentials import sha256_of, sign_file
        from studio.engines.media.recipe import read_recipe, recipe_text
        from studio.engines.media.signing_key import signing_key, utc_now

        made = read_recipe(source) if recipe is None and kind in ("image", "clip") else recipe
        statement = Statement(
            source_type=_source_type(made or {}),
            kind=kind,
            content_sha256=sha256_of(source),
            recipe_sha256="" if not made else hashlib.sha256(recipe_text(made).encode()).hexdigest(),
            engines={str(k): str(v) for k, v in ((made or {}).get("engines") or {}).items()},
            inputs=_unnamed((made or {}).get("inputs") or {}),
            consents=self._consents(people),
        )
        return sign_file(source, out, statement, signing_key(self._keys, utc_now()), _unnamed(inputs or {}))

    @contextmanager
    def signing(
        self, out: Path, *, kind: str, inputs: Mapping[str, Path] | None = None, people: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Yield a hidden path to write a file to; when the block ends well it stands at `out`, signed.

        Raises:
            NotFoundError: the folder does not exist; and as `sign`.
        """
        from studio.engines.media.atomic import part_path

        part = part_path(out)
        try:
            yield part
            self.sign(part, out, kind=kind, inputs=inputs, people=people)
        finally:
            part.unlink(missing_ok=True)

    def verify(self, path: Path) -> Verdict:
        """Say what is known of a file, ours or another maker's, and which layer says so.

        Raises:
            NotFoundError: no such file.
            UnreadableMediaError: no plain file, or an empty one.
            EngineUnavailableError: the library is not installed.
        """
        from studio.engines.media.credentials import read_credentials, sha256_of

        found = plain_file(path)
        credentials, damaged = None, ""
        try:
            credentials = read_credentials(found, self._anchor())
        except UnreadableMediaError as exc:
            damaged = exc.message
        carried = _carried(found)
        changed = credentials is not None and credentials.standing == "changed"
        whole = self._known(sha256_of(found))
        # what others have signed may name any content
        signed = self._known(credentials.content_sha256) if credentials and self._is_own(credentials) else None
        numbers, unread = [], ""
        try:
            numbers = [text_of(mark.number) for mark in self.marks.read(found, self._store.renders.marks())]
        except EngineError as exc:  # a damaged key hides no other layer
            unread = exc.message
        # of a picture made from a marked one the marks of both are there: the last that was made is the file's own
        marked = max(
            (r for n in numbers for r in self._store.renders.of_mark(n)), key=lambda r: r.created, default=None
        )
        render = whole or signed or marked
        synthetic: bool | None = None
        if carried or numbers or render is not None:
            synthetic = True
        elif credentials is not None and not changed:
            synthetic = credentials.is_synthetic or None
        known = "No render of this studio has this content."
        if render is not None:
            known = f"“{render.title or render.kind}”, made here on {render.created:%Y-%m-%d}, "
            another = changed or (whole is None and signed is None)
            known = f"It comes of {known}and was changed since." if another else f"It is {known.rstrip(', ')}."
        made = (
            f"It carries a recipe of Likeness Studio {carried.get('studio', '')}."
            if carried
            else ("It carries no recipe of this program.")
        )
        told = damaged or (_said_of(credentials) if credentials else "It carries no signed credentials.")
        return Verdict(
            is_synthetic=synthetic,
            findings=(
                Finding(layer="credentials", found=credentials is not None, says=told),
                Finding(layer="recipe", found=bool(carried), says=made),
                Finding(layer="mark", found=bool(numbers), says=unread or _said_of_marks(numbers)),
                Finding(layer="store", found=render is not None, says=known),
            ),
            credentials=credentials,
            render_id="" if render is None else render.id,
        )

    # -- parts -----------------------------------------------------------------------

    def _anchor(self) -> str | None:
        """Return the certificate that vouches for this installation; None before anything was signed."""
        from studio.engines.media.signing_key import CHAIN, last_certificate

        chain = self._keys / CHAIN
        return last_certificate(chain.read_text("ascii", "replace")) if exists(chain) else None

    def _is_own(self, credentials: Credentials) -> bool:
        """Say whether this installation signed; of what was changed since, its name alone tells."""
        return credentials.standing == "ours" or (credentials.standing == "changed" and credentials.signer == OWN_NAME)

    def _known(self, sha256: str) -> Render | None:
        return next(iter(self._store.renders.of_media(sha256)), None) if sha256 else None

    def _people_of(self, inputs: Mapping[str, str]) -> tuple[str, ...]:
        """Return everybody whom the inputs of a render hold: in adapters, and in the photos of a dialogue."""
        hashes = {sha256 for role, sha256 in inputs.items() if role.startswith("adapter:")}
        adapters = [a for a in self._store.adapters.list() if a.media_sha256 in hashes] if hashes else []
        shown = [sha for role, sha in inputs.items() if role == "picture" or role.startswith("portrait ")]
        photos = [photo for sha256 in dict.fromkeys(shown) for photo in self._store.photos.list(sha256=sha256)]
        return (
            *(p for a in adapters for p in self._store.adapters.people(a.id)),
            *(photo.identity_id for photo in photos if photo.identity_id is not None),
        )

    def _consents(self, people: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for id in dict.fromkeys(people):
            try:
                found |= {c.id: None for c in self._store.identities.get(id).consents if c.revoked_at is None}
            except NotFoundError:  # forgotten since
                continue
        return tuple(found)


def _unnamed(inputs: Mapping[str, Value]) -> dict[str, Value]:
    """Return inputs under roles without the words a person chose: an adapter's name, a layer's, may be somebody's."""
    out: dict[str, Value] = {}
    for role, value in inputs.items():
        first, _, rest = role.partition(":")[0].partition(" ")
        word = f"{first} {rest.rpartition(' ')[2]}".strip()
        names = (word, *(f"{word} {n}" for n in range(2, len(inputs) + 2)))
        out[next(name for name in names if name not in out)] = value
    return out


def _source_type(recipe: Mapping[str, Any]) -> SourceType:
    """Return how pixels came to be: from words and adapters alone, or from a recording of somebody too."""
    roles = [r for r in (recipe.get("inputs") or {}) if not r.startswith("adapter:")]
    return "generated" if "base" in recipe and not roles else "composite"


def _carried(path: Path) -> dict[str, Any]:
    """Return the recipe of ours that a file carries; empty for none, or one that is damaged."""
    from studio.engines.media.recipe import read_recipe

    try:
        recipe = read_recipe(path) or {}
    except UnreadableMediaError:
        return {}
    return recipe if recipe.get("format") == FORMAT else {}


def _said_of_marks(numbers: Sequence[str]) -> str:
    if not numbers:
        return "No mark of this studio is read in it."
    which = f"the invisible mark {numbers[0]}" if len(numbers) == 1 else f"the invisible marks {', '.join(numbers)}"
    return f"It carries {which} of this studio."


def _said_of(credentials: Credentials) -> str:
    by = credentials.signer or "an unknown signer"
    where = " in the file beside it" if credentials.beside else ""
    if credentials.standing == "changed":
        why = ", ".join(dict.fromkeys(_PROBLEMS.get(p, p) for p in credentials.problems[:2]))
        return (
            f"Credentials of {by}{where} are no longer true of it ({why})."
            if why
            else (f"Credentials of {by}{where} are no longer true of it.")
        )
    kinds = ", ".join(_TYPES.get(t, t) for t in credentials.source_types) or "without a word on how it was made"
    if credentials.standing == "ours":
        signed = f"Signed by this studio{where}"
    else:
        written = f", written by {credentials.generator}" if credentials.generator else ""
        signed = f"Signed by {by}{where}{written}; this studio cannot vouch for them"
    sources = f" ({', '.join(credentials.ingredients)})" if credentials.ingredients else ""
    return f"{signed}: {kinds}{sources}."
