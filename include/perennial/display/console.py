"""The console of the command lines: no text that is printed there can steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from perennial.display.showable import make_showable


class ShowableConsole(Console):
    """
    A console that shows every text without its control characters and names no emoji.

    Rich itself removes only a few of them. Its own commands for colours and the spinner are no text, and stay.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make a text showable before its width is measured."""
        return super().render_str(make_showable(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Make all other texts showable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else make_showable(text), style, control)
