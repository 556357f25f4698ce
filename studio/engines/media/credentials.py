"""C2PA content credentials: signed into a file, or into one beside it, and read from files of all makers.

The manifest names the digital source type of IPTC, every input as an ingredient with its own manifest kept, and a
statement of the studio's own. No thumbnails: a face would travel in them. The bytes differ each time (ids, salts,
signatures), so what must be the same is compared before signing. Knows nothing of the store.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import studio
from studio.domain.provenance import Credentials, SourceType, Standing, Statement, credentials_beside
from studio.engines.media.atomic import atomic_file
from studio.engines.media.signing_key import SigningKey
from studio.errors import EngineError, EngineUnavailableError, UnreadableMediaError
from studio.outside import exists, json_of

CARRIERS: Mapping[str, str] = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac",
    ".m4a": "audio/mp4", ".heic": "image/heic", ".avif": "image/avif", ".tiff": "image/tiff", ".tif": "image/tiff",
}  # fmt: skip
"""Endings of the files that carry credentials inside, with their media types."""
ASSERTION = "org.likeness-studio.render"
MOST_MANIFEST_BYTES = 32_000_000
_SIDE_TYPE = "application/octet-stream"  # hashed as it is, whatever it holds
_QUIET = {"verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False}}


def sign_file(source: Path, out: Path, statement: Statement, key: SigningKey, inputs: Mapping[str, Path]) -> Path:
    """Write a file with its credentials; where the format carries none, they lie beside it.

    Args:
        source: the finished file; it stays as it is.
        out: may be `source` itself, which is then replaced whole or not at all.
        inputs: role -> file of what it was made from; those that carry credentials hand theirs on.

    Returns:
        Where the credentials are: `out`, or the file beside it (its name and ".c2pa").

    Raises:
        EngineError: signing failed; nothing was written.
        EngineUnavailableError: the library is not installed.
        StoreError: disk full, read-only folder.
    """
    c2pa = _library()
    carrier = CARRIERS.get(out.suffix.lower())
    try:
        builder, signer = _builder(c2pa, statement, inputs), _signer(c2pa, key)
        if carrier is None:
            builder.set_no_embed()
        with atomic_file(out) as part, source.open("rb") as plain, part.open("w+b") as signed:
            manifest = builder.sign(signer, carrier or _SIDE_TYPE, plain, signed)
    except c2pa.C2paError as exc:
        raise EngineError(f"{out.name} could not be signed: {_reason(exc)}.", "Nothing was written.") from exc
    if carrier is not None:
        return out
    beside = credentials_beside(out)
    with atomic_file(beside) as part:
        part.write_bytes(manifest)
    return beside


def read_credentials(path: Path, anchor_pem: str | None = None) -> Credentials | None:
    """Return a file's credentials, from inside it or from the file beside it; None where there are none.

    Args:
        anchor_pem: certificate of this installation; what it vouches for is "ours".

    Raises:
        UnreadableMediaError: credentials are there and cannot be read.
        EngineUnavailableError: the library is not installed.
    """
    c2pa = _library()
    beside = credentials_beside(path)
    settings: dict[str, Any] = dict(_QUIET)
    if anchor_pem is not None:
        settings |= {"trust": {"trust_anchors": anchor_pem}, "verify": {**_QUIET["verify"], "verify_trust": True}}
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        context = stack.enter_context(c2pa.Context.from_dict(settings))
        try:
            if exists(beside):
                if beside.stat().st_size > MOST_MANIFEST_BYTES:
                    raise UnreadableMediaError(f"{beside.name} is too large.", "Its credentials were not read.")
                reader = c2pa.Reader(_SIDE_TYPE, file, beside.read_bytes(), context=context)
            else:
                kind = CARRIERS.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
                if kind is None or kind not in c2pa.Reader.get_supported_mime_types():
                    return None
                reader = c2pa.Reader(kind, file, context=context)
            with reader:
                told = json_of(reader.json().encode())
                state = str(reader.get_validation_state())
        except c2pa.C2paError.ManifestNotFound:
            return None
        except c2pa.C2paError as exc:
            raise UnreadableMediaError(
                f"The credentials of {path.name} cannot be read: {_reason(exc)}.", "They may be damaged."
            ) from exc
    return _told(told, state, exists(beside))


def _builder(c2pa: Any, statement: Statement, inputs: Mapping[str, Path]) -> Any:
    kinds: dict[SourceType, Any] = {
        "generated": c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
        "composite": c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
    }
    # an input is named by its role: its own name may tell who is shown
    named = [role for role, path in inputs.items() if path.suffix.lower() in CARRIERS]
    plain = [
        {"title": role, "format": mimetypes.guess_type(path.name)[0] or _SIDE_TYPE, "relationship": "inputTo"}
        for role, path in inputs.items()
        if role not in named
    ]
    manifest = {
        "claim_generator_info": [{"name": "Likeness Studio", "version": studio.__version__}],
        "title": statement.kind,
        "assertions": [{"label": ASSERTION, "data": statement.to_json()}],
        "ingredients": plain,
    }
    context = c2pa.Context.from_dict({**_QUIET, "builder": {"thumbnail": {"enabled": False}}})
    builder = c2pa.Builder(manifest, context)
    builder.set_intent(c2pa.C2paBuilderIntent.CREATE, kinds[statement.source_type])
    for role in named:
        path = inputs[role]
        about = {"title": role, "relationship": "inputTo"}
        with path.open("rb") as file:
            try:
                builder.add_ingredient_from_stream(about, CARRIERS[path.suffix.lower()], file)
            except c2pa.C2paError:  # its inside is not what its ending says
                file.seek(0)
                builder.add_ingredient_from_stream(about, _SIDE_TYPE, file)
    return builder


def _signer(c2pa: Any, key: SigningKey) -> Any:
    return c2pa.Signer.from_callback(key.sign, c2pa.C2paSigningAlg.ES256, key.chain_pem, None)


def _told(told: Any, state: str, beside: bool) -> Credentials:
    """Return what a reader's JSON says; everything in it comes from outside."""
    manifests = told.get("manifests") or {}
    active = manifests.get(told.get("active_manifest")) or {}
    failures = ((told.get("validation_results") or {}).get("activeManifest") or {}).get("failure") or []
    problems = tuple(str(f.get("code", "")) for f in failures if f.get("code") != "signingCredential.untrusted")
    standing: Standing = "changed" if state == "Invalid" or problems else "ours" if state == "Trusted" else "others"
    generator = (active.get("claim_generator_info") or [{}])[0]
    said = {str(a.get("label", "")).split("__")[0]: a.get("data") or {} for a in active.get("assertions") or []}
    actions = (said.get("c2pa.actions.v2") or said.get("c2pa.actions") or {}).get("actions") or []
    types = (str(a.get("digitalSourceType") or "").rstrip("/").rsplit("/", 1)[-1] for a in actions)
    own = said.get(ASSERTION) or {}
    return Credentials(
        standing=standing,
        signer=str((active.get("signature_info") or {}).get("issuer") or ""),
        generator=" ".join(str(generator[k]) for k in ("name", "version") if generator.get(k)),
        source_types=tuple(dict.fromkeys(t for t in types if t)),
        ingredients=tuple(str(i.get("title") or "") for i in active.get("ingredients") or []),
        content_sha256=str(own.get("content_sha256") or ""),
        consents=tuple(str(c) for c in own.get("consents") or ()),
        problems=problems,
        beside=beside,
    )


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(exc: Exception) -> str:
    return str(exc).split("\n")[0].rstrip(".")[:160]


def _library() -> Any:
    try:
        import c2pa
    except ImportError as exc:
        raise EngineUnavailableError(
            "Content credentials need the library c2pa-python; nothing is signed without it.",
            "Install it: pip install -r requirements.txt.",
        ) from exc
    return c2pa
