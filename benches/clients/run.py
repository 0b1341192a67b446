"""Runs the installed inference-perf as it is; arguments are its own.

Only two things are added. SIGTERM ends it the way Ctrl-C would end any program, so that its worker processes go with it;
by default they would stay. And it is called as a module, because the script that pip writes holds the path of its environment.
"""

import signal
import sys


def _end(_signal, _frame):
    sys.exit(143)


if __name__ == "__main__":
    from inference_perf.main import main_cli

    signal.signal(signal.SIGTERM, _end)
    main_cli()
