"""A real worker of the fleet whose task sleeps SLOW_S seconds and notes its starts in a file."""

import os
import signal
import sys
import time
from pathlib import Path

from celery.signals import worker_process_init
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from shared import loading, queues
from shared.queues import DECIDE_TASK, app
from shared.settings import get_settings
from shared.visibility import Receipt

queues._TASK_MODULES["aggregator"] = "slow_worker"
NOTES, SECONDS = Path(os.environ["SLOW_NOTES"]), float(os.environ["SLOW_S"])


@worker_process_init.connect
def load(**_):
    loading.load(lambda: True)


@app.task(name=DECIDE_TASK, bind=True)
def decide(self, job_id, schema_version):
    receipt = Receipt.of_message(self.request.properties)
    with NOTES.open("a") as notes:
        notes.write(f"start {receipt.attempt}\n")
    if job_id == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(SECONDS)
    with NOTES.open("a") as notes:
        notes.write("end\n")
    if job_id == "loses its GPU" and receipt.attempt == 1:
        with loading.replaced_where_lost():
            raise Fail("CUDA failure 700: an illegal memory access was encountered")
    if job_id == "fails":
        raise RuntimeError("as asked")


if __name__ == "__main__":
    from shared.telemetry import configure_logging
    from workers import fleet

    configure_logging("json", "info")
    sys.exit(fleet.run(get_settings(), "aggregator"))
