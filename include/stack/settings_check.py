"""Checks of the settings that services read when they start. A running stack must not be stopped for a start that then fails."""

from __future__ import annotations

from perennial.access.token_file import find_tokens
from perennial.settings import get_settings
from stack.airflow_users import airflow_users
from stack.errors import StackError
from stack.machine import Finding


def examine_settings() -> list[Finding]:
    """Check the users of Airflow, and the tokens of the model servers if the settings name a file of them."""
    return [_users(), *_tokens()]


def _users() -> Finding:
    try:
        return Finding("users of Airflow", ", ".join(f"{name} ({role})" for name, role in airflow_users().items()))
    except StackError as error:
        return Finding("users of Airflow", f"{error.what}: {'; '.join(error.problems)}", error.remedy)


def _tokens() -> list[Finding]:
    file = get_settings().server_tokens
    if file is None:
        return []
    tokens, problems = find_tokens(file)
    found = "; ".join(problems) or f"{len(tokens)} token{'' if len(tokens) == 1 else 's'}"
    fix = f"Correct {file}, or unset PERENNIAL_SERVER_TOKENS. A line is a token: `openssl rand -hex 32`." if problems else ""
    return [Finding("tokens of the model servers", f"{file}: {found}", fix)]
