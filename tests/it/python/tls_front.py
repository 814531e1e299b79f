"""A TLS server in front of a plain one, with an authority and a certificate of its own.

Arguments: a folder, where ca.pem is written, and the port of the plain server. Prints its own port. Ends when standard
input does.
"""

import asyncio
import pathlib
import ssl
import sys

import trustme


async def copy(source, target):
    try:
        while some := await source.read(65536):
            target.write(some)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


async def main(folder, port):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def serve(reader, writer):
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
