"""A program that changes a client's file, for tests that kill it, fill its disk, or write the file at the same time.

changer_of_files.py kill    FOLDER TRANSACTION         kills a copy of itself at each operation, in a folder each
changer_of_files.py act     FOLDER TRANSACTION         does it once in a folder that is there
changer_of_files.py full    FOLDER                     does it in a folder on a small disk that is full at first
changer_of_files.py churn   HOME FILE SECONDS PAUSE_S  adds entries of ours
changer_of_files.py rewrite FILE PAUSE_S LOCK          another program: reads the file, adds an entry, replaces it,
                                                       until its stdin ends
"""

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from mcpgateway.clientfiles.backups import Backups
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.transaction import change, directory_lock
from mcpgateway.errors import ConfigError
from tests.support.adoption import ORIGINAL, TRANSACTIONS, Adopter, Scene
from tests.support.faulty_disk import FaultyDisk, KillingDisk


def kill(folder, name):
    """Leave a scene for each operation at which the program was killed."""
    disk = FaultyDisk()
    TRANSACTIONS[name][1](Scene(Path(folder) / "counted").prepared(name).adopter(disk))
    for at in range(1, disk.count + 1):
        scene = Scene(Path(folder) / str(at)).prepared(name)
        if not (pid := os.fork()):
            TRANSACTIONS[name][1](scene.adopter(KillingDisk(at)))
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status), at
        assert os.WTERMSIG(status) == signal.SIGKILL, at
    print(disk.count)


def act(folder, name):
    """Do it once, and say how it ended."""
    scene = Scene.found(Path(folder))
    print(json.dumps(_done(scene, TRANSACTIONS[name][1])))


def full(folder):
    """Do it with ever more room."""
    scene = Scene(Path(folder) / "scene")
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    size = os.path.getsize(ballast)
    for room in range(0, size + 1, 4096):
        os.truncate(ballast, size - room)
        found = _done(scene, TRANSACTIONS["apply"][1])
        # What was displaced waits beside the file where there is no room to keep it.
        is_whole = found["is_changed"] or (scene.text == ORIGINAL and not scene.strays)
        print(json.dumps({**found, "is_whole": is_whole}), flush=True)
        if found["is_changed"]:
            break


def _done(scene, action):
    try:
        changed = action(Adopter(Ledger(scene.home), scene.path))
    except ConfigError as why:
        return {"error": str(why), "is_changed": False}
    return {"in_place": changed.in_place if changed else "", "is_changed": changed is not None}


def churn(home, file, seconds, pause):
    """Add entries until the time is over, and say when each was done, and how many were refused."""
    backups = Backups(home)
    done, refused = [], 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end or not (done or refused):
        try:
            change(
                file, partial(_with, key="ours", number=len(done)), backups=backups, lock=directory_lock(file)
            )
            done.append(time.monotonic())
        except ConfigError:
            refused += 1
        time.sleep(float(pause))
    print(json.dumps({"done": done, "refused": refused}))


def rewrite(file, pause, lock):
    """Do what clients do, without looking whether another program has written meanwhile.

    At the end it says when each of its writes read the file and when it had replaced it.
    """
    done = []
    temporary = f"{file}.tmp.{os.getpid()}.abcdef"
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], float(pause))[0]:
        is_locked = lock == "lock" and _is_locked(f"{file}.lock")
        began = time.monotonic()
        text = Path(file).read_text()
        with open(temporary, "x") as stream:
            stream.write(_with(text, "theirs", len(done)))
        os.rename(temporary, file)
        if is_locked:
            os.rmdir(f"{file}.lock")
        done.append((began, time.monotonic()))
    print(json.dumps({"done": done}))


def _with(text, key, number):
    """The text with one entry more, which is there once however often this is done."""
    value = json.loads(text)
    if str(number) in value[key]:
        return text
    value[key][str(number)] = number
    return json.dumps(value)


def _is_locked(path):
    try:
        os.mkdir(path)
    except FileExistsError:
        return False  # it does not wait
    return True


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
