"""Reads the files of drops with Spark: every cell as the text that it has in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean.job_file import Dialect

CORRUPT = "__corrupt"
_NONE = ""
"""Turns a special character off."""

_WINDOWS = [(chr(byte), bytes([byte]).decode("windows-1252", "ignore")) for byte in range(0x80, 0xA0)]
"""The characters in which Windows-1252 differs from Latin-1, in pairs. Spark knows only Latin-1."""


def read_files(
    spark: SparkSession,
    uris: Sequence[str],
    header: Sequence[str],
    line_end: str,
    dialect: Dialect,
    columns: Mapping[str, str],
    *,
    by_lines: bool = False,
) -> DataFrame:
    """
    Return the rows of files with the same header: object, block, read_order, a cell for each column, lacks.

    A column that the files lack is null and is listed in `lacks`.
    A row with another number of cells than the header is in the cell CORRUPT as a whole.
    Collect has read the same bytes with another reader, and has refused all that the two would read differently.

    :param columns: by column, its name in the header
    :param by_lines: whether several tasks may share a file, each of which begins at a line
    """
    # Collect has checked the header, so cells are known by position: Spark would not tell `A` and `a` apart.
    places = {name: f"c{place}" for place, name in enumerate(header)}
    text = T.StructType([T.StructField(name, T.StringType()) for name in (*places.values(), CORRUPT)])
    raw = spark.read.csv(
        sorted(set(uris)),
        schema=text,
        header=True,
        enforceSchema=True,
        multiLine=not by_lines,
        sep=dialect.delimiter,
        quote=dialect.quote or _NONE,
        escape=dialect.escape or dialect.quote or _NONE,
        # With the default, Spark guesses the end of lines, and changes other ones within quotes.
        lineSep=line_end,
        encoding="ISO-8859-1" if dialect.encoding in ("latin-1", "windows-1252") else dialect.encoding.upper(),
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        unescapedQuoteHandling="RAISE_ERROR",
    )

    def cell(name: str) -> Column:
        if dialect.encoding != "windows-1252":
            return F.col(name)
        return F.translate(name, "".join(latin for latin, own in _WINDOWS if own), "".join(own for _, own in _WINDOWS))

    lacks = [name for name, place in columns.items() if place not in places]
    cells = [
        (F.lit(None).cast("string") if name in lacks else cell(places[columns[name]])).alias(f"cell_{name}") for name in columns
    ]
    return raw.select(
        F.substring_index("_metadata.file_path", "/", -1).alias("object"),
        F.col("_metadata.file_block_start").alias("block"),
        # Increases by one within the part of a file that a task reads: the whole file, unless it is read by lines.
        F.monotonically_increasing_id().alias("read_order"),
        *cells,
        cell(CORRUPT).alias(f"cell_{CORRUPT}"),
        F.lit(",".join(lacks)).alias("lacks"),
    )
