"""Processes that may end while a test looks at them."""

import os

import psutil


def children(pid: int) -> dict[int, list[str]]:
    """Returns the command lines of a process's children, by process id.

    A process that ends while it is looked at is left out. If it is the parent, the result is empty.
    """
    found: dict[int, list[str]] = {}
    try:
        started = psutil.Process(pid).children()
    except psutil.Error:
        return found
    for child in started:
        try:
            found[child.pid] = child.cmdline()
        except psutil.Error:
            continue
    return found


def is_gone(pid: int) -> bool:
    """Says whether a process has ended, also if nobody has waited for it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def send_signal(pid: int, number: int) -> bool:
    """Sends a signal; returns False if the process has ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
