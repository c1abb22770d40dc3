import asyncio, sys, aiohttp


async def main():
    base, token_bytes, *files = sys.argv[1:]
    fields = {"Cookie": "session=" + "c" * int(token_bytes)}
    async with aiohttp.ClientSession(headers=fields) as session:
        for path in files:
            with open(path, "rb") as file:
                content = file.read()
            async with session.put(base + path.rsplit("/", 1)[1], data=content) as response:
                response.raise_for_status()


asyncio.run(main())
