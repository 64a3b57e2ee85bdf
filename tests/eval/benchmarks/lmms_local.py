"""Run by the Python of an environment with lmms-eval: three items of our own, through its evaluator, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

TASK = """\
task: vigil_local
dataset_path: json
dataset_kwargs:
  data_files:
    test: {items}
test_split: test
output_type: generate_until
doc_to_visual: !function looks.visual
doc_to_text: !function looks.text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 16
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  version: 0
"""
LOOKS = """\
from PIL import Image
def visual(doc):
    return [Image.new("RGB", (64, 64), doc["colour"])]
def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]
"""


def run(folder: Path, *, force_simple: bool) -> dict[str, object]:
    """What the model said to the three items, as the evaluator stored it, and the class that it was."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"colour": colour, "question": "Is it day?", "answer": colour} for colour in ("red", "green", "blue")]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "looks.py").write_text(LOOKS, encoding="utf-8")
    (folder / "vigil_local.yaml").write_text(TASK.format(items=folder / "items.jsonl"), encoding="utf-8")
    manager = TaskManager(include_path=str(folder), include_defaults=False, model_name="vigil")
    found = simple_evaluate(
        model="vigil",
        model_args="pretrained=nano,fps=1",
        tasks=["vigil_local"],
        task_manager=manager,
        batch_size=1,
        device="cpu",
        force_simple=force_simple,
        log_samples=True,
    )
    samples = sorted(found["samples"]["vigil_local"], key=lambda sample: sample["doc_id"])
    return {"said": [sample["filtered_resps"][0] for sample in samples], "results": found["results"]["vigil_local"]}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), force_simple=sys.argv[2] == "simple"), default=str))
