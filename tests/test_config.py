import dataclasses
from typing import Literal

import pytest

from quickstep.config import digest, from_dict, to_dict, with_changes


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    widths: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    name: str = "x"
    limit: int | None = None
    on: bool = False


def test_round_trip():
    config = Outer(inner=Inner(rate=0.5, widths=(3,)), limit=4)
    assert from_dict(Outer, to_dict(config)) == config


def test_changes_reach_nested_fields():
    changed = with_changes(
        Outer(),
        {
            "inner.rate": "2e-3",
            "inner.widths": "4,5",
            "inner.kind": "b",
            "limit": "7",
            "on": "true",
        },
    )
    assert changed == Outer(inner=Inner(rate=2e-3, kind="b", widths=(4, 5)), limit=7, on=True)
    assert with_changes(changed, {"limit": "none"}).limit is None


@dataclasses.dataclass(frozen=True)
class Other:
    folder: str = ""
    rate: float = 1.0


@dataclasses.dataclass(frozen=True)
class Several:
    inner: Inner | Other = Inner()


def test_a_field_of_another_kind_chooses_that_kind():
    assert with_changes(Several(), {"inner.folder": "x"}).inner == Other(folder="x")
    assert with_changes(Several(), {"inner.rate": "2"}).inner == Inner(rate=2.0)
    with pytest.raises(ValueError, match="no field 'inner.none' in Inner"):
        with_changes(Several(), {"inner.none": "1", "inner.folder": "x"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner.rat": "1"}, "inner.rat"),
        ({"inner.rate": "fast"}, "must be a number.*'fast'"),
        ({"inner.rate": "nan"}, "must be a number.*'nan'"),
        ({"inner.kind": "c"}, "one of a, b.*'c'"),
        ({"on": "yes"}, "true or false.*'yes'"),
        ({"name.first": "1"}, "has no fields"),
    ],
)
def test_wrong_changes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        with_changes(Outer(), changes)


def test_unknown_field_is_named():
    with pytest.raises(ValueError, match="no field 'depth'"):
        from_dict(Outer, {"depth": 1})


def test_digest_follows_the_content():
    assert digest(Outer()) == digest(Outer())
    assert digest(Outer()) != digest(Outer(name="y"))


@dataclasses.dataclass(frozen=True)
class Pair:
    low: int = 0
    high: int = 1

    def __post_init__(self):
        if self.low >= self.high:
            raise ValueError("low must be below high")


def test_changes_that_fit_together_are_made_together():
    for names in (("low", "high"), ("high", "low")):
        values = {"low": "5", "high": "6"}
        assert with_changes(Pair(), {name: values[name] for name in names}) == Pair(5, 6)
    with pytest.raises(ValueError, match="low must be below high"):
        with_changes(Pair(), {"low": "5"})
