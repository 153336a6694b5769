"""Commands that hand a trained game to others."""

from __future__ import annotations

from gander.cli.options import Flag, WholeOrNone, app


@app.command
def export(
    run: str, /, *, to: str | None = None, out: str | None = None, live: Flag = False
) -> None:
    """Write a run as one page with sliders, one ONNX file, or weights with all that is needed to use them.

    Parameters
    ----------
    run
        A run directory, its number under runs/, a folder of weights or a generator's .safetensors file.
    to
        html (a page that draws without a network), onnx (one input for each code) or weights (safetensors); without it the
        ending of --out decides.
    out
        FILE.html, FILE.onnx, FILE.safetensors or, for weights, a folder; without it, here and named after the run.
    live
        Take the generator itself, not its moving average.
    """
    from gander import exporting as job

    notes: list[str] = []
    print(job.export(run, to, out, live=live, tell=notes.append))
    for note in notes:
        print(note)


@app.command
def explore(
    run: str,
    /,
    *,
    port: WholeOrNone = None,
    host: str = "127.0.0.1",
    no_open: Flag = False,
    device: str = "cpu",
) -> None:
    """Open a run's knobs in the browser, drawn by PyTorch here; drop pictures to be read, watch a run that trains.

    Parameters
    ----------
    run
        A run directory, its number under runs/, a folder of weights or a generator's .safetensors file.
    port
        Where to serve the page; without it the first free port from 8000 on.
    host
        Another address than this machine's own, as 0.0.0.0, lets others in without a password.
    no_open
        Do not open the browser.
    device
        Where to draw.
    """
    from gander.explore import server

    server.explore(run, port=port, host=host, browser=not no_open, device=device)
