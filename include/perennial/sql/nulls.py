"""Request fields that will be null on the dates whose drops lack a column, although they may not be null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perennial.config.pipeline import Pipeline
from perennial.config.tables import ColumnContract
from perennial.sql.origins import Origin


def null_warnings(pipeline: Pipeline, features: Mapping[str, Origin], steps: Mapping[str, Mapping[str, Origin]]) -> Iterator[str]:
    """
    Yield a warning for each request field that may not be null and whose column some drop of the pipeline's dates may lack.

    :param features: the origins of the columns of features.sql
    :param steps: by source, the origins of the columns of its cleaning step
    """
    for field, spec in pipeline.inputs.request.items():
        table, column = features.get(field, ("", ""))
        if table in steps:
            _, column = steps[table].get(column, ("", ""))
        contract = pipeline.tables[table].columns.get(column) if table in pipeline.tables else None
        if contract is not None and not spec.nullable and (declared := _may_lack(pipeline, contract)):
            yield (
                f"features.sql: request field {field!r} may not be null, but column {column!r} of {table} is null where a drop "
                f"lacks it ({declared}). Allow null with `{field}: {spec.type}?`, or fill the column or leave these rows out in "
                "features.sql"
            )


def _may_lack(pipeline: Pipeline, contract: ColumnContract) -> str:
    """Return the declaration by which a drop from the pipeline's start to its end may lack a column, or an empty text."""
    if contract.optional:
        return "optional: true"
    if contract.since is not None and contract.since > pipeline.start:
        return f"since: {contract.since}"
    if contract.until is not None and (pipeline.end is None or contract.until < pipeline.end):
        return f"until: {contract.until}"
    return ""
