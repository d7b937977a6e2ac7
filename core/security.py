"""Ids, tokens, hashes and signatures: everything that must not be guessed.

Passwords are bcrypt (cost 12) over a SHA-256 pre-hash, because bcrypt reads only 72 bytes. Tokens and keys
are stored as SHA-256 of 256 random bits: a copy of the database opens nothing. bcrypt and jwt are imported
where they are used: most processes (a converter, a report) only want an id.
"""

import base64
import hashlib
import os
import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.config import settings

BCRYPT_COST = 12
JWT_ALGORITHM = "HS256"


def new_id(prefix: str) -> str:
    """``ds_`` + 120 random bits in URL-safe characters."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(15)).decode().lower()}"


def new_token() -> str:
    """256 random bits, 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """SHA-256 in hex; what the database keeps of a token or key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def hash_password(password: str) -> str:
    import bcrypt

    return bcrypt.hashpw(_prehash(password), bcrypt.gensalt(BCRYPT_COST)).decode()


def verify_password(password: str, password_hash: str | None) -> bool:
    """Compare in the same time whether or not there is a hash to compare with."""
    import bcrypt

    matches = bcrypt.checkpw(_prehash(password), (password_hash or _dummy_hash()).encode())
    return matches and password_hash is not None


def sign_jwt(user_id: str, *, issued_at: datetime, minutes: int) -> tuple[str, str, datetime]:
    """A token with its ``jti`` and its expiry.

    ``iat_us``: ``iat`` counts seconds, too coarse to end all earlier tokens.
    """
    import jwt

    jti, expires = secrets.token_urlsafe(16), issued_at + timedelta(minutes=minutes)
    claims = {
        "sub": user_id,
        "iat": issued_at,
        "exp": expires,
        "jti": jti,
        "iat_us": int(issued_at.timestamp() * 1_000_000),
    }
    return jwt.encode(claims, jwt_secret(), algorithm=JWT_ALGORITHM), jti, expires


def read_jwt(token: str) -> dict[str, Any] | None:
    """The claims of a token we signed and that has not expired, else None."""
    import jwt

    try:
        return jwt.decode(
            token, jwt_secret(), algorithms=[JWT_ALGORITHM], options={"require": ["sub", "iat", "exp", "jti"]}
        )
    except jwt.PyJWTError:
        return None


def make_private() -> None:
    """At the start of a server: what it writes from now
    on is its owner's only, and the signing secret is made at once."""
    os.umask(0o077)
    jwt_secret()


def jwt_secret() -> str:
    """The configured secret, or the one made at first start and kept beside the data with mode 600."""
    return settings().jwt_secret or _stored_secret(settings().data_dir / "secrets" / "jwt")


@lru_cache
def _stored_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_token())
    except FileExistsError:
        pass
    secret = path.read_text().strip()
    if len(secret) < 32:
        raise RuntimeError(
            "The stored signing secret is damaged. Delete secrets/jwt in the data folder; "
            "everyone signs in again."
        )
    return secret


def _prehash(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest())


@lru_cache
def _dummy_hash() -> str:
    import bcrypt

    return bcrypt.hashpw(b"nobody", bcrypt.gensalt(BCRYPT_COST)).decode()
