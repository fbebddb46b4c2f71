"""The page itself, in Gradio, and its server."""

import html
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before Gradio is imported: nothing is reported, and no newer version asked for.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI

from thaw.demo.pictures import as_url, drawn, figures, progress, uploaded
from thaw.demo.playing import MAX_IMAGES, OWN, Playground, Shown
from thaw.reporting.images import to_pil
from thaw.training.opening import model_in_words

HERE = Path(__file__).parent
# Between pictures on the way; the network is asked more often than they can be looked at.
EVERY_S = 0.15
MAX_WAITING = 32
MAX_FILE_SIZE = "20mb"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# One at a time; the page says how many are before it.
WAITING: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "show_progress": "minimal",
    "api_visibility": "private",
}
SMALL: dict[str, Any] = {"size": "sm", "min_width": 60}
ANY = -1
DONE = 1


def serve(playground: Playground, listening: socket.socket) -> None:
    """Answer at a listening socket until a signal ends the process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        app = gr.mount_gradio_app(
            FastAPI(),
            make_page(playground),
            path="/",
            theme=gr.themes.Default(
                primary_hue="indigo",
                neutral_hue="slate",
                font=["system-ui", "sans-serif"],
                font_mono=["monospace"],
            ),
            css_paths=HERE / "page.css",
            footer_links=[],
            max_file_size=MAX_FILE_SIZE,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
        )
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run([listening])


def make_page(playground: Playground) -> gr.Blocks:
    """Two tabs: to restore an image of one's own, and to generate new ones."""
    name = playground.run.run_dir.name
    model = f"{model_in_words(playground.restorer)}, epoch {playground.run.epoch}"
    with gr.Blocks(title=f"{name}: thaw", analytics_enabled=False) as page:
        gr.Markdown(f"# {name}\n{model}")
        with gr.Tab("Restore"):
            _restoring(playground)
        with gr.Tab("Generate"):
            _generating(playground)
    return page.queue(max_size=MAX_WAITING)


def _restoring(playground: Playground) -> None:
    """Draw or upload, degrade by a slider, restore by every way."""
    image_shape, last = playground.image_shape, playground.num_steps
    middle = max(1, last // 2)
    with gr.Row():
        with gr.Column(min_width=260):
            canvas, test, note = _drawing(image_shape)
        with gr.Column(min_width=260):
            gr.Markdown("### 2. Degrade\nMove t: the further, the less is left.")
            t = gr.Slider(0, last, middle, step=1, label="t (0: clean)", elem_id="t")
            degraded = gr.HTML(elem_id="degraded")
        with gr.Column(min_width=260):
            gr.Markdown("### 3. Restore\nThe model sees x_t and t alone.")
            label = _classes(playground, [] if _needs_class(playground) else [("not told", ANY)])
            with gr.Row():
                restore = gr.Button("Restore", variant="primary", min_width=60, elem_id="restore")
                stop = gr.Button("Stop", min_width=60, elem_id="stop_restoring")
            state = gr.HTML(elem_id="restoring")
            restored = gr.HTML(elem_id="restored")

    def degrade(url: str, t: float) -> str:
        with _in_words():
            x_t = playground.degraded(drawn(url, image_shape), int(t))
        return figures({f"x_t, t = {int(t)}": x_t})

    def restore_it(url: str, t: float, label: int) -> Iterator[tuple[str, str]]:
        with _in_words():
            image = drawn(url, image_shape)
            yield from _paced(playground.restored(image, int(t), label=_given(label)))

    def take_test() -> tuple[Any, str, Any]:
        try:
            image, words, own = playground.test_image(random.random())
        except (OSError, ValueError) as error:
            return gr.skip(), _problem(str(error)), gr.skip()
        return as_url(to_pil(image[0])), progress(words, DONE), gr.skip() if own is None else own

    gr.on(
        [canvas.change, t.change],
        degrade,
        [canvas, t],
        degraded,
        trigger_mode="always_last",
        **QUIET,
    )
    test.click(take_test, None, [canvas, note, label], **QUIET)
    started = restore.click(restore_it, [canvas, t, label], [state, restored], **WAITING)
    _stops(stop, started, state)


def _drawing(image_shape: tuple[int, int, int]) -> tuple[gr.HTML, gr.Button, gr.HTML]:
    """A canvas to draw on or upload to; returns it, the button for an example, and its note."""
    _, height, width = image_shape
    gr.Markdown(f"### 1. Draw\nor upload; it becomes {width} x {height} pixels.")
    canvas = gr.HTML(
        "",
        html_template=_canvas(image_shape),
        js_on_load=(HERE / "canvas.js").read_text(encoding="utf-8"),
        elem_classes="canvas",
    )
    with gr.Row():
        clear = gr.Button("Clear", elem_id="clear", **SMALL)
        invert = gr.Button("Invert", elem_id="invert", **SMALL)
        upload = gr.UploadButton("Upload", elem_id="upload", **SMALL)
        test = gr.Button("Example", elem_id="test", **SMALL)
    note = gr.HTML(elem_id="note")

    def take(path: str) -> tuple[Any, str]:
        try:
            image, words = uploaded(Path(path), image_shape)
        except ValueError as error:
            return gr.skip(), _problem(str(error))
        return as_url(to_pil(image[0])), progress(words, DONE)

    clear.click(lambda: ("", ""), None, [canvas, note], **QUIET)
    invert.click(
        lambda url: as_url(to_pil(255 - drawn(url, image_shape)[0])), canvas, canvas, **QUIET
    )
    upload.upload(take, upload, [canvas, note], **QUIET)
    return canvas, test, note


def _generating(playground: Playground) -> None:
    """New images from the prior, by any sampler that fits."""
    names = list(playground.samplers)
    with gr.Row():
        with gr.Column(min_width=260):
            sampler = gr.Dropdown(names, value=OWN, label="sampler")
            steps = gr.Slider(
                1,
                playground.num_steps,
                playground.steps_of(OWN),
                step=1,
                label="steps",
                elem_id="steps",
            )
            num_images = gr.Slider(1, MAX_IMAGES, 16, step=1, label="images", elem_id="images")
            with gr.Row():
                seed = gr.Number(0, precision=0, minimum=0, maximum=2**32 - 1, label="seed")
                another = gr.Button("New seed", **SMALL)
            label = _classes(playground, [("any", ANY)])
            scale = playground.samplers[OWN].guidance
            guidance = gr.Slider(
                0, 6, scale, step=0.1, label="guidance by the class", visible=playground.is_guided
            )
            with gr.Row():
                generate = gr.Button(
                    "Generate", variant="primary", min_width=60, elem_id="generate"
                )
                stop = gr.Button("Stop", min_width=60, elem_id="stop_generating")
        with gr.Column(scale=2, min_width=260):
            state = gr.HTML(elem_id="generating")
            generated = gr.HTML(elem_id="generated")

    def generate_them(
        sampler: str, steps: float, num_images: float, seed: int, label: int, guidance: float
    ) -> Iterator[tuple[str, str]]:
        scale = guidance if playground.is_guided else None
        asked = (int(num_images), sampler, int(steps), int(seed), _given(label), scale)
        with _in_words():
            yield from _paced(playground.generated(*asked))

    sampler.change(playground.steps_of, sampler, steps, **QUIET)
    another.click(lambda: random.randrange(100_000), None, seed, **QUIET)
    given = [sampler, steps, num_images, seed, label, guidance]
    started = generate.click(generate_them, given, [state, generated], **WAITING)
    _stops(stop, started, state)


def _stops(stop: gr.Button, started: Any, state: gr.HTML) -> None:
    """Have a button cancel what was started, and then say so: together, a step could come last."""
    cancelled = stop.click(None, cancels=[started])
    cancelled.then(lambda: progress("stopped", DONE), None, state, **QUIET)


def _canvas(image_shape: tuple[int, int, int]) -> str:
    channels, height, width = image_shape
    brush = '<label>brush <input type="color" value="#ffffff"></label>' if channels == 3 else ""
    return f'<canvas width="{width}" height="{height}" aria-label="draw here"></canvas>{brush}'


def _classes(playground: Playground, first: list[tuple[str, int]]) -> gr.Dropdown:
    """A choice of a class, hidden where the model is told none."""
    choices = [*first, *playground.classes] or [("any", ANY)]
    is_shown = bool(playground.classes)
    return gr.Dropdown(choices, value=choices[0][1], label="class", visible=is_shown)


def _needs_class(playground: Playground) -> bool:
    return bool(playground.classes) and not playground.is_guided


def _given(label: int) -> int | None:
    return None if label == ANY else label


def _paced(states: Iterator[Shown]) -> Iterator[tuple[str, str]]:
    """The progress and the pictures of states that are far enough apart, and of the last."""
    shown_s = -EVERY_S
    for shown in states:
        if shown.share == DONE or time.monotonic() - shown_s >= EVERY_S:
            yield progress(shown.words, shown.share), figures(shown.pictures)
            shown_s = time.monotonic()


def _problem(words: str) -> str:
    return f'<p class="problem" role="alert">{html.escape(words)}</p>'


@contextmanager
def _in_words() -> Iterator[None]:
    """What is refused is shown on the page in its own words."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), title="", print_exception=False) from error
