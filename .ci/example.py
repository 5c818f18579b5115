#!/usr/bin/env python3
"""Train a small classifier and leave a record beside it: python3 .ci/example.py [runs/first]"""

import json
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of pycrumbs.py

from pycrumbs import tracked


def draw_points(count, noise):
    """Draw points (x, y, label) of two classes that overlap, around (-1, -1) and (1, 1)."""
    labels = [random.randrange(2) for _ in range(count)]
    return [(*(random.gauss(2 * label - 1, noise) for _ in "xy"), label) for label in labels]


def predict(weights, x, y):
    """The probability that a point is of class 1."""
    return 1 / (1 + math.exp(-(weights["x"] * x + weights["y"] * y + weights["bias"])))


@tracked(directory_parameter="out", seed_parameter="seed", create_parents=True)
def train(out, epochs=20, learning_rate=0.1, noise=1.2, seed=None):
    """Fit a logistic regression; write its weights and its accuracy on points it hasn't seen."""
    known, unseen = draw_points(800, noise), draw_points(200, noise)
    weights = {"x": 0.0, "y": 0.0, "bias": 0.0}
    for _ in range(epochs):
        random.shuffle(known)
        for x, y, label in known:
            step = learning_rate * (label - predict(weights, x, y))
            weights["x"] += step * x
            weights["y"] += step * y
            weights["bias"] += step
    accuracy = sum((predict(weights, x, y) > 0.5) == label for x, y, label in unseen) / len(unseen)
    Path(out, "weights.json").write_text(json.dumps(weights, indent=4))
    Path(out, "accuracy.txt").write_text(f"{accuracy:.3f}\n")
    return accuracy


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "runs/first"
    print(f"accuracy {train(out):.1%} on unseen points; see {out}")
