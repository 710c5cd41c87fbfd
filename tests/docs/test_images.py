import subprocess
import sys
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def check(script):
    return subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)


def test_the_pictures_are_drawn_from_the_metrics_beside_them():
    done = check(IMAGES / "make.py")
    assert done.returncode == 0, done.stderr


def test_a_stale_picture_is_found(tmp_path):
    for file in [*IMAGES.glob("*.svg"), IMAGES / "make.py", *IMAGES.glob("runs/*/quire/metrics.jsonl")]:
        copy = tmp_path / file.relative_to(IMAGES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    stale = tmp_path / "library-loss.svg"
    stale.write_text(stale.read_text("utf-8").replace("<svg", "<svg ", 1), "utf-8")
    done = check(tmp_path / "make.py")
    assert done.returncode == 1
    assert "library-loss.svg" in done.stderr
