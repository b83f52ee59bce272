"""Which clips are for training and which for tests: named splits, and files that list them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quickstep.preparation.sources import Source, SourceError, Split

_TIKTOK = re.compile(r"tiktok(?:-(\d+)-(\d+))?")
TIKTOK_TEST = (335, 340)
"""First and last of TikTok's test videos, the last one included: DisCo's code leaves it out."""


@dataclass(frozen=True)
class SplitPlan:
    """Which split each source belongs to.

    Attributes:
        of: split by name; sources that are not named are for training.
        sha256: what the videos must be, by name, where the list says it.
        only_named: whether sources that are not named are left out.
    """

    of: Mapping[str, Split] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    only_named: bool = False


def read_split(text: str, sources: Sequence[Source]) -> SplitPlan:
    """The split that a name or a file stands for.

    Args:
        text: ``layout`` as the footage lies (UBC's folders or lists; all for training elsewhere);
            ``tiktok`` or ``tiktok-335-340``, both ends included; a ``.txt`` with the names of
            the test clips, one a line; or a ``.json`` with ``sources``, a list of ``name``,
            ``split`` and, as wanted, ``sha256``: the manifest of other shards is one.
        sources: what there is.

    Raises:
        SourceError: no such split, or one that none of the sources belongs to.
    """
    names = {source.name for source in sources}
    if text == "layout":
        return SplitPlan({source.name: source.split for source in sources})
    if match := _TIKTOK.fullmatch(text):
        first, last = (
            int(each or own) for each, own in zip(match.groups(), TIKTOK_TEST, strict=True)
        )
        tests = {f"{number:05d}" for number in range(first, last + 1)}
        return _plan(text, {name: "test" for name in tests}, names)
    path = Path(text)
    if path.suffix.lower() not in (".txt", ".json"):
        raise SourceError(
            "--split must be layout, tiktok, tiktok-FIRST-LAST, or a .txt or .json file: "
            f"got {text!r}"
        )
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    if path.suffix.lower() == ".txt":
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        return _plan(text, {line: "test" for line in lines if line}, names)
    return _read_json(path, names)


def _read_json(path: Path, names: set[str]) -> SplitPlan:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        entries = {entry["name"]: entry for entry in content["sources"]}
        of = {name: entry["split"] for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{path}: it must have 'sources', each with name and split") from error
    if odd := next((each for each in of.values() if each not in ("train", "test")), None):
        raise SourceError(f"{path}: a split must be train or test: got {odd!r}")
    digests = {name: _video_digest(entry) for name, entry in entries.items()}
    plan = _plan(str(path), of, names)
    known = {name: digest for name, digest in digests.items() if digest}
    return replace(plan, sha256=known, only_named=True)


def _video_digest(entry: Mapping[str, Any]) -> str:
    digest = entry.get("sha256", "")
    return digest.get("video", "") if isinstance(digest, dict) else digest


def _plan(text: str, of: dict[str, Split], names: set[str]) -> SplitPlan:
    if not names & set(of):
        raise SourceError(f"--split {text}: none of its {len(of)} clips is among the footage")
    return SplitPlan(of)


def missing(plan: SplitPlan, sources: Sequence[Source]) -> list[str]:
    """Names of a split that are not there."""
    return sorted(set(plan.of) - {source.name for source in sources})
