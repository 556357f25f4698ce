"""The key that an installation signs with, and the certificates that go with it.

Made at its first use: a root of this installation and a leaf under it, ECDSA on P-256 (ES256 of the C2PA
specification), the leaf with the extended key usage "emailProtection" that its validators take. The root's own key is
thrown away at once, so nobody can make a second leaf; who wants certificates of an authority names a folder that holds
them. Only the owner of the folder may read the key. Knows nothing of pictures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from studio.domain.provenance import OWN_NAME
from studio.errors import EngineError
from studio.outside import exists

KEY, CHAIN = "key.pem", "chain.pem"
YEARS = 10
_MEND = "Put a readable key.pem and chain.pem there, or remove both to have new ones made."


@dataclass(frozen=True)
class SigningKey:
    """A private key and its certificates.

    Attributes:
        chain_pem: the leaf first, then what signed it.
    """

    private: Any
    chain_pem: str

    def sign(self, data: bytes) -> bytes:
        """Return the signature of SHA-256 of the data as r and s, 32 bytes each."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(SHA256())))
        return bytes(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def last_certificate(chain_pem: str) -> str:
    """Return the last certificate of a chain: who trusts it knows what was signed under it."""
    end = "-----END CERTIFICATE-----"
    return chain_pem.strip().removesuffix(end).split(end)[-1].strip() + f"\n{end}\n"


def signing_key(folder: Path, now: datetime) -> SigningKey:
    """Return the key in a folder; one is made where there is none.

    Args:
        folder: holds key.pem and chain.pem; made if missing.
        now: the time, UTC.

    Raises:
        EngineError: the key cannot be read, does not fit its certificate, or its term is over.
    """
    if not exists(folder / KEY) and not exists(folder / CHAIN):
        _make(folder, now)
    return _read(folder, now)


def _read(folder: Path, now: datetime) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    try:
        private = load_pem_private_key((folder / KEY).read_bytes(), password=None)
        text = (folder / CHAIN).read_text("ascii")
        leaf = load_pem_x509_certificates(text.encode())[0]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise EngineError(f"The signing key in {folder.name} cannot be read; nothing is signed.", _MEND) from exc
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise EngineError("The signing key is no ECDSA key on P-256; nothing is signed.", _MEND)
    if private.public_key() != leaf.public_key():
        raise EngineError("The signing key and its certificate do not belong together; nothing is signed.", _MEND)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise EngineError(
            f"The signing certificate holds from {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}, not today; nothing is signed.",
            "Check the computer's clock. " + _MEND,
        )
    return SigningKey(private, text)


def _make(folder: Path, now: datetime) -> None:
    """Write a new key with its certificates; of two processes that do so at once, the first counts."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(of: str) -> x509.Name:
        return x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, OWN_NAME),
            x509.NameAttribute(NameOID.COMMON_NAME, of),
        ])  # fmt: skip

    def certificate(of: str, key: Any, by: str, by_key: Any, *, authority: bool) -> x509.Certificate:
        usage = {
            "digital_signature": not authority, "key_cert_sign": authority, "crl_sign": authority,
            "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
            "key_agreement": False, "encipher_only": False, "decipher_only": False,
        }  # fmt: skip
        made = (
            x509.CertificateBuilder()
            .subject_name(name(of))
            .issuer_name(name(by))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365 * YEARS))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
        )
        if not authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return made.sign(by_key, SHA256())

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = [
        certificate("Signer", leaf, "Root", root, authority=False),
        certificate("Root", root, "Root", root, authority=True),
    ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".keys-", dir=folder.parent))  # for its owner alone
    try:
        with os.fdopen(os.open(made / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (made / CHAIN).write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in chain))
        if exists(folder):
            folder.rmdir()  # an empty folder that was named in the settings; one that holds something stays
        made.rename(folder)
    except OSError as exc:
        shutil.rmtree(made, ignore_errors=True)
        if not exists(folder / KEY):  # nobody else was faster
            raise EngineError(
                "A signing key could not be written; nothing is signed.", f"Check the rights of {folder}, or empty it."
            ) from exc


def utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
