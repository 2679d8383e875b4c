"""`python -m shoal.earn.bundled DIR`: the bundled model and a made-up chunk, as files that the training engine takes.

A process of its own, since it loads torch, which a node that only waits for work need not hold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

EXAMPLE = "digits"
ROWS, STEPS = 512, 300
DOCUMENT, RECIPE, BASE, CHUNK = "graph.json", "recipe.json", "base.safetensors", "chunk.safetensors"


def write(directory: Path) -> None:
    """Export the bundled digits CNN, and write a chunk of made-up images of its size."""
    import torch

    from shoal.client.examples import example
    from shoal.learn import chunks, export, update
    from shoal.learn.interpreter import GraphModel
    from shoal.learn.recipe import Recipe

    folder = example(EXAMPLE)
    recipe = Recipe.from_dict({**json.loads((folder / "recipe.json").read_text()), "local_steps": STEPS})
    torch.manual_seed(recipe.seed)
    x, y = torch.rand(ROWS, 1, 8, 8), torch.randint(0, 10, (ROWS,))
    exported = export.export_model(export.load_author_model(folder / "model.py"), (x[:8],), recipe, y[:8])
    (directory / DOCUMENT).write_bytes(exported.document)
    (directory / RECIPE).write_text(json.dumps(recipe.as_dict()))
    update.write_state(directory / BASE, GraphModel.from_bytes(exported.document, exported.weights).state())
    chunks.write_chunk(directory / CHUNK, x.numpy(), y.numpy())
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    sys.stdout.write(json.dumps({"torch": torch.__version__, "gpu": name}) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
