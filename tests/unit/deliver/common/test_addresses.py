from __future__ import annotations

import pytest

from sidecar.deliver.common.addresses import check_base, check_url


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://h.:9200/a b", "http://[::1]:1", "http://[fe80::1%25eth0]", "http://b\u00fccher.example"],
)
def test_addresses(url: str) -> None:
    check_url(url)
    check_base(url)


@pytest.mark.parametrize(
    "url", ["h:1", "ftp://h", "http://", "http://h:0", "http://h:70000", "http://[::1", "http://:1"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="invalid address"):
        check_url(url)


def test_credentials_are_refused_without_showing_them() -> None:
    with pytest.raises(ValueError, match="credentials") as refused:
        check_url("http://user:secret@h")
    assert "secret" not in str(refused.value)


def test_paths_are_put_behind_an_address_without_a_query() -> None:
    for url in ("http://h?a=b", "http://h/c?a=b", "http://h#top"):
        with pytest.raises(ValueError, match="paths are put behind it"):
            check_base(url)
    check_url("http://h/v1/logs?a=b")
