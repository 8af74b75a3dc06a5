"""Opens Iceberg tables with the files of the lake only: what a table's own metadata says about files and settings is checked."""

from __future__ import annotations

from boto3.session import Session
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import StaticTable
from pyiceberg.table.metadata import TableMetadata

from perennial.addresses import is_below
from perennial.errors import RefusedError
from perennial.lake.boundary import find_foreign
from perennial.lake.layout import lake_root
from perennial.settings import get_settings

_REMEDY = "If PERENNIAL_LAKE has changed, set it back. Otherwise find out who changed the table's metadata."


class LakeFiles(PyArrowFileIO):
    """
    The files of the lake, read with the settings of this process. A table's metadata cannot add settings or other files.

    :param session: source of the credentials; None: a new one, which takes 12 ms of CPU time
    """

    def __init__(self, session: Session | None = None) -> None:
        self._root = lake_root()
        super().__init__(file_io_properties(session or Session()))

    def new_input(self, location: str) -> PyArrowFile:
        """Return a file of the lake, or raise RefusedError."""
        if not is_below(self._root, location):
            raise RefusedError(f"The table's file {location} is outside the lake {self._root}", remedy=_REMEDY)
        return super().new_input(location)


def open_table(metadata_location: str) -> StaticTable:
    """Return a table as its metadata file describes it. Spark writes addresses with s3a, which pyiceberg does not know."""
    files, location = LakeFiles(), metadata_location.replace("s3a://", "s3://", 1)
    metadata = FromInputFile.table_metadata(files.new_input(location))
    check_metadata(location, metadata)
    return StaticTable(("static-table", location), metadata, location, files, NoopCatalog("static-table"))


def check_metadata(name: str, metadata: TableMetadata) -> None:
    """Refuse a table whose metadata names files outside the lake, or classes to load: Spark would obey it."""
    addresses = [
        metadata.location,
        *(entry.metadata_file for entry in metadata.metadata_log),
        *(snapshot.manifest_list for snapshot in metadata.snapshots),
        *(entry.statistics_path for entry in (*metadata.statistics, *metadata.partition_statistics)),
    ]
    root = lake_root()
    if problems := find_foreign(root, addresses, metadata.properties):
        raise RefusedError(f"{name}: its metadata leads out of the lake {root}", problems, _REMEDY)


def file_io_properties(session: Session) -> dict[str, str]:
    """Return pyiceberg's file properties from boto3's own configuration chain."""
    properties = {"s3.region": session.region_name or "us-east-1"}
    if endpoint := get_settings().s3_endpoint:
        properties["s3.endpoint"] = endpoint
    credentials = session.get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        properties["s3.access-key-id"] = frozen.access_key
        properties["s3.secret-access-key"] = frozen.secret_key
        if frozen.token:
            properties["s3.session-token"] = frozen.token
    return properties
