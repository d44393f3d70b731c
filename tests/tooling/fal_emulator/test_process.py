from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.emulator import Emulator, running_emulator
from tests.support.fal_calls import FLUX, KEY, data_uri, first_file, submit


def test_the_real_fal_client_gets_a_result(fal: Emulator) -> None:
    script = (
        "import json, fal_client\n"
        "handle = fal_client.submit('fal-ai/flux/dev', {'prompt': 'a blue boat', 'num_images': 2})\n"
        "events = [type(event).__name__ for event in handle.iter_events(with_logs=True, interval=0.02)]\n"
        "print(json.dumps({'last': events[-1], 'result': handle.get(), 'url': handle.response_url}))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **fal.environment()},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["last"] == "Completed"
    assert len(told["result"]["images"]) == 2
    assert "/fal-ai/flux/requests/" in told["url"]


def test_everything_seen_can_be_asked_for_and_forgotten(fal: Emulator) -> None:
    url = first_file(fal, image_url=data_uri(60, 60) + "A" * 9_000)
    fal.http.get(url, headers=KEY)

    [request], stats = fal.requests(), fal.stats()

    assert (request["endpoint"], request["state"]) == (FLUX, "COMPLETED")
    assert (request["resultFetches"], request["fileFetches"]) == (1, 1)
    assert request["statusPolls"] >= 1
    assert len(request["arguments"]["image_url"]) < 5_000
    assert (stats["submits"], stats["succeeded"], stats["filesFetchedWithKey"]) == (1, 1, 1)
    fal.reset()
    assert fal.requests() == []
    assert fal.http.get(url).status_code == 404


def test_certificate_and_webhook_key_outlive_the_process(running: Emulator, tls_dir: Path) -> None:
    before = {path.name: path.read_bytes() for path in tls_dir.iterdir()}
    # A service's environment, which already names the bundle, may start the emulator again.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(tls_dir / "bundle.pem"))
        with running_emulator(tls_dir) as second:
            assert second.stats()["submits"] == 0

    assert {path.name: path.read_bytes() for path in tls_dir.iterdir()} == before
    assert len(ssl.create_default_context(cafile=str(tls_dir / "bundle.pem")).get_ca_certs()) > 50


def test_sigterm_ends_it_cleanly_with_requests_in_flight(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.fal_emulator", "--port", "0", "--tls-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        fal = Emulator(ready[2], tmp_path / "bundle.pem")
        fal.fault("status", "hang")
        submitted = submit(fal).json()
        with pytest.raises(httpx.ReadTimeout):
            fal.http.get(submitted["status_url"], headers=KEY, timeout=0.1)
        fal.close()

        process.terminate()
        _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (0, "")
