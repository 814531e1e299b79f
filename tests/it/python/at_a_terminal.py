"""Runs a program as a person at a terminal does, who reads the question, thinks for a while, and answers.

In: {"command": [...], "environment": {...}, "question": text, "answer": text, "thinking": path} on standard input. While
the person thinks, the file is there; whoever removes it has the answer given. Out: {"code", "said"}.
"""

import json
import os
import pathlib
import pty
import sys
import time

asked = json.load(sys.stdin)
child, terminal = pty.fork()
if child == 0:
    os.environ.update(asked["environment"])
    os.execv(asked["command"][0], asked["command"])
said = b""
is_answered = False
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:  # how Linux says that the other end is closed
        break
    if not part:
        break
    said += part
    if not is_answered and asked["question"].encode() in said:
        is_answered = True
        thinking = pathlib.Path(asked["thinking"])
        thinking.touch()
        while thinking.exists():
            time.sleep(0.02)
        os.write(terminal, asked["answer"].encode() + b"\n")
_, status = os.waitpid(child, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "said": said.decode()}))
