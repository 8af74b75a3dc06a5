"""The tables in the Hive Metastore, opened with the files of the lake only."""

from __future__ import annotations

from functools import cached_property

from boto3.session import Session
from hive_metastore.ttypes import Table as Entry
from pyiceberg.catalog.hive import HiveCatalog
from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.typedef import EMPTY_DICT, Properties

from perennial.lake.files import LakeFiles


class LakeCatalog(HiveCatalog):
    """A Hive catalog that takes neither files outside the lake nor settings from the metadata of a table."""

    def read_entries(self, database: str) -> dict[str, Entry]:
        """Return the metastore's entry of each table, in one connection: the embedded metastore examines each one."""
        with self._client as client:
            names = client.get_all_tables(database)
            return {entry.tableName: entry for entry in client.get_table_objects_by_name(database, names)} if names else {}

    def open_entry(self, entry: Entry) -> Table:
        """Return the table of an entry."""
        return self._convert_hive_into_iceberg(entry)

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return LakeFiles(self._session)

    @cached_property
    def _session(self) -> Session:
        return Session()
