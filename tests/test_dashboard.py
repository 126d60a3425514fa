"""The W&B views: they show what runs log, and they are published once."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from avce_pl.cli.main import app
from avce_pl.errors import AvceError
from avce_pl.report.dashboard import views
from avce_pl.utils.resources import ROOT


@pytest.fixture
def specification(tmp_path: Path, monkeypatch, capsys) -> list[dict[str, Any]]:
    monkeypatch.setenv("HOME", str(tmp_path))  # without a key
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    app(["dashboard", "--out", str(tmp_path / "views.json"), "--entity", "me"], standalone_mode=False)
    assert "to publish: `wandb login`" in capsys.readouterr().out
    return json.loads((tmp_path / "views.json").read_text())


def test_a_view_for_every_table(specification) -> None:
    tables = sorted(file.stem for file in (ROOT / "experiments/tables").glob("*.yaml"))
    sets = [view["spec"]["section"]["runSets"][0] for view in specification]
    assert sets[0]["grouping"] == [{"section": "run", "name": "group"}]
    filtered = {
        table: {f["key"]["name"]: f["value"] for f in runset["filters"]["filters"]}
        for table, runset in zip(tables, sets[1:], strict=True)
    }
    assert {table: keys["group"] for table, keys in filtered.items()} == {
        table: "table2" if table == "table5" else table for table in tables
    }, "Table 5's runs are some of Table 2's"
    assert filtered["table5"]["crl_formula.name"] == ["avce", "none", "avce_shuffled"]
    table2 = sets[1 + tables.index("table2")]
    assert [key["name"] for key in table2["grouping"]] == ["crl_formula.value.name", "mining.value.name"]
    assert all("procedural faces" in json.dumps(view) for view in specification)
    assert {(view["entity"], view["project"]) for view in specification} == {("me", "avce-pl")}


def test_every_name_in_it_is_one_that_runs_log(specification, runs) -> None:
    logged = {"epoch"}
    for run in runs.values():
        logged |= {key for item in run["records"]["history"] for key in item["item"]}
        logged |= set(run["summary"])
        logged |= {f"{group}.name" for group, value in run["config"].items() if isinstance(value, dict)}
    text = json.dumps(specification)
    used = set(re.findall(r'"(?:summary:)?((?:train|val|test|best|trainer)/[\w/]+)"', text))
    assert {"val/ccc_valence", "test/ccc_arousal", "train/loss_crl", "trainer/global_step", "test/figure"} <= used
    assert used <= logged
    grouped = {re.sub(r"\.value", "", name) for name in re.findall(r'"config", "name": "([\w.]+)"', text)}
    assert {"crl_formula.name", "mining.name"} <= grouped <= logged


class Server(BaseHTTPRequestHandler):
    """As much of W&B's server as publishing needs."""

    views: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = json.loads(body) if body.startswith(b"{") else {"query": ""}
        data: dict[str, Any] = {"viewer": {"id": "1", "entity": "somebody", "username": "somebody", "flags": "{}"}}
        if "upsertView" in content["query"]:
            self.views.append(content["variables"])
            number = content["variables"].get("id", f"view{len(self.views)}")
            data = {"upsertView": {"view": {"id": number, "name": content["variables"]["name"]}, "inserted": True}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Server.views = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_with_a_key_the_views_are_published_and_published_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    environment = os.environ | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "avce_pl", "dashboard", "--out", str(tmp_path / "views.json")]
    titles = [view.name for view in views("", "")]
    for time in (1, 2):
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert len(re.findall(rf"published {address}/somebody/avce-pl\?nw=\w+", done.stdout)) == len(titles)
        assert [view["displayName"] for view in Server.views] == titles * time
    first, second = Server.views[: len(titles)], Server.views[len(titles) :]
    assert not any("id" in view for view in first)
    assert [view["name"] for view in first] == [view["name"] for view in second]
    assert [view["id"] for view in second] == [f"view{number + 1}" for number in range(len(titles))]
    assert json.loads(first[0]["spec"])["section"]["panelBankConfig"]["sections"][0]["name"] == "Test split"


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"a": 1}')
    with pytest.raises(AvceError, match="was not written by avce dashboard"):
        app(["dashboard", "--out", str(tmp_path / "mine.json")], standalone_mode=False)
    assert (tmp_path / "mine.json").read_text() == '{"a": 1}'
