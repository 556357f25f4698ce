"""The tables of photos and of the embeddings found in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from studio.domain.face import DetectedFace, FaceEmbedding, PhotoQuality
from studio.domain.names import legible
from studio.domain.photo import Photo
from studio.domain.pose import HeadPose
from studio.errors import NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text


class Photos:
    """Photos of one owner."""

    def __init__(self, database: Database, media: Media, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._media = media

    def add(
        self,
        sha256: str,
        *,
        file_name: str,
        width: int,
        height: int,
        identity_id: str | None = None,
        project_id: str | None = None,
        face_index: int | None = None,
        face: DetectedFace | None = None,
    ) -> Photo:
        """Record a photo whose bytes are in the media store; the same photo of the same person is recorded once.

        Args:
            file_name: what the person called it; shown, never followed.

        Raises:
            ConflictError: the bytes or the person are not stored.
        """
        values = {
            "id": new_id(), "owner": self._owner, "sha256": sha256, "file_name": legible(file_name), "width": width,
            "height": height, "identity_id": identity_id, "project_id": project_id, "face_index": face_index,
            "face": None if face is None else to_json(face_to_json(face)),
            "landmarks": None if face is None else np.asarray(face.landmarks, "<f4").tobytes(),
            "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            row = self._database.row(
                "SELECT * FROM photos WHERE owner = ? AND sha256 = ? AND coalesce(identity_id, '') = ?"
                " AND coalesce(face_index, -1) = ?",
                [self._owner, sha256, identity_id or "", -1 if face_index is None else face_index],
            )
            if row is not None:
                return _photo(row)
            self._database.insert("photos", values)
        return self.get(str(values["id"]))

    def get(self, id: str) -> Photo:
        """Return one photo.

        Raises:
            NotFoundError: no such photo for this owner.
        """
        row = self._database.row("SELECT * FROM photos WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("photo", id, "`studio identity show`")
        return _photo(row)

    def list(self, *, identity_id: str | None = None, sha256: str | None = None) -> tuple[Photo, ...]:
        """Return photos, oldest first: of one person, of the same bytes, or all."""
        rows = self._database.rows(
            "SELECT * FROM photos WHERE owner = ? AND (? IS NULL OR identity_id = ?) AND (? IS NULL OR sha256 = ?)"
            " ORDER BY created, id",
            [self._owner, identity_id, identity_id, sha256, sha256],
        )
        return tuple(_photo(r) for r in rows)

    def delete(self, id: str) -> None:
        """Delete a photo with its embeddings; renders made from it stay.

        Raises:
            NotFoundError: no such photo for this owner.
        """
        with self._database.transaction():
            files = self._media.of_rows({"photos": [self.get(id).id]})
            self._database.execute("DELETE FROM photos WHERE owner = ? AND id = ?", [self._owner, id])
            self._media.discard_unused(files)
        self._media.finish_deletions()

    def put_embedding(self, photo_id: str, embedding: FaceEmbedding) -> None:
        """Keep the embedding of a photo's chosen face; one per embedder, the newest wins.

        Raises:
            NotFoundError: no such photo for this owner.
        """
        with self._database.transaction():
            self.get(photo_id)
            self._database.execute(
                "INSERT OR REPLACE INTO embeddings (owner, photo_id, embedder, vector, created) VALUES (?, ?, ?, ?, ?)",
                [
                    self._owner,
                    photo_id,
                    embedding.embedder,
                    np.asarray(embedding.vector, "<f4").tobytes(),
                    to_text(now()),
                ],
            )

    def embeddings(self, photo_id: str) -> tuple[FaceEmbedding, ...]:
        """Return all embeddings of a photo, by embedder."""
        rows = self._database.rows(
            "SELECT embedder, vector FROM embeddings WHERE owner = ? AND photo_id = ? ORDER BY embedder",
            [self._owner, photo_id],
        )
        return tuple(FaceEmbedding(r["embedder"], np.frombuffer(r["vector"], "<f4").astype(np.float32)) for r in rows)


def face_to_json(face: DetectedFace) -> dict[str, Any]:
    """Return a face as JSON values, without its landmarks."""
    quality = face.quality
    return {
        "box": [float(v) for v in face.box],
        "score": float(face.score),
        "head": [float(v) for v in (face.head.yaw_degrees, face.head.pitch_degrees, face.head.roll_degrees)],
        "likely": face.likely,
        "quality": {
            **{n: float(getattr(quality, n)) for n in ("sharpness", "size", "exposure", "frontal", "unoccluded")},
            "hints": list(quality.hints),
        },
    }


def face_from_json(text: str, landmarks: bytes) -> DetectedFace:
    """Read what `face_to_json` wrote, with the landmarks as 32-bit floats."""
    kept = to_mapping(text)
    quality = kept["quality"]
    return DetectedFace(
        box=tuple(kept["box"]),
        score=kept["score"],
        landmarks=np.frombuffer(landmarks, "<f4").reshape(-1, 3).astype(np.float32),  # (478, 3)
        head=HeadPose(*kept["head"]),
        quality=PhotoQuality(**(quality | {"hints": tuple(quality["hints"])})),
        likely=kept["likely"],
    )


def _photo(row: Row) -> Photo:
    return Photo(
        id=row["id"], owner=row["owner"], sha256=row["sha256"], file_name=row["file_name"], width=row["width"],
        height=row["height"], identity_id=row["identity_id"], project_id=row["project_id"],
        face_index=row["face_index"], created=to_moment(row["created"]),
        face=None if row["face"] is None else face_from_json(row["face"], row["landmarks"]),
    )  # fmt: skip
