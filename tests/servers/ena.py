"""ENA's portal, and the archives behind it, as far as `run+fastq` sees them: recorded rows, and runs made here.

What ENA was recorded to answer stands in RECORDED; `Ena` serves these rows, and those of runs that a test adds, in
ENA's own format (every value a text, `;` between files, no scheme in an address), and what the latter tell of.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

Row = dict[str, str]

RECORDED: dict[str, list[Row]] = {
    "ERR315859": [
        {
            "run_accession": "ERR315859",
            "fastq_ftp": "ftp.sra.ebi.ac.uk/vol1/fastq/ERR315/ERR315859/ERR315859_1.fastq.gz;"
            "ftp.sra.ebi.ac.uk/vol1/fastq/ERR315/ERR315859/ERR315859_2.fastq.gz",
            "fastq_md5": "5bed3016d7a3f0cc82426ae96f93a86c;3842517e58daefeb7473176e74d93344",
            "fastq_bytes": "3277487044;3401873895",
        }
    ],
    "SRR16298157": [
        {
            "run_accession": "SRR16298157",
            "fastq_ftp": "ftp.sra.ebi.ac.uk/vol1/fastq/SRR162/057/SRR16298157/SRR16298157_1.fastq.gz;"
            "ftp.sra.ebi.ac.uk/vol1/fastq/SRR162/057/SRR16298157/SRR16298157_2.fastq.gz",
            "fastq_bytes": "43409;42752",
            "fastq_md5": "aaf5b365c1b45083c014baa35657b463;e80f09063bf017fa08b0dd881e840ed9",
            "submitted_ftp": "",
            "sra_ftp": "ftp.sra.ebi.ac.uk/vol1/srr/SRR162/057/SRR16298157",
        }
    ],
    "ERR10889188": [
        {
            "run_accession": "ERR10889188",
            "sample_accession": "SAMEA112437737",
            "fastq_md5": "67613b1159c7d80eb3e3ca2479650ad5;6e6c5b0db3919b904a5e283827321fb9;"
            "41dc11f68009af8bc1e955a2c8d95d05",
            "fastq_ftp": "ftp.sra.ebi.ac.uk/vol1/fastq/ERR108/088/ERR10889188/ERR10889188.fastq.gz;"
            "ftp.sra.ebi.ac.uk/vol1/fastq/ERR108/088/ERR10889188/ERR10889188_1.fastq.gz;"
            "ftp.sra.ebi.ac.uk/vol1/fastq/ERR108/088/ERR10889188/ERR10889188_2.fastq.gz",
            "library_layout": "PAIRED",
        }
    ],
    "SRR11150179": [
        {
            "run_accession": "SRR11150179",
            "fastq_ftp": "ftp.sra.ebi.ac.uk/vol1/fastq/SRR111/079/SRR11150179/SRR11150179_1.fastq.gz;"
            "ftp.sra.ebi.ac.uk/vol1/fastq/SRR111/079/SRR11150179/SRR11150179_2.fastq.gz",
            "fastq_bytes": "641320931;570947734",
            "fastq_md5": "fdbeeccd7677f8e91ccad45afe9215f4;76fa40bcc5e0bcfa7e137e649a34889a",
            "fastq_aspera": "fasp.sra.ebi.ac.uk:/vol1/fastq/SRR111/079/SRR11150179/SRR11150179_1.fastq.gz;"
            "fasp.sra.ebi.ac.uk:/vol1/fastq/SRR111/079/SRR11150179/SRR11150179_2.fastq.gz",
            "submitted_ftp": "",
            "sra_ftp": "",
        }
    ],
    "DRR086621": [{"run_accession": "DRR086621", "library_layout": "PAIRED"}],  # controlled: a row, and no files
}


class Fault(NamedTuple):
    """Something else than the answer."""

    status: int
    text: str = ""
    retry_after: str = ""


NOT_VALID = Fault(400, "Accession(s) ERR164407 not valid for search requests on sample data.")
NO_CONTENT = Fault(204)
TOO_MANY = Fault(429, "Too many requests", "0")
BROKEN = Fault(500, '{"timestamp":1790514799911,"status":500,"error":"Internal Server Error"}')
SILENT = Fault(0)  # it takes the request, and says nothing until the test is over


class Ena:
    """What a test tells the stand-in, and what was asked of it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder  # what the hosts of files have: `vol1/…`, `sra/…`
        self.url = f"{address}/ena/portal/api"
        self.files = f"{address}/"
        self.sra = f"{address}/sra"
        self.rows = dict(RECORDED)
        self.faults: dict[str, list[Fault]] = {}  # by accession: what is said before, the last one for ever
        self.missing: set[str] = set()  # parts of paths that answer 404
        self.cut: set[str] = set()  # parts of paths whose content ends half way
        self.asked: list[str] = []  # accessions
        self.taken: list[str] = []  # paths
        self.over = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """What makes scitq ask here."""
        return {"SCITQ_ENA_URL": self.url, "SCITQ_ENA_FILES": self.files, "SCITQ_SRA_URL": self.sra}

    def add(self, run: str, files: Mapping[str, bytes], *within: str, **fields: str) -> Row:
        """A run whose files are served, found by the accessions it is `within` too; `fields` replace the truth."""
        for name, content in files.items():
            path = self.folder / "vol1" / "fastq" / run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        paths = [f"vol1/fastq/{run}/{name}" for name in files]
        row = {
            "run_accession": run,
            "library_layout": "PAIRED" if len(files) > 1 else "SINGLE",
            "fastq_ftp": ";".join(paths),  # below `self.files`, which stands for the host
            "fastq_bytes": ";".join(str(len(content)) for content in files.values()),
            "fastq_md5": ";".join(hashlib.md5(content).hexdigest() for content in files.values()),
            "fastq_aspera": ";".join(f"fasp.sra.ebi.ac.uk:/{path}" for path in paths),
            **fields,
        }
        for accession in (run, *within):
            self.rows.setdefault(accession, []).append(row)
        return row

    def add_object(self, run: str, content: bytes) -> None:
        """A run among SRA's public objects."""
        path = self.folder / "sra" / run / run
        path.parent.mkdir(parents=True)
        path.write_bytes(content)


@contextmanager
def ena(folder: Path) -> Iterator[Ena]:
    """The stand-in, at a free port of 127.0.0.1; it keeps its files in the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    one = Ena(folder, f"http://127.0.0.1:{server.server_address[1]}")
    server.ena = one  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield one
    finally:
        one.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def report(rows: list[Row], fields: list[str], kind: str) -> str:
    """Rows as the portal writes them; what a row does not have is empty."""
    filled = [{field: row.get(field, "") for field in fields} for row in rows]
    if kind == "json":
        return json.dumps(filled, separators=(",", ":"))
    return "".join("\t".join(line) + "\n" for line in (fields, *(list(row.values()) for row in filled)))


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _ena(self) -> Ena:
        found: Ena = self.server.ena  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        if at.path.endswith("/filereport"):
            self._report(parse_qs(at.query))
        elif self._is_there():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_there():
            super().do_HEAD()

    def _is_there(self) -> bool:
        self._ena.taken.append(self.path)
        if any(part in self.path for part in self._ena.missing):
            self.send_error(404)
            return False
        return True

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        if any(part in self.path for part in self._ena.cut):
            content = content[: len(content) // 2]
            self.close_connection = True
        outputfile.write(content)

    def _report(self, asked: dict[str, list[str]]) -> None:
        accession = asked["accession"][0]
        self._ena.asked.append(accession)
        faults = self._ena.faults.get(accession, [])
        if faults:
            self._say(*(faults.pop(0) if len(faults) > 1 else faults[0]))
            return
        rows = self._ena.rows.get(accession, [])
        self._say(200, report(rows, asked["fields"][0].split(","), asked.get("format", ["tsv"])[0]))

    def _say(self, status: int, text: str, retry_after: str = "") -> None:
        if not status:
            self._ena.over.wait()
            self.close_connection = True
            return
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(text.encode())

    def translate_path(self, path: str) -> str:
        return str(self._ena.folder) + urlsplit(path).path

    def log_message(self, *_: object) -> None:
        """Nothing."""
