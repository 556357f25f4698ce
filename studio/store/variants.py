"""The table of variants: pictures that the rig drew of a person's photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from studio.domain.variants import Variant, VariantRecipe
from studio.errors import NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text


class Variants:
    """Variants of one owner."""

    def __init__(self, database: Database, media: Media, owner: str) -> None:
        self._database = database
        self._media = media
        self._owner = owner

    def add(
        self,
        photo_id: str,
        number: int,
        seed: int,
        recipe: VariantRecipe,
        traits: Mapping[str, str],
        *,
        media_sha256: str,
        mask_sha256: str,
        engine: str,
    ) -> None:
        """Keep a drawn variant; one of the same photo and number is replaced.

        Raises:
            ConflictError: the photo or the bytes are not stored.
        """
        with self._database.transaction():
            old = [v.id for v in self._where("v.photo_id = ? AND v.number = ?", [photo_id, number])]
            self._delete(old)
            self._database.insert(
                "variants",
                {"id": new_id(), "owner": self._owner, "photo_id": photo_id, "number": number, "seed": seed,
                 "recipe": to_json(recipe.as_json()), "traits": to_json(dict(traits)), "media_sha256": media_sha256,
                 "mask_sha256": mask_sha256, "engine": engine, "created": to_text(now())},
            )  # fmt: skip
        self._media.finish_deletions()

    def list(self, identity_id: str) -> tuple[Variant, ...]:
        """Return the variants of a person's photos, photo after photo, in the order of their numbers."""
        return self._where("p.identity_id = ?", [identity_id])

    def get(self, id: str) -> Variant:
        """Return one variant.

        Raises:
            NotFoundError: no such variant for this owner.
        """
        found = self._where("v.id = ?", [id])
        if not found:
            raise NotFoundError.row("variant", id, "`studio identity variants --list`")
        return found[0]

    def set_kept(self, ids: Iterable[str], kept: bool) -> None:
        """Let training use variants or not."""
        with self._database.transaction():
            for id in ids:
                self._database.execute(
                    "UPDATE variants SET kept = ? WHERE owner = ? AND id = ?", [int(kept), self._owner, id]
                )

    def delete(self, ids: Iterable[str]) -> None:
        """Delete variants with their pictures."""
        with self._database.transaction():
            self._delete([*ids])
        self._media.finish_deletions()

    def _delete(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        files = self._media.of_rows({"variants": ids})
        for id in ids:
            self._database.execute("DELETE FROM variants WHERE owner = ? AND id = ?", [self._owner, id])
        self._media.discard_unused(files)

    def _where(self, condition: str, values: Sequence[object]) -> tuple[Variant, ...]:
        rows = self._database.rows(
            f"SELECT v.* FROM variants v JOIN photos p ON p.id = v.photo_id WHERE v.owner = ? AND {condition}"
            " ORDER BY p.created, p.id, v.number",
            [self._owner, *values],
        )
        return tuple(_variant(row) for row in rows)


def _variant(row: Row) -> Variant:
    return Variant(
        id=row["id"], photo_id=row["photo_id"], number=row["number"], seed=row["seed"],
        recipe=VariantRecipe.from_json(to_mapping(row["recipe"])), traits=to_mapping(row["traits"]),
        media_sha256=row["media_sha256"], mask_sha256=row["mask_sha256"], kept=bool(row["kept"]), engine=row["engine"],
        created=to_moment(row["created"]),
    )  # fmt: skip
