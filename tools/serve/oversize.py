"""A thousand uploads that are too large, at once: what the service answers, and the memory that it takes.

    decap serve --listen 127.0.0.1:8098 &
    python tools/serve/oversize.py 127.0.0.1:8098 $!

Half of them say how large they are; half are sent in chunks and go on until they are refused. Needs Linux and Python
alone.
"""

import asyncio
import collections
import resource
import sys
import time

COUNT = 1000
MIB = 1 << 20
# The service takes 32.
SIZE = 40 * MIB
PIECE = b"\0" * (64 << 10)


def resident(process, field="VmRSS"):
    """Mebibytes of memory that the process has now, or (VmHWM) had at most."""
    with open(f"/proc/{process}/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


async def upload(host, port, is_chunked):
    head = f"POST /v1/caption HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\nconnection: close\r\n"
    length = "transfer-encoding: chunked" if is_chunked else f"content-length: {SIZE}"
    reader, writer = await asyncio.open_connection(host, port)

    async def send():
        try:
            writer.write(f"{head}{length}\r\n\r\n".encode())
            for _ in range(SIZE // len(PIECE)):
                writer.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE)
                await writer.drain()
        except OSError:
            pass  # The service has answered and closed.

    sending = asyncio.create_task(send())
    try:
        line = await asyncio.wait_for(reader.readline(), 120)
        return line.split()[1].decode() if line else "closed"
    except OSError:
        return "closed"
    finally:
        sending.cancel()
        writer.close()


async def main(address, process):
    host, port = address.rsplit(":", 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    before, began = resident(process), time.monotonic()
    answers = await asyncio.gather(
        *(upload(host, port, index % 2 == 1) for index in range(COUNT)), return_exceptions=True
    )
    counts = collections.Counter(str(answer) for answer in answers)
    print(f"{COUNT} uploads of {SIZE // MIB} MiB in {time.monotonic() - began:.1f} s: {dict(counts)}")
    await asyncio.sleep(2)
    print(
        f"memory: {before:.0f} MiB before, {resident(process, 'VmHWM'):.0f} MiB at most, "
        f"{resident(process):.0f} MiB after"
    )


asyncio.run(main(sys.argv[1], sys.argv[2]))
