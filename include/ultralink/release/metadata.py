"""The head of a dataset card: what the Hugging Face hub and `datasets` read of a release, as YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypedDict

import yaml

from ultralink.release.fonts import clip, one_line
from ultralink.release.statistics import ReleaseStatistics

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_SPLITS = ("train", "validation")
# The hub's identifiers of licences, by how people write them; the first that fits counts.
_LICENCES = (
    (r"cc[ -]by[ -]sa[ -]4", "cc-by-sa-4.0"),
    (r"cc[ -]by[ -]sa[ -]3", "cc-by-sa-3.0"),
    (r"cc[ -]by[ -]nc[ -]sa[ -]4", "cc-by-nc-sa-4.0"),
    (r"cc[ -]by[ -]nc[ -]4", "cc-by-nc-4.0"),
    (r"cc[ -]by[ -]4", "cc-by-4.0"),
    (r"cc[ -]?0", "cc0-1.0"),
    (r"apache[ -](licen[cs]e )?(version )?2", "apache-2.0"),
    (r"\bmit\b", "mit"),
    (r"\bodc-by\b", "odc-by"),
)
_SHARE_ALIKE = ("cc-by-sa-4.0", "cc-by-sa-3.0")
_GOES_WITH_SHARE_ALIKE = {*_SHARE_ALIKE, "cc-by-4.0", "cc0-1.0", "apache-2.0", "mit", "odc-by"}
OTHER = "other"
_MOST_CHARACTERS = 80  # of a title


class DataFile(TypedDict):
    """Files of a split, as a pattern."""

    split: str
    path: str


class LoadedConfig(TypedDict):
    """What ``load_dataset(path, config_name)`` reads."""

    config_name: str
    data_files: list[DataFile]


def licence_id(licence: str) -> str:
    """The hub's identifier of a licence; ``other`` where none is known for sure."""
    said = licence.casefold()
    if re.search(r"\b(not|un)[ -]?known\b", said):
        return OTHER
    return next((name for pattern, name in _LICENCES if re.search(pattern, said)), OTHER)


def licence_ids(licences: Iterable[str]) -> list[str]:
    """The licences of the whole: a share-alike one governs what may be put under it, others stand beside it."""
    found = {licence_id(licence) for licence in licences}
    governing = next((name for name in _SHARE_ALIKE if name in found), None)
    if governing is None:
        return sorted(found)
    return [governing, *sorted(found - _GOES_WITH_SHARE_ALIKE)]


def head(title: str, statistics: ReleaseStatistics, parquet_files: Iterable[str]) -> str:
    """The YAML between the dashes. ``parquet_files``: paths within the release."""
    licences = licence_ids(licence.licence for licence in statistics.licences)
    data = {
        "pretty_name": f"{clip(one_line(title, _MOST_CHARACTERS), _MOST_CHARACTERS)} {statistics.version}",
        "license": licences[0] if len(licences) == 1 else licences,
        **({"license_name": "mixed", "license_link": "LICENSE.md"} if OTHER in licences else {}),
        "language": list(statistics.languages),
        "multilinguality": "multilingual" if len(statistics.languages) > 1 else "monolingual",
        "size_categories": _size(statistics.lengths.dialogues),
        "task_categories": ["text-generation", "question-answering"],
        "tags": ["sft", "instruction-tuning", "multi-turn", "synthetic", "wikipedia", "translation", "ultralink"],
        "configs": _configs(statistics, list(parquet_files)),
    }
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=120)


def _size(rows: int) -> list[str]:
    return [next((name for below, name in _SIZES if rows < below), "n>1T" if rows >= 10**12 else "100M<n<1B")]


def _configs(statistics: ReleaseStatistics, parquet_files: list[str]) -> list[LoadedConfig]:
    """One of everything, which is the default, and one per language and subset; only of files that are there."""
    named = [("default", "*"), *((each.name, each.name) for each in statistics.filled)]
    configs: list[LoadedConfig] = []
    for name, folder in named:
        start = "data/" if folder == "*" else f"data/{folder}/"
        splits = [
            split for split in _SPLITS
            if any(path.startswith(start) and f"/{split}-" in path for path in parquet_files)
        ]  # fmt: skip
        files: list[DataFile] = [{"split": split, "path": f"data/{folder}/{split}-*.parquet"} for split in splits]
        if files:
            configs.append({"config_name": name, "data_files": files})
    return configs
