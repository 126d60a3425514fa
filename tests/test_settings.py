import json
from pathlib import Path
from typing import Annotated, Literal, TypedDict, Unpack

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import Field

from avce_pl.config.instantiate import build
from avce_pl.config.override_errors import CONF, explain
from avce_pl.config.settings import check_arguments, read_settings
from avce_pl.errors import AvceError
from avce_pl.runs.identity import refuse_other_run, settings_identity
from avce_pl.utils.text import nearest


def plain(*overrides: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)


class Part:
    def __init__(
        self,
        rate: Annotated[float, Field(gt=0)],
        given: object,
        form: Literal["select", "reweight"] = "select",
        sizes: tuple[int, ...] = (1,),
    ) -> None:
        self.rate = rate


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"rate": 1, "fomr": "select"}, "mining.fomr is not a setting; did you mean form?"),
        ({"rate": 1, "form": "sel"}, "mining.form=sel does not work: input should be 'select' or 'reweight'."),
        ({"rate": "fast"}, "mining.rate=fast does not work: input should be a valid number"),
        ({"rate": 0}, "mining.rate=0 does not work: input should be greater than 0."),
        ({"form": "select"}, "mining.rate is missing; give it on the command line as mining.rate=..."),
        ({"rate": 1, "sizes": [1, "x"]}, "mining.sizes.1=x does not work"),
        ({"rate": 1, "given": 3}, "mining.given is not a setting"),
    ],
)
def test_wrong_arguments_are_sentences(section: dict, sentence: str) -> None:
    with pytest.raises(AvceError) as error:
        check_arguments(Part, section, "mining", given=["given"])
    assert sentence in str(error.value)


def test_right_arguments_are_converted() -> None:
    assert check_arguments(Part, {"rate": 1, "sizes": [1, 2]}, "mining", ["given"]) == {"rate": 1.0, "sizes": (1, 2)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"foo": 1}, "foo is not a setting"),
        ({"sede": 1}, "sede is not a setting; did you mean seed?"),
        ({"seed": -1}, "seed=-1 does not work"),
        ({"seed": "one"}, "seed=one does not work: input should be a valid integer"),
        ({"name": "../up"}, "name=../up cannot name a folder: use letters, digits, '_', '-' and '.', no '.' first."),
        ({"name": ".."}, "name=.. cannot name a folder"),
        ({"backbone": {"name": "../../up"}}, "backbone.name=../../up cannot name a folder"),
        ({"mining": {"name": None}}, "mining.name=None does not work"),
        ({"trainer": {"max_epohs": 1}}, "trainer.max_epohs is not a setting; did you mean max_epochs?"),
        ({"trainer": {"accelerator": "gpus"}}, "trainer.accelerator=gpus does not work"),
        ({"trainer": {"max_epochs": 0}}, "trainer.max_epochs=0 does not work: input should be greater than 0."),
        ({"logger": {"mode": "dryrun"}}, "logger.mode=dryrun does not work"),
    ],
)
def test_wrong_configurations_are_sentences(change: dict, sentence: str) -> None:
    config = plain()
    for key, value in change.items():
        config[key] = config.get(key, {}) | value if isinstance(value, dict) else value
    with pytest.raises(AvceError) as error:
        read_settings(config)
    assert sentence in str(error.value)


def test_a_retired_setting_is_taken_where_it_changes_nothing() -> None:
    config = plain()
    config["method"] |= {"standardise": False}  # a run of an older version
    assert "standardise" not in read_settings(config).method
    config["method"]["standardise"] = True
    with pytest.raises(AvceError, match=r"method\.standardise no longer exists.*backbone\.latent_norm=batch"):
        read_settings(config)


def test_a_configuration_of_version_0_1_with_the_released_codes_accidents_finds_their_class() -> None:
    accidents = {"head_weights": "default", "stale_moments": False, "evaluation_latch": False, "dropout_at_test": False}
    config = plain()
    config["method"] |= accidents
    assert read_settings(config).method == read_settings(plain()).method
    config["method"]["stale_moments"] = True
    del config["method"]["head_weights"]
    method = read_settings(config).method
    assert method["_target_"] == "avce_pl.method.released.ReleasedAVCE"
    assert method.items() >= (accidents | {"stale_moments": True}).items()


def test_retired_settings_do_not_make_another_run(tmp_path: Path) -> None:
    config = plain("logger=none")
    old = settings_identity(config) | {"method.standardise": False}
    assert (old["method.head_weights"], old["method.stale_moments"]) == ("default", False), "the digest stays"
    assert not any("stale" in key for key in settings_identity(plain("method=baseline"))), "it is AVCE's alone"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "identity.json").write_text(json.dumps(old))
    now = json.loads(json.dumps(settings_identity(config)))
    refuse_other_run(tmp_path, now, force=False)
    for key, value in (("method.standardise", True), ("method.stale_moments", True)):
        (tmp_path / "identity.json").write_text(json.dumps(old | {key: value}))
        with pytest.raises(AvceError, match=rf"{key} \(there True, now (None|False)\)"):
            refuse_other_run(tmp_path, now, force=False)


def test_folder_is_made_of_the_choices() -> None:
    settings = read_settings(plain("backbone=r18", "mining=hard", "seed=3", "name=x"))
    assert str(settings.folder) == "outputs/x/synthetic/avce/r18/avce/hard/seed_3"


@pytest.mark.parametrize("target", ["os.system", "torch.load", "builtins.open", "avce_plx.Evil", "None"])
def test_only_classes_of_this_package_are_built(target: str) -> None:
    with pytest.raises(AvceError, match="may only name classes of avce_pl"):
        build({"_target_": target}, "mining")


def test_a_missing_class_is_a_sentence() -> None:
    with pytest.raises(AvceError, match=r"mining._target_=avce_pl.mining.hrad.Hard cannot be imported"):
        build({"_target_": "avce_pl.mining.hrad.Hard"}, "mining")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("backbon=r18", "backbon is not a setting; did you mean backbone?"),
        ("backbone=r81", "backbone=r81: there is no such option; did you mean r18?"),
        ("mining=none,hrad", "mining=hrad: there is no such option; did you mean hard?"),
        ("trainer.max_epohs=3", "trainer.max_epohs is not a setting; did you mean trainer.max_epochs?"),
        ("dataset.rot=/x", "dataset.rot is not a setting; did you mean dataset.root?"),
        (
            "mining.form=reweight",
            "Only mining=debiased and mining=hard have mining.form. Choose one of them; in a sweep over mining, write "
            "++mining.form=reweight.",
        ),
    ],
)
def test_wrong_overrides_name_the_nearest(override: str, sentence: str, capsys) -> None:
    from hydra.errors import HydraException

    with pytest.raises(HydraException) as error:
        plain(override)
    assert explain(error.value, ["seed=1", override]) == 1
    assert capsys.readouterr().err.strip() == f"Error: {sentence}"


def test_an_error_of_a_loading_process_is_a_sentence(capsys) -> None:
    wrapped = "Caught AvceError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    assert explain(AvceError(f"{wrapped}avce_pl.errors.AvceError: a.jpg cannot be read.\n"), []) == 1
    assert capsys.readouterr().err.strip() == "Error: a.jpg cannot be read."


def test_nearest_lists_what_there_is_when_nothing_is_near() -> None:
    assert nearest("zzz", ["b", "a"]) == ". There are: a, b."


class Options(TypedDict, total=False):
    rate: Annotated[float, Field(gt=0)]
    seed: int


class Reader:
    def __init__(self, root: str, **options: Unpack[Options]) -> None:
        self.root = root


def test_an_unpacked_dict_stands_for_its_keys() -> None:
    assert check_arguments(Reader, {"root": "x", "rate": "2"}, "dataset", ["seed"]) == {"root": "x", "rate": 2.0}
    with pytest.raises(AvceError, match=r"dataset.raet is not a setting; did you mean rate\?"):
        check_arguments(Reader, {"root": "x", "raet": 2}, "dataset", ["seed"])
    with pytest.raises(AvceError, match="greater than 0"):
        check_arguments(Reader, {"root": "x", "rate": 0}, "dataset", ["seed"])
