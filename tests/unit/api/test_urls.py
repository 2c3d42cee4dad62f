"""What the patterns of URLs let through is what `urlsplit` and the gateway can read."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_api.urls import DATASET_URI, HTTP_URL, KEYS_URL, SOURCE_URI, STORE_URI, Written

SERVERS = [
    "http://a",
    "https://a.b/",
    "http://a:1",
    "http://a:65535/v1",
    "http://10.0.0.1:80/v1",
    "http://[::1]:8000/v1",
    "http://[2001:db8::1]/x",
    "http://[1:2:3:4:5:6:7:8]/",
    "https://svc_x.ns.svc.cluster.local./v1",
    "http://h/a@b:c",
]
NO_SERVERS = [
    "http://",
    "http:///v1",
    "http://:8000/v1",
    "http://user:pw@a/v1",
    "http://user@a",
    "http://a:0",
    "http://a:080",
    "http://a:65536",
    "http://a:99999/v1",
    "http://a:/v1",
    "http://a:b",
    "http://a/v1#f",
    "http://a/v1 x",
    "http://a/é",
    "http://é/v1",
    "http://-a",
    "http://a\\@b",
    "http://[::1",
    "http://[x]",
    "http://[1:2:3]/",
    "http://[1::2::3]/",
    "http://[::1]x",
    "ftp://a",
]
FILES = ["file:///a", "file:///modèle/[1]", "volume://m", "volume://m/", "volume://m/a%3Fb", "s3://b/k"]
NO_FILES = [
    "file://",
    "file://host/a",
    "file:///a?b",
    "file:///a#b",
    "volume://",
    "volume://m[/a",
    "volume://u:p@m/x",
    "volume://m?x",
    "s3://u@b/k",
    "s3://[b/k",
]


def takes(written: Written, url: str) -> bool:
    return re.search(written.pattern, url) is not None


@pytest.mark.parametrize("written", [HTTP_URL, KEYS_URL, DATASET_URI], ids=["http", "keys", "dataset"])
def test_a_server_has_a_host_and_a_port_that_can_be_asked(written: Written):
    assert [url for url in SERVERS if not takes(written, url)] == []
    assert [url for url in NO_SERVERS if takes(written, url)] == []
    assert all(urlsplit(url).hostname and (urlsplit(url).port or 1) > 0 for url in SERVERS)


def test_only_where_a_query_names_something_it_may_be_there():
    url = "https://id.example.com/keys?p=policy"

    assert [takes(one, url) for one in (HTTP_URL, KEYS_URL, DATASET_URI)] == [False, True, True]


def test_a_source_names_a_place_that_is_read_as_it_is_written():
    assert [uri for uri in FILES if not (takes(SOURCE_URI, uri) and takes(STORE_URI, uri))] == []
    assert [uri for uri in NO_FILES if takes(SOURCE_URI, uri) or takes(STORE_URI, uri)] == []
    assert [takes(one, "hf://Qwen/Qwen2.5") for one in (SOURCE_URI, STORE_URI)] == [True, False]


@given(st.lists(st.sampled_from([":", "::", "1", "ab", "F09c", "12345"]), max_size=16).map("".join))
def test_an_address_in_brackets_is_one(text: str):
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        assert not takes(HTTP_URL, f"http://[{text}]/v1")
    else:
        assert takes(HTTP_URL, f"http://[{text}]/v1")


@given(st.text("ab:@/[]?#.1%-é \\", max_size=12))
def test_whatever_is_taken_can_be_split(text: str):
    for written in (HTTP_URL, KEYS_URL, SOURCE_URI, DATASET_URI):
        for scheme in ("http", "volume", "s3"):
            url = f"{scheme}://{text}"
            if takes(written, url):
                parts = urlsplit(url)
                assert parts.hostname
                assert parts.username is None
                assert parts.port != 0
