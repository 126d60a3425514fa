import inspect
from typing import get_args

import pytest
from typer.testing import CliRunner

from avce_pl.cli.main import app
from avce_pl.config.protocols import protocols
from avce_pl.dataset.affectnet import AffectNetDataModule
from avce_pl.dataset.raf_db import RafDbDataModule


@pytest.mark.parametrize("width", ["80", "240"])
def test_every_protocol_is_listed_with_its_counts(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    result = CliRunner().invoke(app, ["data", "protocols"])
    assert result.exit_code == 0
    assert "…" not in result.output
    starts = [line for line in result.output.splitlines() if line[:1].strip()]
    texts = " ".join(result.output.split())
    lines = {line.split()[1]: line for line in starts if len(line.split()) > 2}
    for dataset, named in protocols().items():
        for name, protocol in named.items():
            assert lines[name].startswith(dataset)
            numbers = [f"{rows:,}" for rows in protocol.rows.values()] or [
                f"{n} videos" for n in protocol.videos.values()
            ]
            assert all(number in lines[name] for number in numbers)
            assert set(protocol.description.split()) <= set(texts.split())
            assert width == "80" or protocol.description in texts
    assert "320,739" in lines["affectnet_va_4500"]
    assert "synthetic" not in protocols()


@pytest.mark.parametrize("reader", [AffectNetDataModule, RafDbDataModule])
def test_the_choices_are_the_protocols(reader: type) -> None:
    hint = inspect.signature(reader).parameters["protocol"].annotation
    choices = [choice for part in get_args(hint) for choice in get_args(part) or [part]]
    assert {choice for choice in choices if isinstance(choice, str)} == set(reader.protocols)  # type: ignore[attr-defined]
