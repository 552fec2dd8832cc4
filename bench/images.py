"""The cost of preparing images: time, memory, and latency of the event loop.

Run `python bench/images.py`. Each row is measured in a process of its own; the latency is the delay of a task that runs
every millisecond meanwhile, like other calls.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = (("JPEG", 12), ("JPEG", 48), ("JPEG", 100), ("PNG", 12), ("PNG", 48), ("WEBP", 12), ("HEIF", 12))
FORMAT = "{:<6} {:>3} {:>9} {:>8} {:>9} {:>9} {:>9}  {}"


def make(image_format: str, megapixels: int, file: Path) -> None:
    """Write a 4:3 image with smooth noise, like a photograph."""
    from PIL import Image

    if image_format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] - untyped keyword arguments
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    noise = Image.effect_noise((width // 16, height // 16), 30).transform(
        (width, height), Image.Transform.EXTENT, (0, 0, width // 16, height // 16), Image.Resampling.BILINEAR
    )
    flipped = noise.transpose(Image.Transpose.ROTATE_180)
    Image.merge("RGB", (noise, flipped, noise)).save(file, image_format)


def kilobytes(field: str) -> int:
    """A memory field of this process in kB; 0 if the system has no /proc."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+)", status.read_text(encoding="ascii")) if status.exists() else None
    return int(found[1]) if found else 0


async def tick(delays: list[float]) -> None:
    """Record the delay of a sleep of one millisecond, in milliseconds, until cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        delays.append((time.perf_counter() - before) * 1000 - 1)


async def measure(file: str) -> dict[str, object]:
    """Time, memory and latency of preparing one image after the decoders are loaded."""
    from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment
    from ollama_mcp.media import prepare_images
    from ollama_mcp.settings.access import ImageSettings, ReadSettings, UrlSettings

    folder = str(Path(file).parent)
    facts = RuntimeEnvironment(home=folder, working_folder=folder)
    access = Access(ReadRules(ReadSettings(), facts), UrlSettings())

    async def prepare(name: str) -> str:
        images = await prepare_images([name], access=access, settings=ImageSettings(), model="bench")
        return f"{images[0].format} {images[0].size[0]}x{images[0].size[1]}, {images[0].bytes // 1000} kB"

    await prepare(str(Path(folder) / "warm.png"))
    base, delays = kilobytes("VmRSS"), list[float]()
    ticker = asyncio.create_task(tick(delays))
    start = time.perf_counter()
    result = await prepare(file)
    milliseconds = (time.perf_counter() - start) * 1000
    ticker.cancel()
    delays.sort()
    late = {"p50": delays[len(delays) // 2], "p99": delays[len(delays) * 99 // 100], "max": delays[-1]}
    return {"ms": milliseconds, "mb": (kilobytes("VmHWM") - base) / 1024, "result": result, **late}


def main() -> None:
    """Print the table."""
    print(FORMAT.format("format", "MP", "ms", "MB", "p50 ms", "p99 ms", "max ms", "sent"))
    with tempfile.TemporaryDirectory() as folder:
        from PIL import Image

        Image.new("RGB", (8, 8)).save(Path(folder) / "warm.png")
        for image_format, megapixels in ROWS:
            file = Path(folder) / f"{megapixels}.{image_format.lower()}"
            make(image_format, megapixels, file)
            child = subprocess.run([sys.executable, __file__, str(file)], capture_output=True, text=True, check=True)
            row = json.loads(child.stdout)
            costs = (f"{row[name]:.0f}" for name in ("ms", "mb"))
            late = (f"{row[name]:.2f}" for name in ("p50", "p99", "max"))
            print(FORMAT.format(image_format, megapixels, *costs, *late, row["result"]))
            file.unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(measure(sys.argv[1]))))
    else:
        main()
