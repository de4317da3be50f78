"""Remove secrets from text: known values, and text that looks like a secret.

Known values come from the files that hold secrets. Unknown ones are detected by their names (``password = …``), in
URLs, and by the form of a token or private key.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import quote

REMOVED = "(removed)"

#: Shorter values are replaced only as whole words: a password "pi" would garble every text.
_ANYWHERE = 6

#: Shorter values are not replaced: "1" is part of every line.
_SHORTEST = 3

#: A name whose value is secret. All repetitions are bounded, because a journal may contain anything.
_NAME = (
    r"[\w.-]{0,60}(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|credential|auth(?:orization)?|psk|"
    r"webhook|chat|bot(?![a-z])|salt|serial|(?<![a-z])key)[\w.-]{0,60}"
)

#: ``name = value``, ``name: value``, ``"name": "value"``; the value ends with its quotes, or with the line.
_ASSIGNED = re.compile(
    rf"(?P<name>[\"']?\b{_NAME}[\"']?)(?P<sign>[ \t]{{0,40}}[:=][ \t]{{0,40}})"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;}\]\n][^\n]*)",
    re.IGNORECASE,
)

#: Values that are not secret: the path of a secret, a variable, and a word or number that is too short for one.
_REFERENCE = re.compile(
    r"[\"']?(?:@\{[\w:]+\}|\$__file\{[^}]*\}|\$\{\w+(?::-[^}]*)?\}|\$[A-Z][A-Z0-9_]+"
    r"|/(?:boot|dev|etc|home|mnt|opt|proc|root|run|srv|sys|tmp|usr|var)/[\w./@+-]*"
    r"|true|false|null|none|yes|no|\d{1,3})?[\"']?[;,]?"
)

_USER_IN_URL = re.compile(r"\b([a-z][a-z0-9+.-]{0,20}://)[^\s\"'<>]{0,1000}@", re.IGNORECASE)
_QUERY_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>?]{0,1000}\?)[^\s\"'<>]+", re.IGNORECASE)
_HEADER = re.compile(r"\b(Token|Bearer|Basic|Authorization:)(\s+)[^\s\"',]{6,}", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_MQTT_USER = re.compile(r"\bu'[^'\n]{1,200}'")

#: A run of characters as tokens have it; :func:`_is_token` decides.
_RUN = re.compile(r"[A-Za-z0-9_+=-]{32,}")

#: A URL in the settings of alerts, also in YAML: its path authorizes sending.
_ALERT_URL = re.compile(
    r"(?P<begin>\b(?:SENSETIG_ALERTS_\w{0,40}URL|url)\s{0,9}[=:]\s{0,9}[\"']?[a-z]{1,9}://[^/\s\"']+)(?P<path>/[^\s\"']*)",
    re.IGNORECASE,
)

_URL_WITH_USER = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}://(?P<user>[^\s\"'<>:/]{0,200}):(?P<password>[^\s\"'<>]{1,500})@", re.IGNORECASE
)


def values(content: str) -> set[str]:
    """The secrets in a file: the whole content, each line, and the part after a user name and a colon."""
    found = {content.strip()}
    for line in content.splitlines():
        word = line.strip()
        if word.startswith("-----"):
            continue
        found.add(word)
        found.add(word.partition(":")[2].strip())
    return {each for each in found if len(each) >= _SHORTEST}


def assigned(text: str) -> dict[str, str]:
    """The assignments in a text whose name marks a secret: name and value, without quotes."""
    return {each["name"].strip("\"'"): each["value"].strip().strip("\"'") for each in _ASSIGNED.finditer(text)}


class Redactor:
    """Redacts texts.

    Args:
        secrets: values that must not appear in any text.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._known: set[str] = set()
        self._names: dict[re.Pattern[str], str] = {}
        self.learn(secrets)

    def rename(self, names: Mapping[str, str]) -> None:
        """Replace words by others, such as the names of MQTT users by placeholders."""
        for name, other in names.items():
            self._names[re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")] = other

    def learn(self, secrets: Iterable[str]) -> None:
        """Add values, in every encoding that programs print them in."""
        for secret in secrets:
            if len(secret) >= _SHORTEST and secret not in REMOVED:
                self._known |= _forms(secret)
        # Longest first: a secret may be a prefix of another.
        self._ordered = sorted(self._known, key=len, reverse=True)

    def learn_from(self, text: str) -> None:
        """Add the secrets in a settings file: values whose name marks them, and the secret parts of URLs."""
        for value in assigned(text).values():
            if not _REFERENCE.fullmatch(value):
                # On a line with several assignments, a value ends before the next.
                parts = {value, *value.split()[:1], value.rstrip(";,}]) ")}
                self.learn(each for each in parts if len(each) >= _ANYWHERE)
        for url in _URL_WITH_USER.finditer(text):
            self.learn((url["password"], f"{url['user']}:{url['password']}"))
        for url in _ALERT_URL.finditer(text):
            path, _, query = url["path"].partition("?")
            self.learn((path, *(each.partition("=")[2] for each in query.split("&"))))

    def clean(self, text: str) -> str:
        """The redacted text."""
        for secret in self._ordered:
            if secret in text:
                if len(secret) >= _ANYWHERE:
                    text = text.replace(secret, REMOVED)
                else:
                    text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", REMOVED, text)
        text = _PRIVATE_KEY.sub(REMOVED, text)
        text = _ALERT_URL.sub(rf"\g<begin>/{REMOVED}", text)
        text = _USER_IN_URL.sub(rf"\1{REMOVED}@", text)
        text = _QUERY_IN_URL.sub(rf"\1{REMOVED}", text)
        text = _HEADER.sub(rf"\1\2{REMOVED}", text)
        text = _ASSIGNED.sub(_without_value, text)
        text = _MQTT_USER.sub(f"u'{REMOVED}'", text)
        text = _RUN.sub(lambda match: REMOVED if _is_token(match[0]) else match[0], text)
        for name, other in self._names.items():
            text = name.sub(other, text)
        return text

    def left_in(self, text: str) -> bool:
        """Whether a text still contains a known secret; short ones only as whole words."""
        return any(
            secret in text
            and (len(secret) >= _ANYWHERE or re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text) is not None)
            for secret in self._ordered
        )


def _forms(secret: str) -> set[str]:
    """The encodings of a secret: plain, in a URL, in JSON, in HTML, and in Base64."""
    plain = secret.encode("utf-8", "surrogatepass")
    found = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], escape(secret)}
    found.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    for coded in (base64.b64encode(plain), base64.urlsafe_b64encode(plain)):
        found.add(coded.decode().rstrip("="))
    return {each for each in found if each}


def _without_value(match: re.Match[str]) -> str:
    if _REFERENCE.fullmatch(match["value"].strip()) or REMOVED in match["value"]:
        return match[0]
    quotes = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{match['name']}{match['sign']}{quotes}{REMOVED}{quotes}"


def _is_token(word: str) -> bool:
    """Whether a long word mixes capitals, small letters and digits like a token."""
    return (
        any(each.isupper() for each in word)
        and any(each.islower() for each in word)
        and sum(each.isdigit() for each in word) >= 2
    )
