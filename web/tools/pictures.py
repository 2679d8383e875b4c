"""Small WebP pictures for docs/web from the screenshots of the page tests (`PICTURES=DIR npm run e2e -- pages`)."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

PLACE = Path(__file__).resolve().parents[2] / "docs" / "web"
TALLEST = 1.7
"""Of a picture's width: what is below stands in the next card."""
TALLEST_ON_A_PHONE = 2.2
KEPT = ("normal", "running", "open", "trouble", "error", "locked", "earning", "paused", "cancelled", "awarded")


def main() -> int:
    PLACE.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(sys.argv[1]).glob("*.png")):
        page, scheme, size = path.stem.rsplit("-", 2)
        if page.rpartition("-")[2] not in KEPT:
            continue
        with Image.open(path) as picture:
            most = TALLEST_ON_A_PHONE if size == "phone" else TALLEST
            cut = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, int(picture.width * most))))
            if size == "wide":
                cut = cut.resize((960, cut.height * 960 // cut.width))
            cut.save(PLACE / f"{page}-{scheme}-{size}.webp", quality=72, method=6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
