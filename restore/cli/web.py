"""`restore web`: the page in the browser, served on this machine alone."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

import typer

from restore.cli import options
from restore.cli.signals import Interrupted, Signals
from restore.cli.streams import say


def web(
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port on 127.0.0.1.", show_default="a free one")
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, but open no browser.")] = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Restore pictures on a page in your browser.

    Drop pictures, try steps and strengths on a crop, restore, compare and download. Only this machine can open the
    page. Ctrl-C stops the server and removes its files; your downloads stay.
    """
    options.check_device(device)
    from restore.web.networks import Networks
    from restore.web.server import Server

    server = Server(port, networks=Networks(device=device, threads=threads))
    # `shutdown` waits for the loop that the signal interrupts, so it needs its own thread.
    stop = threading.Thread(target=server.shutdown, daemon=True)
    with Signals(stop.start, lambda number: server.storage.close()) as signals:
        try:
            print(server.url, flush=True)
            if not no_open:
                threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
            server.serve_forever()
            say("stopping; a second Ctrl-C stops at once")
        finally:
            server.server_close()
    if signals.received is not None:
        raise Interrupted(signals.received)
