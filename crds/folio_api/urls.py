"""How URLs of the resources are written: a pattern each, read alike by the loader and by an API server.

Whoever opens one splits it with `urlsplit`, which drops, misreads or raises on what these patterns leave out:
a user, a port that is none, a bracket that is no address, and where they name nothing a query and a fragment.
"""

from typing import Annotated

from folio_api.types import Written

_H = "[0-9A-Fa-f]{1,4}"
_IPV6 = "|".join(
    [
        f"({_H}:){{7}}{_H}",
        f"({_H}:){{1,7}}:",
        *(f"({_H}:){{1,{7 - after}}}(:{_H}){{1,{after}}}" for after in range(1, 7)),
        f":((:{_H}){{1,7}}|:)",
    ]
)
_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9.])?"
PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_PATH = r"(/[!-\"$->@-~]*)?"
_QUERY = r"(\?[!-\"$-~]*)?"
_SERVER = rf"https?://({_NAME}|\[({_IPV6})\])(:({PORT}))?"
_HUB = r"hf://[A-Za-z0-9][-A-Za-z0-9_.]*(/[^\s?#]+)?"
_STORES = r"(s3|gs)://[A-Za-z0-9][-A-Za-z0-9_.]*(/[^\s?#]*)?"
_FILES = r"file:///[^\s?#]+|volume://[a-z]([-a-z0-9]*[a-z0-9])?(/[^\s?#]*)?"
_LONGEST = 512

HTTP_URL = Written(
    "a URL such as https://api.example.com:8443/v1, with a port up to 65535, and without a user, ? or #",
    f"^{_SERVER}{_PATH}$",
    _LONGEST,
)
KEYS_URL = Written(
    "a URL such as https://id.example.com:8443/keys, with a port up to 65535, and without a user or #",
    f"^{_SERVER}{_PATH}{_QUERY}$",
    _LONGEST,
)
DATASET_URI = Written(
    "a URI that begins with https://, http://, s3:// or gs:// and a host or bucket, without a user or #",
    f"^({_SERVER}{_PATH}{_QUERY}|{_STORES})$",
    _LONGEST,
)
SOURCE_URI = Written(
    "a URI that begins with hf://, s3://, gs://, file:/// or volume://NAME/"
    " (in a path write ? as %3F, # as %23)",
    f"^({_HUB}|{_STORES}|{_FILES})$",
    _LONGEST,
)
STORE_URI = Written(
    "a URI that begins with s3://, gs://, file:/// or volume://NAME/ (in a path write ? as %3F, # as %23)",
    f"^({_STORES}|{_FILES})$",
    _LONGEST,
)

HttpUrl = Annotated[str, HTTP_URL]
KeysUrl = Annotated[str, KEYS_URL]
DatasetUri = Annotated[str, DATASET_URI]
SourceUri = Annotated[str, SOURCE_URI]
StoreUri = Annotated[str, STORE_URI]
