from pathlib import Path

import openvino as ov
from demo_model.to_openvino import write_demo


def test_the_files_are_those_that_optimum_writes(openvino_directory: Path) -> None:
    """Two graphs with their weights, and the settings beside them; and our card."""
    names = {file.name for file in openvino_directory.iterdir()}
    graphs = {
        f"openvino_{part}_model.{end}" for part in ("encoder", "decoder") for end in ("xml", "bin")
    }
    assert graphs | {"config.json", "generation_config.json", "tokenizer.json"} <= names
    assert "whisperlive.json" in names


def test_the_graphs_look_like_those_of_optimum(openvino_directory: Path) -> None:
    """Names, shapes and types are those of optimum-intel 2.2.0's export of the same model."""
    core = ov.Core()
    encoder = core.read_model(openvino_directory / "openvino_encoder_model.xml")
    assert ports(encoder.inputs) == {"input_features": "[?,80,3000] f32"}
    assert ports(encoder.outputs) == {"last_hidden_state": "[?,1500,128] f32"}
    decoder = core.read_model(openvino_directory / "openvino_decoder_model.xml")
    assert ports(decoder.inputs) == {
        "input_ids": "[?,?] i64",
        "encoder_hidden_states": "[?,?,128] f32",
        "beam_idx": "[?] i32",
    }
    assert ports(decoder.outputs) == {"logits": "[?,?,2982] f32"}
    states = [node for node in decoder.get_ops() if node.get_type_name() == "ReadValue"]
    assert len(states) == 4 * 3  # keys and values of both attentions in three layers


def ports(nodes: list[ov.Output]) -> dict[str, str]:
    """Shape and type by name."""
    return {
        node.get_any_name(): f"{node.get_partial_shape()} {node.get_element_type().get_type_name()}"
        for node in nodes
    }


def test_the_files_are_the_same_every_time(openvino_directory: Path, tmp_path: Path) -> None:
    """The same numbers, bit for bit."""
    write_demo(tmp_path)
    for part in ("encoder", "decoder"):
        name = f"openvino_{part}_model.bin"
        assert (tmp_path / name).read_bytes() == (openvino_directory / name).read_bytes()
