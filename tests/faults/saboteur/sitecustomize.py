"""Python imports this by itself where its folder is on PYTHONPATH: it disturbs the workflow's jobs, and nothing else.

It sees what a job does to files (`sys.addaudithook`), so the product needs no place to be disturbed at. Orders come
from the JSON file that SABOTAGE names, a list of `{"job": …, "do": …}` with one of

- `event`: at the job's n-th change of a file, from 0, the opening of its log; or `path`: at the first change of a path
  that this pattern is found in. `job` is a pattern of the log's path then, `attempt` the job's, from 0, where given.
- `cpu`: after so many seconds of the process's own work. `job` is a pattern of the script's name, `tmp1.plots.py`.

`do`: `kill`; `half`, which kills as well, and where a temporary file is about to be renamed leaves half of it; `pause`
until there is a file `go` beside the orders; `run`, the Python in `code`. Each order is followed once, and
`<number>.done` beside the orders says so. TRACE names a folder in which jobs write down all their changes.
"""

import json
import os
import re
import signal
import sys
import threading
import time

WRITING = os.O_WRONLY | os.O_RDWR
CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")


class Saboteur:
    def __init__(self, script, orders, trace):
        self.script, self.trace = script, trace
        self.folder = os.path.dirname(orders or "")
        self.log, self.events, self.attempt = None, 0, 0
        self.here, self.lock = threading.local(), threading.Lock()
        self.orders = []
        if orders:
            with open(orders, encoding="utf-8") as file:
                self.orders = list(enumerate(json.load(file)))
        moments = [(n, order) for n, order in self.orders if "cpu" in order and re.search(order["job"], script)]
        if moments:
            threading.Thread(target=self.wait, args=(moments,), daemon=True).start()

    def wait(self, moments):
        """Follow the orders that wait for a moment."""
        self.here.busy = True
        while True:
            for number, order in moments:
                if time.process_time() >= order["cpu"] and self.claim(f"{number}.claimed"):
                    self.follow(number, order, None, "")
            time.sleep(0.02)

    def hook(self, event, arguments):
        if not (event == "open" or event in CHANGES) or getattr(self.here, "busy", False):
            return
        self.here.busy = True  # what is done here is no change of the job's
        try:
            path = changed(event, arguments)
            if path is not None:
                for number, order in self.due(event, path):
                    self.follow(number, order, arguments[0] if event == "os.rename" else None, path)
        finally:
            self.here.busy = False

    def due(self, event, path):
        """Count a change, and say which orders it is the moment for."""
        with self.lock:
            if self.log is None:
                if not path.endswith(".log"):
                    return []
                self.log, self.attempt = path, self.count_attempt(path)
            if self.trace:
                with open(os.path.join(self.trace, f"{os.getpid()}.jsonl"), "a", encoding="utf-8") as file:
                    file.write(json.dumps([self.log, self.events, event, path, self.script]) + "\n")
            found = [each for each in self.orders if self.is_due(each[1], path) and self.claim(f"{each[0]}.claimed")]
            self.events += 1
        return found

    def is_due(self, order, path):
        if "cpu" in order or order.get("attempt", self.attempt) != self.attempt:
            return False
        now = order["event"] == self.events if "event" in order else re.search(order["path"], path)
        return now and re.search(order["job"], self.log)

    def count_attempt(self, log):
        attempt = 0
        while self.folder and not self.claim(re.sub(r"\W", "_", log) + f".{attempt}.started"):
            attempt += 1
        return attempt

    def claim(self, name):
        """Whether this is the first to do it."""
        try:
            os.close(os.open(os.path.join(self.folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def follow(self, number, order, source, path):
        cut = order["do"] == "half" and source is not None and ".tmp" in source
        if cut:
            os.truncate(source, os.path.getsize(source) // 2)
        part = os.path.join(self.folder, f"{number}.part")
        with open(part, "w", encoding="utf-8") as file:
            json.dump({"script": self.script, "log": self.log, "changed": path, "cut": cut, **order}, file)
        os.replace(part, os.path.join(self.folder, f"{number}.done"))
        if order["do"] in ("kill", "half"):
            os.kill(os.getpid(), signal.SIGKILL)
        while order["do"] == "pause" and not os.path.exists(os.path.join(self.folder, "go")):
            time.sleep(0.1)
        if order["do"] == "run":
            exec(order["code"], {})


def changed(event, arguments):
    """The path below the working folder that an event changes, or None."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & WRITING:
            return None
    else:
        path = arguments[1 if event in ("os.rename", "os.link") else 0]
    if path is None or isinstance(path, int):
        return None
    path = os.path.relpath(os.fsdecode(path))
    return None if path.startswith(("..", ".snakemake")) or "__pycache__" in path else path


def arm():
    script = next((argument for argument in sys.orig_argv[1:3] if "/.snakemake/scripts/" in argument), None)
    orders, trace = os.environ.get("SABOTAGE"), os.environ.get("TRACE")
    if script and (orders or trace):
        sys.addaudithook(Saboteur(os.path.basename(script), orders, trace).hook)


arm()
