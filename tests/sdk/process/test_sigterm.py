"""At SIGTERM the client delivers what is buffered, and then the process ends as without it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.forked_programs import PREAMBLE, totals

KILLED = -signal.SIGTERM
WAIT_SECONDS = 60
NO_DESCRIPTOR = -1
# Between this line and the signal, a program reaches the place where it waits.
READY = "print('ready', flush=True)\n"


def begin(program, folder, *, prefix=()):
    path = folder / "program.py"
    path.write_text(PREAMBLE + "import select, signal\n" + textwrap.dedent(program))
    command = [*prefix, sys.executable, "-W", "error", str(path), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, folder, *, expected_errors=""):
    """Return the exit code, and what each process's transport has received."""
    try:
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    finally:
        process.kill()
    assert expected_errors == errors
    return process.returncode, {
        int(file.name): json.loads(file.read_text())
        for file in folder.iterdir()
        if file.name.isdigit()
    }


def terminate(program, folder):
    """Run a program that says when it is ready, and end it by SIGTERM."""
    process = begin(program, folder)
    assert "ready\n" == process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    return end(process, folder)


WAITS = {
    "lock": "lock = threading.Lock(); lock.acquire(); {ready}; lock.acquire()",
    "queue": "import queue; {ready}; queue.Queue().get()",
    "select": "{ready}; select.select([], [], [])",
    "event": "{ready}; threading.Event().wait()",
    "pause": "{ready}; signal.pause()",
    "join": "thread = threading.Thread(target=signal.sigwait, args=([signal.SIGUSR1],), "
    "daemon=True); thread.start(); {ready}; thread.join()",
    "socket": "import socket; pair = socket.socketpair(); {ready}; pair[0].recv(1)",
    "loop": "{ready}\nwhile True: sum(range(100))",
    "asyncio": "import asyncio\nasync def main():\n    {ready}\n    await asyncio.Event().wait()\n"
    "asyncio.run(main())",
    "at exit": "import atexit; atexit.register(signal.pause); {ready}",
}  # fmt: skip


@pytest.mark.parametrize("waits", WAITS)
def test_sigterm_delivers_what_is_buffered_and_then_ends_the_process(tmp_path, waits):
    """Whatever the main thread waits for, all samples go out; then the signal ends the process."""
    wait = WAITS[waits].format(ready=READY.strip())
    code, processes = terminate(f"start()\ncount(5)\n{wait}\n", tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


def test_sigterm_ends_a_process_whose_main_thread_runs_no_handler(tmp_path):
    """A long call of C code delays neither the delivery nor the end."""
    program = """
    import ctypes
    start()
    count(5)
    mutex = ctypes.create_string_buffer(256)  # zeros are an unlocked one
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)
    """
    code, processes = terminate(program, tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


def test_sigterm_comes_while_another_thread_keeps_the_process_alive(tmp_path):
    """This also holds after the main thread's end, when no thread can be started any more."""
    program = """
    start()
    count(5)

    def wait_for_the_main_thread():
        threading.main_thread().join()
        print("ready", flush=True)
        signal.sigwait([signal.SIGUSR1])

    threading.Thread(target=wait_for_the_main_thread).start()
    """
    code, processes = terminate(program, tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


HELD = {
    "an instrument": "JOBS.definition.lock",
    "the buffer": "client._engine.buffer._lock",
    "the exporter": "client._engine.delivery_thread._state",
    "the collector": "client._engine.collector._state",
    "the client": "client._lock",
    "the threads' list": "threading._active_limbo_lock",
    "logging": "logging._lock",
}


@pytest.mark.parametrize("held", HELD)
def test_sigterm_waits_for_no_lock_that_the_main_thread_holds(tmp_path, held):
    """A signal in the middle of an increment or of a call of the client costs no sample."""
    program = f"""
    import logging
    client = MetricsClient(
        component_name="pool", transport=WritingTransport(), system_metrics=(), self_metrics=False
    )
    client.start()
    count(5)
    with {HELD[held]}:
        signal.raise_signal(signal.SIGTERM)
    signal.pause()
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


def test_sigterm_waits_for_no_lock_of_an_application(tmp_path):
    """A collector may need a lock that the main thread held when the signal came."""
    program = """
    held = threading.Lock()

    class Collector:
        def collect(self):
            with held:
                yield metrics.MetricFamily("own", "Own", "gauge", "")

    metrics.REGISTRY.register(Collector())
    start()
    count(5)
    with held:
        signal.raise_signal(signal.SIGTERM)
    signal.pause()
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


@pytest.mark.parametrize("call", ["metrics.flush()", "metrics.shutdown()", ""])
def test_sigterm_in_a_flush_a_shutdown_or_an_exit_loses_nothing(tmp_path, call):
    """The delivery under way is completed, and the signal still ends the process."""
    program = f"""
    class Interrupting(WritingTransport):
        def send(self, batch, runtime_id, timeout):
            if not self.keys:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().send(batch, runtime_id, timeout)

    metrics.init(
        component_name="pool", transport=Interrupting(), system_metrics=(), self_metrics=False
    )
    count(5)
    {call}
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


def test_the_main_thread_may_end_by_itself_meanwhile(tmp_path):
    """If a delivery needs the main thread, that goes on; the signal still ends the process."""
    program = """
    may_go_on = threading.Event()

    class Waiting(WritingTransport):
        def send(self, batch, runtime_id, timeout):
            may_go_on.wait()
            return super().send(batch, runtime_id, timeout)

    metrics.init(component_name="pool", transport=Waiting(), system_metrics=(), self_metrics=False)
    count(5)
    signal.raise_signal(signal.SIGTERM)
    may_go_on.set()
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


HANGING = """
class Hanging(WritingTransport):
    def send(self, batch, runtime_id, timeout):
        print("ready", flush=True)
        threading.Event().wait()

def start(**settings):
    metrics.init(
        component_name="pool", transport=Hanging(), system_metrics=(), self_metrics=False,
        **settings,
    )
    count(5)
"""


def test_sigterm_ends_the_process_within_the_shutdowns_time(tmp_path):
    """A server that hangs does not keep the process alive."""
    program = HANGING + (
        "start(shutdown_timeout=0.1)\n"
        f"while metrics.flush(0).pending < {25 + 13}: pass\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    code, _ = end(
        begin(program + "signal.pause()\n", tmp_path), tmp_path,
        # The values of four instruments, and the samples of 0 that begin those that count.
        expected_errors=f"shut down with {25 + 13} samples that were not delivered\n",
    )  # fmt: skip
    assert KILLED == code


def test_a_sigterm_that_comes_later_ends_the_process_at_once(tmp_path):
    """A signal that comes a second after the first does not wait for the delivery."""
    program = HANGING + "start(shutdown_timeout=600)\nsignal.raise_signal(signal.SIGTERM)\n"
    process = begin(program + "while True: signal.pause()\n", tmp_path)
    assert "ready\n" == process.stdout.readline()
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert (KILLED, {}) == end(process, tmp_path)


REPEATED = {
    "the main thread": "signal.raise_signal(signal.SIGTERM)",
    "another process": "subprocess.run(['kill', str(os.getpid())])",
}


@pytest.mark.parametrize("sends", REPEATED)
def test_a_sigterm_that_is_sent_twice_at_once_is_one(tmp_path, sends):
    """hypercorn sends its last worker two: the second is no reason to deliver nothing."""
    program = f"""
    import subprocess
    import noetl_metrics_sdk.process.sigterm
    noetl_metrics_sdk.process.sigterm.REPEAT_SECONDS = 60  # a busy machine needs time for both
    both_were_sent = threading.Event()

    class Waiting(WritingTransport):
        def send(self, batch, runtime_id, timeout):
            both_were_sent.wait()
            return super().send(batch, runtime_id, timeout)

    metrics.init(component_name="pool", transport=Waiting(), system_metrics=(), self_metrics=False)
    count(5)
    for _ in range(2):
        {REPEATED[sends]}
    both_were_sent.set()
    while True: signal.pause()
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


@pytest.mark.parametrize("order", ["{theirs}\nstart()", "start()\n{theirs}"])
def test_an_applications_own_handler_wins(tmp_path, order):
    """The client leaves alone a handler that came before its start or after it."""
    order = order.format(theirs="signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))")
    # Python runs a handler between two bytecodes. A signal that arrives on the way into
    # signal.pause() would wait there for the next one.
    loop = "while True: sum(range(100))\n"
    code, processes = terminate(f"{order}\ncount(5)\n{READY}{loop}", tmp_path)
    assert (3, [5.0]) == (code, totals(processes))


OWNERS = {
    "a handler from before the start": "{theirs}; start()",
    "a handler from after the start": "start(); {theirs}",
    "a name bound before the start": "from signal import signal as set_handler; start(); {theirs}",
    "a start in another thread": "{theirs}; thread = threading.Thread(target=start); "
    "thread.start(); thread.join()",
    "a start while an event loop runs": "import asyncio\nasync def main():\n    start()\n"
    "asyncio.run(main()); {theirs}",
}


@pytest.mark.parametrize("owner", OWNERS)
def test_the_owner_of_a_handler_may_restore_the_default_and_raise_the_signal_again(tmp_path, owner):
    """As web servers do at their end: what was counted until then is delivered."""
    set_handler = "set_handler" if "set_handler" in OWNERS[owner] else "signal.signal"
    theirs = OWNERS[owner].format(theirs="before = signal.signal(signal.SIGTERM, stop)")
    program = f"""
    def stop(number, frame):
        count(1)
        {set_handler}(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    {textwrap.indent(theirs, " " * 4).strip()}
    count(5)
    signal.raise_signal(signal.SIGTERM)
    signal.pause()
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (KILLED, [6.0]) == (code, totals(processes))


def test_an_event_loop_may_have_handled_the_signal(tmp_path):
    """A loop of asyncio takes handler and descriptor, and gives both back."""
    program = """
    import asyncio, ctypes

    async def main():
        loop = asyncio.get_running_loop()
        come = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, come.set)
        signal.raise_signal(signal.SIGTERM)
        await come.wait()
        loop.remove_signal_handler(signal.SIGTERM)

    start()
    asyncio.run(main())
    count(5)
    mutex = ctypes.create_string_buffer(256)  # zeros are an unlocked one
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)  # only the watch can end this process
    """
    code, processes = terminate(program, tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


def test_a_forked_child_inherits_a_handler_and_sets_the_default(tmp_path):
    """So do the workers of a server that has loaded the application before its forks."""
    program = """
    signal.signal(signal.SIGTERM, lambda *_: None)
    start()
    count(7)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        count(2)
        signal.raise_signal(signal.SIGTERM)
        while True: signal.pause()  # a delivery of more than a moment lets the main thread go on
    assert -signal.SIGTERM == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [2.0, 7.0]) == (code, totals(processes))


def test_what_is_buffered_goes_out_when_the_program_begins_to_end(tmp_path):
    """A supervisor may kill a program that needs too long for its end."""
    program = """
    class Printing(WritingTransport):
        def send(self, batch, runtime_id, timeout):
            receipt = super().send(batch, runtime_id, timeout)
            print("sent", flush=True)
            return receipt

    signal.signal(signal.SIGTERM, lambda *_: None)  # is in no hurry
    metrics.init(
        component_name="pool", transport=Printing(), system_metrics=(), self_metrics=False,
        flush_interval=3600,
    )
    count(5)
    print("ready", flush=True)
    while True:
        signal.pause()
    """
    process = begin(program, tmp_path)
    assert "ready\n" == process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert "sent\n" == process.stdout.readline()
    process.kill()
    process.communicate()


def test_a_handler_in_c_is_left_alone(tmp_path):
    """The client does not replace a handler of which Python does not know."""
    program = """
    import ctypes
    get_handler, set_handler = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    for function in (get_handler, set_handler):
        function.restype = ctypes.c_void_p
    set_handler.argtypes = [ctypes.c_int, ctypes.c_void_p]
    theirs = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p).value  # takes a number
    set_handler(signal.SIGTERM, theirs)
    start()
    count(5)
    assert theirs == get_handler(signal.SIGTERM)
    metrics.shutdown()
    assert theirs == get_handler(signal.SIGTERM)
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [5.0]) == (code, totals(processes))


def test_an_ignored_signal_stays_ignored(tmp_path):
    """A process that ignores SIGTERM goes on, and so does its client."""
    program = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    start()
    signal.raise_signal(signal.SIGTERM)
    count(5)
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [5.0]) == (code, totals(processes))


def test_handling_sigterm_can_be_switched_off(tmp_path):
    """With handle_sigterm=False the signal has its default effect, and nothing is delivered."""
    program = f"""
    os.environ["NOETL_METRICS_HANDLE_SIGTERM"] = "false"
    os.environ["NOETL_WORKER_POOL_NAME"] = "pool"
    metrics.init(transport=WritingTransport())
    count(5)
    {READY}
    signal.pause()
    """
    assert (KILLED, {}) == terminate(program, tmp_path)


def make_client(**settings):
    return MetricsClient(
        component_name="pool", registry=Registry(), transport=InMemoryTransport(),
        system_metrics=(), self_metrics=False, **settings,
    )  # fmt: skip


def test_the_default_is_restored_after_the_last_shutdown():
    """After the last client's shutdown, the process handles SIGTERM as before."""
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)
    first, second = make_client().start(), make_client().start()
    first.shutdown()
    assert callable(signal.getsignal(signal.SIGTERM))
    second.shutdown()
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)
    assert NO_DESCRIPTOR == signal.set_wakeup_fd(NO_DESCRIPTOR)


def test_the_default_is_restored_by_the_main_thread_once_it_can():
    """A shutdown in another thread leaves the handler, and the next one in the main thread removes
    it."""
    client = make_client().start()
    thread = threading.Thread(target=client.shutdown)
    thread.start()
    thread.join()
    assert callable(signal.getsignal(signal.SIGTERM))
    client.shutdown()
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)
    assert NO_DESCRIPTOR == signal.set_wakeup_fd(NO_DESCRIPTOR)


@pytest.fixture
def descriptor():
    """A descriptor as an event loop hands it to `signal.set_wakeup_fd`."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        yield writer.fileno()
        signal.set_wakeup_fd(NO_DESCRIPTOR)


def test_an_event_loops_wakeup_descriptor_is_left_alone(descriptor):
    """A descriptor from before the client's start stays, also after the client's end."""
    signal.set_wakeup_fd(descriptor)
    client = make_client().start()
    assert descriptor == signal.set_wakeup_fd(descriptor)
    client.shutdown()
    assert descriptor == signal.set_wakeup_fd(descriptor)


def test_an_event_loop_may_take_the_wakeup_descriptors_place(descriptor):
    """A descriptor that came after the client's start stays after the client's end."""
    client = make_client().start()
    assert descriptor != signal.set_wakeup_fd(descriptor)
    client.shutdown()
    assert descriptor == signal.set_wakeup_fd(descriptor)


def test_a_client_that_another_thread_starts_installs_no_handler():
    """Only the main thread may: a start elsewhere works and leaves SIGTERM alone."""
    client = make_client()
    thread = threading.Thread(target=client.start)
    thread.start()
    thread.join()
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)
    client.shutdown()


def test_sigterm_to_a_forked_child_delivers_what_it_has_counted(tmp_path):
    """Child and parent each deliver their own samples, whichever of them is ended."""
    program = """
    start()
    count(7)
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        count(2)
        os.write(sender, b".")
        while True: signal.pause()  # a delivery of more than a moment lets the main thread go on
    os.read(receiver, 1)
    os.kill(pid, signal.SIGTERM)
    assert -signal.SIGTERM == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [2.0, 7.0]) == (code, totals(processes))


def test_sigterm_right_after_a_fork_ends_the_child(tmp_path):
    """A signal before the child's client has restarted is kept until it has."""
    program = """
    import noetl_metrics_sdk.client
    # Runs in the child before the client's own hook, which is registered with the first client.
    os.register_at_fork(after_in_child=lambda: signal.raise_signal(signal.SIGTERM))
    start()
    count(7)
    pid = os.fork()
    assert -signal.SIGTERM == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [7.0]) == (code, totals(processes))  # the child has counted nothing


def test_ending_a_pool_never_waits_for_ever(tmp_path):
    """However early or late in its life the signal comes, a child ends by it."""
    program = """
    def work(number):
        count(1)

    start()
    count(7)
    for _ in range(20):
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(work, range(8), chunksize=1)
    for _ in range(10):
        with multiprocessing.get_context("fork").Pool(4):
            pass
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, 20 * 8 + 7) == (code, sum(totals(processes)))


def test_trio_finds_nothing_of_the_client(tmp_path):
    """Trio warns of a foreign wakeup descriptor; beside a client it runs, and SIGTERM delivers."""
    pytest.importorskip("trio", reason="trio is not installed")
    program = """
    import trio

    async def main():
        count(5)
        print("ready", flush=True)
        await trio.sleep_forever()

    start()
    trio.run(trio.sleep, 0)
    trio.run(main)
    """
    code, processes = terminate(program, tmp_path)
    assert (KILLED, [5.0]) == (code, totals(processes))


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_may_be_terminated(tmp_path, start_method):
    """terminate() delivers what the child has counted, whichever way the child was started."""
    program = f"""
    def work(connection):
        if "{start_method}" != "fork":
            start()
        count(2)
        connection.send(None)
        signal.pause()

    if __name__ == "__main__":
        start()
        count(7)
        context = multiprocessing.get_context("{start_method}")
        receiver, sender = context.Pipe()
        child = context.Process(target=work, args=(sender,))
        child.start()
        receiver.recv()
        child.terminate()
        child.join()
        assert -signal.SIGTERM == child.exitcode
    """
    code, processes = end(begin(program, tmp_path), tmp_path)
    assert (0, [2.0, 7.0]) == (code, totals(processes))


def test_the_first_process_of_a_container_flushes_and_goes_on(tmp_path):
    """The kernel does not end this process by SIGTERM, so its client goes on as well."""
    prefix = ("unshare", "--fork", "--pid", "--kill-child")
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission to make a PID namespace")
    program = """
    arrived = threading.Event()

    class Listening(WritingTransport):
        def send(self, batch, runtime_id, timeout):
            receipt = super().send(batch, runtime_id, timeout)
            arrived.set()
            return receipt

    metrics.init(
        component_name="pool", transport=Listening(), system_metrics=(), self_metrics=False,
        flush_interval=3600,
    )
    count(5)
    assert 1 == os.getpid()
    os.kill(1, signal.SIGTERM)
    assert arrived.wait(30)
    count(1)
    """
    code, processes = end(begin(program, tmp_path, prefix=prefix), tmp_path)
    assert 0 == code
    assert [0.0, 5.0, 6.0] == [
        sample["value"] for sample in processes[1]["samples"] if sample["name"] == "jobs_total"
    ]
