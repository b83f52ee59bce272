"""Where a pose detector's two ONNX files are: built in, in a folder or on the hub."""

import os
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from quickstep.conditions.detection.sessions import DetectorError, DetectorFiles
from quickstep.networks.folder import BUILT_IN

DWPOSE_VARIABLE = "QUICKSTEP_DWPOSE"
"""Environment variable that names the folder, or the hub id, of DWPose's two files."""

DWPOSE_FOLDER = Path("~/.cache/quickstep/dwpose")
"""Where they are looked for otherwise."""

FINDERS = ("finder.onnx", "yolox_l.onnx")
READERS = ("reader.onnx", "dw-ll_ucoco_384.onnx")
"""File names that a folder is searched for: ours, then DWPose's."""


def find_detector(name: str) -> DetectorFiles:
    """The files of a detector.

    Args:
        name: ``dancer``, the built-in one of procedural dancers; ``dwpose``, whose files are
            taken from the folder or hub id in `DWPOSE_VARIABLE`, else from `DWPOSE_FOLDER`; a
            folder or a hub id with both files; or ``FINDER.onnx,READER.onnx``.

    Raises:
        DetectorError: a file is not there, with what to get and where to put it.
    """
    if name == "dancer":
        return _files_of(BUILT_IN / "dancer-poses", name)
    if name == "dwpose":
        return _dwpose()
    if "," in name:
        finder, _, reader = name.partition(",")
        files = DetectorFiles(Path(finder).expanduser(), Path(reader).expanduser(), name="given")
        for path in (files.finder, files.reader):
            if not path.is_file():
                raise DetectorError(f"{path}: no such file")
        return files
    return _files_of(_folder(name), name)


def _dwpose() -> DetectorFiles:
    named = os.environ.get(DWPOSE_VARIABLE)
    folder = _folder(named) if named else DWPOSE_FOLDER.expanduser()
    try:
        return _files_of(folder, "dwpose")
    except DetectorError as error:
        raise DetectorError(
            f"DWPose's two files are not in {folder}: put yolox_l.onnx (about 217 MB) and "
            "dw-ll_ucoco_384.onnx (about 134 MB), both Apache-2.0, from "
            f"https://huggingface.co/yzd-v/DWPose there, or name their folder in {DWPOSE_VARIABLE}"
        ) from error


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DetectorError(
            f"unknown detector {name!r}: give dancer, dwpose, a folder or a hub id with "
            f"{' and '.join(READERS[1:] + FINDERS[1:])}, or FINDER.onnx,READER.onnx"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=[*FINDERS, *READERS]))
    except RepositoryNotFoundError as error:
        raise DetectorError(f"unknown detector {name!r}: no such folder, nor on the hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise DetectorError(
            f"detector {name!r}: cannot be downloaded ({type(error).__name__}) and is no folder"
        ) from error


def _files_of(folder: Path, name: str) -> DetectorFiles:
    found = []
    for names in (FINDERS, READERS):
        path = next((folder / one for one in names if (folder / one).is_file()), None)
        if path is None:
            raise DetectorError(f"{folder} holds no {' or '.join(names)}")
        found.append(path)
    return DetectorFiles(finder=found[0], reader=found[1], name=name)
