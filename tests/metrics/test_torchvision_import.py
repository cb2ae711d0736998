import subprocess
import sys


def test_torchvision_and_cleanfid_import_in_a_fresh_process() -> None:
    code = (
        "from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision\n"
        "first = import_torchvision(); second = import_torchvision()\n"
        "assert first is second\n"
        "from torchvision.transforms import functional\n"
        "import cleanfid.fid"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
