"""Start TensorZero's HTTP gateway out of its wheel, in TensorZero's own environment; say where; wait.

    python tensorzero_host.py CONFIG

The wheel starts the gateway inside this process, on a port of its choosing, for whatever client it is told to patch:
anything with a ``base_url`` will do.
"""

import signal
import sys
import warnings
from types import SimpleNamespace

import tensorzero

warnings.simplefilter("ignore", DeprecationWarning)
client = tensorzero.patch_openai_client(SimpleNamespace(base_url=None), config_file=sys.argv[1], async_setup=False)
print(f"listening {client.base_url}", flush=True)
signal.pause()
