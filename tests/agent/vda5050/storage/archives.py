"""Archives of maps, and a server that serves a directory of them."""

import functools
import http.server
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.mapping.map_file import write_map
from tests.agent.room import CELLAR_BOXES, room_grid

SMALL = room_grid(CELLAR_BOXES)


def zipped_map(path: Path, name: str = "cellar") -> Path:
    """Write a map of the room with other boxes, and return the archive."""
    yaml = path.with_name(f"{name}.yaml")
    write_map(yaml, SMALL)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (yaml, yaml.with_suffix(".pgm")):
            archive.write(file, f"{name}/{file.name}")
    return path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/away"))
            self.end_headers()
        else:
            super().do_GET()


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve a directory over HTTP; ``/away/x`` leads to ``/x`` by a redirection."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
