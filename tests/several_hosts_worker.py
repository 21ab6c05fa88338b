"""One host of the example, on loopback, with the tiny encoder.

python tests/several_hosts_worker.py DATA FOLDER

trains with the other hosts of TF_CONFIG; writes FOLDER/trained.npz and FOLDER/losses.json.
"""

import json
import sys
from pathlib import Path

import grid_rows

sys.path.insert(0, str(grid_rows.HERE.parent / "converter" / "examples"))

from several_hosts import train_together

from edgecap.datasets import load_dataset, select
from edgecap_converter.plan import find_preset
from edgecap_converter.stages import Corpus

data, folder = map(Path, sys.argv[1:])
grid_rows.know_tiny()
plan = find_preset("frozen").changed(
    {
        "encoder": "tiny", "decoder": "attention", "size.features": 16, "size.attention": 16,
        "size.embedding": 16, "size.hidden": 32, "minimum_count": 1, "maximum_words": 12,
        "training.epochs": 10, "training.batch": 20, "training.learning_rate": 1e-2,
    }
)  # fmt: skip
photos = load_dataset(data)
corpus = Corpus(data.name, select(photos, "train"), select(photos, "dev"), folder / "work")
model, losses = train_together(plan, corpus, "random", seed=1)
model.save(folder / "trained.npz")
(folder / "losses.json").write_text(json.dumps(losses))
