"""The two clips of the demo; scripts/make_samples.py made them, README says from what."""

from pathlib import Path

_HERE = Path(__file__).parent
#: A real portrait with a recorded voice, and the same portrait manipulated with a synthetic voice.
SAMPLES = (_HERE / "bona_fide.mp4", _HERE / "manipulated.mp4")
