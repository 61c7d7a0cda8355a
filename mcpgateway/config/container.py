"""``docker run …`` as a command: taken apart where that is certain, so that its containers can be named and removed."""

from __future__ import annotations

from attrs import frozen

from mcpgateway.config.model import Container

ENGINES = ("docker", "podman")
# Options of "run" that stand alone.  Those that detach or ask for a terminal are not among them: a server that is
# started like that is not spoken with on its stdin and stdout, and stays as it is written.
ALONE = frozenset(
    "-i --interactive --rm --init --privileged --read-only -P --publish-all --no-healthcheck --oom-kill-disable"
    " --disable-content-trust -q --quiet --no-hosts --replace --tls-verify --sig-proxy".split()
)
# Options that take a value, behind a blank or an equals sign.
VALUED = frozenset(
    "-a -c -e -h -l -m -p -u -v -w --add-host --annotation --attach --blkio-weight --cap-add --cap-drop"
    " --cgroup-parent --cgroupns --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus"
    " --cpuset-cpus --cpuset-mems --device --device-cgroup-rule --device-read-bps --device-read-iops"
    " --device-write-bps --device-write-iops --dns --dns-opt --dns-option --dns-search --domainname --entrypoint"
    " --env --env-file --expose --gpus --group-add --hostname --ip --ip6 --ipc --isolation --kernel-memory --label"
    " --label-file --link --link-local-ip --log-driver --log-opt --mac-address --memory --memory-reservation"
    " --memory-swap --memory-swappiness --mount --name --net --net-alias --network --network-alias --oom-score-adj"
    " --pid --pids-limit --platform --publish --pull --runtime --secret --security-opt --shm-size --stop-signal"
    " --stop-timeout --storage-opt --sysctl --tmpfs --tz --ulimit --umask --user --userns --uts --volume"
    " --volume-driver --volumes-from --workdir".split()
)
# What every container of the gateway has anyway.
IMPLIED = frozenset(("-i", "--interactive", "--rm"))


@frozen
class Taken:
    """A command that was taken apart.

    :ivar inside: what runs in the container; empty for the image's own program.
    """

    container: Container
    inside: tuple[str, ...]


def words_of(command: str) -> tuple[str, ...] | None:
    """Return the words of a command that is written as one text and begins with ``docker run`` or ``podman run``."""
    if not command.lstrip().startswith(ENGINES):
        return None
    import shlex

    try:
        found = tuple(shlex.split(command))
    except ValueError:
        return None
    return found if len(found) > 1 and found[0] in ENGINES and found[1] in ("run", "container") else None


def take_apart(argv: tuple[str, ...]) -> Taken | None:
    """Take ``docker run`` apart; None where any word of it is not certain."""
    engine = argv[0].rpartition("/")[2]
    words = list(argv[1:])
    if words[:1] == ["container"]:
        words.pop(0)
    if engine not in ENGINES or words[:1] != ["run"]:
        return None
    words.pop(0)
    options: list[str] = []
    while words and words[0].startswith("-"):
        taken = _option(words)
        if taken is None:
            return None
        if taken[0] not in IMPLIED:
            options += taken
        del words[: len(taken)]
    if not words or not words[0]:
        return None
    return Taken(Container(words[0], argv[0], tuple(options)), tuple(words[1:]))


def _option(words: list[str]) -> list[str] | None:
    word = words[0]
    name, equals, _value = word.partition("=")
    if word in ALONE or (equals and name in VALUED):
        return [word]
    if word in VALUED:
        return words[:2] if len(words) > 1 else None
    # "-eKEY=value" and "-p80:80": a short option with its value at once.
    if word[:2] in VALUED and not word.startswith("--"):
        return [word]
    return None
