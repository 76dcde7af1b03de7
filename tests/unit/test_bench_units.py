"""The fleet's bench bills calls of DynamoDB as DynamoDB does."""

import base64
import json

import pytest
from benching.counting import billed_units, item_bytes

KILOBYTE = {"S": "x" * 1024}


def units(operation, asked=None, answered=None):
    return billed_units(
        operation, json.dumps(asked or {}).encode(), json.dumps(answered or {}).encode()
    )


def test_names_and_values_count_and_types_do_not():
    packed = base64.b64encode(bytes(300)).decode()
    item = {
        "pk": {"S": "é"},
        "half": {"B": packed},
        "due": {"N": "1700000000"},
        "old": {"BOOL": True},
    }

    assert item_bytes(item) == (2 + 2) + (4 + 300) + (3 + 7) + (3 + 1)
    assert item_bytes({"superseded": {"L": [{"S": "ab"}, {"S": "c"}]}}) == 10 + 3 + 2 + 3


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"pk": {"S": "a"}}, 1),
        ({"pk": {"S": "a"}, "half": KILOBYTE}, 2),
        ({"pk": {"S": "a"}, "half": KILOBYTE, "feed": {"S": "feed#0"}}, 3),
    ],
)
def test_a_write_is_billed_by_the_whole_item_and_its_entry_in_the_index(item, expected):
    assert units("PutItem", {"Item": item}) == expected
    assert units("UpdateItem", {"Key": {"pk": {"S": "a"}}}, {"Attributes": item}) == expected


def test_a_read_is_billed_by_four_kilobytes_and_one_that_finds_nothing_too():
    assert units("GetItem", answered={"Item": {"half": {"S": "x" * 9000}}}) == 3
    assert units("GetItem") == 1
