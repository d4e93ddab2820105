import json
import subprocess
import sys

import pytest

LIFEBOAT = [sys.executable, "-m", "app.cli", "bench"]


@pytest.mark.timeout(300)
def test_the_document_is_all_of_stdout_and_progress_goes_to_stderr():
    done = subprocess.run(
        [*LIFEBOAT, "submit-python", "--seconds", "0.1", "--json"],
        capture_output=True,
        check=True,
        text=True,
    )

    (row,) = json.loads(done.stdout)
    assert row["name"] == "submit-python"
    assert row["referenceName"] == "one EVALSHA carrying 100 tasks"
    assert "round 3 of 3" in done.stderr


def test_an_unknown_name_is_a_usage_error_that_lists_the_known_ones():
    done = subprocess.run([*LIFEBOAT, "sumbit"], capture_output=True, check=False, text=True)

    assert done.returncode == 2
    assert "sumbit" in done.stderr
    assert "submit-http" in done.stderr
