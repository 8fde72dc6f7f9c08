"""Libcurl's own timings of many HTTPS requests at a steady rate, as a program of its own.

    python -m bench.libcurl_client RATE URLS_FILE       prints one JSON object a request

Drives the multi interface of the system's libcurl.so.4 (Debian's libcurl4) by ctypes, so that no binding need be
installed; a new connection for each request, as a monitor would. Times are libcurl's `*_TIME_T`, microseconds.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

URL, SSL_VERIFYPEER, SSL_VERIFYHOST, NOSIGNAL, HTTP_VERSION = 10002, 64, 81, 99, 84
FRESH_CONNECT, FORBID_REUSE, WRITEFUNCTION = 74, 75, 20011
HTTP_1_1 = 2
DONE = 1
OFF_T = 0x600000
NAMELOOKUP, CONNECT, PRETRANSFER, STARTTRANSFER, APPCONNECT, TOTAL = (
    OFF_T + n for n in (51, 52, 53, 54, 56, 50)
)
GLOBAL_ALL = 3
WRITER = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)


class Message(ctypes.Structure):
    """`CURLMsg`."""

    _fields_ = [("msg", ctypes.c_int), ("easy", ctypes.c_void_p), ("result", ctypes.c_int)]


def library() -> ctypes.CDLL:
    """Libcurl with the argument types its variadic functions are called with here."""
    lib = ctypes.CDLL("libcurl.so.4")
    for name in ("curl_easy_init", "curl_multi_init"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.curl_multi_info_read.restype = ctypes.POINTER(Message)
    return lib


class Client:
    """Requests in flight on one multi handle."""

    def __init__(self) -> None:
        self._lib = library()
        self._lib.curl_global_init(ctypes.c_long(GLOBAL_ALL))
        self._multi = ctypes.c_void_p(self._lib.curl_multi_init())
        self._urls: dict[int, bytes] = {}
        self._discard = WRITER(lambda _data, size, count, _user: size * count)

    def start(self, url: str) -> None:
        """Begin one request on a connection of its own."""
        easy = self._lib.curl_easy_init()
        text = url.encode()
        self._urls[easy] = text
        handle = ctypes.c_void_p(easy)
        self._lib.curl_easy_setopt(handle, URL, ctypes.c_char_p(text))
        self._lib.curl_easy_setopt(handle, WRITEFUNCTION, self._discard)
        for option, value in (
            (SSL_VERIFYPEER, 0),
            (SSL_VERIFYHOST, 0),
            (NOSIGNAL, 1),
            (FRESH_CONNECT, 1),
            (FORBID_REUSE, 1),
            (HTTP_VERSION, HTTP_1_1),
        ):
            self._lib.curl_easy_setopt(handle, option, ctypes.c_long(value))
        self._lib.curl_multi_add_handle(self._multi, handle)

    @property
    def busy(self) -> bool:
        """True while requests are in flight."""
        return bool(self._urls)

    def step(self, wait_ms: int) -> list[dict[str, object]]:
        """Move everything on, wait at most `wait_ms` for the sockets, return what ended."""
        running = ctypes.c_int()
        self._lib.curl_multi_perform(self._multi, ctypes.byref(running))
        ended = self._collect()
        if not ended:
            self._lib.curl_multi_poll(self._multi, None, 0, wait_ms, None)
        return ended

    def _collect(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        left = ctypes.c_int()
        while message := self._lib.curl_multi_info_read(self._multi, ctypes.byref(left)):
            if message.contents.msg == DONE:
                found.append(self._finish(message.contents.easy, message.contents.result))
        return found

    def _finish(self, easy: int, result: int) -> dict[str, object]:
        handle = ctypes.c_void_p(easy)

        def microseconds(info: int) -> int:
            value = ctypes.c_int64()
            self._lib.curl_easy_getinfo(handle, info, ctypes.byref(value))
            return value.value

        times = {
            info: microseconds(info) for info in (NAMELOOKUP, CONNECT, PRETRANSFER, STARTTRANSFER, APPCONNECT)
        }
        self._lib.curl_multi_remove_handle(self._multi, handle)
        self._lib.curl_easy_cleanup(handle)
        return {
            "url": self._urls.pop(easy).decode(),
            "ok": result == 0,
            "connect_us": times[CONNECT] - times[NAMELOOKUP],
            "tls_us": times[APPCONNECT] - times[CONNECT],
            "first_byte_us": times[STARTTRANSFER] - times[PRETRANSFER],
        }


def main() -> None:
    """Read URLs, ask each at its time, print what libcurl says."""
    rate = float(sys.argv[1])
    urls = Path(sys.argv[2]).read_text().split()
    client, began, started = Client(), time.monotonic(), 0
    while started < len(urls) or client.busy:
        late = time.monotonic() - began
        while started < len(urls) and started / rate <= late:
            client.start(urls[started])
            started += 1
        until_next = began + started / rate - time.monotonic() if started < len(urls) else 0.1
        for ended in client.step(max(1, int(until_next * 1000))):
            print(json.dumps(ended))


if __name__ == "__main__":
    main()
