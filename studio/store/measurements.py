"""The tables of what was measured in pictures: analyses, faces, and small pictures for lists.

Measurements belong to bytes and not to a person: they are no changes that could
be taken back, go when the bytes go, and are made again where they are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from studio.domain.curation import Analysis, IntakeFace
from studio.domain.face import DetectedFace, FaceEmbedding
from studio.domain.traits import Measures
from studio.store.database import Database, Row
from studio.store.photos import face_from_json, face_to_json
from studio.store.rows import now, to_json, to_mapping, to_text


class Measurements:
    """Measurements of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def put(self, analysis: Analysis, looks: Mapping[int, bytes] | None = None) -> None:
        """Keep what was measured in stored bytes; the newest wins.

        Args:
            looks: small JPEGs for lists; number -1 is the whole photo, 0 and up its faces.

        Raises:
            ConflictError: the bytes are not stored.
        """
        key = [self._owner, analysis.sha256]
        print_ = None if analysis.fingerprint is None else f"{analysis.fingerprint:016x}"
        with self._database.transaction():
            self._database.execute("DELETE FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            self._database.insert(
                "photo_analyses",
                {
                    "owner": self._owner, "sha256": analysis.sha256, "version": analysis.version,
                    "width": analysis.width,
                    "height": analysis.height, "fingerprint": print_, "problem": analysis.problem,
                    "hint": analysis.hint, "mask_sha256": analysis.mask_sha256, "created": to_text(now()),
                },
            )  # fmt: skip
            for found in analysis.faces:
                self._database.insert(
                    "photo_faces", {"owner": self._owner, "sha256": analysis.sha256} | _face_row(found)
                )
            for number, jpeg in (looks or {}).items():
                values = {"owner": self._owner, "sha256": analysis.sha256, "number": number, "jpeg": jpeg}
                self._database.insert("photo_looks", values)

    def get(self, sha256: str, version: str) -> Analysis | None:
        """Return what this version of the studio measured in the bytes, or None."""
        row = self._database.row(
            "SELECT * FROM photo_analyses WHERE owner = ? AND sha256 = ? AND version = ?",
            [self._owner, sha256, version],
        )
        if row is None:
            return None
        sql = "SELECT * FROM photo_faces WHERE owner = ? AND sha256 = ? ORDER BY face_index"
        return _analysis(row, self._database.rows(sql, [self._owner, sha256]), sha256)

    def of_intake(self, intake_id: str, version: str) -> dict[str, Analysis]:
        """Return what was measured in the photos of an intake, by their ids there, with which the face keys begin."""
        join = "JOIN intake_photos p ON p.owner = a.owner AND p.sha256 = a.sha256 WHERE p.intake_id = ?"
        faces: dict[str, list[Row]] = {}
        sql = f"SELECT a.*, p.id AS intake_photo FROM photo_faces a {join} ORDER BY a.face_index"
        for face in self._database.rows(sql, [intake_id]):
            faces.setdefault(face["intake_photo"], []).append(face)
        sql = f"SELECT a.*, p.id AS intake_photo FROM photo_analyses a {join} AND a.version = ?"
        return {
            row["intake_photo"]: _analysis(row, faces.get(row["intake_photo"], []), row["intake_photo"])
            for row in self._database.rows(sql, [intake_id, version])
        }

    def look(self, sha256: str, number: int) -> bytes | None:
        """Return a small JPEG of a photo (-1) or of one of its faces, or None."""
        sql = "SELECT jpeg FROM photo_looks WHERE owner = ? AND sha256 = ? AND number = ?"
        found: bytes | None = self._database.value(sql, [self._owner, sha256, number])
        return found

    def forget(self, media: Iterable[str]) -> set[str]:
        """Delete what was measured in these bytes; return the hashes of the mattes that went with it."""
        masks = set()
        for sha256 in media:
            key = [self._owner, sha256]
            mask = self._database.value("SELECT mask_sha256 FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            self._database.execute("DELETE FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            masks |= {mask} - {None}
        return masks


def _face_row(found: IntakeFace) -> dict[str, Any]:
    embedding = found.embedding
    return {
        "face_index": found.index, "face": to_json(face_to_json(found.face)),
        "landmarks": np.asarray(found.face.landmarks, "<f4").tobytes(),
        "embedder": embedding.embedder if embedding else None,
        "vector": np.asarray(embedding.vector, "<f4").tobytes() if embedding else None,
        "measures": to_json({k: v for k, v in asdict(found.measures).items() if v is not None}),
    }  # fmt: skip


_MEASURES = {f.name for f in fields(Measures)}


def _analysis(row: Row, faces: Sequence[Row], prefix: str) -> Analysis:
    print_ = row["fingerprint"]
    return Analysis(
        sha256=row["sha256"], version=row["version"], width=row["width"], height=row["height"],
        fingerprint=None if print_ is None else int(print_, 16), problem=row["problem"], hint=row["hint"],
        mask_sha256=row["mask_sha256"], faces=tuple(_face(f, prefix) for f in faces),
    )  # fmt: skip


def _face(row: Row, prefix: str) -> IntakeFace:
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in to_mapping(row["measures"]).items() if k in _MEASURES
    }
    embedding = None
    if row["vector"] is not None:
        embedding = FaceEmbedding(row["embedder"], np.frombuffer(row["vector"], "<f4").astype(np.float32))
    face: DetectedFace = face_from_json(row["face"], row["landmarks"])
    return IntakeFace(
        key=f"{prefix}:{row['face_index']}", index=row["face_index"], face=face, embedding=embedding,
        measures=Measures(**values),
    )  # fmt: skip
