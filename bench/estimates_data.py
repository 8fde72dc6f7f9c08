"""Published latency matrices for the benchmark "estimates", found in the folder that `NETTRACE_DATASETS` names.

latency/aws_cloudping_p50_1y.json (cloudping.co, 2025), azure_region_rtt_p50.csv (Microsoft Learn, 2026),
ibm_vpc_inter_region_weekly.csv.gz (IBM Cloud docs, 2025), intercloud_aws_gcp_2022.csv (DoiT, 2022),
wondernetwork_2018.csv.gz (WonderNetwork, 2018), planetlab_490nodes_t01-04.tar.xz (Zhu et al., no coordinates),
seattle_99nodes_t001-300.tar.xz (Zhu et al., the only one with the round trips of each pair: of it 95th percentiles are known).
"""

import csv
import gzip
import io
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.emulator import Unavailable
from nettrace.outside.places import find, regions
from nettrace.placement.estimates.evidence import End, Row

Ends = dict[str, End]
Pairs = dict[tuple[str, str], float]


def folder() -> Path:
    """Where the matrices are.

    Raises:
        Unavailable: nobody said.
    """
    named = os.environ.get("NETTRACE_DATASETS")
    if not named or not (Path(named) / "latency").is_dir():
        raise Unavailable(
            "set NETTRACE_DATASETS to a folder with latency/ and geo/ (see bench/estimates_data.py)"
        )
    return Path(named)


def load(names: tuple[str, ...]) -> dict[str, tuple[Pairs, Ends]]:
    """The matrices by name, undirected: of both directions the mean."""
    return {name: _SETS[name](folder()) for name in names}


def rows(source: str, pairs: Pairs, *, own: bool) -> list[Row]:
    """Pairs as rows of evidence."""
    return [Row(a=a, b=b, p50_ms=ms, source=source, own=own) for (a, b), ms in pairs.items()]


def _undirected(found: dict[tuple[str, str], list[float]]) -> Pairs:
    both: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (a, b), values in found.items():
        if a != b:
            both[min(a, b), max(a, b)].append(float(np.median(values)))
    return {pair: float(np.mean(values)) for pair, values in both.items() if np.mean(values) > 0}


def _region_ends(pairs: Pairs) -> Ends:
    known = {name: place for cloud in ("aws", "gcp", "azure") for name, place in _regions(cloud)}
    names = {name for pair in pairs for name in pair}
    return {
        name: End(
            name=name,
            latitude=known[name].latitude,
            longitude=known[name].longitude,
            network=name.split(":")[0],
        )
        for name in sorted(names)
    }


def _regions(cloud: str) -> list:
    return [(code if ":" in code else f"{cloud}:{code}", place) for code, place in regions(cloud).items()]


def _aws(root: Path) -> tuple[Pairs, Ends]:
    table = json.loads((root / "latency/aws_cloudping_p50_1y.json").read_text())["data"]
    pairs = _undirected({(f"aws:{a}", f"aws:{b}"): [ms] for a, row in table.items() for b, ms in row.items()})
    return pairs, _region_ends(pairs)


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def _azure(root: Path) -> tuple[Pairs, Ends]:
    shown = json.loads((root / "geo/azure_region_coordinates.json").read_text())
    codes = {_plain(each["displayName"]): f"azure:{code}" for code, each in shown.items()}
    heads, *lines = csv.reader((root / "latency/azure_region_rtt_p50.csv").read_text().splitlines())
    found = {
        (codes[_plain(line[0])], codes[_plain(head)]): [float(value)]
        for line in lines
        for head, value in zip(heads[1:], line[1:], strict=False)
        if value.strip()
    }
    pairs = _undirected(found)
    return pairs, _region_ends(pairs)


def _ibm(root: Path) -> tuple[Pairs, Ends]:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with gzip.open(root / "latency/ibm_vpc_inter_region_weekly.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["window_end"] >= "2025":
                found[row["from"], row["to"]].append(float(row["rtt_ms"]))
    places = {name: find(name.replace(" DC", ", DC")) for pair in found for name in pair}
    ends = {
        name: End(name=name, latitude=place.latitude, longitude=place.longitude, network="ibm")
        for name, place in places.items()
        if place is not None
    }
    return _undirected(found), ends


def _intercloud(root: Path) -> tuple[Pairs, Ends]:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in csv.DictReader((root / "latency/intercloud_aws_gcp_2022.csv").read_text().splitlines()):
        a, b = (f"{row[f'{side}_cloud'].lower()}:{row[f'{side}_region']}" for side in ("from", "to"))
        found[a, b].append(float(row["avgrtt"]))
    pairs = _undirected(found)
    return pairs, _region_ends(pairs)


def tails() -> list[Row]:
    """Pairs with a 95th percentile: 300 round trips each way between 99 nodes (Seattle testbed, Zhu et al.), own rows."""
    slices: list[np.ndarray] = []
    with tarfile.open(folder() / "latency/seattle_99nodes_t001-300.tar.xz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                slices.append(np.loadtxt(io.BytesIO(file.read())))
    cube = 1000 * np.stack(slices)
    found: list[Row] = []
    for i, j in zip(*np.triu_indices(cube.shape[1], 1), strict=True):
        values = np.concatenate([cube[:, i, j], cube[:, j, i]])
        values = values[values > 0]
        if len(values) >= 100:
            p50, p95 = (float(each) for each in np.quantile(values, (0.5, 0.95)))
            found.append(
                Row(
                    a=f"node{i}",
                    b=f"node{j}",
                    p50_ms=p50,
                    p95_ms=p95,
                    n=len(values),
                    source="Seattle",
                    own=True,
                )
            )
    return found


def _wonder(root: Path) -> tuple[Pairs, Ends]:
    listed = csv.DictReader((root / "geo/wondernetwork_cities.csv").read_text().splitlines())
    ends = {
        (key := _plain(row["city"])): End(
            name=key, latitude=float(row["Lat"]), longitude=float(row["Long"]), network="public"
        )
        for row in listed
    }
    longest = sorted(ends, key=len, reverse=True)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with gzip.open(root / "latency/wondernetwork_2018.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            shown = _plain(row["dst"].split(",")[0])
            other = next((name for name in longest if shown.startswith(name)), None)
            if other and _plain(row["src_city"]) in ends and row["avg_ms"]:
                found[_plain(row["src_city"]), other].append(float(row["avg_ms"]))
    pairs = _undirected(found)
    used = {name for pair in pairs for name in pair}
    return pairs, {name: end for name, end in ends.items() if name in used}


def _planetlab(root: Path) -> tuple[Pairs, Ends]:
    with tarfile.open(root / "latency/planetlab_490nodes_t01-04.tar.xz") as tar:
        member = tar.extractfile("PlanetLab/PlanetLabData_1")
        assert member is not None
        square = np.loadtxt(io.BytesIO(member.read()))
    ends = {f"node{number}": End(name=f"node{number}") for number in range(len(square))}
    pairs = {
        (f"node{i}", f"node{j}"): float(square[i, j])
        for i in range(len(square))
        for j in range(i + 1, len(square))
        if square[i, j] > 0
    }
    return pairs, ends


_SETS: dict[str, Callable[[Path], tuple[Pairs, Ends]]] = {
    "AWS": _aws,
    "Azure": _azure,
    "IBM": _ibm,
    "intercloud": _intercloud,
    "WonderNetwork": _wonder,
    "PlanetLab": _planetlab,
}
NAMES = tuple(_SETS)
