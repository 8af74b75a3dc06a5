"""Bring into the site what its folder does not hold or `nav` does not name: the pages of the top folder, and all decisions."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).parents[1]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every page of adr/ under Decisions."""
    decisions = next(entry for section in config.nav or () for entry in section.get("Contribute", ()) if "Decisions" in entry)
    decisions["Decisions"] = sorted(f"adr/{page.name}" for page in (TOP / "docs/adr").glob("*.md"))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add CONTRIBUTING.md and CHANGELOG.md, their links to `docs/` as seen from within it."""
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = (TOP / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, name.lower(), content=text))
    return files
