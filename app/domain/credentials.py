"""What people type to sign in: an address or a password in all its spellings is one and the same. Pure."""

from __future__ import annotations

import functools
import unicodedata

import email_validator

MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 8, 128
#: Before normalizing, which may make one character of many, or many of one.
MAX_TYPED_CHARS = 1024
MAX_EMAIL_CHARS = 254

# The library refuses names such as .local and .test, to which no mail can be sent. No mail is sent here, and an intranet has its own names.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def normal_email(text: str) -> str:
    """Return an address as it is kept and shown. Raises ValueError, saying what is wrong with it.

    Without spaces around it, its domain in lower case and in Unicode; nobody is asked whether it exists.
    """
    return email_validator.validate_email(text.strip(), check_deliverability=False).normalized


def login_of(email: str) -> str:
    """Return the login of an address: the same for all its spellings, upper and lower case too."""
    try:
        return f"email:{normal_email(email).casefold()}"
    except ValueError:
        return plain_login_of(email)


def plain_login_of(email: str) -> str:
    """Return the login as it was made before addresses were normalized; older accounts may have it."""
    return f"email:{email.strip().casefold()}"


def normal_password(text: str) -> str:
    """Return a password as it is hashed: NFKC, so that it does not matter which keyboard composes its letters (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", text)


def is_common(password: str) -> bool:
    """Tell whether a password is among the 30,000 that are guessed first, in whatever case."""
    return password.casefold() in _common_passwords()


@functools.cache
def _common_passwords() -> frozenset[str]:
    # Here, since few processes ever need it: it takes 0.2 s and 14 MB.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_PASSWORD_CHARS)
