"""Starts ministack on a free loopback port and prints the port.

Ends when standard input does, so that it never outlives the test.
"""

import os
import socket
import sys
import threading


def end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def serve(prepare=lambda: None) -> None:
    """Serves until the end; `prepare` is called when ministack can be imported."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port), LOG_LEVEL="ERROR")
    threading.Thread(target=end_with_input, daemon=True).start()

    from ministack.app import main  # reads the environment when it is imported

    prepare()
    print(port, flush=True)
    sys.stdout = open(os.devnull, "w")  # nobody reads on
    sys.argv = ["ministack"]
    main()


if __name__ == "__main__":
    serve()
