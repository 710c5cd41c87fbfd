"""TensorBoard events hold what metrics.jsonl does, framed as TensorBoard reads them, also of a resumed run."""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.errors import UsageError
from quire.tokens.dataset import TokenDataset
from quire.training.config import RunConfig
from quire.training.metrics import read_metrics
from quire.training.run import train
from quire.training.tensorboard import TAGS, Events, check_tensorboard, with_events
from quire.training.trainer import Trainer

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def crc32c(data: bytes) -> int:
    """The Castagnoli polynomial, bit by bit, reflected (RFC 3720, appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events_in(file: Path) -> Iterator[Any]:
    """Read a TFRecord file: length, its sum, the message, its sum."""
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked(data[:8])
        message = data[12 : 12 + length]
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(message)
        yield event_pb2.Event.FromString(message)
        data = data[16 + length :]


def scalars_shown(run: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: a start of a session takes away what is recorded from its step on."""
    shown: dict[str, dict[int, float]] = {}
    for file in sorted((run / "quire" / "tensorboard").iterdir()):
        for event in events_in(file):
            if event.HasField("session_log"):
                shown = {tag: {s: v for s, v in line.items() if s < event.step} for tag, line in shown.items()}
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    shown.setdefault(value.tag, {})[event.step] = value.simple_value
    return shown


def recorded(run: Path) -> dict[str, dict[int, float]]:
    lines: dict[str, dict[int, float]] = {}
    for record in read_metrics(run):
        for key, tag in TAGS.get(record["kind"], {}).items():
            if key in record:
                lines.setdefault(tag, {})[record["step"]] = record[key]
    return lines


def test_the_checksum_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_events_hold_every_number_of_the_metrics_also_after_a_resumption(
    tmp_path: Path, config: Callable[..., RunConfig], data: TokenDataset
) -> None:
    settings = config(
        training={
            "steps": 12,
            "minutes": None,
            "log_interval": 2,
            "evaluation_interval": 4,
            "checkpoint_interval": 6,
            "tensorboard": True,
        }
    )
    with with_events(tmp_path, settings, lambda record: None, resumed=False) as listener:
        Trainer(tmp_path, settings, data, listener).run(stop_at=9)
    for folder in (tmp_path / "quire" / "checkpoints").glob("*9"):  # as if it had been killed after step 9
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    told = []
    with with_events(tmp_path, settings, told.append, resumed=True) as listener:
        Trainer(tmp_path, settings, data, listener).run(resume=True)
    assert told  # the view is told as well
    shown = scalars_shown(tmp_path)
    assert shown == {
        tag: {step: pytest.approx(value, rel=1e-6) for step, value in line.items()}
        for tag, line in recorded(tmp_path).items()
    }
    assert list(shown["loss/train"]) == [2, 4, 6, 8, 10, 12]
    assert {"loss/validation", "speed/share_of_matrix_products", "speed/loader_share"} <= set(shown)


def test_what_is_not_finite_is_left_out_and_samples_are_text(tmp_path: Path) -> None:
    events = Events(tmp_path, resumed=False)
    events.write({"kind": "note", "step": 1, "text": "nothing to draw"})
    assert not events.folder.exists()
    events.write({"kind": "train", "step": 1, "loss": math.nan, "lr": 0.5, "tokens_per_second": math.inf})
    events.write({"kind": "sample", "step": 1, "text": "The binder folds."})
    events.close()
    (file,) = events.folder.iterdir()
    values = [value for event in events_in(file) for value in event.summary.value]
    assert {value.tag: value.simple_value for value in values[:-1]} == {"optimizer/learning_rate": 0.5}
    assert values[-1].tag.startswith("sample")
    assert values[-1].tensor.string_val == [b"The binder folds."]


def test_a_run_that_goes_back_to_a_checkpoint_is_shown_as_it_went_on(tmp_path: Path) -> None:
    events = Events(tmp_path, resumed=False)
    for step, loss in ((1, 3.0), (2, 2.5), (3, 9.0), (4, 99.0)):
        events.write({"kind": "train", "step": step, "loss": loss})
    events.write({"kind": "return", "step": 2})
    for step, loss in ((3, 2.25), (4, 2.0)):
        events.write({"kind": "train", "step": step, "loss": loss})
    events.close()
    assert scalars_shown(tmp_path) == {"loss/train": {1: 3.0, 2: 2.5, 3: 2.25, 4: 2.0}}


def test_without_the_package_it_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "tensorboardX" else find(name))
    check_tensorboard(False)
    with pytest.raises(UsageError, match=r"tensorboardX, which is not installed\. pip install 'quire\[tensorboard\]'"):
        train(tmp_path / "nowhere", tmp_path / "run", settings={"training": {"tensorboard": True}})
    assert not (tmp_path / "run").exists()


def test_without_the_setting_nothing_is_written(tmp_path: Path, config: Callable[..., RunConfig]) -> None:
    def listener(record: dict[str, Any]) -> None:
        raise AssertionError(record)

    with with_events(tmp_path, config(), listener, resumed=False) as told:
        assert told is listener
    assert list(tmp_path.iterdir()) == []
