"""What ENA answers, as it was recorded, and what is no answer."""

import json

import pytest

from scitq.fetch.backends.ena import File, Run, is_run, read
from scitq.fetch.storage import FetchError
from tests.servers.ena import RECORDED, Row, report

FIELDS = ["run_accession", "library_layout", "fastq_ftp", "fastq_bytes", "fastq_md5", "fastq_aspera"]
HOST = "ftp.sra.ebi.ac.uk/vol1/fastq"


def recorded(accession: str) -> list[Run]:
    return read(report(RECORDED[accession], FIELDS, "json"))


def changed(**fields: str) -> str:
    return json.dumps([RECORDED["SRR16298157"][0] | fields])


def test_a_paired_run_has_two_files_with_size_and_digest() -> None:
    path = f"{HOST}/SRR162/057/SRR16298157/SRR16298157"

    assert recorded("SRR16298157") == [
        Run(
            "SRR16298157",
            False,
            (
                File("SRR16298157_1.fastq.gz", 43409, "aaf5b365c1b45083c014baa35657b463", f"{path}_1.fastq.gz", ""),
                File("SRR16298157_2.fastq.gz", 42752, "e80f09063bf017fa08b0dd881e840ed9", f"{path}_2.fastq.gz", ""),
            ),
        )
    ]


def test_reads_without_a_mate_are_a_third_file() -> None:
    (run,) = recorded("ERR10889188")

    assert run.paired
    assert [file.name for file in run.files] == [f"ERR10889188{mate}.fastq.gz" for mate in ("", "_1", "_2")]
    assert {file.size for file in run.files} == {-1}  # not told in this answer
    assert run.files[2].md5 == "41dc11f68009af8bc1e955a2c8d95d05"


def test_the_addresses_of_aspera_belong_to_their_files() -> None:
    (run,) = recorded("SRR11150179")

    assert [file.aspera.rpartition("/")[2] for file in run.files] == [file.name for file in run.files]
    assert run.files[0].aspera.startswith("fasp.sra.ebi.ac.uk:/vol1/")


def test_a_run_without_files_is_a_run() -> None:
    assert recorded("DRR086621") == [Run("DRR086621", True)]


@pytest.mark.parametrize("text", ["", "\n", "[]"])
def test_an_empty_answer_tells_of_no_run(text: str) -> None:
    assert read(text) == []


def test_runs_come_in_their_order_whatever_the_order_of_the_rows() -> None:
    rows = [*RECORDED["SRR16298157"], *RECORDED["ERR315859"]]

    assert [run.accession for run in read(json.dumps(rows))] == ["ERR315859", "SRR16298157"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Unsupported param offset", "says Unsupported param offset"),
        ("<!DOCTYPE html>\n<html>", "says <!DOCTYPE html>"),
        ('[{"run_accession":"ERR000001"', "says [{"),
        ('{"status":404}', 'says {"status":404}'),
        ("[1]", "says [1]"),
        ('[{"fastq_ftp":""}]', "a run without accession"),
        ('[{"run_accession":"../x"}]', "a run without accession"),
        (changed(fastq_md5="aaf5b365c1b45083c014baa35657b463"), "contradicts itself about the files of SRR16298157"),
        (changed(fastq_bytes="1;2;3"), "contradicts itself"),
        (changed(fastq_bytes="1;-2"), "a file of SRR16298157 that cannot be"),
        (changed(fastq_md5="x;y"), "that cannot be"),
        (changed(fastq_ftp="h/vol1/..;h/b"), "that cannot be: h/vol1/.."),
        (changed(fastq_ftp="h/a;h/b/"), "that cannot be"),
        (changed(fastq_ftp="h/a\n;h/b"), "that cannot be: h/a\\n"),
        (changed(fastq_ftp="h/1/a;h/2/a"), "two files of one name"),
    ],
)
def test_what_is_no_answer_may_be_one_next_time(text: str, reason: str) -> None:
    with pytest.raises(FetchError) as caught:
        read(text)

    assert reason in caught.value.reason
    assert caught.value.retry


@pytest.mark.parametrize("fields", [{"fastq_md5": ""}, {"fastq_md5": ";"}])
def test_a_digest_that_is_not_told_is_not_held_against_a_file(fields: Row) -> None:
    (run,) = read(changed(**fields))

    assert [file.md5 for file in run.files] == ["", ""]


def test_only_runs_are_runs() -> None:
    assert is_run("DRR086621")
    assert not any(map(is_run, ("ERS000001", "SAMEA112437737", "ERR1", "ERR000001/x", "PRJEB1")))
