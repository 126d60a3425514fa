import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from avce_pl.config.override_errors import CONF
from avce_pl.config.presets import leave_out_foreign
from avce_pl.config.settings import Settings, read_settings
from avce_pl.errors import AvceError
from avce_pl.training.build import build_module


def settings(*overrides: str) -> Settings:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return read_settings(OmegaConf.to_container(compose("config", list(overrides)), resolve=True))


@pytest.mark.parametrize("preset", [path.stem for path in sorted((CONF / "preset").glob("*.yaml"))])
@pytest.mark.parametrize("method", ["avce", "baseline", "caf"])
def test_a_preset_of_classes_that_have_its_options_is_whole(preset: str, method: str) -> None:
    one, whole = (settings(f"preset={preset}", f"method={method}") for _ in range(2))
    leave_out_foreign(one, [])
    assert one == whole


def test_a_class_without_an_option_does_not_get_it_from_a_preset() -> None:
    one = settings("preset=official", "similarity=angle")
    assert "sign_pairing" in one.similarity
    leave_out_foreign(one, [])
    assert one.similarity.keys() == {"name", "_target_"}
    build_module(one)


@pytest.mark.parametrize("override", ["similarity.sign_pairing=aligned", "++similarity.sign_pairing=aligned"])
def test_what_the_command_line_says_is_not_left_out(override: str) -> None:
    one = settings("preset=official", "similarity=angle", override)
    leave_out_foreign(one, ["preset=official", "similarity=angle", override])
    with pytest.raises(AvceError, match=r"similarity\.sign_pairing is not a setting"):
        build_module(one)


def test_what_no_preset_says_is_not_left_out() -> None:
    one = settings("preset=official", "+similarity.sing_weight=0")
    leave_out_foreign(one, [])
    with pytest.raises(AvceError, match=r"similarity\.sing_weight is not a setting"):
        build_module(one)
