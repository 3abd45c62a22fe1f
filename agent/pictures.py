"""Pictures in files: read, or refused with a word on what is wrong; and held against the size of their plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.exits import Stop

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion.layout import Layout


def open_image(path: Path) -> Image:
    """The picture in the file, decoded, as RGB; Stop says what is wrong with it."""
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return picture.convert("RGB")
    except UnidentifiedImageError as error:
        raise Stop(f"{path}: not a picture in a format that can be read (PNG and JPEG can)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Stop(f"{path}: more pixels than any canvas has ({error})") from error
    except OSError as error:
        raise Stop(f"{path}: cannot be read as a picture ({error.strerror or error})") from error
    except (ValueError, SyntaxError, EOFError) as error:
        raise Stop(f"{path}: a broken picture ({error})") from error


def check_size(path: Path, layout: Layout, advice: str) -> None:
    """Stop, with the advice, when the picture in the file has not its plan's size; its pixels are not decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            size = picture.size
    except (UnidentifiedImageError, OSError) as error:
        raise Stop(f"{path}: cannot be read as a picture ({error})") from error
    if size != (layout.width, layout.height):
        raise Stop(
            f"{path}: {size[0]} x {size[1]} pixels, but its plan is for {layout.width} x {layout.height}: {advice}"
        )
