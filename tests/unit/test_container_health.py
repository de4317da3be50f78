"""The health checks of the containers."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from containers import health


def test_a_folder_is_fresh_until_nothing_was_written_for_the_time(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert health.is_fresh(str(tmp_path), 60, 1000.0) == f"{tmp_path} has no file yet"
    file.write_text("{}")
    os.utime(file, (940, 940))
    assert health.is_fresh(str(tmp_path), 60, 1000.0) == ""
    assert health.is_fresh(str(tmp_path), 60, 1001.0) == f"nothing was written to {tmp_path} for 61 s"
    assert health.is_fresh(str(tmp_path / "none"), 60, 1.0).endswith("cannot be read: No such file or directory")


def test_a_server_is_healthy_where_it_answers_http(tmp_path: Path) -> None:
    path = str(tmp_path / "write.sock")
    assert health.answers(path) == f"{path} does not answer: No such file or directory"
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            for answer in (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", b"SSH-2.0\r\n"):
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert health.answers(path) == ""
        assert health.answers(path) == f"{path} answers no HTTP"
        thread.join()
    assert all(each.startswith(b"GET /api/v2/write ") for each in asked), "which writes nothing"


@pytest.mark.parametrize(("arguments", "status"), [([], 1), (["fresh", "60", "/none"], 1), (["socket", "/none"], 1)])
def test_the_status_and_the_sentence(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(arguments) == status
    assert capsys.readouterr().out.count("\n") == 1
