"""What our sessions are called at PostgreSQL: administrators see which versions are at work, and so do migrations."""

from typing import Final

from richpanel import __version__

FAMILY: Final = "richpanel"
APPLICATION: Final = f"{FAMILY} {__version__}"
