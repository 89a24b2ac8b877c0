"""Reads a run with TensorBoard's own library and compares it with the run's journal.

    python -m venv .venv && .venv/bin/pip install tensorboard pillow
    .venv/bin/python parity/check_tensorboard.py runs/0001-vae-digits

Every scalar and every sheet of pictures of the journal must come back: the same tags, steps and
values (TensorBoard keeps scalars as f32). A resumed run must show each step once.
"""

import io
import json
import pathlib
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def expected(run):
    """The last account of every step: {tag: {step: value or path}}."""
    scalars, pictures = {}, {}
    for line in (run / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        step = event.get("step")
        match event["event"]:
            case "start":
                for series in [*scalars.values(), *pictures.values()]:
                    for late in [s for s in series if s > event["resumed_from_step"]]:
                        del series[late]
            case "progress":
                values = {f"losses/{k}": v for k, v in event["losses"].items()}
                values["images_per_second"] = event["images_per_second"]
                for tag, value in values.items():
                    scalars.setdefault(tag, {})[step] = value
            case "evaluation":
                for name, score in event["scores"].items():
                    scalars.setdefault(f"scores/{name}", {})[step] = score["value"]
            case "samples":
                path = run / "samples" / pathlib.Path(event["path"]).name
                pictures.setdefault(f"samples/{event['kind']}", {})[step] = path
    return scalars, pictures


def main():
    run = pathlib.Path(sys.argv[1])
    scalars, pictures = expected(run)
    found = EventAccumulator(str(run), size_guidance={"tensors": 0, "images": 0, "scalars": 0})
    found.Reload()
    tags = found.Tags()
    compared = 0
    for tag, series in scalars.items():
        if tag in tags["scalars"]:
            points = {e.step: e.value for e in found.Scalars(tag)}
        else:
            points = {
                e.step: float(tensor_util.make_ndarray(e.tensor_proto)) for e in found.Tensors(tag)
            }
        assert points.keys() == series.keys(), (tag, sorted(points.keys() ^ series.keys()))
        for step, value in series.items():
            assert abs(points[step] - value) <= 1e-6 * abs(value), (tag, step, points[step], value)
            compared += 1
    for tag, series in pictures.items():
        if tag in tags["images"]:
            sheets = {e.step: e.encoded_image_string for e in found.Images(tag)}
        else:  # [width, height, PNG file] as strings
            sheets = {e.step: e.tensor_proto.string_val[2] for e in found.Tensors(tag)}
        assert sheets.keys() == series.keys(), (tag, sorted(sheets.keys() ^ series.keys()))
        for step, path in series.items():
            assert sheets[step] == path.read_bytes(), (tag, step)
            Image.open(io.BytesIO(sheets[step])).verify()
            compared += 1
    assert compared, "the journal holds nothing to compare"
    print(f"{run}: TensorBoard agrees on {compared} values and pictures of "
          f"{len(scalars) + len(pictures)} tags")


if __name__ == "__main__":
    main()
