"""Runs a program as a person at a terminal does, who reads the question, thinks for a while, and answers.

In: {"command": [...], "environment": {...}, "question": text, "answer": text} on standard input. Out: {"code", "said"}.
"""

import json
import os
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
        time.sleep(0.7)
        os.write(terminal, asked["answer"].encode() + b"\n")
_, status = os.waitpid(child, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "said": said.decode()}))
