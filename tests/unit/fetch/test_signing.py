"""The examples that AWS publishes for Signature 4 on S3; Azure's are tried on a server that checks them."""

import hashlib
from datetime import UTC, datetime, timedelta

from scitq.fetch.backends.signing import Keys, Request, s3_headers, s3_target

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY = hashlib.sha256(b"").hexdigest()


def signature(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


def test_reading_a_range() -> None:
    asked = Request("GET", HOST, "/test.txt", headers={"range": "bytes=0-9"})
    assert signature(s3_headers(asked, KEYS, "us-east-1", EMPTY, NOW)) == (
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_storing_under_a_name_with_a_dollar() -> None:
    asked = Request(
        "PUT",
        HOST,
        "/test$file.text",
        headers={"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
    )
    content = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    assert signature(s3_headers(asked, KEYS, "us-east-1", content, NOW)) == (
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )


def test_a_query_without_a_value() -> None:
    asked = Request("GET", HOST, "/", {"lifecycle": ""})
    assert signature(s3_headers(asked, KEYS, "us-east-1", EMPTY, NOW)) == (
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )


def test_listing() -> None:
    asked = Request("GET", HOST, "/", {"max-keys": "2", "prefix": "J"})
    assert signature(s3_headers(asked, KEYS, "us-east-1", EMPTY, NOW)) == (
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


def test_an_address_for_others() -> None:
    target = s3_target(Request("GET", HOST, "/test.txt"), KEYS, "us-east-1", timedelta(days=1), NOW)
    assert target.startswith("/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F")
    assert "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404" in target


def test_the_token_of_a_session_is_signed_too() -> None:
    headers = s3_headers(Request("GET", HOST, "/x"), KEYS._replace(token="t"), "us-east-1", EMPTY, NOW)
    assert headers["x-amz-security-token"] == "t"
    assert "x-amz-security-token" in headers["authorization"]
