"""The tables in the Hive Metastore, opened with the files of the lake only."""

from __future__ import annotations

from pyiceberg.catalog.hive import HiveCatalog
from pyiceberg.io import FileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

from perennial.lake.files import LakeFiles


class LakeCatalog(HiveCatalog):
    """A Hive catalog that takes neither files outside the lake nor settings from the metadata of a table."""

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return LakeFiles()
