"""The media plane: a selective forwarding unit in Python, compiled where that was done (`python -m media.compile`)."""

from media.compiled import use

use(__path__)
