"""Writes docs/gallery.md from the choices in conf/degradation/ and the models in zoo/.

``python docs/generate_gallery.py``
"""

import textwrap
from itertools import takewhile
from pathlib import Path

from thaw.groups import CONF

DOCS = Path(__file__).parent
PAGE = DOCS / "gallery.md"
FORWARD = "results/degradations/forward"
OPENING = """\
<!-- Written by `python docs/generate_gallery.py`: edit that, or the comments in conf/. -->

# Gallery

## Samples
"""
TRAINING = """\
### Hybrid, cold and hot

![Samples of a hybrid, a cold and a hot model after epochs 1, 10 and 20](results/hot_and_cold.png)

The same network after 1, 10 and 20 epochs of 4,500 digits; hybrid and cold start from what is left
of real images at T: [their scores](results/degradations/README.md#cold-hybrid-hot).

## Forward processes

Two images under each degradation, from t = 0 to T, as every run draws them:

```
python train.py experiment=degradations degradation=NAME callbacks.forward_process.num_images=2
```

The picture is `figures/forward_process.png` in the run's directory. What models make of what is
left at T: [restored and generated](results/degradations/README.md).
"""


def page(conf: Path = CONF) -> str:
    """The whole page; SystemExit where a picture is missing."""
    parts = [OPENING]
    for path in sorted(CONF.parent.glob("zoo/*/model.safetensors")):
        name = path.parent.name
        command = f"`python sample.py run=zoo/{name} num_samples=64`"
        parts.append(f"### {name}\n\n{picture(f'Samples of {name}', f'results/{name}.png')}\n")
        parts.append(f"{command}; [its card](../zoo/{name}/README.md).\n")
    parts.append(TRAINING)
    for path in sorted(conf.glob("degradation/*.yaml")):
        strip = picture(path.stem, f"{FORWARD}/{path.stem}.png")
        parts.append(f"### {path.stem}\n\n{about(path)}\n\n{strip}\n")
    return "\n".join(parts)


def about(path: Path) -> str:
    """The comment that a file of conf/ begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return textwrap.fill(" ".join(line.lstrip("# ") for line in comment), 120)


def picture(name: str, path: str) -> str:
    """A picture in docs/."""
    if not (DOCS / path).is_file():
        raise SystemExit(f"docs/{path} is missing: the picture of {name} in docs/gallery.md")
    return f"![{name}]({path})"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
