"""Every reason for which collect refuses a drop, one by one, against a real object store."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Callable
from datetime import date
from types import ModuleType
from typing import Any

import pytest

from perennial.collect.collect import collect
from perennial.collect.content import read_content
from perennial.collect.drops import pinned_drop
from perennial.collect.manifest import FILE
from perennial.config.dialect import Csv
from perennial.errors import DropMissingError, DropRefusedError
from perennial.lake.lake import Lake

DAY = date(2026, 3, 2)
Files = dict[str, bytes]
Problems = Callable[[Files], list[str]]


@pytest.fixture
def problems(lake: Lake, s3, machine_data: ModuleType) -> Callable[..., list[str]]:
    """Land files with a manifest that fits them unless one is given; return what collect says, and that nothing stays."""

    def land(files: Files, manifest: bytes | None = None, /, **changes: Any) -> list[str]:
        folder = lake.pipeline.sources["readings"].drop_uri(DAY)
        body = machine_data.manifest(DAY, files, **changes) if manifest is None else manifest
        for name, content in {**files, FILE: body}.items():
            s3.put(folder + name, content)
        before = _landed(s3)
        with pytest.raises(DropRefusedError) as refused:
            collect(lake, DAY)
        assert pinned_drop(lake, "readings", DAY) is None
        assert not list(s3.objects.list(f"{lake.layout.root}/raw/"))
        assert _landed(s3) == before
        return refused.value.problems

    return land


def _landed(s3) -> list[tuple[str, bytes]]:
    return [(uri, s3.objects.read(uri).body) for uri in s3.objects.list(s3.landing + "/")]


def _plain(machine_data: ModuleType, count: int = 60) -> bytes:
    return machine_data.csv_bytes(machine_data.rows(DAY)[:count])


def _entry(name: str, body: bytes, **changes: Any) -> dict[str, Any]:
    return {"name": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "rows": body.count(b"\n") - 1, **changes}


def test_half_uploaded(problems, machine_data) -> None:
    files = machine_data.files(DAY)
    whole = machine_data.manifest(DAY, files)
    del files["readings-2.csv.gz"]
    assert problems(files, whole) == [f"half uploaded: readings-2.csv.gz is in {FILE} but not in the folder"]


def test_empty_file(problems) -> None:
    assert problems({"a.csv": b""}) == ["a.csv is empty (0 bytes)"]


def test_empty_manifest(problems) -> None:
    assert problems({}, files=[]) == [f"{FILE} lists no files: the drop is empty"]


def test_header_alone_has_too_few_rows(problems, machine_data) -> None:
    assert problems({"a.csv": machine_data.csv_bytes([])}) == ["0 rows, expected at least 50 (min_rows)"]


def test_truncated_file(problems, machine_data) -> None:
    body = _plain(machine_data)
    whole = machine_data.manifest(DAY, {"a.csv": body})
    assert problems({"a.csv": body[:-100]}, whole) == [f"a.csv is truncated: {len(body) - 100} of {len(body)} bytes"]


def test_longer_than_its_manifest(problems, machine_data) -> None:
    body = _plain(machine_data)
    whole = machine_data.manifest(DAY, {"a.csv": body})
    assert problems({"a.csv": body + b"\n"}, whole) == [f"a.csv has {len(body) + 1} bytes, {FILE} says {len(body)}"]


def test_wrong_digest(problems, machine_data) -> None:
    body = _plain(machine_data)
    assert "sha256 is" in problems({"a.csv": body}, files=[_entry("a.csv", body, sha256="0" * 64)])[0]


def test_wrong_row_count(problems, machine_data) -> None:
    body = _plain(machine_data)
    assert problems({"a.csv": body}, files=[_entry("a.csv", body, rows=61)]) == [f"a.csv: 60 rows, {FILE} says 61"]


def test_name_twice(problems, machine_data) -> None:
    body = _plain(machine_data)
    assert problems({"a.csv": body}, files=[_entry("a.csv", body), _entry("a.csv", body, sha256="1" * 64)]) == [
        f"duplicate: {FILE} lists 'a.csv' 2 times"
    ]


def test_same_file_under_two_names(problems, machine_data) -> None:
    body = _plain(machine_data)
    assert problems({"a.csv": body, "b.csv": body}) == ["duplicate: 'a.csv', 'b.csv' are the same file under 2 names"]


def test_extra_file(problems, machine_data) -> None:
    body = _plain(machine_data)
    found = problems({"a.csv": body, "b.csv": b"x"}, files=[_entry("a.csv", body)])
    assert found == [f"extra file 'b.csv': it is not in {FILE}"]


def test_of_very_many_extra_files_a_hundred_are_stored(problems, machine_data) -> None:
    body = _plain(machine_data)
    extra = {f"extra-{number:03}.csv": b"" for number in range(140)}
    found = problems({"a.csv": body, **extra}, files=[_entry("a.csv", body)])
    assert len(found) == 101
    assert found[-1] == "and 40 more problems of the folder"


def test_extra_file_in_a_folder_below(problems, machine_data) -> None:
    body = _plain(machine_data)
    found = problems({"a.csv": body, "more/b.csv": b"x"}, files=[_entry("a.csv", body)])
    assert found == [f"extra file 'more/b.csv': it is not in {FILE}"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.csv",
        "/etc/a.csv",
        "a/b.csv",
        "a\\b.csv",
        "a\0.csv",
        ".a.csv",
        "..csv",
        "a\n.csv",
        "\u202ea.csv",
        "ä.csv",
        "a.exe",
        "",
        "a" * 300,
        "%2e%2e%2fa.csv",
        "a\x1b]52;c;ZXZpbA==\x07.csv",
        "a\ud800.csv",
        "<script>.csv",
        "=1+1.csv",
    ],
    ids=ascii,
)
def test_file_name_tricks(problems, machine_data, name: str) -> None:
    found = problems({}, files=[_entry(name, _plain(machine_data))])
    assert len(found) == 1
    assert "is not allowed" in found[0]
    assert found[0].isprintable()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b]52;c;x\x07", "<img src=x>.csv", "=cmd|' '!A1.csv", "\u202ea.csv"], ids=ascii)
def test_names_of_objects_that_no_manifest_lists(problems, machine_data, name: str) -> None:
    body = _plain(machine_data)
    (found,) = problems({"a.csv": body, name: b"x"}, files=[_entry("a.csv", body)])
    assert found.startswith("extra file ")
    assert found.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b"PK\x03\x04" + bytes(100),
        b"PAR1" + bytes(100),
        b'a,b\n1,"x\n',
        b",".join(b"c%d" % n for n in range(100_000)) + b"\n",
        b"a,b\r1,2\r",
        b"\x1b[2J,<script>alert(1)</script>,\xe2\x80\xaeb\n1,2,3\n",
    ],
    ids=["zip", "Parquet", "open quote", "columns", "CR only", "hostile header"],
)
def test_content_of_another_kind_is_refused_in_printable_words(problems, body: bytes) -> None:
    found = problems({"a.csv": body})
    assert found
    assert [problem for problem in found if not problem.isprintable()] == []


def test_many_empty_members_of_gzip_are_refused_soon(problems) -> None:
    began = time.monotonic()
    assert problems({"a.csv.gz": gzip.compress(b"") * 40_000})
    assert time.monotonic() - began < 20


HEADERS = {
    "missing": (lambda h: h.replace(",pressure", ""), ["column 'pressure' is missing"]),
    "extra": (lambda h: h + ",altitude", ["column 'altitude' is not in the contract"]),
    "renamed": (lambda h: h.replace("pressure", "presure"), ["column 'pressure' was renamed to 'presure'"]),
    "capitals": (lambda h: h.replace("mode", "Mode"), ["column 'mode' was renamed to 'Mode'"]),
    "space": (lambda h: h.replace(",mode", ", mode"), ["column 'mode' was renamed to ' mode'"]),
    "twice": (lambda h: h + ",mode", ["column 'mode' is listed 2 times"]),
    "absent": (lambda h: "", None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_header(problems, machine_data, case: str) -> None:
    change, expected = HEADERS[case]
    body = _plain(machine_data)
    header = machine_data.HEADER
    found = problems({"a.csv": body.replace(header.encode(), change(header).encode(), 1)})
    if expected is None:
        assert any("is missing" in problem for problem in found)
    else:
        assert found == [f"a.csv: {text}" for text in expected]


ENCODINGS = {
    "utf-16": (lambda text: text.encode("utf-16"), "UTF-16"),
    "utf-16 without mark": (lambda text: text.encode("utf-16-le"), "UTF-16"),
    "utf-32": (lambda text: text.encode("utf-32"), "UTF-32"),
    "latin-1": (lambda text: text.replace("normal", "n\u00f6rmal").encode("latin-1"), "byte 0xF6"),
    "gzip inside": (lambda text: gzip.compress(text.encode()), "compressed, though"),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_encoding(problems, machine_data, case: str) -> None:
    encode, expected = ENCODINGS[case]
    found = problems({"a.csv": encode(_plain(machine_data).decode())})
    assert len(found) == 1
    assert expected in found[0]


def test_not_gzip(problems, machine_data) -> None:
    assert "not gzip" in problems({"a.csv.gz": _plain(machine_data)})[0]


def test_truncated_gzip(problems, machine_data) -> None:
    assert "the gzip data ends early" in problems({"a.csv.gz": gzip.compress(_plain(machine_data))[:-9]})[0]


def test_damaged_gzip(problems, machine_data) -> None:
    body = bytearray(gzip.compress(_plain(machine_data)))
    body[len(body) // 2] ^= 0xFF
    assert "gzip data" in problems({"a.csv.gz": bytes(body)})[0]


def test_garbage_after_gzip(problems, machine_data) -> None:
    assert "garbage after" in problems({"a.csv.gz": gzip.compress(_plain(machine_data)) + b"PK\x03\x04garbage"})[0]


def test_garbage_after_padding(problems, machine_data) -> None:
    whole = gzip.compress(_plain(machine_data))
    assert "garbage after" in problems({"a.csv.gz": whole + b"\0" * 512 + whole})[0]


def test_bomb_in_one_line(problems) -> None:
    assert problems({"a.csv.gz": gzip.compress(b"x" * 30_000_000)}) == ["a.csv.gz: a line of more than 1000000 characters"]


def test_bomb_by_ratio(problems, machine_data) -> None:
    line = machine_data.rows(DAY)[0]
    assert "a decompression bomb" in problems({"a.csv.gz": gzip.compress(machine_data.csv_bytes([line] * 250_000))})[0]


def test_more_text_than_allowed_over_all_files(s3, pipeline_factory, machine_data) -> None:
    bodies = {f"{part}.csv": machine_data.csv_bytes(machine_data.rows(DAY)[part::2]) for part in range(2)}

    def smaller(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["max_bytes"] = sum(map(len, bodies.values())) - 1

    lake = s3.open_lake(pipeline_factory(smaller))
    for name, body in {**bodies, FILE: machine_data.manifest(DAY, bodies)}.items():
        s3.put(lake.pipeline.sources["readings"].drop_uri(DAY) + name, body)
    with pytest.raises(DropRefusedError, match=r"1\.csv: more than \d+ bytes of text, the limit that max_bytes sets"):
        collect(lake, DAY)


@pytest.mark.parametrize(("head", "row"), [("\n", "\r\n"), ("\r\n", "\n")])
def test_line_endings_that_differ(problems, machine_data, head: str, row: str) -> None:
    lines = machine_data.rows(DAY)
    text = machine_data.HEADER + head + "".join(line + row for line in lines)
    (said,) = problems({"a.csv": text.encode()})
    assert "line endings differ: the first line ends in" in said


def test_line_breaks_in_quotes_and_a_last_line_without_end_are_no_other_ending() -> None:
    found = read_content([b'a,b\r\n1,"x\ny"\r\n2,z'], compressed=False, max_bytes=1000, dialect=Csv())
    assert (found.rows, found.problems) == (2, [])


def test_a_line_without_end(problems, machine_data) -> None:
    assert "a line of more than" in problems({"a.csv": _plain(machine_data) + b"y" * 3_000_000})[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": "weather"}, "has another source: 'weather'"),
        ({"date": "2026-03-03"}, "has another date: '2026-03-03'"),
        ({"format": 2}, "format"),
        ({"format": True}, "format: expected the number 1, found true"),
        ({"format": 1.0}, "format: expected the number 1, found 1.0"),
        ({"surprise": 1}, "surprise"),
        ({"files": [{"name": "a.csv"}]}, "files.0.size: expected a value, found none beside name"),
        ({"files": [{"name": "a.csv", "size": -1, "sha256": "0" * 64, "rows": 1}]}, "expected at least 0, found -1"),
        ({"files": [{"name": "a.csv", "size": "1", "sha256": "0" * 64, "rows": 1}]}, 'expected a whole number, found "1"'),
        ({"files": [{"name": "a.csv", "size": 1, "sha256": "0" * 64, "rows": 2**63}]}, f"at most {2**63 - 1}, found {2**63}"),
        (
            {"files": [{"name": "a.csv", "size": 1, "sha256": "../x", "rows": 1}]},
            'expected 64 hex digits in lower case, found "../x"',
        ),
    ],
    ids=[
        "source",
        "date",
        "format",
        "true for one",
        "1.0 for one",
        "unknown key",
        "missing keys",
        "negative",
        "text for a number",
        "number beyond 64 bits",
        "digest",
    ],
)
def test_manifest_contents(problems, machine_data, changes: dict[str, Any], expected: str) -> None:
    assert any(expected in problem for problem in problems(machine_data.files(DAY), **changes))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "the file"),
        (b"[" * 400_000, "not valid JSON"),
        (b'{"format":' + b"9" * 900_000 + b"}", "not valid JSON: a number has 900,000 digits, at most 100 are read"),
        (b'{"format":NaN}', "format"),
        (b'{"a\\u001b[2J":1,"a\\u001b[2J":2}', "is listed twice"),
        (b'{"\\u001b[2J\\u202e":1}', "expected no such key, found 1"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"format":1,"format":1}', "'format' is listed twice"),
        (b" " * 1_100_000, "has more than"),
    ],
    ids=lambda value: ascii(value[:30]),
)
def test_manifest_text(problems, body: bytes, expected: str) -> None:
    found = problems({}, body)
    assert any(expected in problem for problem in found)
    assert [problem for problem in found if not problem.isprintable()] == []


def test_a_manifest_of_very_many_files_is_refused(problems) -> None:
    entries = [_entry(f"{n}.csv", b"%d" % n, rows=1) for n in range(7_000)]
    assert problems({}, files=entries)[0] == f"half uploaded: 0.csv is in {FILE} but not in the folder"


def test_all_problems_at_once(problems, machine_data) -> None:
    good = _plain(machine_data)
    renamed = good.replace(b"pressure", b"presure", 1)
    entries = [
        _entry("a.csv", renamed, rows=9),
        _entry("b.csv", good, size=len(good) + 5),
        _entry("c.csv", good, sha256="2" * 64),
    ]
    found = problems({"a.csv": renamed, "b.csv": good, "d.csv": b"x"}, files=entries)
    assert found == [
        f"b.csv is truncated: {len(good)} of {len(good) + 5} bytes",
        f"half uploaded: c.csv is in {FILE} but not in the folder",
        f"extra file 'd.csv': it is not in {FILE}",
        "a.csv: column 'pressure' was renamed to 'presure'",
        f"a.csv: 60 rows, {FILE} says 9",
    ]


def test_missing_drop_of_the_day_is_an_error_that_a_retry_may_mend(lake) -> None:
    with pytest.raises(DropMissingError, match=r"not landed: s3://.*_MANIFEST\.json\. Land them"):
        collect(lake, DAY)


def test_refused_drop_of_the_day_names_pipeline_drop_and_remedy(lake, problems, machine_data) -> None:
    problems({"a.csv": b""})
    with pytest.raises(
        DropRefusedError, match=r"'machine_faults', drop readings 2026-03-02 is refused: a\.csv is empty.*land it again"
    ):
        collect(lake, DAY)
